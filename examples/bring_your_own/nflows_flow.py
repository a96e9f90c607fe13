"""A flow of nflows, p(x | class) of two numbers given one of three classes, for `python -m inference publish-onnx`.

python examples/bring_your_own/nflows_flow.py OUT     # needs torch, onnx and nflows
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms import AffineCouplingTransform, CompositeTransform
from torch import Tensor, nn

CLASSES = ("left", "middle", "right")
SIGNATURE = {
    "data": {"shape": [2], "names": ["width", "height"]},
    "condition": {"kind": "label", "classes": CLASSES},
    "latent": [{"name": "z", "shape": [2]}],
}


def one_hot(condition: Tensor) -> Tensor:
    """The context of nflows from the class index."""
    return nn.functional.one_hot(condition, len(CLASSES)).float()


class Decode(nn.Module):
    """x from a standard normal z; `_transform` is where nflows keeps it, and sampling calls its inverse."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), int64 (rows,) -> (rows, 2)."""
        return self.flow._transform.inverse(z, one_hot(condition))[0]


class Encode(Decode):
    """z from x."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), int64 (rows,) -> (rows, 2)."""
        return self.flow.transform_to_noise(x, one_hot(condition))


class Score(Decode):
    """log p(x | class) of every class: label models score them all at once, so that Bayes' rule has them."""

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 2) -> (rows, classes)."""
        repeated = x.repeat_interleave(len(CLASSES), dim=0)
        every = torch.eye(len(CLASSES)).repeat(x.shape[0], 1)
        return self.flow.log_prob(repeated, every).reshape(-1, len(CLASSES))


def fitted(steps: int = 100) -> Flow:
    """Affine couplings, fitted for a moment to three blobs."""
    torch.manual_seed(0)

    def conditioner(inputs: int, outputs: int) -> nn.Module:
        return ResidualNet(inputs, outputs, hidden_features=16, context_features=len(CLASSES), num_blocks=1)

    layers = [AffineCouplingTransform(torch.tensor([place % 2, 1 - place % 2]), conditioner) for place in range(4)]
    flow = Flow(CompositeTransform(layers), StandardNormal([2]))
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(steps):
        condition = torch.randint(len(CLASSES), (256,))
        x = 1.5 * (condition[:, None] - 1) + torch.randn(256, 2) * torch.tensor([0.4, 0.8])
        loss = -flow.log_prob(x, one_hot(condition)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow.eval()


def export(flow: Flow, folder: Path) -> None:
    """Write decode.onnx, encode.onnx, score.onnx and signature.json."""
    x, condition = torch.randn(2, 2), torch.tensor([0, 2])
    for name, module, inputs, output in (
        ("decode", Decode(flow), {"z": x, "condition": condition}, "x"),
        ("encode", Encode(flow), {"x": x, "condition": condition}, "z"),
        ("score", Score(flow), {"x": x}, "log_weight"),
    ):
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            folder / f"{name}.onnx",
            dynamo=False,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={tensor: {0: "rows"} for tensor in (*inputs, output)},
        )
    (folder / "signature.json").write_text(json.dumps(SIGNATURE, indent=2))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    export(fitted(), target)

"""A flow of normflows, p(x | class) of two numbers given one of three classes, for `python -m inference publish-onnx`.

python examples/bring_your_own/normflows_flow.py OUT     # needs torch, onnx and normflows
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from normflows import ConditionalNormalizingFlow
from normflows.distributions import DiagGaussian
from normflows.flows import MaskedAffineAutoregressive
from torch import Tensor, nn

CLASSES = ("left", "middle", "right")
SIGNATURE = {
    "data": {"shape": [2]},
    "condition": {"kind": "label", "classes": CLASSES},
    "latent": [{"name": "z", "shape": [2]}],
}


def one_hot(condition: Tensor) -> Tensor:
    """The context of normflows from the class index."""
    return nn.functional.one_hot(condition, len(CLASSES)).float()


class Decode(nn.Module):
    """x from a standard normal z."""

    def __init__(self, flow: ConditionalNormalizingFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), int64 (rows,) -> (rows, 2)."""
        return self.flow.forward(z, one_hot(condition))


class Encode(Decode):
    """z from x."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), int64 (rows,) -> (rows, 2)."""
        return self.flow.inverse(x, one_hot(condition))


class Score(Decode):
    """log p(x | class) of every class.

    The sum is written out, because `flow.log_prob` starts it from `torch.zeros(len(x))`: a trace takes len(x) for a
    constant, and the graph would answer two rows and no other number of them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(rows, 2) -> (rows, classes)."""
        z = x.repeat_interleave(len(CLASSES), dim=0)
        every = torch.eye(len(CLASSES)).repeat(x.shape[0], 1)
        log_dets = []
        for layer in reversed(self.flow.flows):
            z, log_det = layer.inverse(z, context=every)
            log_dets.append(log_det)
        return (self.flow.q0.log_prob(z) + torch.stack(log_dets).sum(dim=0)).reshape(-1, len(CLASSES))


def fitted(steps: int = 100) -> ConditionalNormalizingFlow:
    """Masked autoregressive layers, fitted for a moment to three blobs."""
    torch.manual_seed(0)
    layers = [MaskedAffineAutoregressive(2, 16, context_features=len(CLASSES), num_blocks=1) for _ in range(3)]
    flow = ConditionalNormalizingFlow(DiagGaussian(2, trainable=False), layers)
    optimizer = torch.optim.Adam([p for p in flow.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        condition = torch.randint(len(CLASSES), (256,))
        x = 1.5 * (condition[:, None] - 1) + torch.randn(256, 2) * torch.tensor([0.4, 0.8])
        loss = flow.forward_kld(x, one_hot(condition))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow.eval()


def export(flow: ConditionalNormalizingFlow, folder: Path) -> None:
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

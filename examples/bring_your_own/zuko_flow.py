"""A flow of zuko, p(x | c) of two numbers given one, exported for `python -m inference publish-onnx`.

python examples/bring_your_own/zuko_flow.py OUT     # needs torch, onnx and zuko
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import zuko
from torch import Tensor, nn

SIGNATURE = {
    "data": {"shape": [2]},
    "condition": {"kind": "vector", "array": {"shape": [1]}},
    "latent": [{"name": "z", "shape": [2]}],
}


class Decode(nn.Module):
    """x from a standard normal z: the inverse of the transform that zuko scores with."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows, 2)."""
        return self.flow(condition).transform.inv(z)


class Encode(Decode):
    """z from x."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows, 2)."""
        return self.flow(condition).transform(x)


class Score(Decode):
    """log p(x | c)."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows,)."""
        return self.flow(condition).log_prob(x)


def fitted(steps: int = 100) -> nn.Module:
    """A masked autoregressive flow, fitted for a moment to a bent ridge that moves with c."""
    torch.manual_seed(0)
    flow = zuko.flows.MAF(features=2, context=1, transforms=2, hidden_features=(32, 32))
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for _ in range(steps):
        condition, noise = torch.randn(256, 1), torch.randn(256, 2)
        x = torch.cat([condition + 0.5 * noise[:, :1], noise[:, :1] ** 2 + 0.3 * noise[:, 1:]], dim=1)
        loss = -flow(condition).log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow.eval()


def export(flow: nn.Module, folder: Path) -> None:
    """Write decode.onnx, encode.onnx, score.onnx and signature.json."""
    x, condition = torch.randn(2, 2), torch.randn(2, 1)
    for name, module, inputs, output in (
        ("decode", Decode(flow), ["z", "condition"], "x"),
        ("encode", Encode(flow), ["x", "condition"], "z"),
        ("score", Score(flow), ["x", "condition"], "log_weight"),
    ):
        torch.onnx.export(
            module.eval(),
            (x, condition),
            folder / f"{name}.onnx",
            dynamo=False,
            input_names=inputs,
            output_names=[output],
            dynamic_axes={tensor: {0: "rows"} for tensor in (*inputs, output)},
        )
    (folder / "signature.json").write_text(json.dumps(SIGNATURE, indent=2))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    export(fitted(), target)

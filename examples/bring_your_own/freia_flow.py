"""A flow of FrEIA, p(x | c) of two numbers given one, exported for `python -m inference publish-onnx`.

python examples/bring_your_own/freia_flow.py OUT     # needs torch, onnx and FrEIA
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn

SIGNATURE = {
    "data": {"shape": [2]},
    "condition": {"kind": "vector", "array": {"shape": [1], "names": ["temperature"]}},
    "latent": [{"name": "z", "shape": [2]}],
}


class Decode(nn.Module):
    """x from a standard normal z: the network in reverse."""

    def __init__(self, network: SequenceINN) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows, 2)."""
        return self.network(z, c=[condition], rev=True)[0]


class Encode(Decode):
    """z from x."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows, 2)."""
        return self.network(x, c=[condition])[0]


class Score(Decode):
    """log p(x | c): FrEIA gives z and the log-determinant, and leaves the normal to its user."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(rows, 2), (rows, 1) -> (rows,)."""
        z, log_det = self.network(x, c=[condition])
        return log_det - 0.5 * z.square().sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def fitted(steps: int = 100) -> SequenceINN:
    """Affine couplings with soft permutations, fitted for a moment to a bent ridge that moves with c."""
    torch.manual_seed(0)

    def subnet(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, outputs))

    network = SequenceINN(2)
    for _ in range(4):
        network.append(AllInOneBlock, cond=0, cond_shape=(1,), subnet_constructor=subnet, permute_soft=True)
    score = Score(network)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        condition, noise = torch.randn(256, 1), torch.randn(256, 2)
        x = torch.cat([condition + 0.5 * noise[:, :1], noise[:, :1] ** 2 + 0.3 * noise[:, 1:]], dim=1)
        loss = -score(x, condition).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def export(network: SequenceINN, folder: Path) -> None:
    """Write decode.onnx, encode.onnx, score.onnx and signature.json."""
    x, condition = torch.randn(2, 2), torch.randn(2, 1)
    for name, module, inputs, output in (
        ("decode", Decode(network), ["z", "condition"], "x"),
        ("encode", Encode(network), ["x", "condition"], "z"),
        ("score", Score(network), ["x", "condition"], "log_weight"),
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

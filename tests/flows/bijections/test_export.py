"""Every bijection exported to ONNX with a dynamic batch answers as torch does, at other batch sizes than the traced."""

from __future__ import annotations

import io

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from flows.bijections.base import Bijection
from flows.condition import Condition
from flows.conditioners.image_encoder import ImageEncoder
from tests.flows.bijections import catalogue

FEATURES = 5
QUICK = ("affine", "spline")
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in catalogue.CASES]


class BothDirections(nn.Module):
    """(x, z, condition) -> z and log_det of x, x and log_det of z, as one graph."""

    def __init__(self, bijection: Bijection, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.bijection, self.encoder = bijection, encoder

    def forward(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, ...]:
        c = self.encoder(condition) if self.encoder else Condition(vector=condition)
        return (*self.bijection(x, c), *self.bijection.inverse(z, c))


def assert_exports(module: nn.Module, inputs: dict[int, tuple[Tensor, ...]]) -> None:
    """Trace at the first of the batch sizes, compare at all."""
    rows = next(iter(inputs))
    batch = torch.export.Dim("rows")
    buffer = io.BytesIO()
    program = torch.onnx.export(
        module.eval(), inputs[rows], dynamo=True, verbose=False, dynamic_shapes=tuple({0: batch} for _ in inputs[rows])
    )
    assert program is not None
    program.save(buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue())
    names = [value.name for value in session.get_inputs()]
    for values in inputs.values():
        with torch.no_grad():
            expected = module(*values)
        answers = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})
        for answer, tensor in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer, tensor.numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_onnx_agrees_with_torch(name: str) -> None:
    kind = (
        "vector" if name in ("affine", "affine-first", "additive", "spline", "spline-first", "composition") else "none"
    )
    inputs = {}
    for rows in (3, 1, 17):
        c = catalogue.condition(kind, rows, torch.float32).vector
        points = (catalogue.data(name, rows, FEATURES).float(), catalogue.latents(rows, FEATURES).float())
        inputs[rows] = points if c is None else (*points, c)
    assert_exports(BothDirections(catalogue.build(name, FEATURES, kind).float()), inputs)


@pytest.mark.full
def test_onnx_agrees_with_torch_for_an_image_condition() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(catalogue.IMAGE, channels=(3, 4), features=6, spatial=2)
    bijection = catalogue.build("affine", FEATURES, "image").float()
    inputs = {
        n: (torch.randn(n, FEATURES), torch.randn(n, FEATURES), torch.randn(n, *catalogue.IMAGE)) for n in (3, 1, 17)
    }
    assert_exports(BothDirections(bijection, encoder), inputs)

"""Every bijection x every kind of condition x several sizes against the same checks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.bijections.base import Bijection
from tests.flows.bijections import catalogue, checks

everything = pytest.mark.parametrize(
    ("name", "features", "kind"),
    [(n, d, k) for n in catalogue.CASES for d in catalogue.SIZES for k in catalogue.KINDS],
    ids=lambda value: str(value),
)
every_kind = pytest.mark.parametrize(
    ("name", "kind"), [(n, k) for n in catalogue.CASES for k in catalogue.KINDS], ids=lambda value: str(value)
)


@everything
def test_inverts(name: str, features: int, kind: str) -> None:
    bijection, c = catalogue.build(name, features, kind), catalogue.condition(kind, 20)
    checks.check_round_trip(bijection, catalogue.data(name, 20, features), catalogue.latents(20, features), c)


@everything
def test_log_det_is_that_of_the_jacobian(name: str, features: int, kind: str) -> None:
    bijection, c = catalogue.build(name, features, kind), catalogue.condition(kind, 3)
    checks.check_log_det(bijection, catalogue.data(name, 3, features), c)
    checks.check_log_det(bijection.inverse, catalogue.latents(3, features), c)


@everything
def test_float32_stays_near_float64(name: str, features: int, kind: str) -> None:
    bijection, c = catalogue.build(name, features, kind), catalogue.condition(kind, 50)
    with torch.no_grad():
        checks.check_float32(bijection, catalogue.data(name, 50, features), catalogue.latents(50, features), c)


@everything
def test_gradients_are_finite_far_outside(name: str, features: int, kind: str) -> None:
    for dtype in (torch.float64, torch.float32):
        bijection = catalogue.build(name, features, kind).to(dtype)
        checks.check_far_gradients(bijection, features, catalogue.condition(kind, 5, dtype), dtype)


@pytest.mark.parametrize("rows", [0, 1, 1000])
@every_kind
def test_batch_sizes(name: str, kind: str, rows: int) -> None:
    bijection, c = catalogue.build(name, 5, kind), catalogue.condition(kind, rows)
    checks.check_contract(bijection, catalogue.data(name, rows, 5), c)


@every_kind
def test_rows_do_not_depend_on_the_batch(name: str, kind: str) -> None:
    bijection, c = catalogue.build(name, 5, kind), catalogue.condition(kind, 7)
    x = catalogue.data(name, 7, 5)
    one = catalogue.Condition(None if c.vector is None else c.vector[4:5], None if c.image is None else c.image[4:5])
    for direction in (bijection, bijection.inverse):
        for batch, alone in zip(direction(x, c), direction(x[4:5], one), strict=True):
            checks.close(batch[4:5], alone, 1e-12)


@every_kind
def test_state_round_trip(name: str, kind: str, tmp_path: Path) -> None:
    saved, other = catalogue.build(name, 5, kind, seed=0), catalogue.build(name, 5, kind, seed=7)
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x, c = catalogue.data(name, 4, 5), catalogue.condition(kind, 4)
    for direction in ("forward", "inverse"):
        for first, second in zip(getattr(saved, direction)(x, c), getattr(other, direction)(x, c), strict=True):
            assert torch.equal(first, second)


@pytest.mark.parametrize("name", catalogue.CASES)
def test_no_graph_breaks(name: str) -> None:
    torch.compiler.reset()
    bijection, c = catalogue.build(name, 5, "vector"), catalogue.condition("vector", 4)
    x = catalogue.data(name, 4, 5)

    def both(x: torch.Tensor) -> list[torch.Tensor]:
        return [*bijection(x, c), *bijection.inverse(x, c)]

    for compiled, eager in zip(torch.compile(both, fullgraph=True, backend="eager")(x), both(x), strict=True):
        checks.close(compiled, eager, 1e-12)


def learnt_start(name: str) -> Bijection:
    return catalogue.CASES[name].build(5, catalogue.condition_shape("vector"), 0)


@pytest.mark.parametrize("name", ["affine", "affine-first", "additive", "spline", "spline-first", "actnorm"])
def test_starts_as_the_identity(name: str) -> None:
    x, c = catalogue.latents(10, 5).float(), catalogue.condition("vector", 10, torch.float32)
    z, log_det = learnt_start(name)(x, c)
    checks.close(z, x, 2e-6)
    checks.close(log_det, torch.zeros(10), 5e-6)

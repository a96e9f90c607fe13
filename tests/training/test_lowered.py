"""Errors of lower precisions, as recorded at export."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flows.architecture import build
from flows.functions import functions
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_model
from training.export import export
from training.lowered import CutFactors, lowered, precision_errors


def test_both_factors_of_every_kind_of_product_are_cut() -> None:
    """1 + 2^-11 becomes 1, on either side; what is added stays."""
    fine, one = torch.full((2, 2), 1 + 2.0**-11), torch.ones(2, 2)
    image, kernel = torch.full((1, 1, 3, 3), 1 + 2.0**-11), torch.ones(1, 1, 1, 1)
    products = {
        "mm": lambda a, b: a @ b,
        "bmm": lambda a, b: torch.bmm(a[None], b[None]),
        "addmm": lambda a, b: torch.addmm(torch.zeros(2), a, b),
        "baddbmm": lambda a, b: torch.baddbmm(torch.zeros(1, 2, 2), a[None], b[None]),
        "linear": lambda a, b: torch.nn.functional.linear(a, b),
        "einsum": lambda a, b: torch.einsum("ij,jk->ik", a, b),
    }
    with torch.no_grad(), CutFactors():
        for name, product in products.items():
            assert (product(fine, one) == 2).all() and (product(one, fine) == 2).all(), name
        for convolution in (torch.nn.functional.conv2d, torch.nn.functional.conv_transpose2d):
            assert (convolution(image, kernel) == 1).all()
            assert (convolution(torch.ones(1, 1, 3, 3), kernel * (1 + 2.0**-11)) == 1).all()
        assert (torch.addmm(fine, one, one) == fine + 2).all()
        assert ((one.double() * (1 + 2.0**-11)) @ one.double() > 2).all()
    assert (fine @ one > 2).all()


@pytest.mark.parametrize("name", ["joint-label", "coupling-image", "latent-coupling"])
def test_export_records_both_for_every_operation(name: str) -> None:
    model = random_model(CATALOGUE[name], dtype=torch.float32)
    made = export(model, batch_sizes=(1, 32))
    for precision in ("tf32", "bf16"):
        errors = made.precision_errors[precision]
        assert set(errors) == set(made.graph_errors)
        assert errors["score"].batch_sizes == (32,)
        assert 1e-5 < errors["score"].max_rel < 0.1  # rounding of the factors, not of float32 (1e-7)
        assert errors["score"].max_rel > 10 * made.graph_errors["score"].max_rel
    x, noise, condition = random_inputs(model, 4)
    with torch.no_grad():
        after = model.score(x, noise, condition)
        with lowered(model, "bf16"):
            assert not torch.equal(model.score(x, noise, condition), after)
        assert torch.equal(model.score(x, noise, condition), after)  # nothing of it is left


def test_a_precision_that_spoils_the_answers_is_left_out() -> None:
    model = build(CATALOGUE["coupling-none"])
    function = functions(model)["encode"]
    x = random_inputs(model, 4)[0]
    with torch.no_grad():
        (exact,) = function(x)
    assert set(precision_errors(model, {"encode": (function, (x,), {"z": exact.numpy()})})) == {"tf32", "bf16"}
    for wrong in (exact.numpy() * 2, np.full(exact.shape, np.nan)):
        assert precision_errors(model, {"encode": (function, (x,), {"z": wrong})}) == {}

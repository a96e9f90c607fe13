"""The functions that are exported: which there are, in which order, and that they are the model's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flows import Model, functions
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_latent, random_model
from training.signature import signature_of

EVERY = pytest.mark.parametrize("name", CATALOGUE)


def tensors_of(model: Model, rows: int = 3) -> dict[str, Tensor]:
    x, noise, condition = random_inputs(model, rows)
    named = {"x": x, "embedding": model.embed(x)} | {
        part.name: tensor for part, tensor in zip(model.noise, noise, strict=True)
    }
    named |= {part.name: tensor for part, tensor in zip(model.latent, random_latent(model, rows), strict=True)}
    return named if condition is None else named | {"condition": condition}


@EVERY
def test_names_and_order_are_those_of_the_signature(name: str) -> None:
    model = random_model(CATALOGUE[name])
    signature = signature_of(model)
    made = functions(model)
    assert tuple(made) == signature.operations == model.operations
    for operation, function in made.items():
        assert function.operation == operation
        assert function.inputs == signature.inputs(operation)
        assert function.outputs == signature.outputs(operation)


@pytest.mark.parametrize("embedded", (True, False))
@EVERY
def test_functions_answer_what_the_model_answers(name: str, embedded: bool) -> None:
    model = random_model(CATALOGUE[name])
    named = tensors_of(model)
    x, condition = named["x"], named.get("condition")
    noise = tuple(named[part.name] for part in model.noise)
    latent = tuple(named[part.name] for part in model.latent)
    made = functions(model, embedded=embedded)
    if not embedded:
        del named["embedding"]
        assert "embed" not in made
    answers = {name: function(*(named[key] for key in function.inputs)) for name, function in made.items()}
    assert torch.equal(answers["decode"], model.decode(latent, condition))
    for got, expected in zip(answers["encode"], model.encode(x, noise, condition), strict=True):
        assert torch.equal(got, expected)
    assert torch.equal(answers["score"], model.score(x, noise, condition))
    if "infer" in answers:
        for got, expected in zip(answers["infer"], model.infer(x, noise), strict=True):
            assert torch.equal(got, expected)


@EVERY
def test_functions_hold_no_random_numbers(name: str) -> None:
    model = random_model(CATALOGUE[name])
    named = tensors_of(model)
    for function in functions(model).values():
        inputs = [named[key] for key in function.inputs]
        state = torch.get_rng_state()
        first = function(*inputs)
        assert torch.equal(torch.get_rng_state(), state)
        again = function(*inputs)
        for one, two in zip(*((y if isinstance(y, tuple) else (y,)) for y in (first, again)), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE if "infer" not in random_model(CATALOGUE[name]).operations]
)
def test_a_family_that_cannot_infer_says_so(name: str) -> None:
    model = random_model(CATALOGUE[name])
    x, noise, _ = random_inputs(model, 2)
    with pytest.raises(NotImplementedError, match=r"infer: the .* family"):
        model.infer(x, noise)

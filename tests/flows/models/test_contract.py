"""What every model of every family must do, whatever it is made of."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from flows import Model, build, functions
from tests.flows.models.catalogue import CATALOGUE, random_condition, random_inputs, random_latent, random_model

EVERY = pytest.mark.parametrize("name", CATALOGUE)
ONE_OF_EACH = pytest.mark.parametrize(
    "name",
    [
        "joint-label",
        "joint-partitioned",
        "coupling-none",
        "coupling-vector",
        "coupling-image",
        "coupling-support",
        "latent-joint",
        "latent-gradients",
    ],
)
DENSITIES = pytest.mark.parametrize("name", [name for name in CATALOGUE if not name.startswith("latent")])


def normal(*parts: Tensor) -> Tensor:
    return sum(-0.5 * part.square().sum(1) - 0.5 * part.shape[1] * math.log(2 * math.pi) for part in parts)


@DENSITIES
def test_decode_undoes_encode(name: str) -> None:
    model = random_model(CATALOGUE[name])
    x, noise, condition = random_inputs(model, 20)
    back = model.decode(model.encode(x, noise, condition), condition)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)


@DENSITIES
def test_encode_undoes_decode_of_real_data_without_padding(name: str) -> None:
    model = random_model(CATALOGUE[name])
    if model.noise:
        return  # what the noise was is lost in x
    condition = random_condition(model, 20, torch.Generator().manual_seed(3))
    latent = random_latent(model, 20)
    back = model.encode(model.decode(latent, condition), (), condition)
    for part, expected in zip(back, latent, strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-8)


@DENSITIES
def test_log_weight_is_the_change_of_variables_of_encode(name: str) -> None:
    """log N(latent) + log |det d latent / d (x, normal noise)| - log N(normal noise), by autograd."""
    model = random_model(CATALOGUE[name])
    x, noise, condition = random_inputs(model, 4)
    integers = model.data.levels is not None
    for row in range(4):
        one = [None if condition is None else condition[row : row + 1]]
        parts = [part[row : row + 1] for part in noise]
        moved = [*parts] if integers else [x[row : row + 1], *parts]
        sizes = [part[0].numel() for part in moved]

        def flat(
            vector: Tensor, row: int = row, sizes: list[int] = sizes, one: list = one, parts: list = parts
        ) -> Tensor:
            pieces = vector.split(sizes)
            start = x[row : row + 1] if integers else pieces[0].reshape(1, *model.data.shape)
            rest = pieces if integers else pieces[1:]
            shaped = tuple(piece.reshape_as(part) for piece, part in zip(rest, parts, strict=True))
            return torch.cat(model.encode(start, shaped, one[0]), 1)[0]

        at = torch.cat([part.flatten() for part in moved])
        jacobian = torch.autograd.functional.jacobian(flat, at)
        latent = model.encode(x[row : row + 1], tuple(parts), one[0])
        expected = normal(*latent) + torch.linalg.slogdet(jacobian).logabsdet
        for part, noise_part in zip(model.noise, parts, strict=True):
            if part.distribution == "normal":
                expected = expected - normal(noise_part)
        got = model.log_weight(x[row : row + 1], tuple(parts), one[0])
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-8)


@EVERY
def test_score_has_the_log_weight_of_every_class(name: str) -> None:
    model = random_model(CATALOGUE[name])
    x, noise, condition = random_inputs(model, 6)
    if model.condition.kind != "label":
        torch.testing.assert_close(model.score(x, noise, condition), model.log_weight(x, noise, condition))
        return
    scores = model.score(x, noise, None)
    assert scores.shape == (6, 3)
    for label in range(3):
        torch.testing.assert_close(scores[:, label], model.log_weight(x, noise, torch.full((6,), label)))


@EVERY
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_shapes(name: str, rows: int) -> None:
    model = random_model(CATALOGUE[name], dtype=torch.float32)
    x, noise, condition = random_inputs(model, rows)
    latent = model.encode(x, noise, condition)
    assert [tuple(part.shape) for part in latent] == [(rows, *part.shape) for part in model.latent]
    decoded = model.decode(latent, condition)
    assert decoded.shape == x.shape and decoded.dtype == torch.float32
    assert model.log_weight(x, noise, condition).shape == (rows,)
    if "infer" in model.operations:
        estimate, log_weight = model.infer(x, noise)
        assert estimate.shape == (rows, model.condition.size) and log_weight.shape == (rows,)


@EVERY
def test_integers_come_out_whole_and_in_range(name: str) -> None:
    model = random_model(CATALOGUE[name], spread=0.5)
    if model.data.levels is None:
        return
    latent = tuple(5 * part for part in random_latent(model, 50))
    x = model.decode(latent, random_condition(model, 50, torch.Generator().manual_seed(0)))
    assert torch.equal(x, x.round()) and x.min() >= 0 and x.max() <= model.data.levels - 1
    assert len(x.unique()) > 1


@EVERY
def test_state_goes_through_safetensors(name: str) -> None:
    config = CATALOGUE[name]
    model = random_model(config, dtype=torch.float32)
    x, noise, condition = random_inputs(model, 5)
    torch.manual_seed(99)  # other initial weights, so that nothing is right by chance
    other = build(config).eval()
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(other.log_weight(x, noise, condition), model.log_weight(x, noise, condition))


@ONE_OF_EACH
def test_no_graph_breaks(name: str) -> None:
    model = random_model(CATALOGUE[name], dtype=torch.float32)
    x, noise, condition = random_inputs(model, 3)
    tensors = {"x": x, **{part.name: tensor for part, tensor in zip(model.noise, noise, strict=True)}}
    tensors |= {part.name: tensor for part, tensor in zip(model.latent, random_latent(model, 3), strict=True)}
    if condition is not None:
        tensors["condition"] = condition
    for operation in ("decode", "score"):  # every layer both ways; encode and infer are parts of score
        function = functions(model, embedded=False)[operation]
        inputs = [tensors[name] for name in function.inputs]
        torch.compiler.reset()
        compiled = torch.compile(function, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(*inputs), function(*inputs))


@EVERY
def test_every_parameter_learns(name: str) -> None:
    model = random_model(CATALOGUE[name], dtype=torch.float32).train()
    x, noise, condition = random_inputs(model, 8)
    loss = -model.log_weight(x, noise, condition).mean()
    if model.space == "latent":
        detail = torch.randn(8, model.autoencoder.detail) if model.autoencoder.detail else None
        loss = loss + (model.autoencoder.decode(model.embed(x), detail) - model.scale(x)).square().sum()
        if model.config.autoencoder.predict_gradients:
            loss = loss + model.autoencoder.decode_gradients(model.embed(x))[1].square().sum()
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


@EVERY
def test_initialize_sets_actnorm_once(name: str) -> None:
    torch.manual_seed(0)
    model: Model = build(CATALOGUE[name]).double()
    x, noise, condition = random_inputs(model, 64)
    model.initialize(x, noise, condition)
    before = {key: value.clone() for key, value in model.state_dict().items() if "log_scale" in key}
    assert before and any(value.abs().max() > 0 for value in before.values())
    other, noise, condition = random_inputs(model, 64, seed=9)
    model.initialize(other, noise, condition)
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())

"""Samples: moments, reproducibility, latents, temperature, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest

from inference import CannotAnswer, FieldError, answer, encode, log_likelihood, sample
from inference.loaded import Loaded
from inference.noise import SAMPLING, NoiseSource
from model_store.signature import Part
from tests.inference import handmade
from tests.inference.handmade import LEVELS, MEANS, SCALES


def ask(loaded: Loaded, *args: object, **options: object):
    return answer(loaded.engine, sample(loaded, *args, **options))


def test_moments_of_each_class(labels: Loaded) -> None:
    n = 40_000
    samples = ask(labels, conditions=["left", "right"], num_samples=n, seed=3).samples.astype(np.float64)
    assert samples.shape == (2, n, 2)
    for drawn, k in zip(samples, (0, 2), strict=True):
        assert (np.abs(drawn.mean(axis=0) - MEANS[k]) < 4 * SCALES / np.sqrt(n)).all()
        assert (np.abs(drawn.var(axis=0) / SCALES**2 - 1) < 4 * np.sqrt(2 / n)).all()
        assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(n)


def test_shapes_and_seed(labels: Loaded) -> None:
    one = ask(labels, 1)
    assert one.samples.shape == (1, 2)
    assert (one.seed, one.log_likelihood, one.latent) == (0, None, None)
    assert ask(labels, 1, 5).samples.shape == (5, 2)
    assert ask(labels, conditions=[1], num_samples=5).samples.shape == (1, 5, 2)
    assert ask(handmade.unconditional().load(), None, 5).samples.shape == (5, 1)


def test_a_longer_draw_begins_with_the_shorter(labels: Loaded) -> None:
    short, long = (ask(labels, conditions=[0, 2], num_samples=n, seed=9).samples for n in (50, 500))
    np.testing.assert_array_equal(long[:, :50], short)
    more = ask(labels, conditions=[0, 2, 1], num_samples=50, seed=9).samples
    np.testing.assert_array_equal(more[:2], short)
    assert (ask(labels, 0, 50, seed=10).samples != short[0]).any()


def test_latents_are_the_documented_noise(labels: Loaded) -> None:
    drawn = ask(labels, conditions=[0, 0], num_samples=4, seed=9, return_latent=True)
    z = NoiseSource(9, SAMPLING, 0, Part(name="z", shape=(2,)))
    np.testing.assert_array_equal(drawn.latent["z"], [z.draw(0, 0, 4), z.draw(1, 0, 4)])
    assert (drawn.samples[0] != drawn.samples[1]).any()


def test_shared_latents(labels: Loaded) -> None:
    drawn = ask(labels, conditions=[0, 1], num_samples=4, shared_latent=True, return_latent=True)
    np.testing.assert_array_equal(drawn.latent["z"][0], drawn.latent["z"][1])
    np.testing.assert_allclose(drawn.samples[1] - drawn.samples[0], np.tile(MEANS[1] - MEANS[0], (4, 1)), atol=1e-6)
    np.testing.assert_array_equal(drawn.samples[0], ask(labels, 0, 4).samples)


def test_given_latents(labels: Loaded, padded: Loaded) -> None:
    z = [[0.5, -1.0], [2.0, 0.0], [0.0, 0.0]]
    drawn = ask(labels, conditions=[0, 2], latent={"z": z}, return_latent=True)
    np.testing.assert_allclose(drawn.samples, MEANS[[0, 2], None] + SCALES * np.array(z, np.float32), rtol=1e-6)
    np.testing.assert_array_equal(drawn.latent["z"], [z, z])
    again = ask(labels, 0, latent={name: part[0] for name, part in drawn.latent.items()})
    np.testing.assert_array_equal(again.samples, drawn.samples[0])
    some = ask(padded, 0, 3, latent={"z": np.zeros((3, 1))}, seed=4, return_latent=True)
    np.testing.assert_array_equal(some.latent["v"], ask(padded, 0, 3, seed=4, return_latent=True).latent["v"])


def test_temperature(labels: Loaded) -> None:
    mode = ask(labels, conditions=[0, 1, 2], num_samples=3, temperature=0).samples
    np.testing.assert_array_equal(mode, np.broadcast_to(MEANS[:, None], (3, 3, 2)))
    warm, cool = (ask(labels, 0, 100, temperature=t, return_latent=True) for t in (1.0, 0.5))
    np.testing.assert_array_equal(cool.latent["z"], warm.latent["z"] * np.float32(0.5))
    given = ask(labels, 0, latent={"z": [[1.0, 1.0]]}, temperature=2).samples
    np.testing.assert_allclose(given, MEANS[:1] + 2 * SCALES, rtol=1e-6)


def test_log_likelihood_is_that_of_the_likelihood_question(labels: Loaded, padded: Loaded, images: Loaded) -> None:
    for loaded, conditions in ((labels, ["left", "right"]), (padded, [0, 2])):
        drawn = ask(loaded, conditions=conditions, num_samples=7, return_log_likelihood=True, seed=5)
        assert drawn.log_likelihood.shape == (2, 7)
        for row, condition in zip(range(2), conditions, strict=True):
            asked = answer(loaded.engine, log_likelihood(loaded, drawn.samples[row], condition))
            np.testing.assert_array_equal(drawn.log_likelihood[row], asked.log_likelihood)
    drawn = ask(images, None, 7, return_log_likelihood=True)
    asked = answer(images.engine, log_likelihood(images, drawn.samples))
    np.testing.assert_array_equal(drawn.log_likelihood, asked.log_likelihood)
    coupled = handmade.coupled_vector(None).load()
    drawn = ask(coupled, conditions=[[1.0, 2.0], [0.0, 0.5]], num_samples=3, return_log_likelihood=True)
    asked = answer(coupled.engine, log_likelihood(coupled, drawn.samples[1], [0.0, 0.5]))
    np.testing.assert_array_equal(drawn.log_likelihood[1], asked.log_likelihood)


def test_integer_images(images: Loaded) -> None:
    samples = ask(images, None, 20_000).samples
    assert samples.dtype == np.uint8
    share = np.bincount(samples.reshape(-1), minlength=LEVELS) / samples.size
    levels = np.arange(LEVELS)
    truth = ((levels + 1) ** 2 - levels**2) / LEVELS**2
    assert (np.abs(share - truth) < 4 * np.sqrt(truth / samples.size)).all()


def test_image_conditions() -> None:
    loaded = handmade.image_condition().load()
    drawn = ask(loaded, [[1, 2], [3, 4]], 2, temperature=0).samples
    np.testing.assert_array_equal(drawn, np.broadcast_to(np.float32([[[1, 2], [3, 4]]]), (2, 1, 2, 2)))


def test_counterfactual(labels: Loaded) -> None:
    x = np.float32([[0.3, -2.0], [1.0, 1.0]])
    latent = answer(labels.engine, encode(labels, x, "left")).latent
    np.testing.assert_allclose(ask(labels, "left", latent=latent).samples, x, atol=1e-6)
    other = ask(labels, "right", latent=latent).samples
    np.testing.assert_allclose(other - x, np.tile(MEANS[2] - MEANS[0], (2, 1)), atol=1e-5)


def test_nothing_is_allocated_for_an_absurd_number(labels: Loaded) -> None:
    work = next(sample(labels, 0, 10**15, return_latent=True))
    assert work.rows == 10**15


def test_a_temperature_past_any_use_is_refused(labels: Loaded) -> None:
    assert ask(labels, 0, 3, temperature=100).samples.shape == (3, 2)
    with pytest.raises(FieldError, match="/temperature: expected at most 100"):
        ask(labels, 0, 3, temperature=3e38)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({}, "/condition"),
        ({"condition": [0, 1]}, "/condition"),
        ({"condition": "up"}, "/condition"),
        ({"conditions": 0}, "/conditions"),
        ({"conditions": [0, "up"]}, "/conditions/1"),
        ({"condition": 0, "conditions": [0]}, "/conditions"),
        ({"condition": 0, "num_samples": 0}, "/num_samples"),
        ({"condition": 0, "num_samples": 1.5}, "/num_samples"),
        ({"condition": 0, "num_samples": True}, "/num_samples"),
        ({"condition": 0, "temperature": -1}, "/temperature"),
        ({"condition": 0, "temperature": "1"}, "/temperature"),
        ({"condition": 0, "seed": -1}, "/seed"),
        ({"condition": 0, "latent": [[1, 2]]}, "/latent"),
        ({"condition": 0, "latent": {"w": [[1, 2]]}}, "/latent/w"),
        ({"condition": 0, "latent": {"a/b~": [[1, 2]]}}, "/latent/a~1b~0"),
        ({"condition": 0, "latent": {"z": [1, 2]}}, "/latent/z"),
        ({"condition": 0, "latent": {"z": []}}, "/latent/z"),
        ({"condition": 0, "latent": {"z": [[1, 2, 3]]}}, "/latent/z/0"),
        ({"condition": 0, "latent": {"z": [[1, float("nan")]]}}, "/latent/z/0/1"),
        ({"condition": 0, "latent": {"z": [[1, 2]]}, "num_samples": 2}, "/latent/z"),
    ],
)
def test_refused(labels: Loaded, options: dict[str, object], pointer: str) -> None:
    with pytest.raises(FieldError) as error:
        sample(labels, **options)
    assert error.value.pointer == pointer


def test_latent_parts_must_agree(padded: Loaded) -> None:
    with pytest.raises(FieldError, match=r"^/latent/v: expected 1 samples, got 2"):
        sample(padded, 0, latent={"z": [[1.0]], "v": [[1.0], [2.0]]})


def test_without_a_score_there_is_no_log_likelihood() -> None:
    loaded = handmade.read_off_vector().load()
    with pytest.raises(CannotAnswer, match="no `score`"):
        sample(loaded, [1.0], return_log_likelihood=True)

from __future__ import annotations

import numpy as np
import pytest

from inference import CannotAnswer, FieldError, answer, encode
from inference.loaded import Loaded
from tests.inference import handmade
from tests.inference.handmade import MEANS, SCALES

X = np.float32([[0.25, -1.0], [-3.0, 2.0]])


def test_latent_of_each_row(labels: Loaded) -> None:
    found = answer(labels.engine, encode(labels, X, ["left", "right"]))
    np.testing.assert_allclose(found.latent["z"], (X - MEANS[[0, 2]]) / SCALES, rtol=1e-5)
    assert found.latent["z"].dtype == np.float32
    one = answer(labels.engine, encode(labels, X, 1))
    np.testing.assert_allclose(one.latent["z"], (X - MEANS[1]) / SCALES, rtol=1e-5)
    assert answer(labels.engine, encode(labels, X[0], 1)).latent["z"].shape == (1, 2)


def test_unconditional() -> None:
    loaded = handmade.unconditional().load()
    np.testing.assert_allclose(answer(loaded.engine, encode(loaded, [[5.0]])).latent["z"], [[2.0]])


@pytest.mark.parametrize(
    ("x", "condition", "seed", "pointer"),
    [(X, None, 0, "/condition"), (X, [0, 1, 2], 0, "/condition"), ([[0]], 0, 0, "/x/0"), (X, 0, -1, "/seed")],
)
def test_refused(labels: Loaded, x: object, condition: object, seed: object, pointer: str) -> None:
    with pytest.raises(FieldError) as error:
        encode(labels, x, condition, seed=seed)
    assert error.value.pointer == pointer


def test_models_that_cannot(images: Loaded) -> None:
    with pytest.raises(CannotAnswer, match="no `encode`"):
        encode(images, np.zeros((1, 2, 2)))

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from inference.loaded import Loaded
from model_store.manifest import Calibration, ValidationScores
from tests.inference import handmade

PRIOR_SAMPLE = np.random.default_rng(0).standard_normal((4096, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def labels() -> Iterator[Loaded]:
    loaded = handmade.labels().load()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def padded() -> Iterator[Loaded]:
    """Padded labels with a class prior, a calibration and validation scores taken with 64 draws."""
    loaded = handmade.padded_labels().load(
        class_prior=(0.2, 0.5, 0.3),
        calibration=Calibration(temperature=2.0),
        validation_scores=ValidationScores(draws=64, conditional=(-9.0, -3.0, -2.0, -1.5), marginal=(-6.0, -2.0)),
    )
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def coupled() -> Iterator[Loaded]:
    loaded = handmade.coupled_vector(PRIOR_SAMPLE).load()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def images() -> Iterator[Loaded]:
    loaded = handmade.images().load(validation_scores=ValidationScores(draws=32))
    yield loaded
    loaded.close()

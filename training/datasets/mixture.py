"""Eight Gaussian modes on an octagon (Ardizzone 2018; Xiao 2019, section 5.1): the law is known exactly."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from model_store.signature import ArraySpec, Frozen, LabelCondition
from training.datasets.base import Dataset, Split

LONG = 1.0 + 2.0**0.5
CENTRES = np.array(
    [[1, LONG], [LONG, 1], [LONG, -1], [1, -LONG], [-1, -LONG], [-LONG, -1], [-LONG, 1], [-1, LONG]], dtype=np.float64
)


class MixtureData(Frozen, allow_inf_nan=False):
    """Equally many points per mode; the label is the mode."""

    set: Literal["gaussian-mixture"] = "gaussian-mixture"
    sd: Annotated[float, Field(gt=0)] = 0.2
    rows: Annotated[int, Field(ge=800)] = 2**20
    held: Annotated[int, Field(ge=80)] = 10_000
    seed: int = 0


class MixtureTruth:
    """p(x | k) = N(x; centre_k, sd^2 I), with entropy 1 + log(2 pi sd^2) nats."""

    def __init__(self, sd: float) -> None:
        self.sd = sd

    @property
    def entropy(self) -> float:
        """E[-log p(x | k)], the same for every k."""
        return float(1.0 + np.log(2.0 * np.pi * self.sd**2))

    def log_prob(self, x: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """log N(x; centre_k, sd^2 I) in float64."""
        squares = (((x.astype(np.float64) - CENTRES[condition]) / self.sd) ** 2).sum(axis=1)
        return -0.5 * squares - np.log(2.0 * np.pi * self.sd**2)

    def sample(self, condition: np.ndarray, seed: int) -> np.ndarray:
        """One point per label."""
        noise = np.random.default_rng([seed, 0x3A11]).standard_normal((len(condition), 2))
        return (CENTRES[condition] + self.sd * noise).astype(np.float32)


def load(config: MixtureData) -> Dataset:
    """`rows` training points and `held` points each for validation and test, drawn with the data's own seed."""
    truth = MixtureTruth(config.sd)
    total = config.rows + 2 * config.held
    labels = np.random.default_rng([config.seed, 0x1ABE1]).permutation(np.arange(total) % len(CENTRES))
    everything = Split(truth.sample(labels, config.seed), labels.astype(np.int64))
    return Dataset(
        name="gaussian-mixture",
        data=ArraySpec(shape=(2,), names=("x0", "x1")),
        condition=LabelCondition(classes=tuple(str(k) for k in range(len(CENTRES)))),
        test=everything.take(slice(0, config.held)),
        validation=everything.take(slice(config.held, 2 * config.held)),
        train=everything.take(slice(2 * config.held, None)),
        truth=truth,
    )

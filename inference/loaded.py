"""A version in memory, ready to answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from inference.engine import Engine
from model_store.manifest import Manifest
from model_store.signature import LabelCondition, Signature


@dataclass(frozen=True, eq=False)
class Loaded:
    """One verified version and the engine that runs it.

    `prior_sample` is (n, M) float32: conditions of the training split, by which coupling-conditioned models of vectors
    infer a condition; None where the version stores none.
    """

    manifest: Manifest
    digest: str
    engine: Engine
    prior_sample: np.ndarray | None = None

    @cached_property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @cached_property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    @cached_property
    def signature(self) -> Signature:
        """What the version speaks."""
        return self.manifest.signature

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; empty for models without labels."""
        condition = self.signature.condition
        return condition.classes if isinstance(condition, LabelCondition) else ()

    @property
    def class_prior(self) -> np.ndarray:
        """p(k): the manifest's, else uniform; float64 (classes,)."""
        stored = self.manifest.class_prior
        count = len(self.classes)
        return np.full(count, 1 / count) if stored is None else np.array(stored, dtype=np.float64)

    @property
    def default_draws(self) -> int:
        """Noise draws per row where the caller names none: 1 if exact, else as the validation scores were taken."""
        return 1 if self.signature.exact else self.manifest.validation_scores.draws

    def close(self) -> None:
        """Release the engine. Idempotent."""
        self.engine.close()

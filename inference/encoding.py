"""Which latent gives this x, under this condition?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inference import fields
from inference.conditions import Conditions, conditions
from inference.embedding import embedded
from inference.engine import Arrays
from inference.errors import FieldError
from inference.extrapolation import extrapolated_rows
from inference.groups import DrawsWork, ScoringNoise
from inference.likelihood import require
from inference.loaded import Loaded
from inference.work import Question


@dataclass(frozen=True)
class Latents:
    """`latent`: part -> float32 (n, *part), as `sample` takes it. `seed`: of the padding noise.

    `extrapolated`: bool (n,), the row's condition lies outside what the version was fitted to
    (`inference.extrapolation`); None where the version does not know.
    """

    latent: dict[str, np.ndarray]
    seed: int
    extrapolated: np.ndarray | None


def encode(loaded: Loaded, x: Any, condition: Any = None, *, seed: Any = 0) -> Question[Latents]:
    """`u = encode(x, noise, c)`, with the noise of scoring draw 0 for every row.

    With `sample(latent=..., condition=another)` this is a counterfactual.

    Raises:
        FieldError: a field has the wrong shape, type or range; no condition for a conditional model.
        CannotAnswer: the version has no `encode`.
    """
    signature = loaded.signature
    require(loaded, "encode")
    data = fields.rows(x, signature.data)
    read = conditions(signature.condition, condition)
    if read.count not in (1, len(data)):
        raise FieldError("/condition", f"expected one condition or {len(data)}, one per row, got {read.count}")
    first = fields.seed(seed)
    return _encode(loaded, data, read, first)


def _encode(loaded: Loaded, x: np.ndarray, given: Conditions, seed: int) -> Question[Latents]:
    parts = yield from latents(loaded, x, given, ScoringNoise(loaded.signature.noise, seed, 1))
    return Latents(parts, seed, extrapolated_rows(loaded.signature.condition, given, len(x)))


def latents(loaded: Loaded, x: np.ndarray, given: Conditions, noise: ScoringNoise) -> Question[Arrays]:
    """`u_r = encode(x_r, noise_r, c_r)` of checked rows; row r has draw r of the noise, modulo its draws."""
    parts = {part.name: np.empty((len(x), *part.shape), dtype=np.float32) for part in loaded.signature.latent}

    def keep(first: int, groups: Arrays) -> None:
        for name, rows in groups.items():
            parts[name][first : first + len(rows)] = rows[:, 0]

    data = yield from embedded(loaded, x)
    yield DrawsWork("encode", data, noise, given, 1, keep)
    return parts

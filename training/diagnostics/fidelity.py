"""How near a set of samples is to a set of real points in a feature space: precision, recall, Frechet distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_CHUNK = 1024


@dataclass(frozen=True)
class PrecisionRecall:
    """`precision`: share of samples that look real; `recall`: share of real points that the samples cover."""

    precision: float
    recall: float


def precision_recall(real: ArrayLike, generated: ArrayLike, neighbours: int = 3) -> PrecisionRecall:
    """`precision = mean_g 1[exists r: |g - r| <= radius_k(r)]`, recall with the roles swapped (Kynkaanniemi 2019).

    `radius_k(r)` is the distance from r to its k-th nearest neighbour in its own set, itself left out. `real` (n, F)
    and `generated` (m, F) are features; the two figures depend on n and m, so compare at equal sizes only.

    >>> line = np.arange(10.0)[:, None]
    >>> precision_recall(line, line[:5] + 0.1, neighbours=1)
    PrecisionRecall(precision=1.0, recall=0.6)
    """
    real, generated = _features("real", real, neighbours), _features("generated", generated, neighbours)
    return PrecisionRecall(
        precision=_covered(generated, real, _radii(real, neighbours)),
        recall=_covered(real, generated, _radii(generated, neighbours)),
    )


def frechet_distance(real: ArrayLike, generated: ArrayLike) -> float:
    """`|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2))` of Gaussians fitted to features (Heusel 2017).

    On features of a local network the figure ranks models against each other and against real data split in two; it is
    on another scale than distances over Inception features.

    >>> x = np.array([[-1.0], [1.0]])
    >>> round(frechet_distance(x, 2 * x + 3), 6)
    11.0
    """
    real, generated = _features("real", real, 1), _features("generated", generated, 1)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    first = np.atleast_2d(np.cov(real, rowvar=False))
    second = np.atleast_2d(np.cov(generated, rowvar=False))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0.0, None)).sum()
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2.0 * cross)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.clip((a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2.0 * a @ b.T, 0.0, None)


def _radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each point to its k-th nearest neighbour in the same set."""
    radii = []
    for start in range(0, len(points), _CHUNK):
        block = points[start : start + _CHUNK]
        squared = _squared_distances(block, points)
        squared[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        radii.append(np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(radii)


def _covered(queries: np.ndarray, centres: np.ndarray, squared_radii: np.ndarray) -> float:
    """Share of queries inside at least one ball."""
    inside = 0
    for start in range(0, len(queries), _CHUNK):
        squared = _squared_distances(queries[start : start + _CHUNK], centres)
        inside += int((squared <= squared_radii[None]).any(axis=1).sum())
    return inside / len(queries)


def _features(name: str, values: ArrayLike, neighbours: int) -> np.ndarray:
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or len(rows) <= neighbours:
        raise ValueError(f"{name}: expected more than {neighbours} rows of shape (rows, features), got {rows.shape}")
    return rows

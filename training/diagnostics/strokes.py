"""Handwriting measured on the picture: how thick its strokes are and how far they lean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, zoom

Floats = NDArray[np.float64]
_FINER = 4


def thickness(images: ArrayLike) -> Floats:
    """`4 * mean distance from ink to the edge of the ink`, in pixels: a long stroke of width w has mean distance w/4.

    `images` (rows, H, W), bright ink on dark paper, on any scale; ink is what exceeds half the picture's maximum after
    a fourfold bilinear enlargement. NaN for a picture without ink.

    >>> bar = np.zeros((1, 28, 28)); bar[0, 3:25, 12:16] = 1.0
    >>> bool(abs(thickness(bar)[0] - 4.0) < 0.4)
    True
    """
    return np.array([_thickness(image) for image in _check(images)])


def slant(images: ArrayLike) -> Floats:
    """`mu11 / mu02`, the horizontal shift of the ink per pixel of height, upwards counted: positive leans right.

    With x to the right, y upwards and mu the ink's central second moments; the tangent of the lean of a straight stroke
    (LeCun 1998 straightens digits by the same ratio). NaN for a picture without height.

    >>> image = np.zeros((1, 9, 9)); image[0, range(9), range(8, -1, -1)] = 1.0  # a slash
    >>> slant(image).round(6).tolist()
    [1.0]
    """
    ink = _check(images)
    _, height, width = ink.shape
    x, y = np.arange(width, dtype=np.float64), -np.arange(height, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ink = ink / ink.sum(axis=(1, 2), keepdims=True)
        dx = x[None] - (ink.sum(axis=1) * x).sum(axis=1)[:, None]
        dy = y[None] - (ink.sum(axis=2) * y).sum(axis=1)[:, None]
        mu11 = np.einsum("nhw,nh,nw->n", ink, dy, dx)
        mu02 = np.einsum("nhw,nh->n", ink, dy**2)
        return mu11 / mu02


def correlation_across(measures: ArrayLike) -> float:
    """`mean over pairs of columns k < l of corr(m[:, k], m[:, l])`: does the trait follow the row or the column?

    `measures` (rows, columns); a row with a NaN is left out of the pairs that it spoils; NaN for a constant column.

    >>> trait = np.array([0.0, 1.0, 2.0, 5.0])
    >>> round(correlation_across(np.stack([trait, 3 * trait + 1, trait], axis=1)), 6)
    1.0
    """
    values = np.asarray(measures, np.float64)
    pairs = []
    for k in range(values.shape[1]):
        for other in range(k + 1, values.shape[1]):
            both = np.isfinite(values[:, k]) & np.isfinite(values[:, other])
            with np.errstate(invalid="ignore", divide="ignore"):
                pairs.append(np.corrcoef(values[both, k], values[both, other])[0, 1])
    return float(np.mean(pairs))


def _thickness(image: Floats) -> float:
    fine = zoom(image, _FINER, order=1, grid_mode=True, mode="grid-constant")
    ink = np.pad(fine > 0.5 * image.max(), 1)
    return float(4.0 * (distance_transform_edt(ink)[ink].mean() - 0.5) / _FINER) if ink.any() else float("nan")


def _check(images: ArrayLike) -> Floats:
    values = np.asarray(images, np.float64)
    if values.ndim != 3:
        raise ValueError(f"images: expected (rows, H, W), got {values.shape}")
    return values

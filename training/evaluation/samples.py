"""Samples looked at: grids of pictures, points beside the test data, a two-sample test against a known truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model_store.signature import LabelCondition
from training.datasets.base import Split, Truth
from training.diagnostics.c2st import c2st
from training.diagnostics.ensembles import crps, psnr
from training.evaluation.asking import Asked
from training.evaluation.section import Line, Picture, Section
from training.plots.grids import image_grid
from training.plots.scatter import marginals, samples_beside_truth

_POINTS = 4000
_CONDITIONS = 200
_DRAWS = 16
_ROWS_SHOWN = 8
_C2ST_STREAM, _FORECAST_STREAM = 1, 2


def samples_section(asked: Asked, test: Split, shown: int, jittered: Sequence[str] = ()) -> Section:
    """One picture of samples at temperature 1; `shown` per condition where they are images.

    `jittered` columns of x were spread over the gaps of their grid, in the test rows too: the picture says so.
    """
    signature = asked.signature
    if signature.data.is_image:
        return Section("Samples", pictures=(_grid(asked, test, shown),))
    rows = test.take(slice(0, _POINTS))
    drawn = asked.sample(rows.condition, 1 if rows.condition is not None else len(rows))
    points, truth = drawn.reshape(len(rows), -1), rows.x.reshape(len(rows), -1)
    names = signature.data.names or tuple(f"x{i}" for i in range(signature.data.size))
    if signature.data.size == 2:
        labels = rows.condition if isinstance(signature.condition, LabelCondition) else None
        content = samples_beside_truth(truth, points, labels, labels, asked.loaded.classes, names, jittered)
    else:
        content = marginals(truth, points, names, jittered=jittered)
    caption = "Test data and samples under the same conditions"
    if jittered:
        caption += "; test data are jittered where the picture says so, as in training"
    return Section("Samples", pictures=(Picture("samples.png", content, caption),))


def forecast_section(asked: Asked, test: Split) -> Section:
    """Samples as a forecast of each test row under its own condition: CRPS, and PSNR of the mean for images."""
    rows = test.take(slice(0, _CONDITIONS))
    drawn = asked.sample(rows.condition, _DRAWS, stream=_FORECAST_STREAM).astype(np.float64)
    truth = rows.x.astype(np.float64)
    spread = float(test.x.astype(np.float64).std(axis=0).mean())
    metrics = {"crps": crps(drawn, truth)}
    lines = [
        Line(
            "CRPS of samples given the condition",
            f"{metrics['crps']:.4g} data units",
            f"{len(rows)} rows, {_DRAWS} draws; the data's sd is {spread:.4g}",
        )
    ]
    if asked.signature.data.is_image:
        peak = float(asked.signature.data.levels - 1) if asked.signature.data.is_integer else float(np.ptp(truth))
        metrics["psnr_mean"] = psnr(drawn.mean(axis=1), truth, peak)
        metrics["psnr_sample"] = psnr(drawn[:, 0], truth, peak)
        lines.append(
            Line(
                "PSNR of the mean of draws, of one draw", f"{metrics['psnr_mean']:.2f}, {metrics['psnr_sample']:.2f} dB"
            )
        )
    return Section("Samples as forecasts", metrics, tuple(lines))


def two_sample_section(asked: Asked, truth: Truth, points: int) -> Section:
    """C2ST of fresh samples against fresh truth, `points` each per class; its control; share in the right mode."""
    per_class, controls = two_sample_test(asked, truth, points)
    metrics = {"c2st_max": max(per_class), "c2st_control_min": min(controls)}
    lines = (
        Line(
            "C2ST against the truth, worst class",
            f"{metrics['c2st_max']:.4f}",
            f"0.5 is best; {points:,} + {points:,} points",
        ),
        Line(
            "the same test, truth with sd x 1.1",
            f"{metrics['c2st_control_min']:.4f}",
            "a test that sees must read 0.525 or more",
        ),
    )
    return Section("Samples against the truth", metrics, lines)


def two_sample_test(asked: Asked, truth: Truth, points: int) -> tuple[list[float], list[float]]:
    """Per class: C2ST of truth against samples, and against truth stretched by 1.1 about its mean (the control)."""
    classes = np.arange(len(asked.loaded.classes))
    drawn = asked.sample(classes, points, stream=_C2ST_STREAM)
    scores, controls = [], []
    for k in classes:
        labels = np.full(points, k)
        # Seeds of the truth's own; the data set was drawn with others.
        first, second = (truth.sample(labels, 7_000 + 2 * int(k) + half).astype(np.float64) for half in (0, 1))
        stretched = second.mean(axis=0) + 1.1 * (second - second.mean(axis=0))
        scores.append(c2st(first, drawn[k], seed=asked.seed))
        controls.append(c2st(first, stretched, seed=asked.seed))
    return scores, controls


def _grid(asked: Asked, test: Split, shown: int) -> Picture:
    signature = asked.signature
    if isinstance(signature.condition, LabelCondition):
        classes = np.arange(len(signature.condition.classes))[:20]
        drawn = asked.sample(classes, shown)
        names = [name if len(name) <= 14 else name[:13] + "…" for name in signature.condition.classes[:20]]
        content = image_grid(drawn, names, signature.data.levels)
        return Picture("samples.png", content, "Samples of each class at temperature 1")
    if test.condition is None:
        drawn = asked.sample(None, _ROWS_SHOWN * shown).reshape(_ROWS_SHOWN, shown, *signature.data.shape)
        return Picture("samples.png", image_grid(drawn, levels=signature.data.levels), "Samples at temperature 1")
    rows = test.take(slice(0, _ROWS_SHOWN))
    assert rows.condition is not None
    columns = [rows.x[:, None], asked.sample(rows.condition, shown)]
    titles = ["truth", "draws"]
    if rows.condition.ndim == 4 and rows.condition.shape[1] == signature.data.shape[0]:
        columns.insert(0, _enlarged(rows.condition, signature.data.shape)[:, None])
        titles.insert(0, "given")
    content = image_grid(np.concatenate(columns, axis=1), levels=signature.data.levels, column_names=titles)
    return Picture("samples.png", content, "Test rows: the condition, the truth, and draws given the condition")


def _enlarged(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Each picture stretched to the data's height and width by repeating pixels."""
    rows = np.arange(shape[1]) * images.shape[2] // shape[1]
    columns = np.arange(shape[2]) * images.shape[3] // shape[2]
    return images[:, :, rows][:, :, :, columns]

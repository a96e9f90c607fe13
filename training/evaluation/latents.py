"""The latents of test rows, and what comes back when they are decoded again."""

from __future__ import annotations

import numpy as np

from model_store.signature import LabelCondition
from training.datasets.base import Split
from training.diagnostics.ensembles import psnr
from training.evaluation.asking import Asked
from training.evaluation.section import Line, Picture, Section
from training.plots.grids import image_grid
from training.plots.scatter import latent_plot

_ROWS = 2000
_PAIRS = 12
_RECONSTRUCTED = {True: 1000, False: 64}


def latents_section(asked: Asked, test: Split) -> Section:
    """Mean and sd of each latent part that is read off x, which should be 0 and 1, and the picture of z."""
    rows = test.take(slice(0, _ROWS))
    parts = asked.encode(rows)
    metrics, lines = {}, []
    for name, values in parts.items():
        if not values.any():
            continue  # nothing reads it off x: encode answers its mode
        metrics[f"latent_{name}_mean"], metrics[f"latent_{name}_sd"] = float(values.mean()), float(values.std())
        lines.append(
            Line(
                f"latent {name}: mean, sd",
                f"{values.mean():+.3f}, {values.std():.3f}",
                "0 and 1, under the true condition",
            )
        )
    labels = rows.condition if isinstance(asked.signature.condition, LabelCondition) else None
    content = latent_plot(parts[asked.signature.latent[0].name], labels, asked.loaded.classes)
    caption = f"Latents of {len(rows)} test rows"
    return Section("Latents", metrics, tuple(lines), (Picture("latents.png", content, caption),))


def reconstruction_section(asked: Asked, test: Split) -> Section:
    """decode(encode(x)) beside x: PSNR and a picture for auto-encoders, the round trip's error for bijections."""
    signature = asked.signature
    rows = test.take(slice(0, _RECONSTRUCTED[signature.condition.kind in ("none", "label")]))
    back = asked.reconstruct(rows).astype(np.float64)
    truth = rows.x.astype(np.float64)
    if signature.space == "data":
        worst = float(np.abs(back - truth).max())
        line = Line("round trip decode(encode(x))", f"{worst:.2g} at most", f"largest difference over {len(rows)} rows")
        return Section("Round trip", {"round_trip_max": worst}, (line,))
    peak = float(signature.data.levels - 1) if signature.data.is_integer else float(np.ptp(truth))
    quality = psnr(back, truth, peak)
    root = float(np.sqrt(np.mean((back - truth) ** 2)))
    lines = (
        Line("PSNR of reconstructions", f"{quality:.2f} dB", f"{len(rows)} test rows"),
        Line("root mean squared error", f"{root:.3g}", f"of a range of {peak:g}"),
    )
    pictures: tuple[Picture, ...] = ()
    if signature.data.is_image:
        pairs = np.stack([truth[:_PAIRS], back[:_PAIRS], truth[_PAIRS : 2 * _PAIRS], back[_PAIRS : 2 * _PAIRS]])
        content = image_grid(pairs, ["original", "decoded"] * 2, signature.data.levels)
        pictures = (Picture("reconstructions.png", content, "Test pictures above what the auto-encoder makes of them"),)
    return Section("Reconstruction", {"reconstruction_psnr": quality, "reconstruction_rmse": root}, lines, pictures)

"""The training history: one CSV row per epoch, drawn as a curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from training.evaluation.section import Line, Picture, Section
from training.plots.curves import training_curve


def history_section(histories: Mapping[str, bytes]) -> Section:
    """A curve per phase of the fit; `histories`: its name to a CSV with epoch, train_loss, validation_loss."""
    lines, pictures = [], []
    for phase, content in histories.items():
        epochs, columns = read_history(content)
        series = {
            label: (epochs, columns[name])
            for label, name in (("training", "train_loss"), ("validation", "validation_loss"))
            if name in columns
        }
        caption = f"Loss of the {phase} during the fit, best epoch marked"
        pictures.append(Picture(f"{stem(phase)}.png", training_curve(series, _unit(phase)), caption))
        seconds = columns["seconds"][-1] if columns.get("seconds") else 0.0
        lines.append(Line(f"fit of the {phase}", f"{len(epochs)} epochs", f"{seconds:,.0f} s"))
    return Section("Training", {}, tuple(lines), tuple(pictures))


def read_history(content: bytes) -> tuple[list[float], dict[str, list[float]]]:
    """Epochs and the other columns; absent cells are NaN.

    >>> read_history(b"epoch,train_loss\\n1,0.5\\n2,\\n")
    ([1.0, 2.0], {'train_loss': [0.5, nan]})
    """
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    names = list(rows[0]) if rows else []
    columns = {name: [float(row[name] or "nan") for row in rows] for name in names}
    return columns.pop("epoch", []), columns


def stem(phase: str) -> str:
    """The name, without its ending, of a phase's table and curve.

    >>> stem("flow"), stem("autoencoder")
    ('training', 'training-autoencoder')
    """
    return "training" if phase == "flow" else f"training-{phase}"


def _unit(phase: str) -> str:
    return "loss (nats)" if phase == "flow" else "loss"

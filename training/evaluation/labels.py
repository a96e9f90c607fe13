"""How good the inferred labels are, raw and after the one temperature that the validation rows chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.diagnostics.calibration import fit_temperature, reliability, temper
from training.diagnostics.classification import accuracy, brier, confusion, label_nll
from training.evaluation.section import Line, Picture, Section
from training.plots.confusion import confusion_plot
from training.plots.curves import reliability_plot


def label_scores(log_posterior: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Label NLL (nats), Brier score and top-label ECE over 15 equal-width bins."""
    return {
        "label_nll": label_nll(log_posterior, labels),
        "brier": brier(log_posterior, labels),
        "ece": reliability(log_posterior, labels).ece,
    }


def labels_section(
    log_posterior: np.ndarray, labels: np.ndarray, temperature: float, classes: Sequence[str]
) -> Section:
    """Accuracy and calibration of test rows; `temperature` was fitted elsewhere (`validation_temperature`)."""
    tempered = temper(log_posterior, temperature)
    raw, calibrated = label_scores(log_posterior, labels), label_scores(tempered, labels)
    right = accuracy(log_posterior, labels)
    metrics = {"accuracy": right, **raw, "temperature": temperature}
    metrics |= {f"{name}_calibrated": value for name, value in calibrated.items()}
    error = float(np.sqrt(right * (1 - right) / len(labels)))
    names = {"label_nll": "label NLL (nats)", "brier": "Brier score", "ece": "ECE, 15 bins"}
    lines = [Line("accuracy of the inferred label", f"{right:.4f} ± {error:.4f}", f"{len(labels):,} test rows")]
    lines += [
        Line(f"{names[key]}: raw, calibrated", f"{raw[key]:.4f}, {calibrated[key]:.4f}", "0 is best") for key in names
    ]
    lines.append(Line("temperature", f"{temperature:.4g}", "fitted on validation rows by label NLL; 1 changes nothing"))
    curves = [
        ("raw posterior", reliability(log_posterior, labels)),
        (f"temperature {temperature:.3g}", reliability(tempered, labels)),
    ]
    pictures = (
        Picture(
            "reliability.png", reliability_plot(curves), "Confidence against accuracy of the inferred label, test rows"
        ),
        Picture(
            "confusion.png",
            confusion_plot(confusion(log_posterior, labels), classes),
            "Which class is taken for which, test rows",
        ),
    )
    return Section("Labels", metrics, tuple(lines), pictures)


def validation_temperature(log_posterior: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least validation label NLL, to six digits so that it survives being written down.

    1 where every validation row is right: colder is then always better, and the rows say nothing about how cold. And 1
    where it gains less than one standard error over the rows: such a temperature fits their noise.
    """
    if accuracy(log_posterior, labels) == 1.0:
        return 1.0
    temperature = float(f"{fit_temperature(log_posterior, labels):.6g}")
    rows = np.arange(len(labels))
    gain = temper(log_posterior, temperature)[rows, labels] - temper(log_posterior, 1.0)[rows, labels]
    return temperature if gain.mean() > gain.std() / np.sqrt(len(gain)) else 1.0

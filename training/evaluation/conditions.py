"""Vector and image conditions read back off test rows: how far from the truth, and whether the spread is honest."""

from __future__ import annotations

import numpy as np

from inference.condition_inference import InferredConditions
from inference.errors import CannotAnswer
from training.datasets.base import Split
from training.evaluation.asking import Asked
from training.evaluation.section import Line, Section

_READ_OFF, _WEIGHED = 500, 32
_NORMAL_90 = 1.6449


def conditions_section(asked: Asked, test: Split) -> Section | None:
    """Error of the posterior mean and coverage of a 90 % interval; None where the version cannot infer conditions."""
    rows = test.take(slice(0, _READ_OFF if "infer" in asked.signature.operations else _WEIGHED))
    try:
        found = asked.infer(rows.x)
    except CannotAnswer as refusal:
        if asked.loaded.prior_sample is None:
            return None
        return Section("Conditions inferred", lines=(Line("inferred conditions", "not to be relied on", str(refusal)),))
    assert isinstance(found, InferredConditions) and rows.condition is not None
    truth = rows.condition.astype(np.float64)
    error = found.condition.astype(np.float64) - truth
    scale = np.maximum(test.condition.astype(np.float64).std(axis=0), 1e-12)  # type: ignore[union-attr]
    relative = float(np.sqrt(np.mean((error / scale) ** 2)))
    covered = float(np.mean(np.abs(error) <= _NORMAL_90 * found.std))
    lines = (
        Line("error of the inferred condition (rms)", f"{relative:.4g} sd", f"of each element's sd; {len(rows)} rows"),
        Line("truth within mean ± 1.645 std", f"{covered:.1%}", "90 % if the posterior were normal and right"),
    )
    return Section("Conditions inferred", {"condition_rmse": relative, "condition_coverage_90": covered}, lines)

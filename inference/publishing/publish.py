"""From files that somebody exported to a version in the store: tried out first, written only if all went well."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from inference.graph_checks import WEIGHTS
from inference.loading import PRIOR_SAMPLE
from inference.publishing.card import card
from inference.publishing.given import Given
from inference.publishing.job import SEED, Limits, Report
from inference.publishing.sandbox import TrialFailed, run_trial
from model_store.code_version import code_version
from model_store.manifest import Draft, Lineage, Manifest, ValidationScores
from model_store.names import check_alias, check_name
from model_store.store import CHAMPION, Store

CARD = "card.md"


def publish(
    given: Given, store: Store, name: str, *, alias: str | None = CHAMPION, limits: Limits | None = None
) -> tuple[Manifest, Report]:
    """Try `given` out under `limits` and publish it under `name`; the version's manifest and what the trial saw.

    The graphs run in the trial's process alone; of what it leaves behind only the files that a version has are taken.

    Raises:
        TrialFailed: what was given is refused; the store is as it was.
        StoreError: a name or an alias that cannot be, or a store that cannot be written.
    """
    check_name(name)
    if alias is not None:
        check_alias(alias)
    with tempfile.TemporaryDirectory(prefix="condflow-trial-") as folder:
        report = run_trial(given, limits or Limits(), Path(folder))
        files: dict[str, bytes | Path] = {**_files(Path(folder) / "files", report)}
        files[CARD] = card(name, report).encode()
        return store.publish(_draft(name, report), files, alias), report


def _files(folder: Path, report: Report) -> dict[str, Path]:
    graphs = {f"{operation}.onnx" for operation in report.signature.operations}
    known = {WEIGHTS, PRIOR_SAMPLE, report.probe.path, *graphs}
    files = {path.name: path for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
    if not known - {PRIOR_SAMPLE} <= set(files) <= known:
        raise TrialFailed(f"the trial left {sorted(files)}, expected {sorted(known)}")
    return files


def _draft(name: str, report: Report) -> Draft:
    graphs = {operation: facts.model_dump() for operation, facts in report.graphs.items()}
    metrics: dict[str, Any] = {"trial": {one.name: one.value for one in report.checks if one.value is not None}}
    config: dict[str, Any] = {"graphs": graphs, "runtime": report.runtime}
    reference = report.reference
    if reference is not None:
        metrics |= {"reference_rows": reference.rows, "reference_nll": reference.nll, "draws": reference.scores.draws}
        config["reference"] = reference.digest
    return Draft(
        name=name,
        signature=report.signature,
        family="onnx",
        parameters=report.parameters,
        validation_scores=ValidationScores() if reference is None else reference.scores,
        metrics=metrics,
        probe=report.probe,
        lineage=Lineage(
            recipe="publish-onnx",
            seed=SEED,
            data_digest="unknown",
            code_version=code_version(),
            config=config,
        ),
    )

"""How long the recipes take: the clock of each version's own fit."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures.subject import facts
from benchmarks.record import Figure, Page
from model_store import Manifest, Store
from training.evaluation.history import read_history, stem
from training.phases import PHASES

LIMIT_S = 20 * 60


def fit_times(store: Store, manifests: Sequence[Manifest], command: str) -> Page:
    """Seconds of every version's fit, all of its phases, from the histories that it holds."""
    figures = []
    for manifest in manifests:
        spent = {phase: seconds for phase in PHASES if (seconds := _seconds(store, manifest, phase))}
        note = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in spent.items())
        quantity = f"{manifest.lineage.recipe}: seconds of the fit"
        figures.append(Figure(quantity, sum(spent.values()), LIMIT_S, "lower", digits=0, note=note))
    return Page(
        name="fit-times",
        title="How long the recipes take",
        command=command,
        protocol=(
            "Wall time as the fits themselves noted it, on the two cores of the machine below, which they had to "
            "share with whatever else ran then: an upper bound of what a fit alone takes. Evaluation, export and "
            "the download of data are not in it."
        ),
        figures=figures,
        subjects=[facts(manifest) for manifest in manifests],
    )


def _seconds(store: Store, manifest: Manifest, phase: str) -> float:
    path = f"{stem(phase)}.csv"
    if path not in {entry.path for entry in manifest.files}:
        return 0.0
    return read_history(store.read(manifest, path))[1]["seconds"][-1]

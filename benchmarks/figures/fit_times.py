"""How long the recipes take: a few epochs of every phase, here and now, times the epochs of the recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.record import Figure, Page
from inference.memory import keep_freed_blocks
from training import datasets, recipe
from training.evaluation.history import read_history
from training.fit import fit
from training.modelling import fresh_model
from training.phases import phases
from training.recipe import Recipe

LIMIT_S = 20 * 60


def fit_times(names: Sequence[str], epochs: int, command: str) -> Page:
    """Seconds of a whole fit of each recipe, from `epochs` of each of its phases, of which the first only warms up."""
    keep_freed_blocks()  # as `python -m training fit` does
    figures = []
    for name in names:
        chosen = recipe.read(name)
        print(f"{chosen.name}: {epochs} epochs of every phase", flush=True)
        spent = _spent(name, chosen, epochs)
        note = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in spent.items())
        print(f"{chosen.name}: a whole fit takes {sum(spent.values()):.0f} s ({note})", flush=True)
        quantity = f"{chosen.name}: seconds of the fit"
        figures.append(Figure(quantity, sum(spent.values()), LIMIT_S, "lower", digits=0, note=note))
    return Page(
        name="fit-times",
        title="How long the recipes take",
        command=command,
        protocol=(
            f"Wall time. {epochs} epochs of every phase were fitted in {torch.get_num_threads()} threads; an epoch "
            "behind the first, times the number of them that the recipe has, is what the phase takes. Evaluation, "
            "export and the download of data are not in it."
        ),
        figures=figures,
    )


def _spent(name: str, chosen: Recipe, epochs: int) -> dict[str, float]:
    """Seconds of each phase: of an epoch behind its first, validation included, times its epochs."""
    dataset = datasets.load(chosen.data)
    planned = {phase.name: phase.loop.epochs for phase in phases(chosen, dataset, fresh_model(chosen, dataset))}
    places = ("fit" if phase == "flow" else f"fit.{phase}" for phase in planned)
    shortened = recipe.read(name, {f"{place}.epochs": epochs for place in places})
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(shortened, dataset, Path(folder), say=lambda text: None)
    clocks = {phase: read_history(content)[1]["seconds"] for phase, content in fitted.histories.items()}
    return {phase: planned[phase] * (clock[-1] - clock[0]) / (len(clock) - 1) for phase, clock in clocks.items()}

"""The choice of eps for row 4: the same recipe fitted at several eps, compared on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures.calibration import validation_label_nll
from benchmarks.figures.subject import subject
from benchmarks.record import Page, table
from model_store import Store
from training import datasets, recipe
from training.fit import fit
from training.publishing import publish


def fitted_name(name: str, epsilon: float) -> str:
    """The name of the version of recipe `name` fitted at `epsilon`.

    >>> fitted_name("mnist", 0.25)
    'mnist-eps-0.25'
    """
    return f"{name}-eps-{epsilon:g}"


def fit_at(store: Store, name: str, epsilon: float, overrides: Mapping[str, Any], runs: Path) -> str:
    """Fit the recipe at `epsilon`, unless the store has that fit, and publish it; returns the version's name."""
    target = fitted_name(name, epsilon)
    if target in store.models():
        return target
    plain = recipe.read(name)
    place = "model.flow.epsilon" if "flow" in plain.model else "model.epsilon"
    chosen = recipe.read(name, {**overrides, place: epsilon})
    dataset = datasets.load(chosen.data)
    fitted = fit(chosen, dataset, runs / target)
    publish(fitted.model, chosen, dataset, store, target, histories=fitted.histories)
    return target


def epsilon(
    store: Store, name: str, epsilons: Sequence[float], overrides: Mapping[str, Any], runs: Path, command: str
) -> Page:
    """A table of validation label NLL against eps, and the eps that it chooses."""
    losses: dict[float, float] = {}
    facts: list[dict[str, str]] = []
    for value in epsilons:
        with subject(store, fit_at(store, name, value, overrides, runs)) as fitted:
            losses[value] = validation_label_nll(fitted, fitted.recipe.seed)
            facts.append(fitted.facts())
    chosen = min(losses, key=lambda value: losses[value])
    settings = ", ".join(f"{place}={value}" for place, value in overrides.items()) or "the recipe as it is"
    rows = [
        (f"{value:g}", f"{loss:.4f}", "chosen" if value == chosen else "") for value, loss in sorted(losses.items())
    ]
    return Page(
        name=f"epsilon-{name}",
        title=f"The sd of the relaxed label of {name}",
        command=command,
        protocol=(
            "One fit per eps, all else equal. A smaller eps tells classes apart more sharply and lets the "
            "model believe that they never overlap; chosen is the eps of least label NLL on validation rows. "
            f"Settings: {settings}."
        ),
        figures=(),
        subjects=facts,
        body=table(("eps", "validation label NLL of the raw posterior (nats)", ""), rows),
    )

"""Training: steps per second in every way, and the seconds until the `mnist` recipe reads .984 of the labels right."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.gpu.steps import FLOW_ALONE, Row, data_of, step_rates
from flows.models.base import Model
from flows.models.latent import LatentFlow
from training import datasets
from training import recipe as recipes
from training.fit import fit
from training.module import FitModule
from training.noise import fresh
from training.rows import Rows
from training.seeds import reseed

GOAL, GOAL_SECONDS = 0.984, 60.0
TINY: dict[str, Any] = {"fit.epochs": 2, "fit.batch": 32}


class Place(Protocol):
    """Where to measure."""

    @property
    def device(self) -> str:
        """As torch names it."""
        ...


def measure(place: Place, *what: str) -> list[Row]:
    """The rows of `steps`, of `accuracy`, or of both."""
    device = torch.device(place.device)
    rows: list[Row] = []
    if "steps" in what or not what:
        rows += step_rates(device)
    if "accuracy" in what or not what:
        rows += [time_to_accuracy(device)]
    return rows


def run_train(device: torch.device) -> list[Row]:
    """Both."""
    return [*step_rates(device), time_to_accuracy(device)]


class Accuracy(Callback):
    """After each epoch: the share of test labels that the flow reads off, forwards. Stops the fit at the goal."""

    def __init__(self, rows: Rows, goal: float) -> None:
        self.rows, self.goal = rows, goal
        self.started = self.asked = 0.0
        self.found: list[tuple[float, float]] = []  # seconds of fitting so far, and the share

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock includes finding out how steps run."""
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The average, if there is one, is in place, as in a validation. What this takes is not the fit's."""
        asked = time.perf_counter()
        model = cast(FitModule, pl_module).objective.module
        right = forward_accuracy(cast(LatentFlow, model), self.rows)
        self.found.append((asked - self.started - self.asked, right))
        self.asked += time.perf_counter() - asked
        trainer.should_stop = trainer.should_stop or right >= self.goal


@torch.no_grad()
def forward_accuracy(model: Model, rows: Rows, chunk: int = 2500) -> float:
    """Share of rows whose label is the largest element of the condition that one forward pass gives."""
    training = model.training
    model.eval()
    right = torch.zeros((), device=rows.device)
    for start in range(0, len(rows), chunk):
        batch = rows.slice(start, start + chunk)
        reseed(rows.device, start)
        estimate, _ = model.infer(batch.x, fresh(model, len(batch.x), rows.device))
        right += estimate.argmax(1).eq(cast(Tensor, batch.condition)).sum()
    model.train(training)
    return right.item() / len(rows)


def time_to_accuracy(device: torch.device) -> Row:
    """The row of the `mnist` recipe: seconds of fitting until .984 of the test labels are read right.

    On a CPU the fit is a tiny one of random images, which says nothing. Raises DataError where MNIST is not to be had.
    """
    recipe = recipes.read("mnist", FLOW_ALONE | ({} if device.type == "cuda" else TINY))
    row: Row = {"recipe": recipe.name, "phase": "flow", "batch": recipe.fit.batch}
    dataset = datasets.load(recipe.data) if device.type == "cuda" else data_of(recipe, 320)
    accuracy = Accuracy(Rows.of(dataset.test).to(device), GOAL)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(recipe, dataset, Path(folder) / "run", device=str(device), callbacks=[accuracy])
    seconds, right = accuracy.found[-1]
    row |= {"way": fitted.ways["flow"], "epochs": len(accuracy.found), "forward accuracy": round(right, 4)}
    row |= {"s": round(seconds, 1), "goal": f"{GOAL} in {GOAL_SECONDS:.0f} s"}
    return row | {"reached": right >= GOAL and seconds <= GOAL_SECONDS}

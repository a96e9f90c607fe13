"""Training: steps per second in every way, and the seconds until the `mnist` recipe reads enough labels right."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks.gpu.goals import ACCURACY
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.steps import FLOW_ALONE, data_of, step_rates
from flows.models.base import Model
from flows.models.latent import LatentFlow
from training import datasets
from training import recipe as recipes
from training.fit import fit
from training.module import FitModule
from training.noise import fresh
from training.rows import Rows
from training.seeds import reseed

TINY: dict[str, Any] = {"fit.epochs": 2, "fit.batch": 32}


def measure(plan: Plan, what: Literal["steps", "accuracy"]) -> Iterator[Row]:
    """The rows of one of the two."""
    return step_rates(torch.device(plan.device)) if what == "steps" else iter([time_to_accuracy(plan)])


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


def time_to_accuracy(plan: Plan) -> Row:
    """The row of the `mnist` recipe: seconds of fitting until the share `ACCURACY` of test labels is read right.

    On a CPU the fit is a tiny one of random images, which says nothing. Raises DataError where MNIST is not to be had.
    """
    recipe = recipes.read("mnist", FLOW_ALONE | ({} if plan.card else TINY))
    row: Row = {"recipe": recipe.name, "phase": "flow", "batch": recipe.fit.batch}
    dataset = datasets.load(recipe.data) if plan.card else data_of(recipe, 320)
    accuracy = Accuracy(Rows.of(dataset.test).to(torch.device(plan.device)), ACCURACY)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        fitted = fit(recipe, dataset, Path(folder) / "run", device=plan.device, callbacks=[accuracy])
    seconds, right = accuracy.found[-1]
    row |= {"way": fitted.ways["flow"], "epochs": len(accuracy.found), "forward accuracy": round(right, 4)}
    return row | {"s": round(seconds, 1)}

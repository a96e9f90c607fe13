"""Training steps per second of each phase of a recipe, in each way that a step may run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.gpu.plan import PART_S, TIME_UP, Row
from flows.conditioners.precision import Precision
from model_store.signature import ArraySpec, LabelCondition
from training import datasets
from training import recipe as recipes
from training.convolutions import repeatable
from training.datasets.base import Dataset, Split
from training.errors import TrainingError, first_line
from training.modelling import fresh_model
from training.module import FitModule
from training.phase import Phase
from training.phases import phases
from training.recipe import Recipe
from training.settings import Step
from training.ways import COMPILED, DIRECT, synchronize


@dataclass(frozen=True)
class Case:
    """A recipe, the ways to run its steps, the precision of its conditioners."""

    recipe: str
    ways: tuple[Step, ...]
    precision: Precision = "float32"


CASES = (  # those that compile last: each takes a minute or more
    Case("gaussian-mixture", DIRECT),
    Case("gaussian-mixture", DIRECT, "bf16"),
    Case("mnist", DIRECT),
    Case("mnist-two-stage", DIRECT),
    Case("fashion-mnist", DIRECT),
    Case("gaussian-mixture", COMPILED),
    Case("mnist", COMPILED),
)
FLOW_ALONE: dict[str, object] = {"model.autoencoder.detail": 0, "fit.perception": None, "fit.decoder": None}
SHRUNK: dict[str, dict[str, object]] = {"gaussian-mixture": {"fit.batch": 64}, "mnist": {"fit.batch": 32}}


def step_rates(device: torch.device, rows: int = 10_000, budget_s: float = 3.0) -> Iterator[Row]:
    """One row per phase and way: the whole step of a fit, optimizer and average too, without Lightning's loop.

    Images are random numbers in the shape of MNIST's: the work does not depend on them. Ways that would begin after
    `PART_S` are left out. On a CPU, where nothing is to be measured, batches are small and nothing is compiled.
    """
    with repeatable(device):
        yield from _each_case(device, rows, budget_s)


def _each_case(device: torch.device, rows: int, budget_s: float) -> Iterator[Row]:
    ends = time.monotonic() + PART_S
    card = device.type == "cuda"
    for case in CASES:
        if not card and (case.recipe not in SHRUNK or case.ways == COMPILED):
            continue
        changes = {} if card else SHRUNK[case.recipe]
        recipe = recipes.read(case.recipe, changes | (FLOW_ALONE if case.recipe == "mnist" else {}))
        for way in case.ways:
            if time.monotonic() > ends:
                yield {"recipe": case.recipe, "way": way, "failed": TIME_UP}
                continue
            yield from _rates(recipe, case, way, device, rows if card else 500, budget_s if card else 0.05)


def _rates(recipe: Recipe, case: Case, way: Step, device: torch.device, rows: int, budget_s: float) -> Iterator[Row]:
    dataset = data_of(recipe, rows)
    model = fresh_model(recipe, dataset).to(device)
    for phase in phases(recipe, dataset, model):
        row: Row = {"recipe": case.recipe, "phase": phase.name, "batch": phase.loop.batch, "way": way}
        row["conditioners"] = case.precision
        try:
            module, ready = _begun(phase, case, way, device, recipe.seed)
            per_second = _steps_per_second(module, device, budget_s)
            row |= {"ready in s": round(ready, 1), "steps/s": round(per_second, 1)}
            row["rows/s"] = round(per_second * module.order.batch)
        except (RuntimeError, TrainingError) as error:
            row["failed"] = first_line(error)[:200]
        yield row
        model.eval()


def _begun(phase: Phase, case: Case, way: Step, device: torch.device, seed: int) -> tuple[FitModule, float]:
    """A fit before its first step, and the seconds it took to compile and record."""
    prepared = phase.prepare(device)
    prepared.objective.module.to(device)
    loop = phase.loop.model_copy(update={"step": way, "precision": case.precision})
    module = FitModule(prepared.objective, prepared.train, prepared.validation, loop, seed, print)
    module.start()
    module.configure_optimizers()
    start = time.perf_counter()
    module.on_train_start()
    synchronize(device)
    return module, time.perf_counter() - start


def _steps_per_second(module: FitModule, device: torch.device, budget_s: float) -> float:
    """Of consecutive steps, until the budget is spent; the first few do not count."""
    step = partial(_steps, module, device)
    step(3)
    seconds = step(10) / 10
    return 1 / min(step(count := max(10, int(budget_s / 3 / seconds))) / count for _ in range(3))


def _steps(module: FitModule, device: torch.device, count: int) -> float:
    """Seconds that the next `count` steps take, to the end of the device's work."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        module.training_step(module.position % module.total, 0)
    synchronize(device)
    return time.perf_counter() - start


def data_of(recipe: Recipe, rows: int) -> Dataset:
    """The mixture as it is; else random images with labels."""
    if recipe.data.set == "gaussian-mixture":
        return datasets.load(recipe.data)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (rows, 1, 28, 28), dtype=np.uint8)
    split = Split(images, np.arange(rows) % 10)
    classes = LabelCondition(classes=tuple(map(str, range(10))))
    return Dataset(recipe.name, ArraySpec(shape=(1, 28, 28), dtype="uint8", levels=256), classes, split, split, split)

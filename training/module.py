"""The LightningModule: a step is a function of (seed, step number), so that where a fit stands is one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from training.averaging import Average
from training.errors import FitError, first_line
from training.feed import feed
from training.gradients import Gradients
from training.guard import EVERY, Guard
from training.objectives.base import Objective
from training.optimizers import optimizer_of, parameters_of
from training.order import Order
from training.rows import Rows
from training.seeds import derive, reseed
from training.settings import Loop, Step
from training.tally import Tally
from training.ways import fastest, forget_compiled

VALIDATION_ROWS = 2500


class Steps:
    """The step numbers that are left of the present epoch: what Lightning iterates over instead of data."""

    def __init__(self, module: FitModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[int]:
        per_epoch = self.module.per_epoch
        start = self.module.position
        return iter(range(start, (start // per_epoch + 1) * per_epoch))


def runs_ahead(device: torch.device) -> bool:
    """Whether the host gives a device steps to do without waiting for what they come to."""
    return device.type == "cuda"


class FitModule(LightningModule):
    """Fits `objective.module` on `train`. `position` counts the steps that are done.

    The moving average, if any, is what is validated. On a device that runs ahead the host looks whether steps were
    finite every `EVERY` steps, at the end of an epoch and before a checkpoint; until then those that were not leave
    the weights as they were. On the CPU it looks at every step.
    """

    def __init__(
        self, objective: Objective, train: Rows, validation: Rows, loop: Loop, seed: int, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.fitted = objective.module
        self.objective = objective
        self.train_rows, self.validation_rows = train, validation
        self.loop, self.seed, self.say = loop, seed, say
        self.place = train.device
        self.ahead = runs_ahead(self.place)
        self.order = Order(len(train), loop.batch, derive(seed, "order"))
        self.per_epoch = loop.steps_per_epoch or self.order.per_pass
        self.total = self.per_epoch * loop.epochs
        self.position = 0
        self.average = Average(self.fitted, loop.average) if loop.average else None
        self.tally = Tally(EVERY if self.ahead else 1)
        self.validation_sums: dict[str, float] = {}
        self._validation: dict[str, Tensor] = {}
        self.guard: Guard
        self.gradients: Gradients
        self.guarded: dict[str, Any] | None = None  # by an earlier run: read before there is an optimizer to guard
        self.way: Step = loop.step

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to."""
        return self.position // self.per_epoch

    def start(self) -> None:
        """Data-dependent initialisation, once, before the first step of a new fit."""
        self.fitted.train()
        reseed(self.place, derive(self.seed, "start"))
        with torch.no_grad():
            self.objective.start(self.train_rows.batch(self.order(0)))
        if self.average is not None:
            self.average = Average(self.fitted, self.average.decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The rate is set in every step."""
        self.optimizer = optimizer_of(self.fitted.parameters(), self.loop, fused=self.ahead)
        self.guard = Guard(self.fitted, self.optimizer, self.average)
        return self.optimizer

    def on_train_start(self) -> None:
        """The weights that the fit starts with are the first to go back to; one that goes on has those it had."""
        if self.guarded is None:
            self.guard.keep()
        else:
            self.guard.load_state_dict(self.guarded)
        if self.way == "auto" and self.place.type == "cuda":
            self.gradients = fastest(self._gradients, self.total - self.position, self.position, self.place, self.say)
            self.way = self.gradients.way
        else:
            self.gradients = self._prepared("eager" if self.way == "auto" else self.way)

    def _prepared(self, way: Step) -> Gradients:
        """As the recipe wants it, or an error."""
        if way.startswith("compiled"):
            forget_compiled()
        gradients = self._gradients(way)
        try:
            gradients.prepare(self.position)
        except RuntimeError as error:
            raise FitError(f"fit.step: steps cannot run {way} here ({first_line(error)})") from error
        return gradients

    def _gradients(self, way: Step) -> Gradients:
        parameters = parameters_of(self.optimizer)
        rows = feed(self.train_rows, self.order)
        return Gradients(self.objective, rows, parameters, self.loop, self.place, way)

    def train_dataloader(self) -> Steps:
        """Step numbers."""
        return Steps(self)

    def val_dataloader(self) -> range:
        """First rows of the validation chunks."""
        return range(0, len(self.validation_rows), VALIDATION_ROWS)

    def training_step(self, batch: int, batch_idx: int) -> None:
        """Everything random in a step follows from the step's seed; a step that is not finite changes nothing."""
        gradients = self.gradients
        gradients(batch, derive(self.seed, "step", batch))
        self.tally.add(batch, gradients.names, gradients.terms, gradients.bad)
        keep = batch % EVERY == 0 or batch % self.per_epoch == 0
        if not (keep or self.tally.full) or self.settle():
            if keep:
                self.guard.keep()
            self._update(batch)
        self.position += 1

    def settle(self) -> bool:
        """Look at the steps since the last look. Whether all were finite; if not, the last good weights are back."""
        bad = self.tally.look()
        if bad is not None:
            self.say(self.guard.restore(bad))
        return bad is None

    def _update(self, step: int) -> None:
        """The weights and their average, at the step's rate and first beta."""
        progress = step / self.total
        rate = self.loop.rate * self.loop.schedule.factor(progress) * self.guard.factor
        first_beta = self.loop.schedule.first_beta(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
            if first_beta is not None:
                group["betas"] = (first_beta, self.loop.betas[1])
        if self.ahead:
            self.optimizer.found_inf = self.gradients.bad  # type: ignore[attr-defined]  # what GradScaler sets
        self.optimizer.step()
        if self.average is not None:
            self.average.update()

    def on_validation_start(self) -> None:
        """Validate the average."""
        self.settle()
        self._validation = {}
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Terms of one chunk, with the same noise at every validation."""
        reseed(self.place, derive(self.seed, "validation", batch))
        rows = self.validation_rows.slice(batch, batch + VALIDATION_ROWS)
        share = len(rows.x) / len(self.validation_rows)
        for name, value in self.objective(rows).items():
            self._validation[name] = value.double() * share + self._validation.get(name, 0.0)

    def on_validation_epoch_end(self) -> None:
        """Hand the mean to early stopping; a loss that is not finite is never the best."""
        self.validation_sums = {name: value.item() for name, value in self._validation.items()}
        loss = self.validation_sums["loss"]
        self.log("validation_loss", loss if math.isfinite(loss) else math.inf)

    def on_validation_end(self) -> None:
        """Back to the weights that are fitted."""
        if self.average is not None:
            self.average.swap()

    def epoch_means(self) -> dict[str, float]:
        """Training terms of the epoch so far; starts the next epoch's sums."""
        means = self.tally.means()
        self.tally.clear()
        return means

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(value.isfinite().all()) for value in self.fitted.state_dict().values())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where the fit stands is `position`; Lightning's own counters are left out and start anew."""
        checkpoint.pop("loops")
        checkpoint["fit"] = {
            "position": self.position,
            **self.tally.state_dict(),
            **self.guard.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "way": self.way,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the fit where it stood, and run its steps the way they ran."""
        state = checkpoint["fit"]
        self.position = state["position"]
        self.tally.load_state_dict(state, self.place)
        self.guarded = state
        self.way = state.get("way", self.way)
        if self.average is not None:
            self.average.load_state_dict(state["average"])

"""The LightningModule: a step is a function of (seed, step number), so that where a fit stands is one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from training.averaging import Average
from training.guard import EVERY, Guard
from training.objectives.base import Objective
from training.order import Order
from training.rows import Rows
from training.seeds import derive
from training.settings import Loop

VALIDATION_ROWS = 2500


class Steps:
    """The step numbers that are left of the present epoch: what Lightning iterates over instead of data."""

    def __init__(self, module: FitModule) -> None:
        self.module = module

    def __iter__(self) -> Iterator[int]:
        per_epoch = self.module.per_epoch
        start = self.module.position
        return iter(range(start, (start // per_epoch + 1) * per_epoch))


class FitModule(LightningModule):
    """Fits `objective.module` on `train`. `position` counts the steps that are done.

    The moving average, if any, is what is validated.
    """

    def __init__(
        self, objective: Objective, train: Rows, validation: Rows, loop: Loop, seed: int, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self.fitted = objective.module
        self.objective = objective
        self.train_rows, self.validation_rows = train, validation
        self.loop, self.seed, self.say = loop, seed, say
        self.order = Order(len(train), loop.batch, derive(seed, "order"))
        self.per_epoch = loop.steps_per_epoch or self.order.per_pass
        self.total = self.per_epoch * loop.epochs
        self.position = 0
        self.average = Average(self.fitted, loop.average) if loop.average else None
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.validation_sums: dict[str, float] = {}
        self.guard: Guard
        self.restorations = 0  # of an earlier run: a checkpoint is read before there is an optimizer to guard

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to."""
        return self.position // self.per_epoch

    def start(self) -> None:
        """Data-dependent initialisation, once, before the first step of a new fit."""
        self.fitted.train()
        torch.manual_seed(derive(self.seed, "start"))
        with torch.no_grad():
            self.objective.start(self.train_rows.batch(self.order(0)))
        if self.average is not None:
            self.average = Average(self.fitted, self.average.decay)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam or AdamW; weight decay for matrices alone. The rate is set in every step."""
        parameters = [parameter for parameter in self.fitted.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.loop.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        kind = torch.optim.AdamW if self.loop.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind([group for group in groups if group["params"]], lr=self.loop.rate, betas=self.loop.betas)
        self.guard = Guard(self.fitted, optimizer, self.average)
        self.guard.restorations = self.restorations
        return optimizer

    def on_train_start(self) -> None:
        """The weights that the fit starts or goes on with are the first to go back to."""
        self.guard.keep()

    def train_dataloader(self) -> Steps:
        """Step numbers."""
        return Steps(self)

    def val_dataloader(self) -> range:
        """First rows of the validation chunks."""
        return range(0, len(self.validation_rows), VALIDATION_ROWS)

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        """Everything random in a step follows from the step's seed; so do the rate and Adam's first beta."""
        torch.manual_seed(derive(self.seed, "step", batch))
        progress = batch / self.total
        rate = self.loop.rate * self.loop.schedule.factor(progress) * self.guard.factor
        first_beta = self.loop.schedule.first_beta(progress)
        for group in self.optimizers(use_pl_optimizer=False).param_groups:  # type: ignore[union-attr]
            group["lr"] = rate
            if first_beta is not None:
                group["betas"] = (first_beta, self.loop.betas[1])

    def training_step(self, batch: int, batch_idx: int) -> Tensor | None:
        """The loss of one step; None skips the step after a restoration."""
        terms = self.objective(self.train_rows.batch(self.order(batch)))
        loss = terms["loss"]
        if not math.isfinite(loss.item()):
            self.say(self.guard.restore(batch))
            return None
        if batch % EVERY == 0 or batch % self.per_epoch == 0:
            self.guard.keep()
        for name, value in terms.items():
            self.sums[name] = value.detach().double() + self.sums.get(name, 0.0)
        self.counted += 1
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """One step of the optimizer, which runs the closure; then the step is counted and taken into the average."""
        counted = self.counted
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.position += 1
        if self.average is not None and self.counted > counted:
            self.average.update()

    def on_validation_start(self) -> None:
        """Validate the average."""
        self.validation_sums = {}
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Terms of one chunk, with the same noise at every validation."""
        torch.manual_seed(derive(self.seed, "validation", batch))
        rows = self.validation_rows.slice(batch, batch + VALIDATION_ROWS)
        for name, value in self.objective(rows).items():
            share = len(rows.x) / len(self.validation_rows)
            self.validation_sums[name] = self.validation_sums.get(name, 0.0) + value.item() * share

    def on_validation_epoch_end(self) -> None:
        """Hand the mean to early stopping; a loss that is not finite is never the best."""
        loss = self.validation_sums["loss"]
        self.log("validation_loss", loss if math.isfinite(loss) else math.inf)

    def on_validation_end(self) -> None:
        """Back to the weights that are fitted."""
        if self.average is not None:
            self.average.swap()

    def epoch_means(self) -> dict[str, float]:
        """Training terms of the epoch so far; starts the next epoch's sums."""
        means = {name: value.item() / max(self.counted, 1) for name, value in self.sums.items()}
        self.sums, self.counted = {}, 0
        return means

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(value.isfinite().all()) for value in self.fitted.state_dict().values())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where the fit stands is `position`; Lightning's own counters are left out and start anew."""
        checkpoint.pop("loops")
        checkpoint["fit"] = {
            "position": self.position,
            "sums": self.sums,
            "counted": self.counted,
            "restorations": self.guard.restorations,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the fit where it stood."""
        state = checkpoint["fit"]
        self.position = state["position"]
        self.sums, self.counted = state["sums"], state["counted"]
        self.restorations = state["restorations"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])

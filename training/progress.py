"""A progress bar in nats with the time that is left; on what is not a terminal, one line per epoch."""

from __future__ import annotations

import time
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.module import FitModule

REFRESH_SECONDS = 0.25


class ProgressBar(Callback):
    """Steps done, the training loss of the epoch so far, the last validation loss, the time left."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.validation = ""
        self.shown = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar where the fit stands."""
        module = cast(FitModule, pl_module)
        if not self.console.is_terminal:
            return
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed:.0f}/{task.total:.0f}  {task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.progress.add_task(self.name, total=module.total, completed=module.position, loss="")
        self.progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """At most four times a second."""
        now = time.monotonic()
        if self.progress is None or now - self.shown < REFRESH_SECONDS:
            return
        self.shown = now
        module = cast(FitModule, pl_module)
        loss = module.tally.means().get("loss", 0.0)
        text = f"train {loss:.4f} nats{self.validation}"
        self.progress.update(self.task, completed=module.position, loss=text)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the validation loss; without a terminal say it in a line."""
        module = cast(FitModule, pl_module)
        terms = ", ".join(f"{name} {value:.4f}" for name, value in module.validation_sums.items())
        self.validation = f", validation {module.validation_sums['loss']:.4f}"
        if self.progress is None:
            epoch = module.position // module.per_epoch
            self.console.print(f"{self.name}: epoch {epoch}/{module.loop.epochs}, validation {terms} nats")
        else:
            self.progress.update(self.task, completed=module.position)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def _stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

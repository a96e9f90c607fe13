"""What happens around the steps: checkpoints to go on from, the best weights, the history, and Ctrl-C."""

from __future__ import annotations

import csv
import io
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from training import checkpoint_io
from training.module import FitModule

LAST, BEST, HISTORY = "last.safetensors", "best.safetensors", "history.csv"


class Interrupted(Exception):
    """The fit was asked to stop, and has left a checkpoint to go on from."""


class Interruption:
    """Whether somebody asked the fit to stop. A second signal stops at once."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as requests inside."""
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.default_int_handler)


class History(Callback):
    """One row per epoch, kept in the checkpoint and written as CSV: no epoch twice, whatever happened between."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / HISTORY
        self.rows: list[dict[str, float]] = []
        self._seconds_before = 0.0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent in this phase, over all its runs."""
        return self._seconds_before + time.monotonic() - self._started

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Append the epoch and write the file anew."""
        module = cast(FitModule, pl_module)
        row: dict[str, float] = {"epoch": module.position // module.per_epoch, "step": module.position}
        row["seconds"] = round(self.seconds, 3)
        row["rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row |= {f"train_{name}": value for name, value in module.epoch_means().items()}
        row |= {f"validation_{name}": value for name, value in module.validation_sums.items()}
        self.rows.append(row)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(self.rows)
        with checkpoint_io.whole(self.path) as partial:
            partial.write_text(text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Rows and time so far."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of a checkpoint."""
        self.rows = list(state_dict["rows"])
        self._seconds_before = state_dict["seconds"]
        self._started = time.monotonic()


class Checkpoints(Checkpoint):
    """`last` every `steps` steps and at every epoch's end, `best` whenever the validation loss is lowest so far.

    A request to stop adds a `last`, but no look whether steps were finite: what is kept is the fit as it stands, so
    that it goes on as if nobody had asked.
    """

    def __init__(self, folder: Path, steps: int, interruption: Interruption) -> None:
        self.folder, self.steps, self.interruption = folder, steps, interruption
        self.best = math.inf
        self.finished = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Within an epoch: the period, and a request to stop. An epoch's last step waits for its validation."""
        module = cast(FitModule, pl_module)
        if module.position % module.per_epoch == 0:
            return
        due = module.position % self.steps == 0
        if due:
            module.settle()
        if due or self.interruption.requested:
            self._save(trainer, module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The validated weights are in place now: keep them if they are the best."""
        module = cast(FitModule, pl_module)
        loss = module.validation_sums["loss"]
        if loss < self.best:
            self.best = loss
            content = {"weights": module.fitted.state_dict(), "validation_loss": loss, "step": module.position}
            checkpoint_io.save(content, self.folder / BEST)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """At an epoch's end, after validation and early stopping."""
        module = cast(FitModule, pl_module)
        self.finished = trainer.should_stop or module.position >= module.total
        self._save(trainer, module)

    def state_dict(self) -> dict[str, Any]:
        """The best loss so far, and whether there is anything left to do."""
        return {"best": self.best, "finished": self.finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore."""
        self.best, self.finished = state_dict["best"], state_dict["finished"]

    def _save(self, trainer: Trainer, module: FitModule) -> None:
        """Stop behind it if asked to. Weights that the last step has spoilt are not kept, nor is the fit stopped with
        them: the guard finds out soon, and puts good ones back."""
        if not module.is_finite():
            return
        trainer.save_checkpoint(self.folder / LAST)
        if self.interruption.requested and not self.finished:
            raise Interrupted(f"stopped after step {module.position} of {module.total}")

"""A fit that kills itself with SIGKILL, or asks itself to stop with SIGINT: the program of the resume tests.

python -m tests.training.killed_fit RECIPE.json FOLDER SIGNAL (step N | epoch N | validation N)
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from training import datasets
from training import recipe as recipes
from training.callbacks import Interrupted
from training.fit import fit
from training.module import FitModule


class Killer(Callback):
    """Sends the signal after a step, after an epoch's checkpoint, or in the middle of a validation."""

    def __init__(self, number: int, where: str, at: int) -> None:
        self.number, self.where, self.at = number, where, at

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After step `at`."""
        if self.where == "step" and batch == self.at:
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Before the first step of epoch `at`: the checkpoint of the epoch before has been written."""
        if self.where == "epoch" and batch == self.at * cast(FitModule, pl_module).per_epoch:
            os.kill(os.getpid(), self.number)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """In the validation of epoch `at`."""
        module = cast(FitModule, pl_module)
        if self.where == "validation" and module.position == (self.at + 1) * module.per_epoch:
            os.kill(os.getpid(), self.number)


def main(recipe_path: str, folder: str, name: str, where: str, at: str) -> None:
    """Fit until the signal."""
    torch.set_num_threads(1)
    recipe = recipes.check(json.loads(Path(recipe_path).read_text()))
    killer = Killer(signal.Signals[name], where, int(at))
    try:
        fit(recipe, datasets.load(recipe.data), Path(folder), callbacks=[killer])
    except Interrupted as error:
        print(error)
        sys.exit(130)


if __name__ == "__main__":
    main(*sys.argv[1:])

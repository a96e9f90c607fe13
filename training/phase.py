"""One phase of a fit: what is fitted, on which rows, in which loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from training.objectives.base import Objective
from training.residence import fits, free_bytes
from training.rows import Rows
from training.settings import Loop


@dataclass(frozen=True)
class Prepared:
    """An objective and the rows that it is fitted on and watched on."""

    objective: Objective
    train: Rows
    validation: Rows


@dataclass(frozen=True)
class Phase:
    """A name (also the folder), the settings of its loop, and what to prepare when its turn comes."""

    name: str
    loop: Loop
    prepare: Callable[[torch.device], Prepared]


@dataclass(frozen=True)
class Splits:
    """The rows of a data set that a fit may see."""

    train: Rows
    validation: Rows

    def to(self, device: torch.device) -> Splits:
        """For a device: on it if they fit, else they stay on the host and their batches are copied."""
        resident = fits(self.train.nbytes + self.validation.nbytes, free_bytes(device))
        return Splits(self.train.to(device, resident), self.validation.to(device, resident))

    def each(self, make: Callable[[Rows], Rows]) -> Splits:
        """Other rows made of both."""
        return Splits(make(self.train), make(self.validation))

    def phase(self, name: str, loop: Loop, objective: Callable[[], Objective]) -> Phase:
        """A phase on these rows as they are, whose objective is made when its turn comes."""

        def prepare(device: torch.device) -> Prepared:
            rows = self.to(device)
            return Prepared(objective(), rows.train, rows.validation)

        return Phase(name, loop, prepare)

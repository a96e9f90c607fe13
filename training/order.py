"""Which rows a step sees: a function of (seed, step), so that a resumed fit goes on with the very next row."""

from __future__ import annotations

import torch
from torch import Tensor

from training.seeds import generator


class Order:
    """Consecutive batches out of one permutation of the rows per pass; what fills no batch waits for the next pass.

    Step s takes batch s mod n of pass s div n, with n = rows div batch. The permutation follows from (seed, pass).
    """

    def __init__(self, rows: int, batch: int, seed: int) -> None:
        self.rows = rows
        self.batch = min(batch, rows)
        self.per_pass = rows // self.batch
        self.seed = seed
        self._pass = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def place(self, step: int) -> tuple[int, slice]:
        """The pass that a step belongs to, and its part of the permutation."""
        number, place = divmod(step, self.per_pass)
        return number, slice(place * self.batch, (place + 1) * self.batch)

    def permutation(self, number: int) -> Tensor:
        """All rows (rows,) in the order of a pass, made once for each."""
        if number != self._pass:
            self._permutation = torch.randperm(self.rows, generator=generator(self.seed, "order", number))
            self._pass = number
        return self._permutation

    def __call__(self, step: int) -> Tensor:
        """Row indices (batch,) of a step."""
        number, part = self.place(step)
        return self.permutation(number)[part]

"""What the steps came to: sums and flags that gather on the device until somebody looks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Tally:
    """Sums of the terms over the good steps, and which of the steps since the last look were not finite.

    `add` never waits for the device; `look`, `sums` and `counted` do. There is room for `period` steps between looks.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.pending: list[int] = []  # steps since the last look
        self._names: tuple[str, ...] = ()
        self._totals: Tensor | None = None  # of each term over the good steps, and last their number
        self._flags: Tensor | None = None

    @property
    def full(self) -> bool:
        """Whether it is time to look."""
        return len(self.pending) >= self.period

    def add(self, step: int, names: tuple[str, ...], terms: Tensor, bad: Tensor) -> None:
        """Take up a step: the `terms` with 1 behind them, all 0 for a bad step, and 1 or 0 for bad or good."""
        if self._totals is None:
            self._names, self._totals = names, torch.zeros_like(terms)
        if self._flags is None:
            self._flags = bad.new_zeros(self.period)
        self._totals += terms
        self._flags[len(self.pending)] = bad
        self.pending.append(step)

    def look(self) -> int | None:
        """The first bad step since the last look, if any."""
        steps, self.pending = self.pending, []
        if self._flags is None:
            return None
        flags = self._flags[: len(steps)].tolist()
        return next((step for step, flag in zip(steps, flags, strict=True) if flag), None)

    @property
    def counted(self) -> int:
        """How many good steps are in the sums."""
        return 0 if self._totals is None else int(self._totals[-1].item())

    @property
    def sums(self) -> dict[str, Tensor]:
        """Of each term."""
        return {} if self._totals is None else {name: self._totals[place] for place, name in enumerate(self._names)}

    def means(self) -> dict[str, float]:
        """Of each term over the good steps."""
        counted = max(self.counted, 1)
        return {name: value.item() / counted for name, value in self.sums.items()}

    def clear(self) -> None:
        """Begin new sums."""
        self._totals = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds, after a look."""
        return {"sums": self.sums, "counted": self.counted}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on with a checkpoint's sums."""
        if state["sums"]:
            self._names = tuple(state["sums"])
            counted = torch.tensor(state["counted"], dtype=torch.float64)
            self._totals = torch.stack([*(value.double() for value in state["sums"].values()), counted]).to(device)

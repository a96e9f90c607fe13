"""What the steps came to: sums and flags that gather on the device until somebody looks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Tally:
    """Sums of the terms over the good steps, and which of the steps since the last look were not finite.

    `add` never waits for the device; `first_bad`, `look`, `sums` and `counted` do. There is room for `period` steps
    between looks. A checkpoint between two looks has the bad step, and the look comes when it would have come.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.pending: list[int] = []  # steps since the last look
        self._names: tuple[str, ...] = ()
        self._totals: Tensor | None = None  # of each term over the good steps, and last their number
        self._flags: Tensor | None = None
        self._told: int | None = None  # a bad step since the last look, by the checkpoint that the fit goes on from

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

    @property
    def first_bad(self) -> int | None:
        """The first bad step since the last look, if any."""
        if self._told is not None or self._flags is None:
            return self._told
        flags = self._flags[: len(self.pending)].tolist()
        return next((step for step, flag in zip(self.pending, flags, strict=True) if flag), None)

    def look(self) -> int | None:
        """`first_bad`, which is dealt with now."""
        bad = self.first_bad
        self.pending, self._told = [], None
        return bad

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
        """What a checkpoint holds."""
        return {"sums": self.sums, "counted": self.counted, "bad": self.first_bad}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on with a checkpoint's sums, and its bad step; older checkpoints were written after a look."""
        self._told = state.get("bad")
        if state["sums"]:
            self._names = tuple(state["sums"])
            counted = torch.tensor(state["counted"], dtype=torch.float64)
            self._totals = torch.stack([*(value.double() for value in state["sums"].values()), counted]).to(device)

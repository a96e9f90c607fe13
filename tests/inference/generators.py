"""The generator of every device type behind one face: numpy's, and torch's on each kind of device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pytest
import torch

from inference.device_noise import DeviceNoise, run_table
from inference.drawn import Drawn

Words = tuple[int, ...]


class Generator(Protocol):
    """What a device type makes."""

    def words(self, counters: Sequence[Words], keys: Sequence[Words]) -> np.ndarray:
        """The blocks of these counters (four words) under these keys (two): uint64 (n, 4)."""
        ...

    def numbers(self, drawn: Drawn) -> np.ndarray:
        """The rows that it tells."""
        ...


class Numpy:
    """The processor's."""

    def words(self, counters: Sequence[Words], keys: Sequence[Words]) -> np.ndarray:
        """numpy counts before it makes a block, so it starts one before, over all 256 bits."""
        made = []
        for counter, key in zip(counters, keys, strict=True):
            before = (sum(word << 64 * place for place, word in enumerate(counter)) - 1) % 2**256
            made.append(np.random.Philox(counter=before, key=key[0] + (key[1] << 64)).random_raw(4))
        return np.array(made)

    def numbers(self, drawn: Drawn) -> np.ndarray:
        """Of all runs."""
        return drawn.numbers()


class Torch:
    """A torch device's. `spare`: what the table and the call have room for beyond what is told."""

    def __init__(self, device: str, spare_runs: int = 0, spare_rows: int = 0) -> None:
        self.device, self.spare_runs, self.spare_rows = device, spare_runs, spare_rows
        self.noise = DeviceNoise(device)

    def words(self, counters: Sequence[Words], keys: Sequence[Words]) -> np.ndarray:
        """All blocks in one call."""
        bits = [np.array(words, dtype=np.uint64).T.view(np.int64).copy() for words in (counters, keys)]
        counter, key = (torch.from_numpy(words).to(self.device) for words in bits)
        return self.noise.philox(counter, key).cpu().numpy().view(np.uint64)

    def numbers(self, drawn: Drawn) -> np.ndarray:
        """By a table as an engine's."""
        table = torch.from_numpy(run_table(drawn, len(drawn.runs) + self.spare_runs)).to(self.device)
        made = self.noise.numbers(table, len(drawn) + self.spare_rows, drawn.part).cpu().numpy()
        assert made.shape == (len(drawn) + self.spare_rows, *drawn.part.shape)
        return made[: len(drawn)]


TORCH = [
    pytest.param("cpu", id="torch-cpu"),
    pytest.param(
        "cuda",
        id="torch-cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
]
EVERY = [pytest.param("numpy", id="numpy"), *TORCH]


def generator(device: str) -> Generator:
    """Of a device type of `EVERY`."""
    return Numpy() if device == "numpy" else Torch(device, spare_runs=3, spare_rows=5)


def ulps(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far apart, in steps between float32 numbers."""
    return np.abs(found - wanted) / np.spacing(np.abs(wanted))

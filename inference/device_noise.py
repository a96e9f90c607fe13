"""The generator of `inference.noise` in torch: the same words, drawn where they are used.

Imported by the engine for CUDA alone. Every shape follows from the arguments, nothing is decided by data and nothing is
read back, so that a CUDA graph may hold it and a compiler may fuse it.

What it costs: a block of eight numbers takes ten rounds of two 64-bit products. torch has no upper half of a product,
and hardly any unsigned numbers, so a product is made of 32-bit halves in int64: 21 passes a round over half the words
of a block, 105 integer operations a word. Each word is made once; in vain are only blocks at the ends of runs, less
than two a run. Eager, a normal is 1.3 KB of memory traffic (a uniform 1.1), and a call 253 kernels however few its
numbers are: few are better made on the host. Fused it is a kernel or two that write 4 bytes a number. A normal takes
half a logarithm, half a root and four products in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from inference.drawn import PURPOSE_AND_PLACE, SEED, START, STOP, STREAM, Drawn
from inference.noise import FINE_TURN, TURN
from model_store.signature import Part

ROUNDS = 10
PER_BLOCK = 8  # numbers: two of each of four words
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_LOW = 0xFFFFFFFF
_KEY, _FIRST, _BLOCKS_BELOW, _NUMBERS_FROM, _ROWS_BELOW, _SCALE = slice(0, 2), 3, 4, 5, 6, 7
COLUMNS = 8


def run_table(drawn: Drawn, runs: int) -> np.ndarray:
    """What the device needs of `drawn`: int64 (8, runs); what is left of the `runs` columns are runs of no rows.

    Rows of it: the key's two words; the stream; block of the stream minus block of the call; blocks up to the run's
    end; place of the run's first number minus the row's; rows up to the run's end; the bits of the scale in float64.

    Raises:
        ValueError: there are more than `runs` runs.
    """
    count = len(drawn.runs)
    if count > runs:
        raise ValueError(f"a table of {runs} runs cannot hold {count}")
    size, lengths = drawn.part.size, drawn.lengths
    first = drawn.runs[:, START] * size // PER_BLOCK
    blocks = -(-drawn.runs[:, STOP] * size // PER_BLOCK) - first
    blocks_below, rows_below = np.cumsum(blocks), np.cumsum(lengths)
    shift = first - (blocks_below - blocks)
    columns = np.zeros((COLUMNS, runs), dtype=np.int64)
    columns[:3, :count] = drawn.runs[:, [SEED, PURPOSE_AND_PLACE, STREAM]].T
    columns[_FIRST, :count] = shift
    columns[_NUMBERS_FROM, :count] = (drawn.runs[:, START] - (rows_below - lengths)) * size - PER_BLOCK * shift
    columns[_BLOCKS_BELOW], columns[_ROWS_BELOW] = blocks_below[-1], rows_below[-1]
    columns[_BLOCKS_BELOW, :count], columns[_ROWS_BELOW, :count] = blocks_below, rows_below
    columns[_SCALE, :count] = drawn.scale.astype(np.float64).view(np.int64)
    return columns


class DeviceNoise:
    """The generator on one device; its constants are there from the start.

    Words are 64 bits in int64: products wrap, a shift to the right keeps the sign and is masked where that shows.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._multiplier = _column(_MULTIPLIERS, device)
        self._upper = _column([factor >> 32 for factor in _MULTIPLIERS], device)
        self._lower = _column([factor & _LOW for factor in _MULTIPLIERS], device)
        self._weyl = _column(_WEYL, device)
        self._turn = torch.view_as_real(torch.from_numpy(TURN)).to(device)
        self._fine_turn = torch.view_as_real(torch.from_numpy(FINE_TURN)).to(device)

    def numbers(self, table: Tensor, rows: int, part: Part) -> Tensor:
        """The first `rows` rows that a `table` tells, float32 (rows, *part shape); past its end numbers of no meaning.

        Args:
            table: int64 (8, runs) on the device, made by `run_table`.
            rows: no less than it tells.
            part: shape and distribution of a row.
        """
        runs, size = table.shape[1], part.size
        # a run of n numbers touches at most (n + 14) / 8 blocks
        block = torch.arange((rows * size + 14 * runs + 7) // PER_BLOCK, device=table.device)
        run = torch.searchsorted(table[_BLOCKS_BELOW], block, right=True).clamp(max=runs - 1)
        told = table[: _FIRST + 1].index_select(1, run)
        zero = torch.zeros_like(block)
        counter = torch.stack((block + told[_FIRST] + 1, told[2], zero, zero))
        words = self.philox(counter, told[_KEY])
        made = self.normals(words) if part.distribution == "normal" else uniforms(words)

        row = torch.arange(rows, device=table.device)
        run = torch.searchsorted(table[_ROWS_BELOW], row, right=True).clamp(max=runs - 1)
        place = table[_NUMBERS_FROM].index_select(0, run) + row * size
        element = torch.arange(size, device=table.device)
        kept = made.reshape(-1).index_select(0, (place.unsqueeze(1) + element).reshape(-1)).reshape(rows, size)
        scale = table[_SCALE].view(torch.float64).index_select(0, run).to(torch.float32)
        return (kept * scale.unsqueeze(1)).reshape(rows, *part.shape)

    def philox(self, counter: Tensor, key: Tensor) -> Tensor:
        """Philox4x64-10 of counters (4, n) and keys (2, n), least significant word first: words (n, 4), all int64."""
        even, odd = counter[0::2], counter[1::2]
        for _ in range(ROUNDS):
            upper, lower = self._upper_product(even), even * self._multiplier
            even, odd = upper.flip(0) ^ odd ^ key, lower.flip(0)
            key = key + self._weyl
        return torch.stack((even[0], odd[0], even[1], odd[1]), dim=1)

    def _upper_product(self, words: Tensor) -> Tensor:
        """Upper half of the 128 bits of words (2, n) times the multipliers; no sum of halves is over 64 bits."""
        low, high = words & _LOW, _upper_half(words)
        middle = torch.addcmul(_upper_half(low * self._lower), high, self._lower)
        carried = torch.addcmul(middle & _LOW, low, self._upper)
        return torch.addcmul(_upper_half(middle), high, self._upper) + _upper_half(carried)

    def normals(self, words: Tensor) -> Tensor:
        """`radius (cos, sin)` of each word, float32 (*words, 2); see `inference.noise.normals`."""
        uniform = (((words >> 24) & ((1 << 40) - 1)).to(torch.float64) + 0.5) * 2.0**-40
        radius = (uniform.log() * -2.0).sqrt()
        cos, sin = self._turn[(words >> 12) & 0xFFF].unbind(-1)
        fine_cos, fine_sin = self._fine_turn[words & 0xFFF].unbind(-1)
        pair = torch.stack((cos * fine_cos - sin * fine_sin, cos * fine_sin + sin * fine_cos), dim=-1)
        return (pair * radius.unsqueeze(-1)).to(torch.float32)


def uniforms(words: Tensor) -> Tensor:
    """Each half of each word, lower half first, float32 (*words, 2); see `inference.noise.uniforms`."""
    halves = torch.stack((words & _LOW, _upper_half(words)), dim=-1)
    return (halves >> 8).to(torch.float32) * 2.0**-24


def _upper_half(words: Tensor) -> Tensor:
    return (words >> 32) & _LOW


def _column(words: Sequence[int], device: torch.device | str) -> Tensor:
    """Unsigned words as int64 (n, 1)."""
    return torch.from_numpy(np.array(words, dtype=np.uint64).view(np.int64)).unsqueeze(1).to(device)

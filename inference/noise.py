"""Counter-based noise: every number is a function of (seed, purpose, part, stream, position), and of nothing else.

The bit layout, which every engine must reproduce:

- Generator: Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), four 64-bit words
  per block. Key `(seed, purpose * 2^32 + place of the part among its parts)`; block b of stream s has the counter
  `(b + 1, s, 0, 0)`, least significant word first.
- Positions: element e of index i (a sample, or a scoring draw) of a part with `size` elements has the flat position
  `p = i * size + e`. Word `w` of the stream carries the numbers of positions `2 w` and `2 w + 1`.
- Normals, Box and Muller 1958 in float64, rounded once to float32: with `r` the upper 40 bits and `k` the lower 24 bits
  of the word, `radius = sqrt(-2 log((r + 1/2) 2^-40))` and `angle = 2 pi k 2^-24`; the even position is
  `radius cos(angle)`, the odd one `radius sin(angle)`. The largest magnitude is 7.5.
- Uniforms: the even position is the lower half of the word shifted right by 8, times 2^-24; the odd one the upper half
  likewise. They lie in [0, 1) exactly, in float32 too.

A stream's positions are one line: a draw of 500 begins with the draw of 50, and any range of it can be made alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from model_store.signature import Part

Run = tuple[int, int, int]
"""Indices [start, stop) of a stream: (stream, start, stop)."""

SAMPLING = 0
SCORING = 1

_WORDS_PER_BLOCK = 4
_PER_BLOCK = 2 * _WORDS_PER_BLOCK
_SLICE = 1 << 15  # words worked on at once: temporaries stay in the cache
TURN = np.exp(2j * np.pi * np.arange(1 << 12) / (1 << 12))
FINE_TURN = np.exp(2j * np.pi * np.arange(1 << 12) / (1 << 24))


class NoiseSource:
    """Numbers of one part: `draw(stream, start, stop)` gives indices [start, stop) of a stream, float32.

    Args:
        seed: 0 <= seed < 2^53.
        purpose: `SAMPLING` or `SCORING`; the two never share a number.
        place: place of the part among the parts of its purpose.
        part: shape and distribution.

    >>> z = NoiseSource(7, SAMPLING, 0, Part(name="z", shape=(3,)))
    >>> bool((z.draw(0, 0, 50) == z.draw(0, 0, 500)[:50]).all())
    True
    """

    def __init__(self, seed: int, purpose: int, place: int, part: Part) -> None:
        self.part = part
        self.key = (seed, (purpose << 32) + place)

    def draw(self, stream: int, start: int, stop: int) -> np.ndarray:
        """Numbers of indices [start, stop) of one stream, shape (stop - start, *part shape)."""
        return self.draw_runs([(stream, start, stop)])

    def draw_runs(self, runs: Sequence[Run]) -> np.ndarray:
        """Numbers of several runs one after the other, shape (sum of lengths, *part shape)."""
        return draw_together([(self, runs)])[0]


class _Philox(threading.local):
    """One generator per thread, set to another key and counter for each use: making one costs ten times as much."""

    def __init__(self) -> None:
        self._generator = np.random.Philox(key=np.zeros(2, dtype=np.uint64))
        self._state = self._generator.state
        self._counter, self._keys = self._state["state"]["counter"], self._state["state"]["key"]

    def words(self, runs: Sequence[tuple[tuple[int, int], int, int, int]]) -> list[np.ndarray]:
        """The 64-bit words of blocks [block, block + blocks) of a stream, for each run (key, stream, block, blocks)."""
        generator, state, counter, keys = self._generator, self._state, self._counter, self._keys
        found = []
        for key, stream, block, blocks in runs:
            # numpy advances the counter before it makes a block, hence the b + 1 of the layout above.
            counter[0], counter[1] = block, stream
            keys[0], keys[1] = key
            generator.state = state
            found.append(generator.random_raw(blocks * _WORDS_PER_BLOCK))
        return found


_philox = _Philox()


def draw_together(demands: Sequence[tuple[NoiseSource, Sequence[Run]]]) -> list[np.ndarray]:
    """What each source's `draw_runs` says of its runs, for sources of one distribution, transformed in one go."""
    needed: list[tuple[tuple[int, int], int, int, int]] = []
    spans: list[list[tuple[int, int]]] = []
    filled = 0
    part, size = demands[0][0].part, demands[0][0].part.size
    for source, runs in demands:
        if source.part is not part:
            part, size = source.part, source.part.size
        kept = []
        for stream, start, stop in runs:
            block, skipped = divmod(start * size, _PER_BLOCK)
            end = skipped + (stop - start) * size
            blocks = -(-end // _PER_BLOCK)
            needed.append((source.key, stream, block, blocks))
            kept.append((filled + skipped, filled + end))
            filled += blocks * _PER_BLOCK
        spans.append(kept)
    words = _philox.words(needed)
    raw = words[0] if len(words) == 1 else np.concatenate(words)
    numbers = normals(raw) if part.distribution == "normal" else uniforms(raw)
    drawn = []
    for (source, _), kept in zip(demands, spans, strict=True):
        pieces = [numbers[first:last] for first, last in kept]
        drawn.append((pieces[0] if len(pieces) == 1 else np.concatenate(pieces)).reshape(-1, *source.part.shape))
    return drawn


def sources(seed: int, purpose: int, parts: Sequence[Part]) -> tuple[NoiseSource, ...]:
    """One source per part, keyed by the part's place."""
    return tuple([NoiseSource(seed, purpose, place, part) for place, part in enumerate(parts)])


def normals(words: np.ndarray) -> np.ndarray:
    """`radius (cos, sin)` of each 64-bit word: two float32 standard normals per word, in order."""
    pairs = np.empty(words.size, dtype=np.complex64)
    for begin in range(0, words.size, _SLICE):
        part = words[begin : begin + _SLICE]
        radius = (part >> np.uint64(24)).astype(np.float64)
        radius += 0.5
        radius *= 2.0**-40
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        angle = part.astype(np.uint32)
        turned = TURN[(angle >> 12) & 0xFFF]
        turned *= FINE_TURN[angle & 0xFFF]
        turned *= radius
        pairs[begin : begin + _SLICE] = turned
    return pairs.view(np.float32)


def uniforms(words: np.ndarray) -> np.ndarray:
    """`bits 2^-24` of each half of each 64-bit word: two float32 uniforms in [0, 1) per word, lower half first."""
    halves = words.astype("<u8", copy=False).view("<u4") >> np.uint32(8)
    numbers: np.ndarray = halves.astype(np.float32)
    numbers *= np.float32(2.0**-24)
    return numbers

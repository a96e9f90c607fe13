"""A draw that was asked and checked, and that can be computed whole or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from inference import fields, likelihood
from inference.conditions import Conditions, conditions
from inference.drawn import Column, Drawn
from inference.engine import Arrays, Inputs
from inference.errors import FieldError
from inference.extrapolation import extrapolated
from inference.loaded import Loaded
from inference.noise import SAMPLING, Run, draw_together, sources
from inference.work import Question
from model_store.signature import Operation, Signature

TEMPERATURE_LIMIT = 100.0  # far past any use; beyond float32's range integer data would hide that nothing was drawn
PIECE_VALUES = 2**18
PIECE_ROWS = 8192
TOLD_NUMBERS = 2**14  # fewer are made sooner on the host than by an engine that draws, however little it is told
TOLD_RUN_NUMBERS = 2**10  # of one condition: fewer take no more room than what tells them
AHEAD_NUMBERS = 2**12  # made at once of a work that is drawn in smaller chunks: some 0.1 ms, of which half is overhead
ALIGNMENT = 16  # pieces start at multiples of it, see `service.scheduling.layout`


@dataclass(frozen=True)
class Drawing:
    """`x = decode(temperature * u, c)` for `read.each` samples of each condition, row `place * each + sample`.

    u is standard normal, keyed by (seed, condition's place, sample's place), so it does not matter in which pieces the
    rows are computed. `given`: latent parts that are not drawn. `scored`: the samples' log-likelihood is asked too.
    """

    loaded: Loaded
    read: Conditions
    temperature: np.float32
    seed: int
    shared: bool
    given: Arrays
    keep_latent: bool
    scored: bool

    @property
    def rows(self) -> int:
        """Conditions times samples."""
        return self.read.count * self.read.each

    @property
    def leading(self) -> tuple[int, ...]:
        """(conditions, samples); (samples,) where one condition, or none, was asked."""
        return (self.read.each,) if self.read.single else (self.read.count, self.read.each)

    @property
    def told(self) -> bool:
        """Whether the engine is told which numbers to draw, and which conditions rows have, instead of given them.

        By the whole request alone: two generators make the same words, but one normal in a thousand millions may round
        to another side, and a row's noise is not to depend on its neighbours or on how it was cut.
        """
        if not self.loaded.engine.draws or self.given or self.keep_latent:
            return False
        size = sum(part.size for part in self.loaded.signature.latent)
        return self.rows * size >= TOLD_NUMBERS and self.read.each * size >= TOLD_RUN_NUMBERS

    @property
    def extrapolated(self) -> np.ndarray | None:
        """`inference.extrapolation.extrapolated` of the conditions: (conditions,), () where one was asked."""
        outside = extrapolated(self.loaded.signature.condition, self.read)
        return None if outside is None else outside.reshape(self.leading[:-1])

    def take(self, start: int, stop: int) -> Question[Arrays]:
        """Rows [start, stop): `samples`, and where asked `log_likelihood` and the parts `latent.<name>`."""
        work = DecodeWork(self, start, stop - start)
        yield work
        taken: Arrays = {"samples": work.x}
        if self.keep_latent:
            taken |= {f"latent.{name}": part for name, part in work.latent.items()}
        if self.scored:
            read = replace(self.read, first=start)
            scores = yield from likelihood.score(self.loaded, work.x, read, None, self.loaded.default_draws, 0)
            taken["log_likelihood"] = scores.log_mean
        return taken

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Rows [start, stop) of pieces of bounded size, in order. They depend on the shapes alone."""
        size = max(self.loaded.signature.data.size, sum(part.size for part in self.loaded.signature.latent))
        rows = min(max(PIECE_VALUES // size // ALIGNMENT, 1) * ALIGNMENT, PIECE_ROWS)
        return ((start, min(start + rows, self.rows)) for start in range(0, self.rows, rows))


def drawing(
    loaded: Loaded,
    condition: Any = None,
    num_samples: Any = None,
    *,
    conditions: Any = None,
    temperature: Any = 1.0,
    seed: Any = 0,
    shared_latent: bool = False,
    latent: Mapping[str, Any] | None = None,
    return_log_likelihood: bool = False,
    return_latent: bool = False,
) -> Drawing:
    """Check what was asked.

    Args:
        loaded: the version.
        condition: one condition; the answer has no axis for it.
        num_samples: samples per condition, 1 or more; by default as many as `latent` has, else 1.
        conditions: several conditions, instead of `condition`.
        temperature: 0 or more, scales every latent part, given or drawn; 0 decodes the mode of the latent.
        seed: 0 <= seed < 2^53.
        shared_latent: the same latents for every condition.
        latent: parts by name, each (num_samples, *part), the same for every condition; parts left out are drawn.
        return_log_likelihood: also score the samples.
        return_latent: also answer the latents as decoded.

    Raises:
        FieldError: a field has the wrong shape, type or range.
        CannotAnswer: the version has no `decode`, or no `score` where the log-likelihood is asked.
    """
    signature = loaded.signature
    likelihood.require(loaded, "decode")
    if return_log_likelihood:
        likelihood.require(loaded, "score", "/return_log_likelihood")
    given, count = _read_latent(signature, latent, num_samples)
    read = _read_conditions(signature, condition, conditions).for_each(count)
    factor = np.float32(fields.real(temperature, "/temperature"))
    if factor > TEMPERATURE_LIMIT:
        raise FieldError("/temperature", f"expected at most {TEMPERATURE_LIMIT:g}, got {temperature}")
    return Drawing(
        loaded,
        read,
        factor,
        fields.seed(seed),
        bool(shared_latent),
        given,
        bool(return_latent),
        bool(return_log_likelihood),
    )


class DecodeWork:
    """Row r decodes row `first + r` of a drawing, which is sample `row % count` of condition `row // count`."""

    operation: Operation = "decode"

    def __init__(self, drawing: Drawing, first: int, rows: int) -> None:
        self.rows = rows
        self._first, self._drawing, self._count = first, drawing, drawing.read.each
        signature = drawing.loaded.signature
        self._parts, self._data = signature.latent, signature.data
        self._told = drawing.told
        self._sources = sources(drawing.seed, SAMPLING, signature.latent)
        self._ahead: dict[int, tuple[int, np.ndarray]] = {}

    @cached_property
    def x(self) -> np.ndarray:
        """The samples (rows, *data); memory is taken when the first are there, so that limits can be checked before."""
        return np.empty((self.rows, *self._data.shape), dtype=self._data.dtype)

    @cached_property
    def latent(self) -> Arrays:
        """The latents as decoded, where they are to be kept."""
        return {part.name: np.empty((self.rows, *part.shape), dtype=np.float32) for part in self._parts}

    def inputs(self, start: int, stop: int) -> Inputs:
        """Latents and conditions of rows [start, stop)."""
        return self.joined([(self, start, stop)])[0]

    @staticmethod
    def joined(chunks: Sequence[tuple[DecodeWork, int, int]]) -> list[Inputs]:
        """The inputs of rows [start, stop) of each of several works of one version, their noise made in one go.

        A work that has more rows of the same condition keeps some of their noise for its next chunks.
        """
        found: list[dict[str, Column]] = [{} for _ in chunks]
        for place, part in enumerate(chunks[0][0]._parts):
            lacking = [
                (work, start, work._ahead_of(place, start, stop))
                for work, start, stop in chunks
                if not (work._told or part.name in work._drawing.given) and work._lacks(place, start, stop)
            ]
            demands = [(work._sources[place], work._runs(start, stop)) for work, start, stop in lacking]
            for (work, start, _), numbers in zip(lacking, draw_together(demands) if demands else (), strict=True):
                work._ahead[place] = start, numbers
            for inputs, (work, start, stop) in zip(found, chunks, strict=True):
                if work._told:
                    runs = work._runs(start, stop)
                    inputs[part.name] = Drawn.of(work._sources[place], runs, work._drawing.temperature)
                else:
                    inputs[part.name] = work._latent(place, start, stop)
        for inputs, (work, start, stop) in zip(found, chunks, strict=True):
            if work._drawing.keep_latent:
                for name, numbers_of in inputs.items():
                    work.latent[name][start:stop] = numbers_of
            read, first, last = work._drawing.read, work._first + start, work._first + stop
            inputs.update(read.told(first, last) if work._told else read.of_run(first, last))
        return list(found)

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        """Keep the samples: as they are where these are all."""
        if stop - start == self.rows and outputs["x"].dtype == self._data.dtype:
            self.x = outputs["x"]
        else:
            self.x[start:stop] = outputs["x"]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        """The places of rows [start, stop) in the drawing."""
        return np.arange(self._first + start, self._first + stop)

    def _latent(self, place: int, start: int, stop: int) -> np.ndarray:
        """A part as decoded: given, or drawn, after the temperature."""
        given, temperature = self._drawing.given.get(self._parts[place].name), self._drawing.temperature
        if given is None:
            first, drawn = self._ahead[place]
            numbers = drawn[start - first : stop - first]
            if stop - first == len(drawn):
                del self._ahead[place]  # noise of whole chunks can be large
        else:
            numbers = given[self._rows(start, stop) % self._count]
        if temperature == 1:
            return numbers
        with np.errstate(over="ignore"):
            return numbers * temperature

    def _lacks(self, place: int, start: int, stop: int) -> bool:
        """Whether a part's noise of rows [start, stop) has not all been made ahead."""
        if place not in self._ahead:
            return True
        first, drawn = self._ahead[place]
        return start < first or first + len(drawn) < stop

    def _ahead_of(self, place: int, start: int, stop: int) -> int:
        """The row up to which a part's noise is made with that of [start, stop): in the last row's condition."""
        if stop == self.rows:
            return stop
        ahead = start + AHEAD_NUMBERS // self._parts[place].size
        condition_ends = -(-(self._first + stop) // self._count) * self._count - self._first
        return max(stop, min(ahead, condition_ends, self.rows))

    def _runs(self, start: int, stop: int) -> list[Run]:
        """Runs that make up rows [start, stop): one per condition."""
        count, first, end = self._count, self._first + start, self._first + stop
        place, shared = first // count, self._drawing.shared
        if end <= (place + 1) * count:
            return [(0 if shared else place, first - place * count, end - place * count)]
        return [
            (0 if shared else place, max(first - place * count, 0), min(end - place * count, count))
            for place in range(place, (end - 1) // count + 1)
        ]


def _read_conditions(signature: Signature, condition: Any, several: Any) -> Conditions:
    if several is None:
        return conditions(signature.condition, condition, "/condition", "one")
    if condition is not None:
        raise FieldError("/conditions", "give `condition` or `conditions`, not both")
    return conditions(signature.condition, several, "/conditions", "many")


def _read_latent(signature: Signature, latent: Mapping[str, Any] | None, num_samples: Any) -> tuple[Arrays, int]:
    count = None if num_samples is None else fields.whole(num_samples, "/num_samples", 1)
    given: Arrays = {}
    if latent is None:
        return given, count or 1
    if not isinstance(latent, Mapping):
        raise FieldError("/latent", "expected an object of named parts")
    parts = {part.name: part for part in signature.latent}
    for name, value in latent.items():
        pointer = f"/latent/{str(name).replace('~', '~0').replace('/', '~1')}"
        if name not in parts:
            raise FieldError(pointer, f"unknown part; the latent's parts are {', '.join(parts)}")
        shape = fields.shape_of(value, pointer)
        if len(shape) != 1 + len(parts[name].shape) or shape[0] == 0:
            wanted = ", ".join(map(str, ("num_samples", *parts[name].shape)))
            raise FieldError(pointer, f"expected shape [{wanted}], got {list(shape)}")
        if count is not None and shape[0] != count:
            raise FieldError(pointer, f"expected {count} samples, got {shape[0]}")
        count = shape[0]
        given[name] = fields.reals(value, (count, *parts[name].shape), pointer)
    return given, count or 1

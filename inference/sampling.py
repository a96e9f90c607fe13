"""Draw x given a condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from inference import fields, likelihood
from inference.conditions import Conditions, conditions
from inference.engine import Arrays
from inference.errors import FieldError
from inference.loaded import Loaded
from inference.noise import SAMPLING, sources
from inference.work import Question
from model_store.signature import Operation, Signature

TEMPERATURE_LIMIT = 100.0  # far past any use; beyond float32's range integer data would hide that nothing was drawn


@dataclass(frozen=True)
class Samples:
    """Draws and what was asked with them; leading axes [conditions, num_samples], for one condition [num_samples].

    Attributes:
        samples: (..., *data), float32, or uint8 for integer data.
        seed: of the draw.
        log_likelihood: float64 (...), what `log_likelihood` says of the samples with its defaults; None if not asked.
        latent: part -> float32 (..., *part), as decoded: after the temperature; None if not asked.
    """

    samples: np.ndarray
    seed: int
    log_likelihood: np.ndarray | None
    latent: dict[str, np.ndarray] | None


def sample(
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
) -> Question[Samples]:
    """`x = decode(temperature * u, c)` with u standard normal, keyed by (seed, condition's place, sample's place).

    Arguments are checked here, before the question starts.

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
        likelihood.require(loaded, "score")
    given, count = _read_latent(signature, latent, num_samples)
    read = replace(_read_conditions(signature, condition, conditions), each=count)
    factor = np.float32(fields.real(temperature, "/temperature"))
    if factor > TEMPERATURE_LIMIT:
        raise FieldError("/temperature", f"expected at most {TEMPERATURE_LIMIT:g}, got {temperature}")
    first = fields.seed(seed)
    work = DecodeWork(signature, read, factor, first, bool(shared_latent), given, bool(return_latent))
    return _sample(loaded, read, work, first, bool(return_log_likelihood))


def _sample(loaded: Loaded, read: Conditions, work: DecodeWork, seed: int, scored: bool) -> Question[Samples]:
    yield work
    leading = (read.each,) if read.single else (read.count, read.each)
    log_likelihoods = None
    if scored:
        scores = yield from likelihood.score(loaded, work.x, read, None, loaded.default_draws, 0)
        log_likelihoods = scores.log_mean.reshape(leading)
    latent = work.latent and {name: part.reshape(*leading, *part.shape[1:]) for name, part in work.latent.items()}
    return Samples(work.x.reshape(*leading, *work.x.shape[1:]), seed, log_likelihoods, latent)


class DecodeWork:
    """Row r decodes sample `r % count` of condition `r // count`."""

    operation: Operation = "decode"

    def __init__(
        self,
        signature: Signature,
        read: Conditions,
        temperature: np.float32,
        seed: int,
        shared: bool,
        given: Arrays,
        keep_latent: bool,
    ) -> None:
        self.rows = read.count * read.each
        self._parts, self._read, self._count, self._temperature = signature.latent, read, read.each, temperature
        self._sources = sources(seed, SAMPLING, signature.latent)
        self._shared, self._given = shared, given
        self._keep_latent = keep_latent
        self._data = signature.data

    @cached_property
    def x(self) -> np.ndarray:
        """The samples (rows, *data); memory is taken when the first are there, so that limits can be checked before."""
        return np.empty((self.rows, *self._data.shape), dtype=self._data.dtype)

    @cached_property
    def latent(self) -> Arrays | None:
        """The latents as decoded, if they are to be kept."""
        if not self._keep_latent:
            return None
        return {part.name: np.empty((self.rows, *part.shape), dtype=np.float32) for part in self._parts}

    def inputs(self, start: int, stop: int) -> Arrays:
        """Latents and conditions of rows [start, stop)."""
        rows = np.arange(start, stop)
        inputs = self._latents(start, stop, rows % self._count)
        if self.latent is not None:
            for name, part in inputs.items():
                self.latent[name][start:stop] = part
        return {**inputs, **self._read.of_rows(rows)}

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        """Keep the samples."""
        self.x[start:stop] = outputs["x"]

    def _latents(self, start: int, stop: int, sample: np.ndarray) -> Arrays:
        drawn: Arrays = {}
        for part, source in zip(self._parts, self._sources, strict=True):
            if part.name in self._given:
                numbers = self._given[part.name][sample]
            else:
                numbers = source.draw_runs(self._runs(start, stop))
            if self._temperature != 1:
                with np.errstate(over="ignore"):
                    numbers = numbers * self._temperature
            drawn[part.name] = numbers
        return drawn

    def _runs(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Runs (stream, first sample, end) that make up rows [start, stop): one per condition."""
        count = self._count
        return [
            (0 if self._shared else place, max(start - place * count, 0), min(stop - place * count, count))
            for place in range(start // count, (stop - 1) // count + 1)
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
    if latent is not None and not isinstance(latent, Mapping):
        raise FieldError("/latent", "expected an object of named parts")
    parts = {part.name: part for part in signature.latent}
    for name, value in (latent or {}).items():
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

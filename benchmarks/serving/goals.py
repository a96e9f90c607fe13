"""condflow's figures beside their goals: each formed within a round, then the median over rounds.

What slows a round down slows both sides of a ratio, so the machine's drift from round to round cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from benchmarks.record import Figure
from benchmarks.serving.contestants import NOOP, OURS, PEERS
from benchmarks.serving.measure import CONCURRENCIES, MANY_ROWS
from benchmarks.serving.rounds import Raws, Reading, Record, at, middle, one_run, over_rounds, per_round, ratio

CHUNK_MS = 2.5
_PEERS = tuple(contestant.name for contestant in PEERS)
_CLIENTS = 64
_BARE = at("bare", "onnx", "64")
"""Part a: seconds of one call for the rows of all clients, as many as one request of part d has."""


def rate(clients: int) -> Reading:
    """Part a: requests per second."""
    return at("cells", str(clients), "requests_per_s")


def p99(clients: int) -> Reading:
    """Part a: p99 in milliseconds."""
    return at("cells", str(clients), "p99_ms")


def bare(encoding: str) -> Reading:
    """Part c: seconds of the own bare engine for all rows, by calls of its best size before and after that answer."""

    def reading(record: Record) -> float | None:
        if encoding not in record:
            return None
        before, after = record[encoding]["bare"]
        return MANY_ROWS * min((before[rows] + after[rows]) / 2 / int(rows) for rows in before)

    return reading


def capacity(record: Record) -> float | None:
    """Part d: requests per second in the closed loop, the mean where it was measured before and after the overload."""
    found = [each["requests_per_s"] for each in record["capacity"]]
    return sum(found) / len(found)


def goodput(record: Record) -> float | None:
    """Part d: requests answered in time as a share of capacity; none in time is 0."""
    full = capacity(record)
    return record["overload"]["in_time_per_s"] / full if full else None


def figures(raws: Raws) -> list[Figure]:
    """All figures, as far as both sides were measured."""
    wait = f"1.5 chunks of {CHUNK_MS:g} ms; a row waits for one; few go first, in a call of their own"
    found = [
        _beside(raws, "a: requests/s at 64 clients / best peer's", rate(_CLIENTS), 4.0, "higher", "best peer"),
        _share_of_noop(raws),
        *(
            _beside(raws, f"a: p99 at {count} / best peer's", p99(count), 1.0, "lower", "best peer")
            for count in CONCURRENCIES
        ),
        _own(raws, "b", "p99 beside 10,000 rows less p99 alone, ms", _added, 1.5 * CHUNK_MS, "lower", 2, wait),
        _own(raws, "c", "bare engine's time / npz answer's time", ratio(bare("npz"), at("npz", "seconds")), 0.85),
        _own(raws, "d", "goodput / capacity", goodput, 0.9, note=_compute(raws)),
        _own(raws, "e", "seconds from start to the first answer", at("ready_s"), 1.5, "lower", 2),
        _beside(raws, "e: memory after part a / smallest peer's", at("loaded_mib"), 0.5, "lower", "smallest peer"),
    ]
    return [figure for figure in found if figure is not None]


def _added(record: Record) -> float | None:
    alone, beside = at("alone", "p99_ms")(record), at("beside", "p99_ms")(record)
    return None if alone is None or beside is None else beside - alone


def _compute(raws: Raws) -> str:
    seconds = over_rounds(raws, OURS, "a", _BARE)
    return "" if seconds is None else f"one request is {1e3 * seconds:.1f} ms of the bare engine"


def _beside(
    raws: Raws, quantity: str, reading: Reading, goal: float, better: Literal["higher", "lower"], rival: str
) -> Figure | None:
    """condflow's reading of part a by that of the peer that has the best one in the same round."""
    ours = per_round(raws, OURS, "a", reading)
    peers = {name: per_round(raws, name, "a", reading) for name in _PEERS}
    best: Callable[[Any], tuple[float, str]] = max if better == "higher" else min
    values: dict[int, float] = {}
    names: dict[str, None] = {}
    for number, value in ours.items():
        there = [(found[number], name) for name, found in peers.items() if number in found]
        if there:
            most, name = best(there)
            values[number] = value / most
            names[name] = None
    return _figure(quantity, values, goal, better, 2, f"{rival} {' or '.join(names)}", _runs(raws, _PEERS))


def _share_of_noop(raws: Raws) -> Figure | None:
    ours, noop = (per_round(raws, name, "a", rate(_CLIENTS)) for name in (OURS, NOOP.name))
    engine = per_round(raws, OURS, "a", _BARE)
    both = sorted(set(ours) & set(noop))
    bound = middle(1 / (1 + noop[number] * engine[number] / _CLIENTS) for number in both)
    said = "" if bound is None else f"no-op and engine on one core one after the other would reach {bound:.2f}"
    values = {number: ours[number] / noop[number] for number in both}
    return _figure("a: requests/s at 64 clients / no-op's", values, 0.6, "higher", 2, said, _runs(raws, (NOOP.name,)))


def _own(
    raws: Raws,
    part: str,
    quantity: str,
    reading: Reading,
    goal: float,
    better: Literal["higher", "lower"] = "higher",
    digits: int = 3,
    note: str = "",
) -> Figure | None:
    return _figure(f"{part}: {quantity}", per_round(raws, OURS, part, reading), goal, better, digits, note)


def _figure(
    quantity: str,
    values: Mapping[int, float],
    goal: float,
    better: Literal["higher", "lower"],
    digits: int,
    *notes: str,
) -> Figure | None:
    """The median over rounds; its note begins with the smallest and the largest."""
    value = middle(values.values())
    if value is None:
        return None
    low, high = min(values.values()), max(values.values())
    spread = "one round" if len(values) == 1 else f"{low:.{digits}f} to {high:.{digits}f} in {len(values)} rounds"
    note = "; ".join(each for each in (spread, *notes) if each)
    return Figure(quantity, value, goal, better, digits=digits, note=note)


def _runs(raws: Raws, rivals: Sequence[str]) -> str:
    return "" if one_run(raws, (OURS, *rivals), "a") else "**of different runs: drift does not cancel**"

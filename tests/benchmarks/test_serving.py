from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.record import Figure
from benchmarks.serving.contestants import NOOP, PEERS, condflow
from benchmarks.serving.goals import figures
from benchmarks.serving.measure import PARTS, plan
from benchmarks.serving.page import page
from benchmarks.serving.rounds import Raw, Record, keep, read

ABOUT = {"when": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "commit": "c", "versions": "v"}
BETTER_THAN_PEERS = "a: requests/s at 64 clients / best peer's"
BESIDE_NOOP = "a: requests/s at 64 clients / no-op's"
RATIOS = (
    BETTER_THAN_PEERS,
    BESIDE_NOOP,
    "a: p99 at 64 / best peer's",
    "c: bare engine's time / npz answer's time",
    "d: goodput / capacity",
    "e: memory after part a / smallest peer's",
)


def _a(rate: float, slow: float = 1.0, mib: float = 100.0) -> Record:
    """Part a by a server of `rate`, on a machine that is `slow` times slower."""
    latencies = {
        f"{name}_ms": value * slow for name, value in (("p50", 1e3 / rate), ("p99", 2e3 / rate), ("p999", 9.0))
    }
    cell = {"requests_per_s": rate / slow, "answers": 10, "failed": 0, "generator_cpu": 0.1, **latencies}
    calls = {rows: seconds * slow for rows, seconds in (("1", 0.001), ("64", 0.008), ("1024", 0.12))}
    cells = dict.fromkeys(("1", "16", "64"), cell)
    return {"bare": {"onnx": calls, "torch": calls}, "cells": cells, "loaded_mib": mib}


def _c(slow: float = 1.0, before: float = 1.0, after: float = 1.0) -> Record:
    """100,000 rows in 12 s, where the bare engine takes 10 s at the usual speed."""
    calls = [{"64": 0.008 * slow * speed, "1024": 1024e-4 * slow * speed} for speed in (before, after)]
    return {"npz": {"seconds": 12.0 * slow, "bytes": 1, "bare": calls}}


def _d(slow: float = 1.0, again: float = 1.0) -> Record:
    """Capacity before and after, which is `again` times as much, and an overload with 80 answers in time."""
    full = [{"requests_per_s": rate / slow} for rate in (100.0, 100.0 * again)]
    over = {"in_time_per_s": 80.0 / slow, "p50_ms": 400.0 * slow, "p99_ms": 600.0 * slow, "statuses": {"200": 80}}
    return {"capacity": full, "overload": over}


def _raw(**parts: Sequence[Record]) -> Raw:
    return {part: {**ABOUT, "rounds": list(rounds)} for part, rounds in parts.items()}


def _everyone(slowness: Sequence[float]) -> dict[str, Raw]:
    """Who was measured in rounds of which each slowed everybody down as it did itself."""
    ours = _raw(
        a=[_a(800.0, slow, 50.0) for slow in slowness],
        c=[_c(slow) for slow in slowness],
        d=[_d(slow) for slow in slowness],
    )
    others = {NOOP.name: 1000.0, "LitServe": 100.0, "BentoML": 400.0}
    return {"condflow": ours, **{name: _raw(a=[_a(rate, slow) for slow in slowness]) for name, rate in others.items()}}


def _found(raws: dict[str, Raw]) -> dict[str, Figure]:
    return {figure.quantity: figure for figure in figures(raws)}


def test_ratios_are_to_the_best_peer() -> None:
    found = _found(_everyone([1.0]))
    assert found[BETTER_THAN_PEERS].value == pytest.approx(2.0)
    assert found[BETTER_THAN_PEERS].note == "one round; best peer BentoML"
    assert found[BESIDE_NOOP].value == pytest.approx(0.8)
    assert found["e: memory after part a / smallest peer's"].value == pytest.approx(0.5)


@pytest.mark.parametrize("slowness", [(1.0, 2.0, 1.0), (2.0, 1.0, 1.6)])
def test_what_slows_a_whole_round_changes_no_ratio(slowness: Sequence[float]) -> None:
    steady, drifting = _found(_everyone([1.0, 1.0, 1.0])), _found(_everyone(slowness))
    assert {name: drifting[name].value for name in RATIOS} == pytest.approx(
        {name: steady[name].value for name in RATIOS}
    )
    assert drifting[BETTER_THAN_PEERS].note == "2.00 to 2.00 in 3 rounds; best peer BentoML"


def test_a_figure_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    ours, peer = (100.0, 50.0, 80.0), (50.0, 20.0, 10.0)
    raws = {"condflow": _raw(a=[_a(rate) for rate in ours]), "LitServe": _raw(a=[_a(rate) for rate in peer])}
    found = _found(raws)[BETTER_THAN_PEERS]
    assert found.value == pytest.approx(2.5)
    assert found.note == "2.00 to 8.00 in 3 rounds; best peer LitServe"


def test_a_round_without_one_peer_is_compared_with_those_that_it_has() -> None:
    raws = _everyone([1.0, 2.0, 1.0])
    raws["LitServe"]["a"]["rounds"][1] = _a(1600.0, 2.0)
    raws["BentoML"]["a"]["rounds"][0] = {"error": "not ready"}
    found = _found(raws)[BETTER_THAN_PEERS]
    assert found.value == pytest.approx(2.0)  # of 8, .5 and 2
    assert found.note == "0.50 to 8.00 in 3 rounds; best peer LitServe or BentoML"
    assert "- BentoML, a in round 1: `not ready`" in page((NOOP, *PEERS), raws).render()


def test_a_round_without_ours_gives_no_ratio() -> None:
    raws = _everyone([1.0, 2.0, 1.0])
    raws["condflow"]["a"]["rounds"][0] = {"error": "refused"}
    raws["BentoML"]["a"]["rounds"][1] = _a(200.0, 2.0)
    found = _found(raws)[BETTER_THAN_PEERS]
    assert found.value == pytest.approx(3.0)  # the mean of 4 and 2: rounds stay beside their own
    assert found.note.startswith("2.00 to 4.00 in 2 rounds")


def test_rounds_of_different_runs_are_told_apart() -> None:
    raws = _everyone([1.0])
    raws["LitServe"]["a"]["when"] = "2026-01-02T00:00:00+00:00"
    found = _found(raws)
    assert found[BETTER_THAN_PEERS].note.endswith("**of different runs: drift does not cancel**")
    assert found[BESIDE_NOOP].note.endswith("would reach 0.89")


def test_drift_between_the_two_measurements_around_one_is_halved_away() -> None:
    raws = {"condflow": _raw(c=[_c(before=0.8, after=1.2)], d=[_d(again=0.6)])}
    found = _found(raws)
    assert found["c: bare engine's time / npz answer's time"].value == pytest.approx(10 / 12)
    assert found["d: goodput / capacity"].value == pytest.approx(80 / 80)


def test_tables_show_medians_and_starts_of_every_round(tmp_path: Path) -> None:
    raws = _everyone([1.0, 4.0, 1.6])
    raws["condflow"] |= _raw(e=[{"ready_s": seconds, "ready_mib": 40.0} for seconds in (1.0, 3.0, 1.2)])
    text = page((NOOP, condflow(tmp_path), *PEERS), raws).render()
    assert "| condflow | 1.20 | 1.00, 3.00, 1.20 | 40 | 50 |" in text
    assert "| condflow | 500 | 2.0 / 4.0 / 14.4 |" in text
    assert "rounds: a 3, c 3, d 3, e 3 |" in text
    assert "a round took 1.00, 1.00, 1.00 times the fastest, and that of all rounds 4.00 times." in text


def test_a_machine_that_drifts_within_rounds_is_called_so(tmp_path: Path) -> None:
    raws = _everyone([1.0, 1.0, 1.0])
    raws["LitServe"]["a"]["rounds"][2] = _a(100.0, 1.5)
    assert "rounds were not quiet" not in page((NOOP, condflow(tmp_path), *PEERS), raws).render()
    raws["LitServe"]["a"]["rounds"][0] = _a(100.0, 1.5)
    assert "rounds were not quiet" in page((NOOP, condflow(tmp_path), *PEERS), raws).render()


def test_a_peer_that_does_not_start_is_told_with_its_error(tmp_path: Path) -> None:
    broken: list[Record] = [{"error": "no such module"}]
    raws = {**_everyone([1.0]), "LitServe": _raw(a=broken, b=broken)}
    text = page((NOOP, condflow(tmp_path), *PEERS), raws).render()
    assert "- LitServe, a in round 1, b in round 1: `no such module`" in text
    assert "| Ray Serve |  |" in text


def test_contestants_lie_beside_each_other_in_a_part_and_peers_repeat_part_a_alone(tmp_path: Path) -> None:
    lit = PEERS[0]
    planned = [(number, part, each.name) for number, part, each in plan((NOOP, condflow(tmp_path), lit), PARTS, 2)]
    assert planned[:5] == [
        *((0, "a", name) for name in (NOOP.name, "condflow", lit.name)),
        *((0, "b", name) for name in ("condflow", lit.name)),
    ]
    assert [part for number, part, name in planned if (number, name) == (1, lit.name)] == ["a"]
    assert [part for number, part, name in planned if (number, name) == (1, "condflow")] == list(PARTS)
    assert {part for _, part, name in planned if name == NOOP.name} == {"a"}


def test_a_run_replaces_the_parts_that_it_measures(tmp_path: Path) -> None:
    for part, number in (("a", 0), ("b", 0), ("a", 1)):
        keep(tmp_path, "LitServe", part, number, ABOUT, {"of": "before"})
    keep(tmp_path, "LitServe", "a", 0, {**ABOUT, "seconds": 2.0}, {"of": "now"})
    kept: dict[str, Any] = read(tmp_path, ["LitServe", "BentoML"])
    assert kept == {
        "LitServe": {
            "a": {**ABOUT, "seconds": 2.0, "rounds": [{"of": "now"}]},
            "b": {**ABOUT, "rounds": [{"of": "before"}]},
        }
    }

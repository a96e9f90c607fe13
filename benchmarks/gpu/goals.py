"""From what the parts left to figures beside their goals. Goals are of a card; a CPU's figures stand without any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf, isnan
from typing import Any

from benchmarks.gpu.models import MIXTURE
from benchmarks.gpu.peers import COMPILED, OURS
from benchmarks.gpu.plan import Row
from benchmarks.gpu.subject import ENGINES
from benchmarks.gpu.tests import PASSED
from benchmarks.record import Figure

TOLERANCE = 5e-4  # relative to 1 + |value|: float32 through eight couplings
BATCH_ONE_US = 150.0
SHARE = {"float32": 0.6, "bf16": 0.8}
PEERS_SMALL, SMALL_ROWS = 5.0, 64
LARGE_ROWS = 2**16
HTTP_S = 10.0
ACCURACY, ACCURACY_S = 0.984, 60.0
Parts = Mapping[str, Sequence[Row]]


def figures(parts: Parts, card: bool) -> list[Figure]:
    """Every figure that the parts allow."""
    made = [
        *_check(parts.get("check", ())),
        *_tests(parts.get("tests", ())),
        *_latency(parts.get("latency", ())),
        *_throughput(rows_of(parts, "throughput")),
        *_peers(rows_of(parts, "peers")),
        *_http(parts.get("http", ())),
        *_accuracy(parts.get("training-accuracy", ())),
    ]
    return made if card else [replace(figure, goal=None) for figure in made]


def rows_of(parts: Parts, kind: str) -> list[Row]:
    """Of all parts whose names begin with it."""
    return [row for name, rows in parts.items() if name.split("-")[0] == kind for row in rows]


def share(row: Row) -> float:
    """Of the measured matrix rates, each product's in its own precision, that an engine call reaches."""
    return row["products"] / row["seconds"]


def _most(rows: Sequence[Row], value: Callable[[Row], float], *keys: str) -> list[Row]:
    """Of the rows that are alike in `keys` the one with the largest value."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        alike = tuple(row[key] for key in keys)
        found[alike] = max(found.get(alike, row), row, key=value)
    return list(found.values())


def _check(rows: Sequence[Row]) -> list[Figure]:
    return [
        Figure(
            f"largest error of {row['engine']} in {row['precision']} against float64",
            _error(row),
            TOLERANCE if row["precision"] == "float32" else None,
            "lower",
            digits=7,
            note=f"{row['model']}, {row['operation']}; relative to 1 + abs(value)",
        )
        for row in _most(rows, _error, "engine", "precision")
    ]


def _tests(rows: Sequence[Row]) -> list[Figure]:
    if not rows:
        return []
    others = sum(row["outcome"] != PASSED for row in rows)
    return [Figure("tests of a card that did not pass", others, 0, "lower", digits=0, note=f"of {len(rows)}")]


def _error(row: Row) -> float:
    return inf if isnan(row["error"]) else row["error"]


def _latency(rows: Sequence[Row]) -> list[Figure]:
    return [
        Figure(
            f"batch 1, {row['operation']}: p50 in µs",
            row["p50_us"],
            BATCH_ONE_US,
            "lower",
            digits=1,
            note=f"p99 {row['p99_us']:.0f}",
        )
        for row in rows
        if row["engine"] == ENGINES[1] and row["rows"] == 1
    ]


def _throughput(rows: Sequence[Row]) -> list[Figure]:
    """The best of the large batches of each operation of the mixture, in the precisions that have a goal."""
    large = [row for row in rows if row["kind"] == "call" and "seconds" in row and row["model"] == MIXTURE]
    large = [row for row in large if row["precision"] in SHARE]
    most = max((row["rows"] for row in large), default=0)
    large = [row for row in large if row["rows"] >= min(LARGE_ROWS, most)]
    return [
        Figure(
            f"{row['operation']}, large batch, {row['precision']}: share of the measured matrix rate",
            share(row),
            SHARE[row["precision"]],
            digits=3,
            note=f"at {row['rows']:,} rows{'; the goal is a stretch' if row['precision'] == 'bf16' else ''}",
        )
        for row in _most(large, share, "precision", "operation")
    ]


def _peers(rows: Sequence[Row]) -> list[Figure]:
    """The worst cell of each configuration: a goal that holds everywhere holds there."""
    made = []
    for configuration in dict.fromkeys(row["configuration"] for row in rows):
        all_cells = [row for row in rows if row["configuration"] == configuration]
        cells = [row for row in all_cells if row["seconds"]]
        left_out = f"; {len(all_cells) - len(cells)} cells were left out" if len(cells) < len(all_cells) else ""
        small = [ratio for row in cells if row["rows"] <= SMALL_ROWS for ratio in [_ratio(row, COMPILED)] if ratio]
        every = [ratio for row in cells for ratio in [_ratio(row, "")] if ratio]
        if small:
            quantity = f"peers, {configuration}, at most {SMALL_ROWS} rows: fastest torch.compile'd peer / condflow"
            made.append(_worst(quantity, small, PEERS_SMALL))
        if every:
            quantity = f"peers, {configuration}, everywhere: fastest peer in any way / condflow"
            made.append(_worst(quantity, every, 1.0, left_out))
    return made


def _ratio(row: Row, way: str) -> tuple[float, str] | None:
    """Seconds of the fastest peer (of those run this way; "": any) over ours, and what to say of the cell."""
    taken: dict[str, Any] = {
        name: seconds for name, seconds in row["seconds"].items() if name != OURS and (not way or name.endswith(way))
    }
    if not taken:
        return None
    best = min(taken, key=taken.__getitem__)
    return taken[best] / row["seconds"][OURS], f"{row['operation']}, {row['rows']:,} rows, {best}"


def _worst(quantity: str, ratios: Sequence[tuple[float, str]], goal: float, left_out: str = "") -> Figure:
    value, where = min(ratios)
    return Figure(quantity, value, goal, digits=2, note=f"worst cell: {where}{left_out}")


def _http(rows: Sequence[Row]) -> list[Figure]:
    return [
        Figure(
            f"{row['samples']:,} samples over HTTP, npz: seconds",
            row["seconds"],
            HTTP_S,
            "lower",
            digits=2,
            note=f"{row['bytes'] / 2**20:.1f} MiB",
        )
        for row in rows
        if row["kind"] == "many samples"
    ]


def _accuracy(rows: Sequence[Row]) -> list[Figure]:
    """A fit that ended below the accuracy took no time that would count."""
    made = []
    for row in rows:
        right = row["forward accuracy"]
        note = f"{right} after {row['epochs']} epochs, {row['s']} s, steps run {row['way']}"
        seconds = float(row["s"]) if right >= ACCURACY else inf
        quantity = f"{row['recipe']}: seconds of fitting to {ACCURACY} forward accuracy"
        made.append(Figure(quantity, seconds, ACCURACY_S, "lower", digits=1, note=note))
    return made

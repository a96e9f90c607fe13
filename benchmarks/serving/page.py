"""docs/results/serving.md: the goals, one table per part, how everyone was configured, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.record import Figure, Page, table
from benchmarks.serving.contestants import OVERLOAD_S, PEERS, Contestant
from benchmarks.serving.measure import (
    CONCURRENCIES,
    HEAVY_CLIENTS,
    HEAVY_ROWS,
    MANY_ROWS,
    NEIGHBOUR_ROWS,
    OVERLOAD,
    Raw,
)
from benchmarks.serving.plot import plot

OURS, NOOP = "condflow", "no-op FastAPI"
CHUNK_MS = 2.5
_STEADY = 1.2
_PEERS = tuple(contestant.name for contestant in PEERS)
PROTOCOL = f"""One flow behind everyone: conditional couplings, D = 2, one of 8 labels, 8 blocks with conditioners of
three hidden layers of 512 (4.25 million float32 weights, random). A request asks `POST /sample` for samples of one
label. JSON in and out unless npz is named. The server's processes share one core, what makes load has the other; one
worker or replica, dynamic batching on where there is any, one thread per process. condflow runs the exported graph in
ONNX Runtime, the peers run the model in torch as their documentation shows; *bare* is the engine called in a loop on
the server's core, measured right before each contestant, and for part c before and after it.

* **a**: 1 sample a request, closed loop by wrk (which corrects its percentiles for coordinated omission).
* **b**: 1 sample a request by one client in a closed loop, alone and beside another client that keeps asking for
  {NEIGHBOUR_ROWS:,}.
* **c**: {MANY_ROWS:,} samples in one request of one client.
* **d**: {HEAVY_ROWS} samples a request. Capacity is what {HEAVY_CLIENTS} clients get in a closed loop; then
  {OVERLOAD:g} times that, open loop by schedule, each latency counted from when the request was due. Goodput: answers
  within {OVERLOAD_S:g} s, as a share of capacity. Accepted: answered with 200.
* **e**: from the start of the process to the first answer with 200 to a request for 1 sample (median of the starts);
  proportional set size of all its processes then, and after part a."""


def page(contestants: Sequence[Contestant], raws: Mapping[str, Raw]) -> Page:
    """The page of everything that was measured."""
    blocks = [
        "## a. One row a request",
        table(["server", *_columns_a(), "wrk's share of its core"], _rows(contestants, raws, _row_a)),
        "## b. One row beside 10,000",
        table(
            ["server", "p99 alone, ms", "p99 beside, ms", "factor", "answers beside"], _rows(contestants, raws, _row_b)
        ),
        "With fewer than 100 answers the p99 is the slowest one.",
        f"## c. {MANY_ROWS:,} rows by one client",
        table(
            ["server", "JSON, s", "npz, s", "own bare engine, s", "bare / JSON", "bare / npz"],
            _rows(contestants, raws, _row_c),
        ),
        "## d. Three times more than it can do",
        table(
            [
                "server",
                "capacity, requests/s",
                "goodput / capacity",
                "p50 of accepted, ms",
                "p99 of accepted, ms",
                "what became of the requests",
            ],
            _rows(contestants, raws, _row_d),
        ),
        "## e. Start and memory",
        table(
            ["server", "ready, s", "starts, s", "memory when ready, MiB", "after part a, MiB"],
            _rows(contestants, raws, _row_e),
        ),
        "## The bare engines",
        "Milliseconds per call on the server's core right before each contestant. " + _steadiness(raws),
        table(
            ["before", *(f"{name}, {rows}" for name in ("ONNX", "torch") for rows in (1, 64, 1024))],
            _rows(contestants, raws, _row_bare),
        ),
        "## How everyone was configured",
        table(
            ["server", "versions", "settings", "measured"],
            [_row_settings(each, raws.get(each.name)) for each in contestants],
        ),
    ]
    failures = _failures(raws)
    if failures:
        blocks += ["## What failed", "\n".join(failures)]
    picture = plot(raws, (NOOP, OURS, *_PEERS))
    caption = "Left and middle: part a. Right: part b, the p99 of one-row requests alone and beside a large one"
    return Page(
        name="serving",
        title="The service beside its peers",
        command="make bench-serving",
        protocol=PROTOCOL,
        figures=figures(raws),
        seed=0,
        body="\n\n".join(blocks),
        pictures=[("serving.png", picture, caption)] if picture else (),
        packages=("onnxruntime", "torch", "fastapi", "uvicorn", "uvloop", "httptools"),
    )


def figures(raws: Mapping[str, Raw]) -> list[Figure]:
    """condflow's figures beside their goals, as far as both sides were measured."""
    found: list[Figure | None] = [_throughput(raws), _share_of_noop(raws)]
    found += [_latency(raws, count) for count in CONCURRENCIES]
    ours = raws.get(OURS, {})
    if "b" in ours:
        more = ours["b"]["beside"]["p99_ms"] - ours["b"]["alone"]["p99_ms"]
        note = f"1.5 chunks of {CHUNK_MS:g} ms; a row waits for one, and is computed in the next beside the large one"
        found.append(
            Figure("b: p99 beside 10,000 rows less p99 alone, ms", more, 1.5 * CHUNK_MS, "lower", digits=2, note=note)
        )
    if "npz" in ours.get("c", {}):
        share = _bare_seconds(OURS, ours) / ours["c"]["npz"]["seconds"]
        found.append(Figure("c: bare engine's time / npz answer's time", share, 0.85, digits=3))
    if "d" in ours:
        full, over = ours["d"]["capacity"], ours["d"]["overload"]
        compute = 1e3 * ours["bare"]["onnx"][str(HEAVY_ROWS)]
        note = f"one request is {compute:.1f} ms of the bare engine"
        found.append(
            Figure("d: goodput / capacity", over["in_time_per_s"] / full["requests_per_s"], 0.9, digits=3, note=note)
        )
    if "ready_s" in ours.get("e", {}):
        found.append(Figure("e: seconds from start to the first answer", ours["e"]["ready_s"], 1.5, "lower", digits=2))
    found.append(_memory(raws))
    return [figure for figure in found if figure is not None]


def _peers_with(raws: Mapping[str, Raw], *keys: str) -> list[tuple[str, Any]]:
    found = []
    for name in _PEERS:
        value: Any = raws.get(name, {})
        for key in keys:
            value = value.get(key, {})
        if value or value == 0.0:
            found.append((name, value))
    return found


def _throughput(raws: Mapping[str, Raw]) -> Figure | None:
    peers = [(value, name) for name, value in _peers_with(raws, "a", "64", "requests_per_s")]
    if not peers or "a" not in raws.get(OURS, {}):
        return None
    most, name = max(peers)
    ratio = raws[OURS]["a"]["64"]["requests_per_s"] / most
    return Figure("a: requests/s at 64 clients / best peer's", ratio, 4.0, digits=2, note=f"best peer {name}")


def _share_of_noop(raws: Mapping[str, Raw]) -> Figure | None:
    if "a" not in raws.get(OURS, {}) or "a" not in raws.get(NOOP, {}):
        return None
    noop, ours = (raws[name]["a"]["64"]["requests_per_s"] for name in (NOOP, OURS))
    engine = raws[OURS]["bare"]["onnx"]["64"] / 64
    bound = 1 / (1 / noop + engine)
    note = f"no-op and engine on one core one after the other would reach {bound / noop:.2f}"
    return Figure("a: requests/s at 64 clients / no-op's", ours / noop, 0.6, digits=2, note=note)


def _latency(raws: Mapping[str, Raw], count: int) -> Figure | None:
    peers = [(value, name) for name, value in _peers_with(raws, "a", str(count), "p99_ms")]
    if not peers or "a" not in raws.get(OURS, {}):
        return None
    least, name = min(peers)
    ratio = raws[OURS]["a"][str(count)]["p99_ms"] / least
    return Figure(f"a: p99 at {count} / best peer's", ratio, 1.0, "lower", digits=2, note=f"best peer {name}")


def _memory(raws: Mapping[str, Raw]) -> Figure | None:
    peers = [(value, name) for name, value in _peers_with(raws, "e", "loaded_mib")]
    if not peers or "loaded_mib" not in raws.get(OURS, {}).get("e", {}):
        return None
    least, name = min(peers)
    ratio = raws[OURS]["e"]["loaded_mib"] / least
    return Figure(
        "e: memory after part a / smallest peer's", ratio, 0.5, "lower", digits=2, note=f"smallest peer {name}"
    )


def _bare_seconds(name: str, raw: Raw) -> float:
    """What the contestant's engine takes for all rows in calls of its best size."""
    calls = raw["c"]["bare"]["torch" if name in _PEERS else "onnx"]
    return MANY_ROWS * min(seconds / int(rows) for rows, seconds in calls.items())


# --- tables: one line per contestant, as cells; None where the part was not measured ---------------------------------


def _rows(contestants: Iterable[Contestant], raws: Mapping[str, Raw], row: Any) -> list[list[str]]:
    lines = [(each.name, row(each.name, raws[each.name])) for each in contestants if each.name in raws]
    return [[name, *cells] for name, cells in lines if cells is not None]


def _columns_a() -> list[str]:
    return [f"{what} at {count}" for count in CONCURRENCIES for what in ("requests/s", "p50 / p99 / p99.9 ms")]


def _row_a(_name: str, raw: Raw) -> list[str] | None:
    if "a" not in raw:
        return None
    cells = []
    for count in CONCURRENCIES:
        cell = raw["a"][str(count)]
        failed = f" ({cell['failed']} failed)" if cell["failed"] else ""
        cells += [f"{cell['requests_per_s']:.0f}{failed}", _three(cell)]
    return [*cells, f"{max(raw['a'][str(count)]['generator_cpu'] for count in CONCURRENCIES):.0%}"]


def _three(cell: Raw) -> str:
    return " / ".join(f"{cell[name]:.1f}" for name in ("p50_ms", "p99_ms", "p999_ms"))


def _row_b(_name: str, raw: Raw) -> list[str] | None:
    if "b" not in raw:
        return None
    alone, beside = raw["b"]["alone"], raw["b"]["beside"]
    if "p99_ms" not in alone or "p99_ms" not in beside:
        return ["", f"none answered: {beside['statuses']}", "", ""]
    factor = beside["p99_ms"] / alone["p99_ms"]
    return [f"{alone['p99_ms']:.1f}", f"{beside['p99_ms']:.1f}", f"{factor:.1f}", str(beside["answers"])]


def _row_c(name: str, raw: Raw) -> list[str] | None:
    if "c" not in raw:
        return None
    bare = _bare_seconds(name, raw)
    seconds = [raw["c"].get(encoding, {}).get("seconds") for encoding in ("json", "npz")]
    texts = ["" if each is None else f"{each:.2f}" for each in seconds]
    return [*texts, f"{bare:.2f}", *("" if each is None else f"{bare / each:.2f}" for each in seconds)]


def _row_d(_name: str, raw: Raw) -> list[str] | None:
    if "d" not in raw:
        return None
    full, over = raw["d"]["capacity"], raw["d"]["overload"]
    share = over["in_time_per_s"] / full["requests_per_s"]
    became = ", ".join(f"{count} {status}" for status, count in sorted(over["statuses"].items()))
    accepted = [f"{over[name]:.0f}" if name in over else "none" for name in ("p50_ms", "p99_ms")]
    return [f"{full['requests_per_s']:.0f}", f"{share:.2f}", *accepted, became]


def _row_e(_name: str, raw: Raw) -> list[str] | None:
    if "ready_s" not in raw.get("e", {}):
        return None
    e = raw["e"]
    starts = ", ".join(f"{each:.2f}" for each in e["starts_s"])
    memory = [f"{e[name]:.0f}" if name in e else "" for name in ("ready_mib", "loaded_mib")]
    return [f"{e['ready_s']:.2f}", starts, *memory]


def _row_bare(_name: str, raw: Raw) -> list[str] | None:
    if "bare" not in raw:
        return None
    return [f"{1e3 * raw['bare'][engine][str(rows)]:.2f}" for engine in ("onnx", "torch") for rows in (1, 64, 1024)]


def _steadiness(raws: Mapping[str, Raw]) -> str:
    calls = [raw["bare"]["onnx"]["64"] for raw in raws.values() if "bare" in raw]
    if not calls:
        return ""
    spread = max(calls) / min(calls)
    said = f"At 64 rows the slowest ONNX call took {spread:.2f} times the fastest"
    return (
        f"{said}." if spread <= _STEADY else f"{said}: **the machine was not quiet, so these figures are provisional.**"
    )


def _row_settings(contestant: Contestant, raw: Raw | None) -> list[str]:
    if raw is None:
        return [contestant.name, "", contestant.settings, "not measured"]
    measured = f"{raw['when']}, {raw['seconds']:g} s a cell, commit {raw['commit']}"
    return [contestant.name, raw["versions"], contestant.settings, measured]


def _failures(raws: Mapping[str, Raw]) -> list[str]:
    return [
        f"- {name}, {'start' if part == 'start' else f'part {part}'}: `{said.replace('`', '')}`"
        for name, raw in raws.items()
        for part, said in raw["errors"].items()
    ]

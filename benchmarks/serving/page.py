"""docs/results/serving.md: the goals, one table per part, how everyone was configured, and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from benchmarks.record import Page, table
from benchmarks.serving.contestants import NOOP, OURS, OVERLOAD_S, PEERS, Contestant
from benchmarks.serving.goals import bare, capacity, figures, goodput, rate
from benchmarks.serving.measure import (
    BARE_ROWS,
    CONCURRENCIES,
    ENGINES,
    HEAVY_CLIENTS,
    HEAVY_ROWS,
    MANY_ROWS,
    NEIGHBOUR_ROWS,
    OVERLOAD,
)
from benchmarks.serving.plot import plot
from benchmarks.serving.rounds import (
    Raw,
    Raws,
    Reading,
    Record,
    at,
    failures,
    middle,
    over_rounds,
    per_round,
    ratio,
    records,
)

_STEADY = 1.2
Line = list[str] | None
PROTOCOL = f"""One flow behind everyone: conditional couplings, D = 2, one of 8 labels, 8 blocks with conditioners of
three hidden layers of 512 (4.25 million float32 weights, random). A request asks `POST /sample` for samples of one
label. JSON in and out unless npz is named. The server's processes share one core, what makes load has the other; one
worker or replica, dynamic batching on where there is any, one thread per process. condflow runs the exported graph in
ONNX Runtime, the peers run the model in torch as their documentation shows; *bare* is the engine called in a loop on
the server's core.

All is measured in rounds: part after part, and in each part server after server, each started for it, so that part a
of all of them lies within a few minutes. Machines drift by more than that in the time that all parts of one server
take; so a ratio is formed within a round, a figure is the median of its rounds, and its note says the smallest and
the largest. Cells of the tables are medians over rounds, too. Peers are in every round in part a, and in the first
round in the other parts, where no goal compares them.

* **a**: 1 sample a request, closed loop by wrk (which corrects its percentiles for coordinated omission).
* **b**: 1 sample a request by one client in a closed loop, alone and beside another client that keeps asking for
  {NEIGHBOUR_ROWS:,}.
* **c**: {MANY_ROWS:,} samples in one request of one client; the bare engine before and after each answer.
* **d**: {HEAVY_ROWS} samples a request. Capacity is what {HEAVY_CLIENTS} clients get in a closed loop; then
  {OVERLOAD:g} times that, open loop by schedule, each latency counted from when the request was due. Goodput: answers
  within {OVERLOAD_S:g} s, as a share of capacity (condflow's is the mean of two, before the overload and after it; a
  peer's was measured before it, since some leave a queue behind). Accepted: answered with 200.
* **e**: from the start of the process to the first answer with 200 to a request for 1 sample;
  proportional set size of all its processes then, and after part a."""


def page(contestants: Sequence[Contestant], raws: Raws) -> Page:
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
            ["server", "JSON, s", "npz, s", "own bare engine, s: JSON", "npz", "bare / JSON", "bare / npz"],
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
                "what became of the requests, all rounds",
            ],
            _rows(contestants, raws, _row_d),
        ),
        "## e. Start and memory",
        table(
            ["server", "ready, s", "starts, s", "memory when ready, MiB", "after part a, MiB"],
            _rows(contestants, raws, _row_e),
        ),
        "## The bare engines",
        "Milliseconds per call on the server's core right before each contestant's part a. " + _steadiness(raws),
        table(
            ["before", *(f"{name}, {rows}" for name in ("ONNX", "torch") for rows in BARE_ROWS)],
            _rows(contestants, raws, _row_bare),
        ),
        "## How everyone was configured",
        table(
            ["server", "versions", "settings", "measured"],
            [_row_settings(each, raws.get(each.name)) for each in contestants],
        ),
    ]
    failed = _failures(raws)
    if failed:
        blocks += ["## What failed", "\n".join(failed)]
    picture = plot(raws, (NOOP.name, OURS, *(peer.name for peer in PEERS)))
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


# --- tables: one line per contestant, as cells; None where the part was not measured ---------------------------------


def _rows(contestants: Iterable[Contestant], raws: Raws, row: Callable[[Raws, str], Line]) -> list[list[str]]:
    lines = [(each.name, row(raws, each.name)) for each in contestants]
    return [[name, *cells] for name, cells in lines if cells is not None]


def _cell(raws: Raws, name: str, part: str, reading: Reading, digits: int = 0, none: str = "") -> str:
    value = over_rounds(raws, name, part, reading)
    return none if value is None else f"{value:.{digits}f}"


def _columns_a() -> list[str]:
    return [f"{what} at {count}" for count in CONCURRENCIES for what in ("requests/s", "p50 / p99 / p99.9 ms")]


def _row_a(raws: Raws, name: str) -> Line:
    found = records(raws, name, "a").values()
    if not found:
        return None
    cells = []
    for count in map(str, CONCURRENCIES):
        failed = sum(record["cells"][count]["failed"] for record in found)
        latencies = [_cell(raws, name, "a", at("cells", count, f"{each}_ms"), 1) for each in ("p50", "p99", "p999")]
        cells += [_cell(raws, name, "a", rate(int(count))) + (f" ({failed} failed)" if failed else "")]
        cells += [" / ".join(latencies)]
    share = max(cell["generator_cpu"] for record in found for cell in record["cells"].values())
    return [*cells, f"{share:.0%}"]


def _row_b(raws: Raws, name: str) -> Line:
    found = records(raws, name, "b")
    if not found:
        return None
    alone, beside = at("alone", "p99_ms"), at("beside", "p99_ms")
    if not per_round(raws, name, "b", ratio(beside, alone)):
        return ["", f"none answered: {found[max(found)]['beside']['statuses']}", "", ""]
    cells = [_cell(raws, name, "b", reading, 1) for reading in (alone, beside, ratio(beside, alone))]
    return [*cells, _cell(raws, name, "b", at("beside", "answers"))]


def _row_c(raws: Raws, name: str) -> Line:
    if not records(raws, name, "c"):
        return None
    encodings = ("json", "npz")
    seconds = {encoding: at(encoding, "seconds") for encoding in encodings}
    return [
        *(_cell(raws, name, "c", seconds[encoding], 2) for encoding in encodings),
        *(_cell(raws, name, "c", bare(encoding), 2) for encoding in encodings),
        *(_cell(raws, name, "c", ratio(bare(encoding), seconds[encoding]), 2) for encoding in encodings),
    ]


def _row_d(raws: Raws, name: str) -> Line:
    found = records(raws, name, "d").values()
    if not found:
        return None
    became: Counter[str] = Counter()
    for record in found:
        became.update(record["overload"]["statuses"])
    return [
        _cell(raws, name, "d", capacity),
        _cell(raws, name, "d", goodput, 2),
        *(_cell(raws, name, "d", at("overload", each), none="none") for each in ("p50_ms", "p99_ms")),
        ", ".join(f"{count} {status}" for status, count in sorted(became.items())),
    ]


def _row_e(raws: Raws, name: str) -> Line:
    starts = per_round(raws, name, "e", at("ready_s"))
    if not starts:
        return None
    each = ", ".join(f"{start:.2f}" for start in starts.values())
    memory = [_cell(raws, name, "e", at("ready_mib")), _cell(raws, name, "a", at("loaded_mib"))]
    return [_cell(raws, name, "e", at("ready_s"), 2), each, *memory]


def _row_bare(raws: Raws, name: str) -> Line:
    if not records(raws, name, "a"):
        return None
    return [_cell(raws, name, "a", _milliseconds(engine, rows), 2) for engine in ENGINES for rows in BARE_ROWS]


def _milliseconds(engine: str, rows: int) -> Reading:
    def reading(record: Record) -> float | None:
        return 1e3 * record["bare"][engine][str(rows)]

    return reading


def _steadiness(raws: Raws) -> str:
    """How far calls lie apart within a round, which ratios feel, and over all rounds, which they do not."""
    calls: dict[int, list[float]] = {}
    for name in raws:
        for number, call in per_round(raws, name, "a", _milliseconds("onnx", 64)).items():
            calls.setdefault(number, []).append(call)
    spreads = [max(calls[number]) / min(calls[number]) for number in sorted(calls)]
    usual = middle(spreads)
    if usual is None:
        return ""
    every = [call for found in calls.values() for call in found]
    said = f"At 64 rows the slowest ONNX call of a round took {', '.join(f'{each:.2f}' for each in spreads)} times the "
    said += f"fastest, and that of all rounds {max(every) / min(every):.2f} times"
    return f"{said}." if usual <= _STEADY else f"{said}: **rounds were not quiet, so these figures are provisional.**"


def _row_settings(contestant: Contestant, raw: Raw | None) -> list[str]:
    if not raw:
        return [contestant.name, "", contestant.settings, "not measured"]
    runs: dict[str, list[str]] = {}
    for part, kept in sorted(raw.items()):
        run = f"{kept['when']}, {kept['seconds']:g} s a cell, commit {kept['commit']}"
        runs.setdefault(run, []).append(f"{part} {len(kept['rounds'])}")
    measured = "; ".join(f"{run}, rounds: {', '.join(parts)}" for run, parts in runs.items())
    versions = dict.fromkeys(kept["versions"] for kept in raw.values())
    return [contestant.name, "; ".join(versions), contestant.settings, measured]


def _failures(raws: Raws) -> list[str]:
    return [
        f"- {name}, {', '.join(where)}: `{said.replace('`', '')}`"
        for name, raw in raws.items()
        for said, where in failures(raw).items()
    ]

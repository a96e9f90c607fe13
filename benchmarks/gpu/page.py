"""docs/results/gpu.md: goals first, then one table per part, and the plot of rows per second against the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.gpu.floors import Floor
from benchmarks.gpu.goals import figures, rows_of, share
from benchmarks.gpu.kept import Kept
from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.plot import plot
from benchmarks.record import Page, table

PROTOCOL = """Every engine call goes from arrays on the host to arrays on the host, so that transfers count, for peers
as well. Latencies and calls: the host's clock around single calls, after warm-ups, medians; contestants take turns in
one process (lower quartile of the rounds). Rates: CUDA events around products and copies of random data, medians. The
floor of a call is the largest of FLOPs over the measured matrix rate (each product's in its own precision: in bf16 the
last layers of the conditioners stay in float32), bytes (weights, inputs, outputs, each once) over the measured copy
rate, and bytes over the measured bus rates. Versions are loaded and warmed up as the service does
it, on a card with programs captured as CUDA graphs and compiled where that measured faster in the time it allows.
Weights are untrained and inputs random unless a part says otherwise: neither changes what is measured. The mixture is
the joint flow of 2 + 8 dimensions with 8 labels; affine is a conditional flow on 64 numbers."""


def page(plan: Plan, found: Sequence[Kept], parts: Sequence[str]) -> Page:
    """The page of the parts that are there; it names those that failed or were not run.

    Of one that failed the rows that it left are shown, but nothing is concluded from them.
    """
    done = {kept.part: kept.rows for kept in found if not kept.error}
    failed = [f"- **{kept.part} failed**: {kept.error}" for kept in found if kept.error]
    failed += [f"- {part} was not run" for part in parts if part not in {kept.part for kept in found}]
    device = found[0].facts["device"] if found else plan.device
    blocks = ["\n".join(failed)] if failed else []
    for kept in found:
        if kept.rows:
            title = f"## {kept.part}{', unfinished' if kept.error else ''}"
            blocks += [title, _TABLES.get(kept.part.split("-")[0], plain)(kept.rows)]
    picture = plot(rows_of(done, "throughput"), device)
    caption = "Rows per second of engine calls (lines) against the floor of each (dashed)"
    return Page(
        name="gpu",
        title=f"On {device}" if plan.card else "The script of a card, exercised on a CPU with tiny sizes",
        command=f"{'' if plan.card else 'DEVICE=cpu '}benchmarks/gpu.sh",
        protocol=PROTOCOL,
        figures=figures(done, plan.card),
        seed=0,
        body="\n\n".join(blocks),
        pictures=() if picture is None else (("gpu.png", picture, caption),),
        facts=_facts(plan, found),
    )


def _facts(plan: Plan, found: Sequence[Kept]) -> dict[str, str]:
    """Where the parts ran; what differs between them is listed once each."""
    keys = dict.fromkeys(key for kept in found for key in kept.facts if key != "when")
    facts = {"commit": plan.source}
    facts |= {key: "; ".join(dict.fromkeys(kept.facts[key] for kept in found if key in kept.facts)) for key in keys}
    times = sorted(kept.facts["when"] for kept in found)
    return facts | ({"when": f"{times[0]} to {times[-1]}"} if times else {})


def plain(rows: Sequence[Row]) -> str:
    """Any rows as a table; numbers with four digits."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return table(
        [column.replace("_", " ") for column in columns], [[_cell(row.get(c, "")) for c in columns] for row in rows]
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _throughput(rows: Sequence[Row]) -> str:
    rates = [row for row in rows if row["kind"] == "rates"]
    lines = [
        f"A product of {row['side']:,} x {row['side']:,}: "
        + ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {name}" for name, rate in row["matrix"].items())
        + f"; copies: {row['copy'] / 1e9:.4g} GB/s within the device (read and written bytes), "
        f"{row['to_device'] / 1e9:.3g} GB/s to it, {row['to_host'] / 1e9:.3g} GB/s from it."
        for row in rates
    ]
    header = ["model", "operation", "precision", "rows", "ms", "rows/s", "floor ms", "floor is", "call / floor"]
    header += ["share of matrix rate"]
    return "\n\n".join([*lines, table(header, [_call(row) for row in rows if row["kind"] == "call"])])


def _call(row: Row) -> list[str]:
    named = [row["model"], row["operation"], row["precision"], f"{row['rows']:,}"]
    if "seconds" not in row:
        return [*named, row["note"], "", "", "", "", ""]
    floor = Floor.of(row)
    seconds = row["seconds"]
    rates = [f"{seconds * 1e3:.4g}", f"{row['rows'] / seconds:,.0f}", f"{floor.seconds * 1e3:.3g}", floor.term]
    return [*named, *rates, f"{seconds / floor.seconds:.1f}", f"{share(row):.1%}"]


def _peers(rows: Sequence[Row]) -> str:
    """Microseconds of everyone, one line per cell; notes below."""
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    header = ["operation", "rows", *names, "floor"]
    lines = [
        [
            row["operation"],
            f"{row['rows']:,}",
            *(f"{row['seconds'][name] * 1e6:.1f}" if name in row["seconds"] else "" for name in names),
            "" if row["floor"] is None else f"{row['floor'] * 1e6:.2f}",
        ]
        for row in sorted(rows, key=lambda row: row["rows"])
    ]
    notes = dict.fromkeys(f"- {name}: {note}" for row in rows for name, note in row["notes"].items())
    return "\n\n".join(["Microseconds per call.", table(header, lines), *(["\n".join(notes)] if notes else [])])


def _http(rows: Sequence[Row]) -> str:
    header = ["request", "clients", "requests/s", "p50 ms", "p99 ms", "share of its core that the generator used"]
    lines = [
        [
            f"{row['path']}, 1 row",
            str(row["clients"]),
            f"{row['requests_per_s']:.0f}",
            f"{row['p50_ms']:.3f}",
            f"{row['p99_ms']:.3f}",
            f"{row['generator_cpu']:.0%}",
        ]
        for row in rows
        if row["kind"] == "one row"
    ]
    large = [
        f"{row['samples']:,} samples in npz: {row['seconds']:.2f} s (median of three), {row['bytes']:,} bytes."
        for row in rows
        if row["kind"] == "many samples"
    ]
    return "\n\n".join([table(header, lines), *large])


def _noise(rows: Sequence[Row]) -> str:
    said = "Milliseconds by way and count of normals; last, how many numbers of both generators lie how far apart."
    return f"{said}\n\n{plain(rows)}"


_TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "throughput": _throughput,
    "peers": _peers,
    "noise": _noise,
    "http": _http,
}

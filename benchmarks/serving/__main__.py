"""`python -m benchmarks.serving`: the same flow behind condflow and its peers; writes docs/results/serving.md."""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.record import commit
from benchmarks.serving.contestants import chosen
from benchmarks.serving.measure import PARTS, Bench, plan
from benchmarks.serving.page import page
from benchmarks.serving.rounds import keep, read
from benchmarks.serving.subject import publish, unpack

FOLDER = Path("runs/serving")


def main(
    only: Annotated[str, typer.Option(help="Parts to measure, of a,b,c,d,e; the others stay as they are.")] = "",
    peers: Annotated[str, typer.Option(help="Contestants to measure, by name; the others stay as they are.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="How often all is measured; figures are medians over these.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of one cell.")] = 4.0,
    missing: Annotated[bool, typer.Option(help="Measure only the contestants' parts that nothing is kept of.")] = False,
    peers_python: Annotated[Path, typer.Option(help="The Python that has the peers.")] = Path(".venv-peers/bin/python"),
) -> None:
    """Measure every contestant in rounds, and write the page from all that is kept in runs/serving/rounds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended, as after Ctrl-C
    console = Console()
    parts = [part for part in PARTS if not only or part in only.split(",")]
    store = publish(FOLDER / "store").absolute()
    flow = unpack(store, FOLDER / "flow").absolute()
    bench = Bench(FOLDER, store, flow, peers_python.absolute(), seconds)
    contestants = chosen([name for name in peers.split(",") if name], store)
    kept, everyone = FOLDER / "rounds", chosen([], store)
    before = read(kept, [each.name for each in everyone])
    run = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds, "commit": commit()}
    about = {each.name: {**run, "versions": bench.versions(each)} for each in contestants}
    for number, part, contestant in plan(contestants, parts, rounds):
        name = contestant.name
        if missing and part in before.get(name, {}):
            continue
        started = time.perf_counter()
        record = bench.measure(contestant, part)
        keep(kept, name, part, number, about[name], record)
        took = f"{time.perf_counter() - started:.0f} s"
        console.print(
            f"round {number + 1}, part {part}, {name}: {took}, {record.get('error', 'no error')}", markup=False
        )
    written = page(everyone, read(kept, [each.name for each in everyone])).write()
    console.print(written.read_text(), markup=False)


if __name__ == "__main__":
    typer.run(main)

"""`python -m benchmarks.serving`: the same flow behind condflow and its peers; writes docs/results/serving.md."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.serving.contestants import chosen
from benchmarks.serving.measure import PARTS, Bench
from benchmarks.serving.page import page
from benchmarks.serving.subject import publish, unpack

FOLDER = Path("runs/serving")


def main(
    only: Annotated[str, typer.Option(help="Parts to measure, of a,b,c,d,e; the others stay as they are.")] = "",
    peers: Annotated[str, typer.Option(help="Contestants to measure, by name; the others stay as they are.")] = "",
    seconds: Annotated[float, typer.Option(min=1, help="Length of one cell.")] = 6.0,
    missing: Annotated[bool, typer.Option(help="Measure only contestants that have no raw results yet.")] = False,
    peers_python: Annotated[Path, typer.Option(help="The Python that has the peers.")] = Path(".venv-peers/bin/python"),
) -> None:
    """Measure every contestant and write the page from all raw results in runs/serving."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended, as after Ctrl-C
    console = Console()
    parts = [part for part in PARTS if not only or part in only.split(",")]
    store = publish(FOLDER / "store").absolute()
    flow = unpack(store, FOLDER / "flow").absolute()
    bench = Bench(FOLDER, store, flow, peers_python.absolute(), seconds)
    raws = FOLDER / "raw"
    raws.mkdir(parents=True, exist_ok=True)
    for contestant in chosen([name for name in peers.split(",") if name], store):
        target = raws / f"{contestant.name}.json"
        if missing and target.exists():
            continue
        console.print(f"{contestant.name}: parts {', '.join(parts)}")
        before = json.loads(target.read_text()) if target.exists() and only else {}
        raw = bench.measure(contestant, parts)
        target.write_text(json.dumps({**before, **raw}, indent=1))
        console.print(f"  took {raw['took_s']:.0f} s; {raw['errors'] or 'no errors'}")
    found = {contestant.name: raws / f"{contestant.name}.json" for contestant in chosen([], store)}
    measured = {name: json.loads(path.read_text()) for name, path in found.items() if path.exists()}
    written = page(chosen([], store), measured).write()
    console.print(written.read_text(), markup=False)


if __name__ == "__main__":
    typer.run(main)

"""`python -m benchmarks.soak [MINUTES] [--output FOLDER]`; 1 where a goal is missed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.record import PAGES
from benchmarks.soak.page import page
from benchmarks.soak.run import soak


def main(
    minutes: Annotated[float, typer.Argument(min=0.5, help="How long.")] = 30.0,
    output: Annotated[Path, typer.Option(help="Folder of the page")] = PAGES,
) -> None:
    """Soak the service and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), 60 * minutes)
    result = page(found, f"benchmarks/soak.sh {minutes:g}")
    typer.echo(result.render())
    typer.echo(f"written: {result.write(output)}")
    raise typer.Exit(any(figure.reached is False for figure in result.figures))


if __name__ == "__main__":
    typer.run(main)

"""`python -m benchmarks.figures ROW`: measure one of the promised figures and write its page into docs/results."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import calibration as calibration_row
from benchmarks.figures import epsilon as epsilon_row
from benchmarks.figures import labels as labels_row
from benchmarks.figures.fidelity import GOALS as IMAGE_SETS
from benchmarks.figures.fidelity import fidelity as fidelity_row
from benchmarks.figures.fit_times import fit_times as fit_times_row
from benchmarks.figures.mixture import mixture as mixture_row
from benchmarks.figures.style import style as style_row
from benchmarks.figures.subject import Subject, Unmeasurable, present, subject
from benchmarks.record import PAGES, Page
from model_store import Store, StoreError
from training.errors import TrainingError
from training.recipe import setting

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
StorePath = Annotated[Path, typer.Option("--store", help="The model store")]
Output = Annotated[Path, typer.Option("--output", help="Where the page goes")]
Runs = Annotated[Path, typer.Option("--runs", help="Where networks that are fitted on the way are kept")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of samples")]
RECIPES = ("gaussian-mixture", "digits", "digits-upscale", "mnist-cinn", *labels_row.GOALS)
MODELS, RESULTS, RUNS = Path("models"), PAGES, Path("runs/figures")


@app.command()
def mixture(
    reference: Annotated[str, typer.Argument(metavar="NAME[@V]")] = "gaussian-mixture",
    store: StorePath = MODELS,
    output: Output = RESULTS,
    seed: Seed = 0,
    points: Annotated[int, typer.Option(help="Fresh points per class and side of the two-sample test")] = 10_000,
) -> None:
    """Row 1: the mixture's posterior against the truth."""
    with ExitStack() as stack:
        found = stack.enter_context(subject(Store.open(store), reference))
        _write(mixture_row(found, _command(), seed, points), output)


@app.command()
def labels(store: StorePath = MODELS, output: Output = RESULTS, seed: Seed = 0) -> None:
    """Rows 2 and 3: accuracy of the label by the forward pass."""
    with ExitStack() as stack:
        _write(labels_row.labels(_all(stack, store, tuple(labels_row.GOALS)), _command(), seed), output)


@app.command()
def calibration(store: StorePath = MODELS, output: Output = RESULTS, seed: Seed = 0) -> None:
    """Row 4: calibration of inferred labels; takes the fits that `epsilon` left in the store into account."""
    opened = Store.open(store)
    with ExitStack() as stack:
        groups = {}
        for name in present(opened, tuple(calibration_row.GOALS)):
            others = [other for other in opened.models() if other.startswith(f"{name}-eps-")]
            groups[name] = [stack.enter_context(subject(opened, each)) for each in (name, *others)]
        _write(calibration_row.calibration(groups, _command(), seed), output)


@app.command()
def epsilon(
    recipe: Annotated[str, typer.Argument(help="A recipe of the joint family, or of a latent one with a joint flow")],
    values: Annotated[list[float], typer.Option("--value", help="An eps to try; repeatable")],
    store: StorePath = MODELS,
    output: Output = RESULTS,
    runs: Runs = RUNS,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of the recipe, key=value")] = None,
) -> None:
    """For row 4: fit RECIPE at several eps, publish each as RECIPE-eps-VALUE, choose by validation label NLL."""
    overrides = dict(setting(text) for text in settings or [])
    _write(epsilon_row.epsilon(Store.open(store), recipe, values, overrides, runs, _command()), output)


@app.command()
def fidelity(
    store: StorePath = MODELS,
    output: Output = RESULTS,
    runs: Runs = RUNS,
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(help="Samples per version")] = 10_000,
    epochs: Annotated[int, typer.Option(help="Epochs of the referee")] = 8,
) -> None:
    """Row 5: class-conditional samples before an independent classifier."""
    with ExitStack() as stack:
        found = _all(stack, store, tuple(IMAGE_SETS))
        _write(fidelity_row(found, runs, _command(), seed, samples, epochs), output)


@app.command()
def style(
    reference: Annotated[str, typer.Argument(metavar="NAME[@V]")] = "mnist",
    store: StorePath = MODELS,
    output: Output = RESULTS,
    seed: Seed = 0,
    latents: Annotated[int, typer.Option(help="Latents that every label shares")] = 1000,
) -> None:
    """Row 6: the same latents as ten labels."""
    with ExitStack() as stack:
        found = stack.enter_context(subject(Store.open(store), reference))
        _write(style_row(found, _command(), seed, latents), output)


@app.command("fit-times")
def fit_times(
    recipes: Annotated[
        list[str] | None, typer.Argument(help="Names or files; default: those behind the figures")
    ] = None,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of every phase that are fitted")] = 3,
    output: Output = RESULTS,
) -> None:
    """How long whole fits take, from a few epochs of every phase."""
    _write(fit_times_row(recipes or RECIPES, epochs, _command()), output)


def _all(stack: ExitStack, store: Path, names: tuple[str, ...]) -> list[Subject]:
    opened = Store.open(store)
    return [stack.enter_context(subject(opened, name)) for name in present(opened, names)]


def _write(page: Page, folder: Path) -> None:
    target = page.write(folder)
    typer.echo(target.read_text())
    typer.echo(f"written: {target}")


def _command() -> str:
    """The command line as it can be typed again; stores elsewhere are named by their folder alone."""
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "benchmarks.figures", *words])


def main() -> None:
    """Run; what a person can put right is one line."""
    try:
        app()
    except (Unmeasurable, TrainingError, StoreError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The command line: fit, evaluate, list, show. What a person can put right is said in one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from model_store.errors import StoreError
from training import recipe as recipes
from training.annotated import annotated
from training.errors import TrainingError, plain

app = typer.Typer(
    help="Fit conditional normalizing flows from recipes, evaluate them and publish them into a model store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
console = Console()

Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key of the recipe: --set fit.epochs=3 (YAML values)")
]
Folder = Annotated[Path, typer.Option("--store", help="The model store", envvar="CONDFLOW_STORE")]


@app.command()
def fit(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `list`), or a YAML file")],
    settings: Settings = None,
    store: Folder = Path("models"),
    publish: Annotated[str | None, typer.Option("--publish", help="Evaluate, then publish under this name")] = None,
    init: Annotated[str | None, typer.Option("--init", help="Start from the weights of NAME or NAME@VERSION")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the fit in the run folder")] = False,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda")] = "cpu",
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="Run folder [runs/<recipe>[-<data>]]")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Table: a .csv, .parquet or .npz file")] = None,
    x: Annotated[str | None, typer.Option("--x", help="Table: columns or arrays of x, with commas between")] = None,
    condition: Annotated[str | None, typer.Option("--condition", help="Table: those of the condition")] = None,
) -> None:
    """Fit a recipe; with --publish evaluate the exported version and publish it."""
    with _refusals():
        _fit(_recipe(recipe, settings, data, x, condition), store, publish, init, resume, device, run_dir)


def _fit(
    chosen: recipes.Recipe,
    store_path: Path,
    publish: str | None,
    init: str | None,
    resume: bool,
    device: str,
    run_dir: Path | None,
) -> None:
    from inference.memory import keep_freed_blocks
    from model_store import Store
    from model_store.errors import BadName
    from model_store.names import check_name
    from training import datasets
    from training.callbacks import Interrupted
    from training.describing import describe
    from training.fit import fit as run
    from training.folders import default_folder, fits_beside, refuse_no_folder
    from training.keeping import RUN, kept
    from training.progress import ProgressBar
    from training.publishing import publish as publish_version
    from training.publishing import warm_weights

    keep_freed_blocks()
    store = Store.open(store_path)
    if publish is not None:
        try:
            check_name(publish)
        except BadName as error:
            raise TrainingError(f"--publish: {error}") from error
    dataset = datasets.load(chosen.data)
    describe(dataset, console)
    initial = None
    parents: tuple[str, ...] = ()
    if init is not None:
        try:
            initial, parent = warm_weights(store, init)
        except StoreError as error:
            raise TrainingError(f"--init {init}: {error}") from error
        parents = (parent,)
    folder = run_dir or default_folder(chosen, dataset)
    refuse_no_folder("--run-dir", folder)
    if resume and run_dir is None and not (folder / RUN).exists() and (others := fits_beside(folder, chosen, RUN)):
        named = ", ".join(map(str, others))
        raise TrainingError(f"--resume: there is no fit of these data in {folder}; --run-dir names another: {named}")
    try:
        fitted = run(
            chosen,
            dataset,
            folder,
            device=device,
            resume=resume,
            initial=initial,
            callbacks=[ProgressBar(console, chosen.name)],
            say=lambda text: console.print(f"[yellow]{escape(text)}[/]"),
        )
    except Interrupted as error:
        console.print(f"{escape(str(error))}. Go on with the same command and [bold]--resume[/] (run folder {folder})")
        raise typer.Exit(130) from None
    entropy = "" if dataset.truth is None else f" (true entropy {dataset.truth.entropy:.4f})"
    console.print(f"fitted in {fitted.seconds:.0f} s, validation loss {fitted.validation_loss:.4f} nats{entropy}")
    if publish is None:
        console.print(f"weights and history are in {folder}; [bold]--publish NAME --resume[/] publishes them")
        return
    as_run = recipes.as_run(chosen, fitted.ways)
    with kept(folder), console.status("exporting and evaluating"):
        manifest = publish_version(
            fitted.model, as_run, dataset, store, publish, histories=fitted.histories, parents=parents
        )
    _metrics(manifest.metrics)
    console.print(f"published [bold]{manifest.name}@{manifest.version}[/] ({manifest.digest[:12]}) into {store_path}")


@app.command()
def evaluate(
    reference: Annotated[str, typer.Argument(metavar="NAME[@V]", help="A version: NAME, NAME@3 or NAME@champion")],
    settings: Settings = None,
    store: Folder = Path("models"),
    data: Annotated[Path | None, typer.Option("--data", help="Table: where its file lies")] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write card, pictures and tables here")] = None,
) -> None:
    """Evaluate a published version anew, on the data set of its recipe."""
    with _refusals():
        _evaluate(reference, settings, store, data, output)


def _evaluate(
    reference: str, settings: list[str] | None, store_path: Path, data: Path | None, output: Path | None
) -> None:
    from inference.errors import LoadError
    from model_store import Store
    from training import datasets
    from training.evaluation.evaluate import evaluate as run
    from training.folders import refuse_no_folder
    from training.keeping import AFTER_A_FIT
    from training.publishing import histories_of, load_reference

    if output is not None:
        refuse_no_folder("--output", output)
    store = Store.open(store_path)
    try:
        loaded, manifest = load_reference(store, reference)
    except (StoreError, LoadError) as error:
        raise TrainingError(f"{reference}: {error}") from error
    if manifest.family == "onnx":
        raise TrainingError(f"{reference} was published from ONNX graphs (publish-onnx): it has no recipe to evaluate")
    content = dict(manifest.lineage.config)
    if not content:
        raise TrainingError(f"{reference} was not fitted from a recipe: its data set is not known")
    overrides = _settings(settings)
    file = content["data"].get("file")
    if data is not None:
        if file is None:
            raise TrainingError(f"--data goes with versions of tables, {reference} has its own data")
        overrides = {"data.file": str(data), **overrides}
    chosen = recipes.check(recipes.changed(content, overrides))
    if file is not None and "data.file" not in overrides and not Path(file).is_file():
        raise TrainingError(f"{reference} was fitted to {file}, which is not here; --data FILE says where it lies")
    dataset = datasets.load(chosen.data)
    if dataset.digest != manifest.lineage.data_digest:
        console.print("[yellow]the data are not those that the version was fitted to[/]")
    with console.status("evaluating"):
        try:
            histories = histories_of(store, manifest)
            evaluation = run(loaded, dataset, chosen.evaluation, histories=histories, seed=chosen.seed)
        except AFTER_A_FIT as error:
            raise TrainingError(f"{reference}: {plain(error)}") from error
    _metrics(evaluation.metrics)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for path, content_bytes in evaluation.files.items():
            (output / path).write_bytes(content_bytes)
        console.print(f"card and pictures are in {output}")


@app.command()
def precision(
    reference: Annotated[str, typer.Argument(metavar="NAME[@V]", help="A version: NAME, NAME@3 or NAME@champion")],
    store: Folder = Path("models"),
) -> None:
    """Publish a version again with what TF32 and bf16 do to its answers, without which a card serves it in float32."""
    with _refusals():
        _precision(reference, store)


def _precision(reference: str, store_path: Path) -> None:
    from inference.engine import EngineError
    from inference.errors import LoadError
    from model_store import Store
    from training.precision_record import record_precisions

    store = Store.open(store_path)
    name, _, version = reference.partition("@")
    try:
        manifest = record_precisions(store, store.resolve(name, version or None))
    except (LoadError, EngineError) as error:
        raise TrainingError(f"{reference}: {error}") from error
    for of, errors in manifest.precision_errors.items():
        worst = max(error.max_rel for error in errors.values())
        console.print(f"{of}: off by at most {worst:.1%} of the largest answer")
    console.print(f"published [bold]{manifest.name}@{manifest.version}[/] ({manifest.digest[:12]}) into {store_path}")


@app.command("list")
def list_recipes() -> None:
    """The recipes that come with the package."""
    table = Table("recipe", "family", "about", box=None)
    for name in recipes.names():
        content = recipes.content_of(name)
        table.add_row(name, content["model"]["family"], content["about"])
    console.print(table)


@app.command()
def show(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML file")], settings: Settings = None
) -> None:
    """A recipe with all its defaults."""
    with _refusals():
        text = annotated(recipes.changed(recipes.content_of(recipe), _settings(settings)))
    if console.is_terminal:
        console.print(Syntax(text, "yaml", background_color="default"))
    else:
        typer.echo(text, nl=False)


def _recipe(
    reference: str, settings: list[str] | None, data: Path | None, x: str | None, condition: str | None
) -> recipes.Recipe:
    content = recipes.content_of(reference)
    is_table = content.get("data", {}).get("set") == "table"
    given = {"data.file": None if data is None else str(data), "data.x": _names(x), "data.condition": _names(condition)}
    chosen = {place: value for place, value in given.items() if value is not None}
    if chosen and not is_table:
        raise TrainingError(f"--data, --x and --condition go with the recipe table, {reference} has its own data")
    changed = recipes.changed(content, {**chosen, **_settings(settings)})
    if is_table:
        for place, option in (("file", "--data FILE"), ("x", "--x NAMES")):
            if place not in changed["data"]:
                raise TrainingError(
                    f"fit {reference} needs {option}, for example: fit table --data wine.csv --x alcohol,color "
                    "--condition quality"
                )
    return recipes.check(changed)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _settings(settings: list[str] | None) -> dict[str, Any]:
    return dict(recipes.setting(text) for text in settings or [])


def _metrics(metrics: dict[str, Any]) -> None:
    table = Table("metric", "value", box=None)
    for name, value in metrics.items():
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    console.print(table)


@contextmanager
def _refusals() -> Iterator[None]:
    """What a person can put right is said on stderr without a traceback, and the exit status is 2."""
    try:
        yield
    except (TrainingError, StoreError, OSError) as error:
        Console(stderr=True).print(f"[red]{escape(plain(error))}[/]", soft_wrap=True)
        raise typer.Exit(2) from None

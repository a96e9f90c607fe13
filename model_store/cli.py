"""`python -m model_store list|show|verify|alias|rollback|export|import|delete|gc`.

Exit status: 0 done, 1 refused or damage found, 2 wrong usage. `--json` prints one document for scripts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_store.errors import StoreError
from model_store.gc import collect
from model_store.manifest import Manifest
from model_store.names import check_name, parse_model, parse_reference
from model_store.store import CHAMPION, Store
from model_store.verify import verify, verify_all

app = typer.Typer(
    help="Immutable, verified, versioned models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
StoreOption = Annotated[Path, typer.Option("--store", envvar="CONDFLOW_STORE", help="Directory of the store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ModelArgument = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="VERSION: number, alias or digest.")]
DEFAULT_STORE = Path("models")
_NOWHERE: dict[str, Any] = {"version": None, "digest": None, "restores": None}


@app.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(help="Only this model.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Models, their versions and aliases."""
    with _refusals():
        opened = _open(store)
        names = opened.models() if name is None else [opened.resolve(name).name]
        rows = {one: (opened.versions(one), opened.aliases(one), opened.deleted(one)) for one in names}
    if as_json:
        columns = ("versions", "aliases", "deleted")
        return _print_json([{"name": one, **dict(zip(columns, row, strict=True))} for one, row in rows.items()])
    table = _table("model", "versions", "aliases", "deleted")
    for one, (versions, aliases, deleted) in rows.items():
        _add_row(table, one, _join(versions), _join(f"{a}={v}" for a, v in aliases.items()), _join(deleted))
    Console().print(table)
    return None


@app.command()
def show(model: ModelArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """One version: what it is, where it comes from, its files."""
    with _refusals():
        opened = _open(store)
        manifest = opened.resolve(*parse_model(model))
        aliases = [alias for alias, version in opened.aliases(manifest.name).items() if version == manifest.version]
    if as_json:
        return _print_json({**manifest.model_dump(mode="json"), "digest": manifest.digest, "aliases": aliases})
    facts = Table.grid(padding=(0, 2))
    for key, value in _facts(manifest, aliases).items():
        _add_row(facts, key, value)
    files = _table("file", "bytes", "sha256")
    for entry in manifest.files:
        _add_row(files, entry.path, f"{entry.size:,}", entry.digest[:12])
    Console().print(facts, files)
    return None


@app.command("verify")
def verify_versions(
    model: Annotated[str | None, typer.Argument(metavar="[NAME[@VERSION]]", help="Default: everything.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Hash every byte of a version, of a model, or of the store again."""
    with _refusals():
        opened = _open(store)
        name, reference = (None, None) if model is None else parse_model(model)
        if name is not None and not opened.versions(name):
            opened.resolve(name)
        if name is not None and reference is not None:
            reports = [verify(opened, name, _number(opened, name, reference))]
        else:
            reports = list(verify_all(opened, name))
    if as_json:
        _print_json([asdict(report) for report in reports])
    else:
        table = _table("version", "digest", "findings")
        for report in reports:
            digest = "" if report.digest is None else report.digest[:12]
            _add_row(table, f"{report.name}@{report.version}", digest, "\n".join(report.findings) or "sound")
        Console().print(table)
    if any(report.findings for report in reports):
        raise typer.Exit(1)


@app.command()
def alias(
    model: ModelArgument,
    alias: Annotated[str | None, typer.Argument(help="Moves to VERSION; without it, show all moves.")] = None,
    expect: Annotated[int | None, typer.Option(help="Refuse unless this is the alias's generation.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Point the alias nowhere; rollback brings it back.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Point an alias to a version, remove it, or show every move of a model's aliases."""
    if remove:
        return _remove(model, alias, expect, store, as_json)
    with _refusals():
        opened = _open(store)
        manifest = opened.resolve(*parse_model(model))
        name = manifest.name
        if alias is not None:
            generation = opened.set_alias(name, alias, manifest.version, expect)
            moved = {"name": name, "alias": alias, "version": manifest.version, "generation": generation}
            return _print_json(moved) if as_json else _say(f"{name}@{alias} -> version {manifest.version}")
        moves = [
            {"alias": one, "generation": generation, **_NOWHERE, **record.model_dump(mode="json", exclude={"removed"})}
            for one in opened.aliases(name)
            for generation, record in opened.history(name, one).items()
        ]
    if as_json:
        return _print_json(moves)
    columns = ("alias", "generation", "version", "digest", "time", "restores")
    table = _table(*columns)
    for move in moves:
        shown = {**move, "digest": move["digest"] and move["digest"][:12]}
        _add_row(table, *("" if shown[column] is None else str(shown[column]) for column in columns))
    Console().print(table)
    return None


def _remove(model: str, alias: str | None, expect: int | None, store: Path, as_json: bool) -> None:
    with _refusals():
        name, reference = parse_model(model)
        if alias is None or reference is not None:
            raise typer.BadParameter("expected NAME ALIAS --remove: which alias of which model?")
        opened = _open(store)
        generation = opened.remove_alias(name, alias, expect)
        left = opened.resolve(name).version if alias == CHAMPION else None
    if as_json:
        return _print_json({"name": name, "alias": alias, "version": None, "generation": generation})
    answers = "" if left is None else f"; without it version {left}, the highest, answers"
    return _say(f"{name}@{alias} removed{answers}")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="The model.")],
    alias: Annotated[str, typer.Argument(help="The alias.")] = CHAMPION,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Point an alias back to where it was before; again goes further back."""
    with _refusals():
        version = _open(store).rollback(check_name(name), alias)
    _say(f"{name}@{alias} -> version {version}")


@app.command("export")
def export_version(
    model: ModelArgument,
    to: Annotated[Path, typer.Option(help="A file, or a directory for NAME-VERSION.condflow.")] = Path(),
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a version as one file."""
    with _refusals():
        opened = _open(store)
        path = opened.export_archive(opened.resolve(*parse_model(model)), to)
    _say(f"{path}: {path.stat().st_size:,} bytes")


@app.command("import")
def import_versions(
    paths: Annotated[list[Path], typer.Argument(help="Archives, or directories that hold some.")],
    as_name: Annotated[str | None, typer.Option("--as", help="Publish under this name, as its next version.")] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Take in archives; the champion is set where a model has none."""
    with _refusals():
        opened = Store.open(store)
        for path in paths:
            for manifest in opened.import_archive(path, as_name):
                _say(f"{manifest.name}@{manifest.version} {manifest.digest[:12]}")


@app.command()
def delete(
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION")],
    force: Annotated[bool, typer.Option("--force", help="Also when aliases point to it; they go back.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete a version: a tombstone now, its bytes at a later `gc`."""
    with _refusals():
        opened = _open(store)
        name, reference = parse_model(model)
        if reference is None:
            raise typer.BadParameter("expected NAME@VERSION: which version?")
        version = _number(opened, name, reference)
        opened.delete(name, version, force)
    _say(f"{name}@{version} deleted")


@app.command("gc")
def collect_garbage(
    grace: Annotated[float, typer.Option(min=0, help="Hours; longer than the longest publication.")] = 24.0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Remove the bytes that no living version names."""
    with _refusals():
        collected = collect(_open(store), grace * 3600)
    if as_json:
        return _print_json(asdict(collected))
    removed = f"{collected.removed} blobs removed ({collected.removed_bytes:,} bytes)"
    return _say(f"{removed}, {collected.young} too young, {collected.leftovers} leftovers cleared")


@contextmanager
def _refusals() -> Iterator[None]:
    """A refusal is one line on stderr and exit status 1."""
    try:
        yield
    except (StoreError, OSError) as error:
        typer.echo(_plain(f"{type(error).__name__}: {error}"), err=True)
        raise typer.Exit(1) from None


def _open(path: Path) -> Store:
    if not path.exists():
        raise FileNotFoundError(f"no store at {path}: expected a directory (--store or CONDFLOW_STORE)")
    return Store.open(path)


def _number(store: Store, name: str, reference: str) -> int:
    """The number of a version, whose manifest may be damaged when it is named by its number."""
    wanted = parse_reference(reference)
    return wanted.number if wanted.number in store.versions(name) else store.resolve(name, reference).version


def _facts(manifest: Manifest, aliases: list[str]) -> dict[str, str]:
    signature = manifest.signature
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "digest": manifest.digest,
        "aliases": _join(aliases),
        "created": manifest.created,
        "family": manifest.family,
        "parameters": f"{manifest.parameters:,}",
        "data": f"{'x'.join(map(str, signature.data.shape))} {signature.data.dtype}",
        "condition": signature.condition.kind,
        "operations": _join(signature.operations),
        "recipe": f"{manifest.lineage.recipe}, seed {manifest.lineage.seed}",
        "parents": _join(parent[:12] for parent in manifest.lineage.parents),
        "metrics": json.dumps(manifest.metrics, sort_keys=True),
    }


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _add_row(table: Table, *cells: str) -> None:
    table.add_row(*(Text(_plain(cell)) for cell in cells))


def _join(items: Any) -> str:
    return ", ".join(str(item) for item in items)


def _plain(text: str) -> str:
    """Without control characters, which a manifest of somebody else may hold."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _say(text: str) -> None:
    typer.echo(_plain(text))


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))

"""What a fit says of its data before it starts; readable in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.datasets.base import Column, Dataset


def describe(dataset: Dataset, console: Console) -> None:
    """Shapes and rows; for tables every column, and below them what was decided and the setting that changes it.

    Words wrap, settings do not: they can be copied whole.
    """
    console.print(
        f"{dataset.name}: x {dataset.data.shape}, condition {dataset.condition.kind}, "
        f"{len(dataset.train)} training, {len(dataset.validation)} validation, {len(dataset.test)} test rows",
        markup=False,
    )
    for told in dataset.notes:
        console.print(told, markup=False, highlight=False)
    if not dataset.columns:
        return
    table = Table(box=None, pad_edge=False)
    for header in ("column", "role", "taken as", "from", "to"):
        table.add_column(header, overflow="fold")
    for column in dataset.columns:
        ends = ["" if end is None else f"{end:g}" for end in (column.low, column.high)]
        table.add_row(escape(column.name), column.role, column.kind, *ends)
    console.print(table)
    for text, names, settings in _grouped(dataset.columns):
        console.print(f"{', '.join(names)}: {text}", markup=False, highlight=False)
        for setting in settings:
            console.print(f"    {setting}", markup=False, highlight=False, soft_wrap=True)


def _grouped(columns: Sequence[Column]) -> list[tuple[str, list[str], list[str]]]:
    """What is said of several columns, said once: the text, the columns, and each setting once."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for column in columns:
        for note in column.notes:
            names, settings = found.setdefault(note.text, ([], []))
            names.append(column.name)
            if note.setting and note.setting not in settings:
                settings.append(note.setting)
    return [(text, names, settings) for text, (names, settings) in found.items()]

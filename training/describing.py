"""What a fit says of its data before it starts; readable in 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.datasets.base import Dataset


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
    for column in dataset.columns:
        for note in column.notes:
            console.print(f"{column.name}: {note.text}", markup=False, highlight=False)
            if note.setting:
                console.print(f"    {note.setting}", markup=False, highlight=False, soft_wrap=True)

"""One part of an evaluation: what was measured, the pictures, and how the card words it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """A row of the card's table: a quantity in words, its value, and what to read it against."""

    quantity: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG beside the card, and its caption."""

    path: str
    content: bytes
    caption: str


@dataclass(frozen=True)
class Section:
    """`metrics` go into the manifest under their names; lines and pictures into the card, in order."""

    title: str
    metrics: dict[str, float] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    pictures: tuple[Picture, ...] = ()


def nats(value: float, error: float | None = None) -> str:
    """A figure in nats, with its standard error.

    >>> nats(1.23456, 0.01), nats(-3.0)
    ('1.235 ± 0.010 nats', '-3.000 nats')
    """
    spread = "" if error is None else f" ± {error:.3f}"
    return f"{value:.3f}{spread} nats"

"""The floor of an engine call: the largest of what its products, its memory and its bus cannot do without.

    floor = max(sum of FLOPs / matrix rate, device bytes / copy rate, bytes in / bus rate, bytes out / bus rate)

at rates that were measured on the same card in the same run. Products of one call may differ in precision: each counts
at the rate of its own, and they follow one another on the matrix units, so their times add up. The terms overlap at
best, so the largest counts, not the sum. Elementwise work, log-determinants and launches are in no term: they are what
a better engine makes cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Rates:
    """What the card reaches: FLOP/s of a large square product by precision, and bytes per second of plain copies.

    `copy` counts bytes read plus bytes written within the device's memory; `to_device` and `to_host` those of pinned
    memory that cross the bus.
    """

    matrix: dict[str, float]
    copy: float
    to_device: float
    to_host: float


@dataclass(frozen=True)
class Cost:
    """What one call needs at least: FLOPs by the precision of their products, and bytes.

    `device_bytes`: weights, inputs and outputs, each once.
    """

    flops: dict[str, int]
    device_bytes: float
    bytes_in: float
    bytes_out: float


@dataclass(frozen=True)
class Floor:
    """Seconds of each term."""

    products: float
    memory: float
    bus_in: float
    bus_out: float

    @classmethod
    def of(cls, row: Mapping[str, float]) -> Floor:
        """That of a row that holds its terms among others."""
        return cls(**{term.name: row[term.name] for term in fields(cls)})

    @property
    def seconds(self) -> float:
        """The largest term."""
        return max(asdict(self).values())

    @property
    def term(self) -> str:
        """Its name.

        >>> Floor(products=2e-3, memory=1e-3, bus_in=0.0, bus_out=0.0).term
        'products'
        """
        terms = asdict(self)
        return max(terms, key=terms.__getitem__)


def floor_of(cost: Cost, rates: Rates) -> Floor:
    """The floor of one call."""
    return Floor(
        products=sum(flops / rates.matrix[precision] for precision, flops in cost.flops.items()),
        memory=cost.device_bytes / rates.copy,
        bus_in=cost.bytes_in / rates.to_device,
        bus_out=cost.bytes_out / rates.to_host,
    )


def cost_of(row_flops: Mapping[str, int], weight_bytes: int, bytes_in: int, bytes_out: int, rows: int) -> Cost:
    """Of a call of `rows` rows whose inputs and outputs have these bytes; `row_flops` by precision, of one row.

    >>> cost_of({"bf16": 100, "float32": 3}, weight_bytes=40, bytes_in=8, bytes_out=4, rows=2)
    Cost(flops={'bf16': 200, 'float32': 6}, device_bytes=52, bytes_in=8, bytes_out=4)
    """
    flops = {precision: rows * of_one for precision, of_one in row_flops.items()}
    return Cost(flops, weight_bytes + bytes_in + bytes_out, bytes_in, bytes_out)

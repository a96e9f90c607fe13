"""The page of the speed benchmark: one line per cell, ratios to the best peer, the floor beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.flows.configuration import Kind
from benchmarks.record import Figure, Page, table

PEERS = ("zuko", "nflows", "FrEIA")
PROTOCOL = """Milliseconds per call in torch's eager mode, one thread, contestants interleaved within one run (lower
quartile of the rounds). D = 16, condition 8, 6 coupling transforms, conditioners of 2 x 128, 8 bins for splines. The
floor is the bare matrix products of the conditioners at the rate this machine reaches on those very shapes (three
times that with backward); `best peer / floor` says how much room there is. `condflow ONNX` is the same model as an
exported graph, which is what the CPU service runs; it is no contestant. FrEIA 0.2 has no spline coupling. Weights are
untrained and inputs random (seed 0): there is no data set."""


@dataclass(frozen=True)
class Cell:
    """Seconds per call of every contestant in one cell of the table, and the floor."""

    kind: Kind
    rows: int
    operation: str
    seconds: dict[str, float]
    floor: float

    @property
    def best_peer(self) -> tuple[float, str]:
        """Seconds and name of the fastest peer."""
        return min((self.seconds[name], name) for name in PEERS if name in self.seconds)

    @property
    def ratio(self) -> float:
        """Best peer over condflow: above 1, condflow is faster."""
        return self.best_peer[0] / self.seconds["condflow"]

    def figure(self) -> Figure:
        """The ratio beside its goal: the fastest everywhere, 1.5 times the best peer where the floor leaves room."""
        room = self.best_peer[0] / self.floor
        goal = 1.5 if room >= 1.5 else 1.0
        quantity = f"{self.kind}, {self.rows} rows, {self.operation}: best peer / condflow"
        return Figure(quantity, self.ratio, goal, digits=2, note=f"best peer {self.best_peer[1]}")

    def milliseconds(self) -> list[str]:
        """The cell as a line of the second table."""
        columns = ("condflow", *PEERS, "condflow ONNX")
        values = [f"{self.seconds[name] * 1e3:.3f}" if name in self.seconds else "" for name in columns]
        floors = (f"{self.floor * 1e3:.3f}", f"{self.best_peer[0] / self.floor:.1f}")
        return [
            self.kind,
            str(self.rows),
            self.operation,
            *values,
            *floors,
            f"{self.seconds['condflow'] / self.floor:.1f}",
        ]


def page(cells: Sequence[Cell], parameters: Mapping[str, Mapping[str, int]]) -> Page:
    """docs/results/flows-speed.md."""
    fastest = sum(cell.ratio > 1 for cell in cells)
    header = ["flow", "rows", "operation", "condflow", *PEERS, "condflow ONNX", "floor"]
    header += ["best peer / floor", "condflow / floor"]
    counts = [
        [kind, *(str(by_name.get(name, "")) for name in ("condflow", *PEERS))] for kind, by_name in parameters.items()
    ]
    body = "\n\n".join(
        [
            f"condflow is the fastest in {fastest} of {len(cells)} cells.",
            "## Milliseconds",
            table(header, [cell.milliseconds() for cell in cells]),
            "## Parameters",
            table(["flow", "condflow", *PEERS], counts),
        ]
    )
    return Page(
        name="flows-speed",
        title="The flows core beside its peers",
        command="make bench",
        protocol=PROTOCOL,
        figures=[cell.figure() for cell in cells],
        seed=0,
        body=body,
        packages=("torch", "zuko", "nflows", "FrEIA", "onnxruntime"),
    )

"""The page of the speed benchmark: one line per cell, ratios to the best peer, the floor beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.flows.configuration import Kind
from benchmarks.flows.timing import quartile, ratio
from benchmarks.record import Figure, Page, table

PEERS = ("zuko", "nflows", "FrEIA")
OTHERS = ("condflow ONNX", "by hand")
GOAL = 1.5
PROTOCOL = """Torch's eager mode, one thread, contestants interleaved within one run. Milliseconds per call are the
lower quartile of the rounds, ratios the median of the rounds' ratios. D = 16, condition 8, 6 coupling transforms,
conditioners of 2 x 128, 8 bins for splines. The floor is the bare matrix products of the conditioners at the rate this
machine reaches on those very shapes (three times that with backward). `by hand` is what eager torch can do at best: the
affine couplings written out without modules, autograd and new memory for large arrays (`benchmarks/flows/by_hand.py`);
where that is not 1.5 times as fast as the best peer there is no room for the goal, and to be the fastest is asked
instead. `condflow ONNX` is the same model as an exported graph, which is what the CPU service runs. Neither is a
contestant. FrEIA 0.2 has no spline coupling. Weights are untrained and inputs random (seed 0): there is no data set."""


@dataclass(frozen=True)
class Cell:
    """Seconds per call of every contestant in each round of one cell of the table, and the floor."""

    kind: Kind
    rows: int
    operation: str
    rounds: dict[str, list[float]]
    floor: float

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Per call."""
        return {name: quartile(seconds) for name, seconds in self.rounds.items()}

    @property
    def best_peer(self) -> tuple[float, str]:
        """Seconds and name of the fastest peer."""
        return min((self.seconds[name], name) for name in PEERS if name in self.seconds)

    def ratio(self, name: str = "condflow") -> float:
        """Best peer over another: above 1, the other is faster."""
        return ratio(self.rounds[self.best_peer[1]], self.rounds[name])

    @property
    def room(self) -> float:
        """Best peer over the least that eager torch was seen to take: the couplings by hand, else the floor."""
        bound = self.ratio("by hand") if "by hand" in self.rounds else self.best_peer[0] / self.floor
        return max(bound, self.ratio())

    def figure(self) -> Figure:
        """The ratio beside its goal: the fastest everywhere, 1.5 times the best peer where there is room for it."""
        goal = GOAL if self.room >= GOAL else 1.0
        note = f"best peer {self.best_peer[1]}"
        if goal < GOAL:
            note += f"; {'by hand' if 'by hand' in self.rounds else 'floor'} {self.room:.2f}: no room for {GOAL}"
        quantity = f"{self.kind}, {self.rows} rows, {self.operation}: best peer / condflow"
        return Figure(quantity, self.ratio(), goal, digits=2, note=note)

    def milliseconds(self) -> list[str]:
        """The cell as a line of the second table."""
        columns = ("condflow", *PEERS, *OTHERS)
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
    fastest = sum(cell.ratio() > 1 for cell in cells)
    header = ["flow", "rows", "operation", "condflow", *PEERS, *OTHERS, "floor"]
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

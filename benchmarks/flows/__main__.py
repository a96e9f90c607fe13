"""`python -m benchmarks.flows`: log_prob, sample and forward+backward beside zuko, nflows and FrEIA, in one run."""

from __future__ import annotations

from collections.abc import Callable

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.flows.by_hand import ByHand
from benchmarks.flows.configuration import Configuration, Kind
from benchmarks.flows.contestants import CONTESTANTS, Condflow, Contestant
from benchmarks.flows.floor import floor_of
from benchmarks.flows.graphs import graph_calls
from benchmarks.flows.page import Cell, page
from benchmarks.flows.timing import interleaved

OPERATIONS = ("log_prob", "sample", "forward+backward")
KINDS: tuple[Kind, ...] = ("affine", "spline")


def torch_call(contestant: Contestant, operation: str, x: Tensor, c: Tensor) -> Callable[[], object]:
    """One call of `operation` as a user writes it."""
    if operation == "forward+backward":

        def backward() -> None:
            contestant.module.zero_grad(set_to_none=True)
            contestant.log_prob(x, c).mean().neg().backward()

        return backward
    method = contestant.log_prob if operation == "log_prob" else contestant.sample

    def forward() -> Tensor:
        with torch.inference_mode():
            return method(x, c)

    return forward


def by_hand_call(flow: ByHand, operation: str, x: Tensor, c: Tensor) -> Callable[[], object]:
    """One call of `operation` of what is written out."""
    method = {"log_prob": flow.log_prob, "sample": flow.sample, "forward+backward": flow.gradients}[operation]

    def call() -> object:
        with torch.inference_mode():
            return method(x, c)

    return call


def contestants(config: Configuration) -> list[Contestant]:
    """Everyone who can build this configuration, untrained from the same seed."""
    built = []
    for contestant in CONTESTANTS:
        torch.manual_seed(0)
        try:
            built.append(contestant(config))
        except NotImplementedError:
            continue
    return built


def measure(config: Configuration, rows: int, operation: str, rounds: int) -> Cell:
    """One cell: all contestants, interleaved, on the same inputs."""
    field = contestants(config)
    x, c = torch.randn(rows, config.features), torch.randn(rows, config.condition)
    calls = {contestant.name: torch_call(contestant, operation, x, c) for contestant in field}
    ours = field[0]
    assert isinstance(ours, Condflow)
    if operation != "forward+backward":
        calls["condflow ONNX"] = graph_calls(config, ours, rows)[operation]
    if config.kind == "affine":
        calls["by hand"] = by_hand_call(
            ByHand(ours, config, rows, gradients=operation == "forward+backward"), operation, x, c
        )
    return Cell(config.kind, rows, operation, interleaved(calls, rounds), floor_of(config, operation, rows))


def main(rounds: int = 31) -> None:
    """Measure every cell with one thread and write docs/results/flows-speed.md."""
    torch.set_num_threads(1)
    plan = [(kind, rows, operation) for kind in KINDS for rows in (1, 1024) for operation in OPERATIONS]
    cells = [measure(Configuration(kind), rows, operation, rounds) for kind, rows, operation in track(plan)]
    parameters = {kind: {c.name: c.parameters() for c in contestants(Configuration(kind))} for kind in KINDS}
    written = page(cells, parameters).write()
    Console().print(written.read_text(), markup=False)


if __name__ == "__main__":
    typer.run(main)

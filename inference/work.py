"""Work: rows of one operation, asked for lazily so that a scheduler may cut them into chunks.

A question (sample, log-likelihood, ...) is a generator that yields `Work` and returns its answer: the driver runs each
yielded work to completion, in whatever chunks it likes and beside whatever neighbours, then resumes the generator.
`answer` below is the plain driver; the service drives the same generators through its batcher.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar

from inference.engine import Arrays, Engine, Inputs
from model_store.signature import Operation

Answer = TypeVar("Answer")


class Work(Protocol):
    """`rows` independent rows of one operation. Inputs of a row depend on its place in the work alone."""

    @property
    def operation(self) -> Operation:
        """Which of the version's functions the rows go through."""
        ...

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        ...

    def inputs(self, start: int, stop: int) -> Inputs:
        """The engine's inputs for rows [start, stop)."""
        ...

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        """Take the engine's outputs for rows [start, stop). Chunks arrive in order."""
        ...


def joined_inputs(chunks: Sequence[tuple[Work, int, int]]) -> list[Inputs]:
    """The inputs of rows [start, stop) of each work: by its class's `joined` where all are of one that has it.

    What a class can make for many works at the price of one, it offers as `joined`, with the same arguments.
    """
    kinds = {type(work) for work, _, _ in chunks}
    joined: Any = getattr(kinds.pop(), "joined", None) if len(kinds) == 1 else None
    if joined is not None:
        return list(joined(chunks))
    return [work.inputs(start, stop) for work, start, stop in chunks]


Question = Generator[Work, None, Answer]


def answer(engine: Engine, question: Question[Answer], max_rows: int = 4096) -> Answer:
    """Run a question to its end on one engine, at most `max_rows` rows at a time."""
    try:
        work = next(question)
        while True:
            for start in range(0, work.rows, max_rows):
                stop = min(start + max_rows, work.rows)
                work.accept(start, stop, engine.run(work.operation, work.inputs(start, stop)))
            work = next(question)
    except StopIteration as end:
        result: Answer = end.value
        return result

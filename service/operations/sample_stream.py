"""A draw line by line: what the lines of `application/x-ndjson` say.

The first line says who answers, the seed, the shape and dtype of the samples, and which conditions are extrapolated
where the version knows. Each of the next ones has rows [start, stop) of the draw, whose conditions and samples are
counted through in one: row `place * num_samples + sample`; joined and reshaped they are what the answer in one piece
has. The last one says `"complete": true` and has the summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inference.drawing import Drawing
from inference.engine import Arrays
from inference.summaries import Summaries
from inference.work import Question
from service.operations.base import StreamPiece, StreamPlan, flags, present

LINE_VALUES = 2**15


def stream_plan(drawn: Drawing, gathered: Summaries | None, keep: bool, engine_rows: int) -> StreamPlan:
    """The lines of one draw; without `keep` they leave the samples out."""
    spec = drawn.loaded.signature.data
    opening = {
        "seed": drawn.seed,
        "shape": [*drawn.leading, *spec.shape],
        "dtype": spec.dtype,
        **present(extrapolated=flags(drawn.extrapolated)),
    }

    def pieces() -> Iterator[StreamPiece]:
        for start, stop in drawn.pieces():
            rows = stop - start
            yield StreamPiece(_lines(drawn, gathered, keep, start, stop), engine_rows * rows // drawn.rows)

    def closing() -> dict[str, Any]:
        end: dict[str, Any] = {"complete": True, "rows": drawn.rows}
        return end if gathered is None else {**end, "summary": gathered.answer(drawn.leading[:-1])}

    return StreamPlan(opening, pieces(), closing, drawn.rows, engine_rows)


def _lines(
    drawn: Drawing, gathered: Summaries | None, keep: bool, start: int, stop: int
) -> Question[list[Mapping[str, Any]]]:
    taken = yield from drawn.take(start, stop)
    if gathered is not None:
        gathered.add(taken["samples"])
    if not keep:
        del taken["samples"]
    if not taken:
        return []
    rows = max(1, LINE_VALUES // max(array[0].size for array in taken.values()))
    return [_line(taken, start, first, min(first + rows, stop - start)) for first in range(0, stop - start, rows)]


def _line(taken: Arrays, start: int, first: int, last: int) -> Mapping[str, Any]:
    line: dict[str, Any] = {"start": start + first, "stop": start + last}
    for name, array in taken.items():
        outer, _, inner = name.partition(".")
        if inner:
            line.setdefault(outer, {})[inner] = array[first:last]
        else:
            line[outer] = array[first:last]
    return line

"""What one action moves in /metrics, and what it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.service.harness import Running, until

Moves = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def moved(service: Running, action: Callable[[], Any]) -> Moves:
    """What `action` added to each counter and to the counts of each histogram; buckets, sums and gauges aside."""
    before = service.metrics()
    action()
    until(lambda: _requests(service.metrics()) > _requests(before), "the count")  # it follows the answer's last byte
    after = service.metrics()
    counted = {key: after[key] - before.get(key, 0) for key in after if key[0].endswith(("_total", "_count"))}
    return {key: change for key, change in counted.items() if change}


def _requests(samples: Moves) -> float:
    return sum(value for (name, _), value in samples.items() if name == "condflow_requests_total")


def request_moves(operation: str, model: str, outcome: str) -> Moves:
    version = "unknown" if model == "unknown" else "1"
    who = {"operation": operation, "model": model, "version": version}
    return {
        ("condflow_requests_total", labels(**who, outcome=outcome)): 1,
        ("condflow_request_duration_seconds_count", labels(**who)): 1,
    }


def answered(operation: str, model: str, rows: int, *calls: str) -> Moves:
    who = {"operation": operation, "model": model, "version": "1"}
    moves = request_moves(operation, model, "ok")
    moves[("condflow_rows_total", labels(**who))] = rows
    for stage in ("parse", "queue", "compute", "encode"):
        moves[("condflow_stage_duration_seconds_count", labels(operation=operation, stage=stage))] = 1
    for call in calls:
        moves[("condflow_batch_rows_count", labels(operation=call, model=model, version="1"))] = 1
    return moves

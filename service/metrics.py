"""Prometheus metrics, in base units, with labels that only models of the store can make grow.

One registry per app, kept by the one process that owns the models. A version's series go when it is unloaded;
unmatched routes and unknown models share the label value `unknown`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from time import perf_counter
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from service.series import Count, Histogram, Series, Tally

UNKNOWN = "unknown"
Outcome = Literal["ok", "refused", "shed", "deadline", "cancelled", "error"]
Stage = Literal["parse", "queue", "compute", "encode"]
STAGES: tuple[Stage, ...] = ("parse", "queue", "compute", "encode")
SHED_REASONS = ("overloaded", "loading", "unloadable", "draining", "lost-device")

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ROWS = tuple(float(2**power) for power in range(15))
_MODEL = ("operation", "model", "version")


class Releasable(Protocol):
    """Something held until the request is counted."""

    def release(self) -> None:
        """Give it back."""
        ...


class RequestRecord:
    """What is known of one request; filled on its way in, counted once when it is over.

    Attributes:
        headers: the first of each name.
        seconds: by stage, in the order in which they came.
        lease: the version, held until the request is counted.
        late_status: of a stream that failed after its 200.
    """

    tenant = ""
    operation = UNKNOWN
    model = UNKNOWN
    version = UNKNOWN
    stage: Stage = "parse"
    rows = 0
    nonfinite = 0
    cancelled = False
    reason: str | None = None
    lease: Releasable | None = None
    late_status: int | None = None

    def __init__(self, request_id: str, headers: Mapping[bytes, bytes]) -> None:
        self.request_id, self.headers = request_id, headers
        self.started = perf_counter()
        self.seconds: defaultdict[Stage, float] = defaultdict(float)

    def computing(self) -> None:
        """Its first rows have left the queue."""
        self.stage = "compute"

    def outcome(self, status: int) -> Outcome:
        """One word for how it ended."""
        if self.cancelled:
            return "cancelled"
        if status < 400:
            return "ok"
        if status in (429, 503):
            return "shed"
        if status == 504:
            return "deadline"
        return "refused" if status < 500 else "error"


class Metrics:
    """All series of one app."""

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self.requests = Count("condflow_requests", "Requests by how they ended.", (*_MODEL, "outcome"), registry)
        self.rows = Count("condflow_rows", "Rows of x, or samples, answered.", _MODEL, registry)
        self.duration = Histogram("condflow_request_duration_seconds", "Whole requests.", _MODEL, _SECONDS, registry)
        self.stages = Histogram(
            "condflow_stage_duration_seconds",
            "Stages of answered requests.",
            ("operation", "stage"),
            _SECONDS,
            registry,
        )
        self.batch_rows = Histogram("condflow_batch_rows", "Rows of one engine call.", _MODEL, _ROWS, registry)
        self.queue_rows = Gauge("condflow_queue_rows", "Rows admitted and not yet computed.", registry=registry)
        self.queue_oldest = Gauge("condflow_queue_oldest_seconds", "Age of the oldest waiting work.", registry=registry)
        self.in_progress = Gauge(
            "condflow_requests_in_progress", "Requests admitted and not yet answered.", registry=registry
        )
        self.streams = Gauge("condflow_streams_in_progress", "Answers being streamed.", registry=registry)
        self.body_bytes = Gauge("condflow_body_bytes_held", "Bytes of request bodies in memory.", registry=registry)
        self.store_readable = Gauge(
            "condflow_store_readable", "1 where the last look at the store succeeded, else 0.", registry=registry
        )
        self.shed = Count("condflow_shed", "Requests shed, by reason.", ("reason",), registry)
        self.cancelled = Counter(
            "condflow_cancelled", "Requests whose client left, by stage.", ("stage",), registry=registry
        )
        self.nonfinite = Counter(
            "condflow_nonfinite_outputs", "Values answered that are not finite.", _MODEL, registry=registry
        )
        self.load_seconds = Histogram(
            "condflow_model_load_seconds",
            "Loading a version: read, verify, build, probe.",
            ("model", "version", "outcome"),
            _SECONDS,
            registry,
        )
        self.out_of_memory = Count(
            "condflow_out_of_memory", "Engine calls for which there was no memory.", _MODEL, registry
        )
        self.info = Gauge(
            "condflow_model_info", "1 for each version that is loaded.", ("model", "version"), registry=registry
        )
        self.key_changes = Counter(
            "condflow_key_changes",
            "Changes of the keys file, by whether its keys are in force.",
            ("outcome",),
            registry=registry,
        )
        self.resident_bytes = Gauge(
            "condflow_resident_bytes", "Memory of the versions that are on the device.", registry=registry
        )
        self.evictions = Counter(
            "condflow_evictions", "Versions put off the device to make room for another one.", registry=registry
        )
        self.gpu_memory = Gauge("condflow_gpu_memory_bytes", "Memory held on the GPU.", registry=registry)
        for reason in SHED_REASONS:
            self.shed.labels(reason)
        for stage in STAGES:
            self.cancelled.labels(stage)
        for outcome in ("ok", "error"):
            self.key_changes.labels(outcome)
        self._live: set[tuple[str, str]] = set()
        self._answered: dict[tuple[str, str, str, Outcome], _Answered] = {}

    def finish(self, record: RequestRecord, status: int) -> None:
        """Count one request, once."""
        outcome = record.outcome(status)
        asked = (record.operation, record.model, record.version, outcome)
        counted = self._answered.get(asked)
        if counted is None:
            counted = self._answered_as(*asked)
        counted.requests.value += 1
        counted.duration.observe(perf_counter() - record.started)
        if outcome == "ok":
            if record.rows:
                self.rows.labels(*counted.labels).value += record.rows
            if record.nonfinite:
                self.nonfinite.labels(*counted.labels).inc(record.nonfinite)
            for stage, seconds in record.seconds.items():
                counted.stages[stage].observe(seconds)
        elif outcome == "shed" and record.reason in SHED_REASONS:
            self.shed.labels(record.reason).value += 1
        elif outcome == "cancelled":
            self.cancelled.labels(record.stage).inc()

    def _answered_as(self, operation: str, model: str, version: str, outcome: Outcome) -> _Answered:
        """Where such requests count, of a version that may not be loaded any more."""
        labels = (operation, model, version)
        if (model, version) not in self._live:
            known = any(name == model for name, _ in self._live)
            labels = (operation, model if known else UNKNOWN, UNKNOWN)
        counted = self._answered[operation, model, version, outcome] = _Answered(self, labels, outcome)
        return counted

    def batch(self, operation: str, model: str, version: str, rows: int) -> None:
        """Count one engine call."""
        if (model, version) in self._live:
            self.batch_rows.labels(operation, model, version).observe(rows)

    def shortage(self, operation: str, model: str, version: str) -> None:
        """Count one engine call for which there was no memory."""
        if (model, version) in self._live:
            self.out_of_memory.labels(operation, model, version).value += 1

    def load(self, model: str, version: str, seconds: float, *, succeeded: bool) -> None:
        """Count one attempt to load a version."""
        self.load_seconds.labels(model, version, "ok" if succeeded else "error").observe(seconds)
        if succeeded:
            self._live.add((model, version))
            self._answered.clear()
            self.info.labels(model, version).set(1)

    def key_change(self, succeeded: bool) -> None:
        """Count one change of the keys file."""
        self.key_changes.labels("ok" if succeeded else "error").inc()

    def unload(self, model: str, version: str) -> None:
        """Remove the series of a version, and those of the model with its last version."""
        self._live.discard((model, version))
        self._answered.clear()
        self._remove({"model": model, "version": version})
        if not any(name == model for name, _ in self._live):
            self._remove({"model": model, "version": UNKNOWN})

    def _remove(self, labels: dict[str, str]) -> None:
        for metric in (
            self.requests,
            self.rows,
            self.duration,
            self.batch_rows,
            self.nonfinite,
            self.load_seconds,
            self.out_of_memory,
            self.info,
        ):
            metric.remove_by_labels(labels)

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)


class _Answered:
    """The series that every request of one model, operation and outcome counts in: looked up once, not by each."""

    def __init__(self, metrics: Metrics, labels: tuple[str, str, str], outcome: Outcome) -> None:
        self.labels = labels
        self.requests: Tally = metrics.requests.labels(*labels, outcome)
        self.duration: Series = metrics.duration.labels(*labels)
        self.stages = _Stages(metrics.stages, labels[0])


class _Stages(dict[Stage, Series]):
    """The series of an operation's stages, there from the first time that each is asked for."""

    def __init__(self, histogram: Histogram, operation: str) -> None:
        super().__init__()
        self._histogram, self._operation = histogram, operation

    def __missing__(self, stage: Stage) -> Series:
        series = self[stage] = self._histogram.labels(self._operation, stage)
        return series

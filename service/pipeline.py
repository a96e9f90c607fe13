"""The way of one question: admit, read, parse, resolve, plan, compute beside the neighbours, render."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from inference.engine import Arrays, EngineOutOfMemory
from inference.errors import CannotAnswer, FieldError
from inference.loaded import Loaded
from inference.work import Question, Work
from model_store.signature import Operation as EngineOperation
from service.admission import Admission
from service.body import ByteBudget, read_body
from service.exchange import Asked, Dialect, Exchange
from service.metrics import RequestRecord
from service.operations.base import Operation, Plan
from service.problems import Problem, deadline_passed, invalid, unavailable
from service.registry import Registry
from service.rendering import count_nonfinite
from service.scheduling.driver import DeadlinePassed, Driver
from service.settings import Settings

Result = TypeVar("Result")
_INLINE_BYTES = 32_768
_INLINE_ROWS = 256
_CLIENT_GONE = 499
_TIMEOUT_HEADER = "x-request-timeout-ms"


@dataclass
class _Watched:
    """A work that tells the record when its first rows leave the queue."""

    work: Work
    record: RequestRecord

    @property
    def operation(self) -> EngineOperation:
        return self.work.operation

    @property
    def rows(self) -> int:
        return self.work.rows

    def inputs(self, start: int, stop: int) -> Arrays:
        self.record.stage = "compute"
        return self.work.inputs(start, stop)

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        self.work.accept(start, stop, outputs)


class Pipeline:
    """Answers the four operations of one app."""

    def __init__(self, settings: Settings, registry: Registry, driver: Driver, admission: Admission) -> None:
        self._settings = settings
        self._registry = registry
        self._driver = driver
        self._admission = admission
        self._budget = ByteBudget(settings.bytes_in_flight)
        self._threads = ThreadPoolExecutor(2, "condflow-host")

    async def answer(self, operation: Operation, request: Request, dialect: Dialect) -> Response:
        """One request, whole, read and answered as `dialect` says. Raises Problem."""
        record: RequestRecord = request.scope["condflow.record"]
        record.operation = operation.name
        try:
            return await self._answer(operation, request, dialect, record)
        except Problem as problem:
            record.reason = problem.reason
            raise

    async def _answer(
        self, operation: Operation, request: Request, dialect: Dialect, record: RequestRecord
    ) -> Response:
        deadline = self._deadline(request)
        with self._admission.request():
            exchange = dialect(request, self._settings.limits)
            return await self._read_and_compute(operation, request, exchange, record, deadline)

    async def _read_and_compute(
        self, operation: Operation, request: Request, exchange: Exchange, record: RequestRecord, deadline: float
    ) -> Response:
        limit, pause = exchange.limit, self._settings.body_timeout_s
        started = perf_counter()
        # The body's bytes stay counted to the end: arrays are views of them.
        async with read_body(request, limit.name, limit.maximum, limit.hint, self._budget, pause, deadline) as body:
            large = len(body) > _INLINE_BYTES
            asked = await self._off_loop(lambda: exchange.read(body), large)
            record.add("parse", perf_counter() - started)
            computing = self._compute(operation, asked, large, record, deadline)
            return await _unless_gone(request, computing, record, deadline)

    async def _compute(
        self, operation: Operation, asked: Asked, large: bool, record: RequestRecord, deadline: float
    ) -> Response:
        lease = record.lease = await self._registry.lease(asked.model, asked.version)
        loaded = lease.loaded
        record.model, record.version = loaded.name, str(loaded.version)
        limits = self._settings.limits
        with _refusals():
            started = perf_counter()
            question = await self._off_loop(lambda: asked.question(loaded), large)
            plan = await self._off_loop(lambda: operation.plan(loaded, question, limits, asked.media), large)
            record.add("parse", perf_counter() - started)
            with self._admission.work(plan.engine_rows):
                answer = await self._drive(loaded, plan, record, deadline)
        record.stage = "encode"
        started = perf_counter()

        def finish() -> Response:
            reply = operation.reply(loaded, question, answer)
            record.nonfinite = count_nonfinite(reply)
            return asked.render(loaded, reply)

        response = await self._off_loop(finish, plan.rows > _INLINE_ROWS)
        record.add("encode", perf_counter() - started)
        record.rows = plan.rows
        return response

    async def _drive(self, loaded: Loaded, plan: Plan, record: RequestRecord, deadline: float) -> Any:
        """Run the question's works through the scheduler until it answers."""
        heavy = plan.engine_rows > _INLINE_ROWS
        while True:
            step = await self._off_loop(lambda: _advance(plan.question), heavy)
            if step.work is None:
                return step.answer
            record.stage = "queue"
            self._in_time(loaded, step.work, deadline)
            timing = await self._driver.run(loaded, _Watched(step.work, record), deadline, record.tenant)
            record.add("queue", timing.queue)
            record.add("compute", timing.compute)

    def _in_time(self, loaded: Loaded, work: Work, deadline: float) -> None:
        """Refuse now what the queue will not let be done in time, rather than compute it for nobody."""
        left = deadline - monotonic()
        if self._driver.backlog < left:
            return
        delay, alone = self._driver.delay(loaded, work.operation, work.rows)
        if alone < left < delay:
            raise unavailable("overloaded", f"the queue is {delay - alone:.1f} s long for this request", delay - alone)

    async def _off_loop(self, function: Callable[[], Result], heavy: bool) -> Result:
        """Call it: in a thread where it takes long, else here."""
        if not heavy:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _deadline(self, request: Request) -> float:
        milliseconds = self._settings.request_timeout_ms
        text = request.headers.get(_TIMEOUT_HEADER)
        if text is not None:
            if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) > 0):
                detail = "X-Request-Timeout-Ms: expected a whole number of milliseconds from 1"
                raise Problem(400, "header", detail, header="X-Request-Timeout-Ms")
            milliseconds = min(milliseconds, int(text))
        return monotonic() + milliseconds / 1000

    async def close(self) -> None:
        """Stop the threads."""
        await asyncio.to_thread(self._threads.shutdown)


@dataclass(frozen=True)
class _Step:
    work: Work | None
    answer: Any = None


def _advance(question: Question[Any]) -> _Step:
    try:
        return _Step(next(question))
    except StopIteration as end:
        return _Step(None, end.value)


class _refusals:  # noqa: N801 - reads as a statement
    """Turns what `inference` and the scheduler refuse into problems."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Translate."""
        match error:
            case FieldError():
                raise invalid(error.pointer, error.message) from None
            case CannotAnswer():
                raise Problem(422, "cannot-answer", error.reason) from None
            case DeadlinePassed():
                raise deadline_passed("queue") from None
            case EngineOutOfMemory() | MemoryError():
                raise unavailable("overloaded", "there was no memory for this request", 1.0) from error


async def _unless_gone(
    request: Request, answering: Awaitable[Response], record: RequestRecord, deadline: float
) -> Response:
    """The answer, unless the client leaves or the deadline passes first; then what is left of it is dropped."""
    task = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=deadline - monotonic(), return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            record.cancelled = True
            return Response(status_code=_CLIENT_GONE)
        raise deadline_passed(record.stage)
    finally:
        for pending in (task, gone):
            if not pending.done():
                pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

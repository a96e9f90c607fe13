"""The way of one question: admit, read, parse, resolve, plan, compute beside the neighbours, render."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic, perf_counter
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from inference.engine import EngineLost, EngineOutOfMemory
from inference.errors import CannotAnswer, FieldError
from inference.loaded import Loaded
from inference.work import Question, Work
from service.admission import Admission
from service.body import ByteBudget, Held, read_body
from service.connection import Connection, connection_of
from service.exchange import Asked, Dialect, Exchange
from service.metrics import RequestRecord
from service.operations.base import Operation, Plan, StreamPlan, nonfinite_values
from service.patience import Patience
from service.problems import Problem, deadline_passed, invalid, lost_device, unavailable
from service.registry import Registry
from service.rendering import identity, render_line
from service.scheduling.driver import DeadlinePassed, Driver, TooLate
from service.settings import Settings
from service.streaming import Stream

Result = TypeVar("Result")
_INLINE_BYTES = 32_768
_INLINE_ROWS = 256
_TIMEOUT_HEADER = b"x-request-timeout-ms"


class Pipeline:
    """Answers the four operations of one app."""

    def __init__(self, settings: Settings, registry: Registry, driver: Driver, admission: Admission) -> None:
        self.limits = settings.limits
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
            with self._admission.request():
                exchange = dialect(request, self.limits)
                deadline = self._deadline(record, exchange.streams)
                started = perf_counter()
                connection = connection_of(request.scope)
                # The body's bytes stay counted to the end: arrays are views of them.
                with Patience(connection, request.receive) as patience, Held(self._budget) as held:
                    pause = self._settings.body_timeout_s
                    body = await read_body(request, exchange.limit, held, patience, pause, deadline)
                    patience.until(deadline, lambda: deadline_passed(record.stage))
                    patience.watch()
                    record.seconds["parse"] += perf_counter() - started
                    return await self._respond(operation, exchange, body, record, deadline)
        except Problem as problem:
            record.reason = problem.reason
            raise

    async def answer_whole(
        self, operation: Operation, exchange: Exchange, body: bytes, record: RequestRecord, connection: Connection
    ) -> Response:
        """The same for a request that is there with its body, which is no longer than the exchange allows."""
        record.operation = operation.name
        try:
            with self._admission.request():
                deadline = self._deadline(record, exchange.streams)
                with Patience(connection) as patience, Held(self._budget) as held:
                    held.grow(len(body))
                    patience.until(deadline, lambda: deadline_passed(record.stage))
                    return await self._respond(operation, exchange, body, record, deadline)
        except Problem as problem:
            record.reason = problem.reason
            raise

    async def _respond(
        self, operation: Operation, exchange: Exchange, body: bytes, record: RequestRecord, deadline: float
    ) -> Response:
        started = perf_counter()
        small = len(body) <= _INLINE_BYTES
        asked = exchange.read(body) if small else await self._off_loop(partial(exchange.read, body))
        record.seconds["parse"] += perf_counter() - started
        lease = record.lease = await self._registry.lease(asked.model, asked.version, deadline)
        loaded = lease.loaded
        record.model, record.version = loaded.name, str(loaded.version)
        with _refusals():
            started = perf_counter()
            if small:
                question, plan = self._plan(operation, asked, loaded)
            else:
                question, plan = await self._off_loop(partial(self._plan, operation, asked, loaded))
            record.seconds["parse"] += perf_counter() - started
            if isinstance(plan, StreamPlan):
                return await self._begin(loaded, plan, body, record, deadline)
            with self._admission.work(plan.engine_rows):
                answer = await self._drive(loaded, plan.question, plan.engine_rows, record, deadline)
        record.stage = "encode"
        started = perf_counter()
        if plan.rows > _INLINE_ROWS:
            response, nonfinite = await self._off_loop(partial(_rendered, operation, asked, loaded, question, answer))
        else:
            response, nonfinite = _rendered(operation, asked, loaded, question, answer)
        record.seconds["encode"] += perf_counter() - started
        record.rows, record.nonfinite = plan.rows, nonfinite
        return response

    def _plan(self, operation: Operation, asked: Asked, loaded: Loaded) -> tuple[Any, Plan | StreamPlan]:
        question = asked.question(loaded)
        return question, operation.plan(loaded, question, self.limits, asked.media)

    async def _begin(
        self, loaded: Loaded, plan: StreamPlan, body: bytes, record: RequestRecord, deadline: float
    ) -> Response:
        """The stream with its first two lines, so that what fails until then is answered with a status of its own."""
        lines = self._lines(loaded, plan, record, deadline)
        async with AsyncExitStack() as held:
            held.enter_context(self._admission.stream())
            self._budget.take(len(body))
            held.callback(self._budget.give, len(body))
            held.push_async_callback(lines.aclose)
            first = b"".join([await anext(lines), await anext(lines)])
            return Stream(first, lines, held.pop_all(), record, deadline, self._settings.stall_timeout_s)

    async def _lines(
        self, loaded: Loaded, plan: StreamPlan, record: RequestRecord, deadline: float
    ) -> AsyncGenerator[bytes, None]:
        yield render_line({**identity(loaded), **plan.opening})
        begun = False
        for piece in plan.pieces:
            with _refusals(), self._admission.work(piece.engine_rows, admitted=begun):
                contents = await self._drive(loaded, piece.question, piece.engine_rows, record, deadline, begun=begun)
            begun = True
            record.stage = "encode"
            for content in contents:
                started = perf_counter()
                record.nonfinite += nonfinite_values(content)
                line = await self._off_loop(partial(render_line, content))
                record.seconds["encode"] += perf_counter() - started
                yield line
        closing = await self._off_loop(plan.closing)
        record.rows = plan.rows
        yield render_line(closing)

    async def _drive(
        self,
        loaded: Loaded,
        question: Question[Any],
        engine_rows: int,
        record: RequestRecord,
        deadline: float,
        *,
        begun: bool = False,
    ) -> Any:
        """Run the question's works through the scheduler until it answers. `begun`: it is not refused any more."""
        heavy = engine_rows > _INLINE_ROWS
        while True:
            work, answer = await self._off_loop(partial(_advance, question)) if heavy else _advance(question)
            if work is None:
                return answer
            record.stage = "queue"
            timing = await self._driver.run(
                loaded, work, deadline, record.tenant, record.computing, refusable=not begun
            )
            record.seconds["queue"] += timing.queue
            record.seconds["compute"] += timing.compute

    async def _off_loop(self, function: Callable[[], Result]) -> Result:
        """Call in a thread what takes long."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _deadline(self, record: RequestRecord, streams: bool) -> float:
        settings = self._settings
        milliseconds = settings.stream_timeout_ms if streams else settings.request_timeout_ms
        text = record.headers.get(_TIMEOUT_HEADER)
        if text is not None:
            if not (text.isdigit() and len(text) < 12 and int(text) > 0):
                detail = "X-Request-Timeout-Ms: expected a whole number of milliseconds from 1"
                raise Problem(400, "header", detail, header="X-Request-Timeout-Ms")
            milliseconds = min(milliseconds, int(text))
        return monotonic() + milliseconds / 1000

    @property
    def body_bytes(self) -> int:
        """Bytes of request bodies held at the moment."""
        return self._budget.held

    async def close(self) -> None:
        """Stop the threads."""
        await asyncio.to_thread(self._threads.shutdown)


def _rendered(operation: Operation, asked: Asked, loaded: Loaded, question: Any, answer: Any) -> tuple[Response, int]:
    """The answer, and how many of its values are not finite."""
    reply = operation.reply(loaded, question, answer)
    response = asked.render(loaded, reply)
    return response, reply.nonfinite


def _advance(question: Question[Any]) -> tuple[Work | None, Any]:
    """The question's next work and None; None and its answer where there is no more work."""
    try:
        return next(question), None
    except StopIteration as end:
        return None, end.value


class _refusals:  # noqa: N801 - reads as a statement
    """Turns what `inference` and the scheduler refuse into problems."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Translate."""
        if error is None:
            return
        match error:
            case FieldError():
                raise invalid(error.pointer, error.message) from None
            case CannotAnswer():
                raise Problem(422, "cannot-answer", error.reason, pointer=error.pointer) from None
            case DeadlinePassed():
                raise deadline_passed("queue") from None
            case TooLate():
                raise unavailable("overloaded", str(error), error.wait) from None
            case EngineLost():
                raise lost_device() from error
            case EngineOutOfMemory() | MemoryError():
                raise unavailable("overloaded", "there was no memory for this request", 1.0) from error

"""The factory of the app. Importing it has no side effects, so the same factory runs under uvicorn and Ray Serve."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from inference.loaded import Loaded
from inference.loading import Placement, load_version
from inference.memory import give_back
from inference.warming import warm
from model_store.manifest import Manifest
from model_store.signature import Operation
from model_store.store import Store
from service.admission import Admission
from service.device_memory import memory_budget
from service.devices import one_device
from service.followed_keys import FollowedKeys
from service.gate import Gate
from service.head_requests import HeadAsGet
from service.lane import Lane
from service.metrics import Metrics
from service.middleware import Edge
from service.parts import Parts
from service.pipeline import Pipeline
from service.problems import Problem, answer_failure, answer_http_exception, answer_problem
from service.registry import Registry
from service.routes.admin import admin_routes
from service.routes.health import health_routes
from service.routes.models import model_routes
from service.routes.open_inference import open_inference_routes
from service.routes.operations import Shortcut, operation_routes
from service.routes.pages import page_routes
from service.scheduling.driver import Driver
from service.scheduling.layout import Dense, FixedShape
from service.scheduling.scheduler import Pace
from service.settings import Settings

VERSION = "0.1.0"
_log = logging.getLogger("condflow.service")
_DESCRIPTION = """Draw samples from conditional normalizing flows, score them, and read the condition back off the data.

JSON by default; `application/x-npz` and `application/x-npy` for large arrays. Errors are RFC 9457 problem documents.
Under `/v2` the same in the Open Inference Protocol (KServe, Triton's clients)."""


def create_app(settings: Settings | None = None, *, document_admin: bool = False) -> FastAPI:
    """An app over the store of `settings` (the environment's by default).

    Args:
        settings: all there is to set.
        document_admin: include the admin routes even without an admin key, for the OpenAPI document.

    Raises:
        KeyLineError: a key line is malformed, or a keys file holds none.
        ValueError: the settings name several devices.
    """
    settings = settings or Settings()
    parts = _parts(settings)
    keys = FollowedKeys(settings, parts.metrics.key_change)
    app = _App(
        title="condflow",
        version=VERSION,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=partial(_lifespan, parts=parts),
        exception_handlers={
            Problem: answer_problem,
            HTTPException: answer_http_exception,
            Exception: answer_failure,
        },
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are /metrics; asking costs every request
    )
    app.state.parts = parts
    app.add_middleware(HeadAsGet)
    app.include_router(operation_routes(parts))
    app.include_router(model_routes(parts))
    app.include_router(health_routes(parts))
    app.include_router(open_inference_routes(parts, VERSION))
    if settings.keys_file is not None or keys.ring.has_scope("admin") or document_admin:
        app.include_router(admin_routes(parts))
    app.include_router(page_routes())
    gate = Gate(Shortcut(app.answer, parts), keys, settings.hosts)
    app.answer = Edge(gate, parts.metrics)
    app.state.lane = Lane(gate, parts.pipeline, parts.metrics)
    return app


class _App(FastAPI):
    """FastAPI behind our own layers: what they answer themselves does not pay for its layers."""

    answer: ASGIApp

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.answer = super().__call__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; FastAPI itself sees to the lifespan."""
        if scope["type"] == "http":
            await self.answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """What the app says of itself; who is never asked does without the code for it."""
        from service.openapi import openapi_of

        return openapi_of(self)


def _parts(settings: Settings) -> Parts:
    metrics, device = Metrics(), one_device(settings.device)
    store = Store.open(settings.store)

    asked: defaultdict[str, set[Operation]] = defaultdict(set)

    def on_batch(loaded: Loaded, operation: Operation, rows: int, _seconds: float) -> None:
        asked[loaded.name].add(operation)
        metrics.batch(operation, loaded.name, str(loaded.version), rows)

    def on_shortage(loaded: Loaded, operation: Operation) -> None:
        metrics.shortage(operation, loaded.name, str(loaded.version))

    layout = FixedShape(settings.fixed_rows) if settings.fixed_rows else Dense()
    driver = Driver(_pace(settings), on_batch, layout, on_shortage)

    placement = Placement(
        device,
        settings.engine_threads,
        settings.precision,
        settings.batch_rows,
        settings.fixed_rows,
        settings.fuse_s,
        rests=True,
    )

    def load(manifest: Manifest) -> Loaded:
        read = partial(store.read, manifest)
        loaded = load_version(manifest, read, placement=placement)
        try:
            for call in warm(loaded):
                driver.learn(loaded, call.operation, call.rows, call.seconds)
            loaded.engine.rest(asked[manifest.name] or {"decode"})  # a new version is as ready as the one it follows
        except BaseException:
            loaded.close()
            raise
        give_back()
        return loaded

    budget = memory_budget(settings.device_memory, device, _free_memory)
    registry = Registry(
        store,
        settings.store,
        load,
        metrics,
        settings.loaded_versions,
        settings.load_wait_s,
        budget,
        driver.lose,
        placement.on_device,
    )
    admission = Admission(
        settings.concurrent_requests, settings.queue_rows, settings.drain_s, lambda: driver.backlog, settings.streams
    )
    pipeline = Pipeline(settings, registry, driver, admission)
    return Parts(settings, metrics, registry, admission, driver, pipeline)


def _free_memory(device: str) -> int:
    from inference.gpu.inventory import free_memory  # torch is imported only where it runs

    return free_memory(device)


def _pace(settings: Settings) -> Pace:
    return Pace(
        short=settings.short_call_ms / 1000,
        long=settings.call_ms / 1000,
        most_rows=settings.batch_rows,
        depth=2,
    )


@asynccontextmanager
async def _lifespan(_app: FastAPI, parts: Parts) -> AsyncIterator[None]:
    following = asyncio.create_task(_follow_store(parts), name="condflow-follow")
    try:
        yield
    finally:
        parts.admission.state = "draining"
        following.cancel()
        await asyncio.wait([following])
        await parts.driver.close()
        await parts.pipeline.close()
        await parts.registry.close()


async def _follow_store(parts: Parts) -> None:
    """Load what the store holds, then look at it again and again."""
    started = perf_counter()
    while True:
        try:
            await parts.registry.refresh()
        except Exception:
            _log.exception("looking at the store failed; serving what is loaded")
        if started:
            _log.info("first look at the store took %.0f ms", 1000 * (perf_counter() - started))
            started = 0.0
        await asyncio.sleep(parts.settings.poll_seconds)

"""GET /livez, /readyz and /metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.documentation import problem_responses
from service.parts import Parts
from service.problems import lost_device, unavailable

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def check_alive(parts: Parts) -> None:
    """Raise Problem (503) where the engine's device is gone."""
    if parts.driver.lost:
        raise lost_device()


def check_ready(parts: Parts) -> None:
    """Raise Problem (503) while models load, from SIGTERM on, and where the engine's device is gone."""
    check_alive(parts)
    if parts.admission.state != "serving":
        raise unavailable("draining", "the service is shutting down", parts.admission.drain_s)
    if not parts.registry.ready:
        raise unavailable("loading", "models are still loading", 1.0)


def take_gauges(parts: Parts) -> None:
    """Set the gauges to what is held at this moment."""
    metrics, admission = parts.metrics, parts.admission
    rows, oldest = parts.driver.queue()
    metrics.queue_rows.set(rows)
    metrics.queue_oldest.set(oldest if rows else 0.0)
    metrics.in_progress.set(admission.requests)
    metrics.streams.set(admission.streams)
    metrics.body_bytes.set(parts.pipeline.body_bytes)
    metrics.resident_bytes.set(parts.registry.resident_bytes)
    if parts.settings.device != "cpu":
        from inference.gpu.inventory import held_memory  # torch is there already

        metrics.gpu_memory.set(held_memory(parts.settings.device))
    metrics.store_readable.set(parts.registry.store_readable)


def health_routes(parts: Parts) -> APIRouter:
    """The routes that orchestrators and Prometheus ask."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", operation_id="livez", summary="Is the process alive?", responses=problem_responses(403, 503))
    async def livez(request: Request) -> Response:
        """200 while the event loop turns and the engine's device is there."""
        request.scope["condflow.record"].operation = "livez"
        check_alive(parts)
        return JSONResponse({"status": "alive"})

    @router.get(
        "/readyz", operation_id="readyz", summary="May requests be sent here?", responses=problem_responses(403, 503)
    )
    async def readyz(request: Request) -> Response:
        """200 once the default version of every model is loaded, until SIGTERM; says whether the store is readable."""
        request.scope["condflow.record"].operation = "readyz"
        check_ready(parts)
        store = "readable" if parts.registry.store_readable else "unreadable"
        return JSONResponse({"status": "ready", "loaded": parts.registry.serving, "store": store})

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Prometheus metrics",
        response_class=Response,
        responses={
            200: {"description": "The text exposition.", "content": {METRICS_TYPE: {"schema": {"type": "string"}}}},
            **problem_responses(401, 403),
        },
    )
    async def metrics(request: Request) -> Response:
        """The text exposition; of all workers where there are several, each series labelled by its `worker`."""
        request.scope["condflow.record"].operation = "metrics"
        if parts.exposition is not None:
            return Response(await parts.exposition(), media_type=METRICS_TYPE)
        take_gauges(parts)
        return Response(parts.metrics.render(), media_type=METRICS_TYPE)

    return router

"""FastAPI + torch: a `def` endpoint, which FastAPI runs in its thread pool; no batching. `uvicorn --factory`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from benchmarks.serving.peers.torch_flow import TorchFlow, npz


class Ask(BaseModel):
    """The request's body."""

    condition: int
    num_samples: int = 1


def create_app() -> FastAPI:
    """The app, with the flow loaded."""
    flow = TorchFlow()
    app = FastAPI()

    @app.post("/sample")
    def sample(ask: Ask, request: Request) -> Any:
        samples = flow.sample([ask.condition] * ask.num_samples)
        if request.headers.get("accept") == "application/x-npz":
            return Response(npz(samples), media_type="application/x-npz")
        return {"samples": samples.tolist()}

    return app

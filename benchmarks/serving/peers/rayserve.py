"""Ray Serve: a FastAPI ingress made by a factory, `@serve.batch` of up to 64 requests in one replica."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import numpy as np
import ray
from fastapi import Request, Response
from ray import serve

from benchmarks.serving.peers.torch_flow import DEADLINE_S, MAX_REQUESTS, PORT, TorchFlow, npz


@serve.deployment(
    num_replicas=1,
    max_ongoing_requests=2 * MAX_REQUESTS,
    max_queued_requests=int(os.environ.get("BENCH_QUEUE", "-1")),
    ray_actor_options={"num_cpus": 1},
)
class Flow:
    """One replica."""

    def __init__(self) -> None:
        self.flow = TorchFlow()

    @serve.batch(max_batch_size=MAX_REQUESTS, batch_wait_timeout_s=0.002)
    async def batched(self, asked: list[tuple[int, int]]) -> list[np.ndarray]:
        """The samples of each request."""
        return await asyncio.to_thread(self.flow.sample_each, asked)

    async def __call__(self, request: Request) -> Any:
        """POST /sample."""
        ask = await request.json()
        samples = await self.batched((ask["condition"], ask.get("num_samples", 1)))
        if request.headers.get("accept") == "application/x-npz":
            return Response(npz(samples), media_type="application/x-npz")
        return {"samples": samples.tolist()}


def main() -> None:
    """Serve until killed."""
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT, "request_timeout_s": DEADLINE_S})
    serve.run(Flow.bind(), route_prefix="/sample", blocking=True)


if __name__ == "__main__":
    main()

"""LitServe: decode, batch, predict, unbatch and encode in one worker process; up to 64 requests a batch."""

from __future__ import annotations

from typing import Any

import litserve
import numpy as np
from fastapi import Response

from benchmarks.serving.peers.torch_flow import DEADLINE_S, MAX_REQUESTS, PORT, TorchFlow, npz


class FlowAPI(litserve.LitAPI):
    """One request is (condition, number of samples, whether the answer is binary)."""

    def setup(self, device: str) -> None:
        self.flow = TorchFlow()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads the types
        return request["condition"], request.get("num_samples", 1), request.get("npz", False)

    def batch(self, inputs: list[tuple[int, int, bool]]) -> list[tuple[int, int, bool]]:
        return inputs

    def predict(self, asked: list[tuple[int, int, bool]]) -> list[tuple[np.ndarray, bool]]:
        samples = self.flow.sample_each([ask[:2] for ask in asked])
        return [(each, ask[2]) for each, ask in zip(samples, asked, strict=True)]

    def unbatch(self, output: list[tuple[np.ndarray, bool]]) -> list[tuple[np.ndarray, bool]]:
        return output

    def encode_response(self, output: tuple[np.ndarray, bool]) -> Any:
        samples, binary = output
        if binary:
            return Response(npz(samples), media_type="application/x-npz")
        return {"samples": samples.tolist()}


if __name__ == "__main__":
    api = FlowAPI(max_batch_size=MAX_REQUESTS, batch_timeout=0.002, api_path="/sample")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=DEADLINE_S)
    server.run(port=PORT, host="127.0.0.1", num_api_servers=1, generate_client_file=False, log_level="warning")

"""Rows per second of each function from one row to a million, beside the floor of the matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmarks.gpu.check import functions
from benchmarks.gpu.models import conditional_affine, inputs, joint_mixture, perturb
from flows.models.base import Model


def run_speed(device: torch.device) -> list[dict[str, object]]:
    """One row per model, function and batch: milliseconds, rows/s, and the share of the measured matrix rate."""
    side = 8192 if device.type == "cuda" else 1024
    rate = matrix_rate(device, side)
    exponents = (0, 6, 10, 14, 17, 20) if device.type == "cuda" else (0, 6, 10)
    rows: list[dict[str, object]] = []
    for name, make in (("joint 8x3x512", joint_mixture), ("affine 8x3x512", conditional_affine)):
        model = perturb(make()).to(device)
        flops = conditioner_flops(model)
        for operation, function in functions(model.operations).items():
            for batch in (2**e for e in exponents):
                named = inputs(model, batch, device, torch.float32)
                seconds = timed(lambda f=function, n=named, m=model: f(m, n), device)
                rows.append(
                    {
                        "model": name,
                        "operation": operation,
                        "rows": batch,
                        "ms": round(seconds * 1e3, 4),
                        "rows/s": round(batch / seconds),
                        "share of matrix rate": f"{batch * flops / seconds / rate:.1%}",
                    }
                )
    rows.append({"model": f"matrix product {side}^3 float32", "operation": "floor", "TFLOP/s": round(rate / 1e12, 2)})
    return rows


def conditioner_flops(model: Model) -> int:
    """2 x (weights in matrices): floating-point operations per row of one pass through all conditioners."""
    return 2 * sum(p.numel() for p in model.parameters() if p.ndim == 2)


def matrix_rate(device: torch.device, side: int) -> float:
    """FLOP/s of a large float32 product, the ceiling of everything here."""
    a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
    return 2 * side**3 / timed(lambda: a @ b, device)


def timed(call: Callable[[], object], device: torch.device, budget_s: float = 0.3) -> float:
    """Seconds per call, device work included; the fastest of five rounds."""

    def once(n: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(n):
            call()
        synchronize(device)
        return (time.perf_counter() - start) / n

    once(3)
    n = max(1, min(200, int(budget_s / 5 / once(1))))
    return min(once(n) for _ in range(5))


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

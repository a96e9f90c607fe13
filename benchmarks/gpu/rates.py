"""What this device reaches on plain products and plain copies: the ceilings that every other figure is held against."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.gpu.floors import Rates
from benchmarks.gpu.timing import on_device
from inference.gpu.precision import float32_products

PRECISIONS = ("float32", "tf32", "bf16")


def measure_rates(device: torch.device, side: int, copy_bytes: int) -> Rates:
    """Products of `side` x `side` in each precision, copies of `copy_bytes`; medians, random data."""
    matrix = {precision: matrix_rate(device, side, precision) for precision in PRECISIONS}
    here, there = (torch.empty(copy_bytes, dtype=torch.uint8, device=device).random_() for _ in range(2))
    host = torch.empty(copy_bytes, dtype=torch.uint8, pin_memory=device.type == "cuda")
    return Rates(
        matrix,
        copy=2 * copy_bytes / on_device(lambda: there.copy_(here), device),
        to_device=copy_bytes / on_device(lambda: here.copy_(host, non_blocking=True), device),
        to_host=copy_bytes / on_device(lambda: host.copy_(here, non_blocking=True), device),
    )


def matrix_rate(device: torch.device, side: int, precision: str) -> float:
    """FLOP/s of a square product in this precision."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    with float32_products(tf32=precision == "tf32"):
        return 2 * side**3 / on_device(product(a, b, out), device)


def product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Callable[[], object]:
    """One product into a ready buffer."""
    return lambda: torch.mm(a, b, out=out)

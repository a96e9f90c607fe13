"""What noise costs where it is drawn: on the host and then moved, or by `inference.device_noise` where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.benchmark import Timer

from benchmarks.gpu.plan import Plan, Row
from inference.device_noise import DeviceNoise, run_table
from inference.drawn import Drawn
from inference.noise import SAMPLING, NoiseSource
from model_store.signature import Part
from training.capture import captured

PART = Part(name="z", shape=(4,))
COMPARED = 10**7  # normals
PIECE = 2**18


def measure(plan: Plan) -> Iterator[Row]:
    """One row per size: milliseconds of each way; last how far the two generators' normals lie apart, in ulp."""
    device = torch.device(plan.device)
    noise = DeviceNoise(device)
    exponents = (10, 14, 18, 22, 24) if plan.card else (10, 14, 18)
    for exponent in exponents:
        yield _sized(noise, 2**exponent, device)
    yield _apart(noise, device)


def _sized(noise: DeviceNoise, numbers: int, device: torch.device) -> Row:
    rows = numbers // PART.size
    source = NoiseSource(7, SAMPLING, 0, PART)
    table = torch.from_numpy(run_table(Drawn.of(source, [(0, 0, rows)], 1.0), 64)).to(device)
    held = torch.from_numpy(source.draw(0, 0, rows))
    held = held.pin_memory() if device.type == "cuda" else held
    row: Row = {
        "normals": numbers,
        "drawn on the host": _milliseconds(lambda: source.draw(0, 0, rows)),
        "moved": _milliseconds(lambda: held.to(device, non_blocking=True)),
        "torch.randn": _milliseconds(lambda: torch.randn(rows, PART.size, device=device)),
        "on the device, eager": _milliseconds(lambda: noise.numbers(table, rows, PART)),
    }
    if device.type == "cuda":
        row["captured"] = _milliseconds(captured(lambda: noise.numbers(table, rows, PART), device))
        fused = torch.compile(noise.numbers, fullgraph=True, dynamic=False)
        row["fused, captured"] = _milliseconds(captured(lambda: fused(table, rows, PART), device))
    return row


def _apart(noise: DeviceNoise, device: torch.device) -> Row:
    source = NoiseSource(7, SAMPLING, 0, PART)
    counts = np.zeros(4, dtype=np.int64)
    for start in range(0, COMPARED // PART.size, PIECE):
        drawn = Drawn.of(source, [(0, start, min(start + PIECE, COMPARED // PART.size))], 1.0)
        table = torch.from_numpy(run_table(drawn, 1)).to(device)
        found = noise.numbers(table, len(drawn), PART).cpu().numpy()
        wanted = drawn.numbers()
        apart = np.rint(np.abs(found - wanted) / np.spacing(np.abs(wanted))).astype(np.int64)
        counts += np.bincount(np.minimum(apart, 3).reshape(-1), minlength=4)
    names = ("equal", "1 ulp apart", "2 ulp apart", "further apart")
    row: Row = {"normals": COMPARED}
    row.update(zip(names, counts.tolist(), strict=True))
    return row


def _milliseconds(call: Callable[[], object]) -> float:
    """Median; torch's timer waits for the device."""
    timer = Timer("call()", globals={"call": call})
    return round(timer.blocked_autorange(min_run_time=0.3).median * 1e3, 4)

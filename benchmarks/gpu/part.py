"""`python -m benchmarks.gpu.part NAME DEVICE FOLDER SOURCE`: one part in this process, its rows kept as JSON."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.gpu.kept import Kept, facts_here, write
from benchmarks.gpu.plan import Plan
from training.errors import first_line

# part: the module of this package whose `measure(plan, *rest)` gives its rows, and the rest
PARTS: dict[str, tuple[str, ...]] = {
    "check": ("check",),
    "latency": ("latency",),
    "throughput-mixture": ("throughput", "mixture"),
    "throughput-affine": ("throughput", "affine"),
    "peers-affine": ("peers", "affine"),
    "peers-spline": ("peers", "spline"),
    "peers-wide": ("peers", "wide"),
    "noise": ("noise",),
    "http": ("http",),
    "training-steps": ("train", "steps"),
    "training-accuracy": ("train", "accuracy"),
    "memory": ("memory",),
}


def run(plan: Plan, part: str) -> Kept:
    """The part's rows, or what ended it."""
    module, *rest = PARTS[part]
    facts = facts_here(plan)
    device = torch.device(plan.device)
    try:
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
        rows = import_module(f"benchmarks.gpu.{module}").measure(plan, *rest)
    except Exception as error:
        traceback.print_exc()
        return Kept(part, [], facts, f"{type(error).__name__}: {first_line(error)[:300]}")
    return Kept(part, rows, facts)


def main(part: str, device: str, folder: str, source: str) -> None:
    """Run it and keep what it leaves."""
    plan = Plan(device, Path(folder), source)
    write(plan, run(plan, part))


if __name__ == "__main__":
    main(*sys.argv[1:5])

"""`python -m benchmarks.gpu.part NAME DEVICE FOLDER SOURCE`: one part in this process, its rows kept as they come.

It ends with the process that started it, which holds the other end of its standard input.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.gpu.kept import UNFINISHED, Kept, facts_here, write
from benchmarks.gpu.plan import Plan
from training.errors import first_line

# part: the module of this package whose `measure(plan, *rest)` gives its rows, and the rest; goals come first
PARTS: dict[str, tuple[str, ...]] = {
    "check": ("check",),
    "tests": ("tests",),
    "latency": ("latency",),
    "throughput-mixture": ("throughput", "mixture"),
    "http": ("http",),
    "training-accuracy": ("train", "accuracy"),
    "peers-affine": ("peers", "affine"),
    "peers-spline": ("peers", "spline"),
    "peers-wide": ("peers", "wide"),
    "training-steps": ("train", "steps"),
    "throughput-affine": ("throughput", "affine"),
    "memory": ("memory",),
    "noise": ("noise",),
}


def run(plan: Plan, part: str) -> Kept:
    """The part's rows, and what ended it before its time if anything did. Each row is kept once it is there."""
    module, *rest = PARTS[part]
    kept = Kept(part, [], facts_here(plan), UNFINISHED)
    device = torch.device(plan.device)
    try:
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
        for row in import_module(f"benchmarks.gpu.{module}").measure(plan, *rest):
            kept.rows.append(row)
            write(plan, kept)
    except Exception as error:
        traceback.print_exc()
        return replace(kept, error=f"{type(error).__name__}: {first_line(error)[:300]}")
    return replace(kept, error="")


def main(part: str, device: str, folder: str, source: str) -> None:
    """Run it and keep what it leaves."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    print(f"{part}: running on {device}", flush=True)
    plan = Plan(device, Path(folder), source)
    write(plan, run(plan, part))


def _end_with_the_starter() -> None:
    """With all that this process has started. Nothing ends one that was started by hand, which leads no session."""
    while os.read(0, 1):  # not of sys.stdin, whose lock the interpreter takes when it ends
        pass
    if os.getsid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:5])

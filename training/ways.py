"""Which way of running a step is the fastest here, found by trying."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from training.errors import FitError, first_line
from training.gradients import Gradients, kept_buffers
from training.settings import Step

TRIED = 30  # steps
COMPILES = 300.0  # seconds of fitting, from which on a compilation of about a minute may pay
DIRECT: tuple[Step, ...] = ("eager", "graphed")
COMPILED: tuple[Step, ...] = ("compiled", "compiled-graphed")

Make = Callable[[Step], Gradients]


def fastest(make: Make, steps: int, step: int, device: torch.device, say: Callable[[str], None]) -> Gradients:
    """The way with which `steps` steps from `step` on take the least time; what was measured is said.

    Compiled ways are tried where the others would take longer than `COMPILES` seconds. Nothing that is fitted
    changes. A way that fails here is said and left out; raises FitError when none is left.
    """
    found: dict[Step, tuple[float, Gradients]] = {}
    for ways in (DIRECT, COMPILED):
        if ways is COMPILED and (not found or steps * min(found.values(), key=_seconds)[0] < COMPILES):
            break
        if ways is COMPILED:
            forget_compiled()
        for way in ways:
            try:
                gradients = make(way)
                found[way] = seconds_per_step(gradients, step, device), gradients
            except RuntimeError as error:
                say(f"steps cannot run {way} here: {first_line(error)}")
    if not found:
        raise FitError("no step could be run on this device")
    way, (_, gradients) = min(found.items(), key=lambda item: _seconds(item[1]))
    rates = ", ".join(f"{name} {1 / seconds:,.0f}" for name, (seconds, _) in found.items())
    say(f"steps run {way} (forward and backward passes per second: {rates})")
    return gradients


def seconds_per_step(gradients: Gradients, step: int, device: torch.device) -> float:
    """Of gradients alone, once they are prepared: of consecutive steps, whose rows come as in a fit."""
    gradients.prepare(step)
    with kept_buffers(gradients.objective.module):
        gradients(step, 0)
        synchronize(device)
        start = time.perf_counter()
        for later in range(1, TRIED + 1):
            gradients(step + later, 0)
        synchronize(device)
        return (time.perf_counter() - start) / TRIED


def forget_compiled() -> None:
    """What was compiled for earlier phases counts against torch's limit of variants of one function: drop it."""
    torch.compiler.reset()


def synchronize(device: torch.device) -> None:
    """Wait for what the device has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(found: tuple[float, Gradients]) -> float:
    return found[0]

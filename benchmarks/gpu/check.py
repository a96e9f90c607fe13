"""Every function of every model on the device in float32 against the CPU in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.gpu.models import conditional_affine, conditional_spline, inputs, joint_mixture, perturb
from flows.models.base import Model

TOLERANCE = 5e-4  # relative to 1 + |value|, float32 through up to eight couplings


def run_check(device: torch.device) -> list[dict[str, object]]:
    """One row per model and function: the largest relative error. Raises AssertionError past the tolerance."""
    rows = []
    for name, make in (
        ("joint 8x3x512", joint_mixture),
        ("spline", conditional_spline),
        ("affine", conditional_affine),
    ):
        model = perturb(make())
        exact = copy.deepcopy(model).double()
        model = model.to(device)
        for operation, function in functions(model.operations).items():
            error = 0.0
            for batch in (1, 7, 256):
                got = function(model, inputs(model, batch, device, torch.float32))
                want = function(exact, inputs(model, batch, torch.device("cpu"), torch.float64))
                for a, b in zip(got, want, strict=True):
                    error = max(error, float(((a.double().cpu() - b).abs() / (1 + b.abs())).max()))
            assert error < TOLERANCE, f"{name} {operation}: error {error:.1e} is over {TOLERANCE}"
            rows.append({"model": name, "operation": operation, "max relative error": f"{error:.1e}"})
    return rows


def functions(operations: tuple[str, ...]) -> dict[str, Callable[[Model, dict[str, Tensor]], tuple[Tensor, ...]]]:
    """The pure functions on named inputs."""

    def parts(named: dict[str, Tensor], these: tuple) -> tuple[Tensor, ...]:
        return tuple(named[part.name] for part in these)

    every = {
        "decode": lambda m, n: (m.decode(parts(n, m.latent), n["condition"]),),
        "encode": lambda m, n: m.encode(n["x"], parts(n, m.noise), n["condition"]),
        "score": lambda m, n: (m.score(n["x"], parts(n, m.noise), n["condition"]),),
        "infer": lambda m, n: m.infer(n["x"], parts(n, m.noise)),
    }
    return {name: torch.inference_mode()(every[name]) for name in operations}

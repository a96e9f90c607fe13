"""Training steps per second of the mixture's flow, eager."""

from __future__ import annotations

import torch

from benchmarks.gpu.models import inputs, joint_mixture
from benchmarks.gpu.speed import timed


def run_train(device: torch.device) -> list[dict[str, object]]:
    """Steps/s and rows/s of a full optimiser step (forward, backward, fused Adam) at batch 1600."""
    rows: list[dict[str, object]] = []
    for width in (192, 512):
        model = joint_mixture(width=width, depth=3 if width == 512 else 2).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        named = inputs(model, 1600, device, torch.float32)
        noise = tuple(named[part.name] for part in model.noise)

        def step(model=model, optimizer=optimizer, named=named, noise=noise) -> None:
            optimizer.zero_grad(set_to_none=True)
            model.log_weight(named["x"], noise, named["condition"]).mean().neg().backward()
            optimizer.step()

        seconds = timed(step, device, budget_s=3.0)
        rows.append(
            {"model": f"joint, width {width}", "steps/s": round(1 / seconds, 1), "rows/s": round(1600 / seconds)}
        )
    return rows

"""Schedules against their closed forms."""

from __future__ import annotations

from math import cos, pi

import pytest
import torch

from training.schedules import Schedule


@pytest.mark.parametrize("kind", ["constant", "cosine", "one-cycle", "step"])
def test_warm_up_begins_at_start_and_ends_at_one(kind: str) -> None:
    schedule = Schedule.model_validate({"kind": kind, "warmup": 0.2, "start": 0.1})
    assert schedule.factor(0.0) == pytest.approx(0.1)
    assert schedule.factor(0.2 - 1e-9) == pytest.approx(1.0)
    assert schedule.factor(0.2) == pytest.approx(1.0)
    assert 0.1 < schedule.factor(0.1) < 1.0


def test_cosine() -> None:
    schedule = Schedule(kind="cosine", warmup=0.2, final=0.01)
    for t in (0.2, 0.5, 0.9, 1.0):
        left = (t - 0.2) / 0.8
        assert schedule.factor(t) == pytest.approx(0.01 + 0.99 * 0.5 * (1 + cos(pi * left)))


def test_step_drops_at_its_milestones() -> None:
    schedule = Schedule(kind="step", milestones=(0.5, 0.8), drop=0.1)
    assert [schedule.factor(t) for t in (0.0, 0.49, 0.5, 0.79, 0.8)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_constant() -> None:
    assert {Schedule(kind="constant").factor(t) for t in (0.0, 0.5, 0.99)} == {1.0}


def test_one_cycle_is_the_one_of_torch() -> None:
    total, peak = 200, 2e-3
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=peak, betas=(0.9, 0.99))
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=total + 1, pct_start=0.3, div_factor=20, final_div_factor=200
    )
    ours = Schedule(kind="one-cycle", warmup=0.3, start=1 / 20, final=1 / 4000)
    for step in range(total):
        progress = step / total
        group = optimizer.param_groups[0]
        first_beta = ours.first_beta(progress)
        assert first_beta is not None
        # torch counts the peak one step earlier: a difference of one step's change at most
        assert peak * ours.factor(progress) == pytest.approx(group["lr"], abs=peak * 0.03)
        assert first_beta == pytest.approx(group["betas"][0], abs=0.003)
        optimizer.step()
        theirs.step()


def test_only_one_cycle_moves_the_momentum() -> None:
    assert Schedule(kind="cosine").first_beta(0.5) is None

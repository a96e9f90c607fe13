"""Copies that take long, on a CPU that copies beside its computing as a card does: others go on, none is mixed up."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
import pytest
from torch import Tensor

import inference.torch_engine
from inference.engine import Arrays
from inference.gpu.lanes import HostLane, Slot, Step
from inference.torch_engine import TorchEngine
from tests.inference.exported import exported, inputs, torch_engine

PATIENCE_S = 60
Way = Literal["in", "out"]


class Held:
    """The next copy of one way: it says that it has come, and goes on when it may."""

    def __init__(self) -> None:
        self.came, self.may = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.came.set()
        assert self.may.wait(PATIENCE_S)


class CopiesBeside(HostLane):
    """The order of `CardLane`: bytes come and go without the lock, by memory of the slot's own."""

    slow: dict[Way, Held]

    def exchange(self, slot: Slot, inward: Tensor, outward: Tensor, call: Step) -> None:
        """See Lane."""
        self._wait("in")
        near = slot.inward[: inward.numel()].clone()
        with self.lock:
            inward.copy_(near)
            call()
            found = outward.clone()
        self._wait("out")
        slot.outward[: outward.numel()].copy_(found)

    def _wait(self, way: Way) -> None:
        held = self.slow.pop(way, None)
        if held is not None:
            held()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> TorchEngine:
    monkeypatch.setattr(inference.torch_engine, "HostLane", CopiesBeside)
    monkeypatch.setattr(CopiesBeside, "slow", {}, raising=False)
    return torch_engine("coupling-label", most_rows=64)


def ask(engine: TorchEngine, threads: ThreadPoolExecutor, seed: int) -> Future[Arrays]:
    return threads.submit(engine.run, "decode", inputs(exported("coupling-label")[0], "decode", 7, seed=seed))


def alone(engine: TorchEngine, seed: int) -> np.ndarray:
    return engine.run("decode", inputs(exported("coupling-label")[0], "decode", 7, seed=seed))["x"]


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_batch_whose_copy_takes_long_delays_no_other_and_gets_its_own_rows(engine: TorchEngine, way: Way) -> None:
    wanted = [alone(engine, seed) for seed in range(4)]
    held = Held()
    with ThreadPoolExecutor(4) as threads:
        CopiesBeside.slow[way] = held
        slow = ask(engine, threads, 0)
        assert held.came.wait(PATIENCE_S)
        for seed in range(1, 4):  # by the other slot, one after the other, over the same fixed buffers
            np.testing.assert_array_equal(ask(engine, threads, seed).result(PATIENCE_S)["x"], wanted[seed])
        assert not slow.done()
        held.may.set()
        np.testing.assert_array_equal(slow.result(PATIENCE_S)["x"], wanted[0])


def test_a_batch_waits_for_a_slot_where_both_are_on_their_way(engine: TorchEngine) -> None:
    wanted = [alone(engine, seed) for seed in range(3)]
    held = [Held(), Held()]
    with ThreadPoolExecutor(3) as threads:
        answers = []
        for seed, each in enumerate(held):
            CopiesBeside.slow["out"] = each
            answers.append(ask(engine, threads, seed))
            assert each.came.wait(PATIENCE_S)
        answers.append(ask(engine, threads, 2))
        assert engine._free.empty() and not answers[2].done()
        held[1].may.set()
        np.testing.assert_array_equal(answers[2].result(PATIENCE_S)["x"], wanted[2])
        assert not answers[0].done()
        held[0].may.set()
        for answer, rows in zip(answers, wanted, strict=True):
            np.testing.assert_array_equal(answer.result(PATIENCE_S)["x"], rows)


def test_closing_while_a_copy_is_under_way_loses_no_answer(engine: TorchEngine) -> None:
    wanted = alone(engine, 0)
    held = Held()
    with ThreadPoolExecutor(1) as threads:
        CopiesBeside.slow["out"] = held
        answer = ask(engine, threads, 0)
        assert held.came.wait(PATIENCE_S)
        engine.close()
        held.may.set()
        np.testing.assert_array_equal(answer.result(PATIENCE_S)["x"], wanted)
    assert engine.bytes == 0

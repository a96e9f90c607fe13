"""When programs are made, captured and fused, and what happens when that fails: on a CPU that pretends to capture."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.device_noise import DeviceNoise
from inference.drawing import ALIGNMENT
from inference.drawn import Drawn
from inference.engine import EngineLost, EngineOutOfMemory
from inference.gpu.buckets import Buckets, ladder
from inference.gpu.fields import MOST_BYTES, Fields
from inference.gpu.fusion import Function, Fusion, compiled
from inference.gpu.lanes import HostLane, Step
from inference.gpu.program import fed
from inference.gpu.programs import RUNS, Key, Programs
from inference.noise import SAMPLING, NoiseSource
from model_store.signature import ArraySpec, Part, Signature

SIGNATURE = Signature(data=ArraySpec(shape=(2,)), latent=(Part(name="z", shape=(2,)),), operations=("decode", "encode"))
FIELDS = Fields(SIGNATURE, DeviceNoise("cpu"))
MOST = 8


class Recorder(HostLane):
    """Captures by remembering the step; `fault` may make a capture fail."""

    def __init__(self) -> None:
        super().__init__()
        self.captures, self.replays, self.released = 0, 0, 0
        self.fault: Callable[[int], Exception | None] = lambda captures: None
        self.times: list[float] = []
        self.busy = False

    def alone(self, *, wait: bool) -> AbstractContextManager[bool]:
        """See Lane."""
        assert not self.lock.locked()
        return nullcontext(wait or not self.busy)

    def capture(self, step: Step, inward: Tensor) -> Step:
        """See Lane."""
        self.captures += 1
        super().capture(step, inward)
        error = self.fault(self.captures)
        if error is not None:
            raise error

        def replay() -> None:
            self.replays += 1
            self.eager(step)

        return replay

    def seconds(self, call: Step) -> float:
        """As told beforehand."""
        call()
        return self.times.pop(0)

    def release(self) -> None:
        """See Lane."""
        assert not self.lock.locked()
        self.released += 1


def double(z: Tensor) -> Tensor:
    return 2 * z


def programs(lane: Recorder, fusion: Fusion | None = None, function: Function = double) -> Programs:
    buckets = {operation: Buckets(ladder(MOST)) for operation in SIGNATURE.operations}
    return Programs(FIELDS, {"decode": function, "encode": double}, lane, buckets, fusion)


def run(made: Programs, lane: Recorder, rows: int = 3) -> None:
    z = np.arange(2.0 * rows, dtype=np.float32).reshape(rows, 2)
    out = np.empty_like(z)
    for start, stop, key in made.slices("decode", [z]):
        made.get(key).run(lane.slot(), [z[start:stop]], [out[start:stop]])
    np.testing.assert_array_equal(out, 2 * z)


def test_the_padding_is_a_row_that_may_be() -> None:
    """Not what another batch left there, which need not be a label, or a number."""
    seen: list[Tensor] = []

    def watched(z: Tensor) -> Tensor:
        seen.append(z.clone())
        return 2 * z

    lane = Recorder()
    made = programs(lane, function=watched)
    for fixed in made._fixed:
        fixed.fill_(255)  # NaN as float32
    run(made, lane, 5)
    assert seen[-1].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [8, 9]]


def test_what_is_captured_runs_on_rows_that_may_be() -> None:
    """Zeros are a label, and a number, whatever was computed there before."""
    seen: list[Tensor] = []

    def watched(z: Tensor) -> Tensor:
        seen.append(z.clone())
        return z

    made = programs(Recorder(), function=watched)
    for fixed in made._fixed:
        fixed.fill_(255)
    made.prepare(600.0)
    assert seen and all((z == 0).all() for z in seen)


def test_captured_at_the_second_call_and_replayed_from_then_on() -> None:
    lane = Recorder()
    made = programs(lane)
    for captures, replays in ((0, 0), (1, 1), (1, 2)):
        run(made, lane)
        assert (lane.captures, lane.replays) == (captures, replays)


def test_no_call_waits_for_what_another_version_does() -> None:
    """While one is loaded, or compiled, the others go on as they are."""
    lane = Recorder()
    lane.busy = True
    made = programs(lane)
    for _ in range(3):
        run(made, lane)
    assert lane.captures == 0
    lane.busy = False
    run(made, lane)
    assert (lane.captures, lane.replays) == (1, 1)


def test_prepare_captures_every_bucket_and_later_calls_none() -> None:
    lane = Recorder()
    made = programs(lane)
    made.prepare(600.0)
    assert lane.captures == 2 * len(ladder(MOST)) + 1  # and the largest of decode with its noise told
    before = lane.captures
    for rows in (1, 2, 3, 7, 8, 9):
        run(made, lane, rows)
    assert lane.captures == before


def test_prepare_ends_when_its_time_is_up() -> None:
    lane = Recorder()
    made = programs(lane)
    made.prepare(-1.0)
    assert lane.captures == 0
    run(made, lane)


def test_memory_that_runs_out_while_preparing_shrinks_the_buckets() -> None:
    """The second capture is that of 1 row of encode, the third of 8 of decode."""
    lane = Recorder()
    lane.fault = lambda captures: torch.OutOfMemoryError("no room") if captures == 3 else None
    made = programs(lane)
    made.prepare(600.0)
    assert (made.buckets["decode"].largest, made.buckets["encode"].largest) == (4, 8)
    assert lane.released == 1
    run(made, lane, 8)


def test_memory_for_nothing_at_all_is_an_error() -> None:
    lane = Recorder()
    lane.fault = lambda captures: torch.OutOfMemoryError("no room")
    with pytest.raises(EngineOutOfMemory, match="decode of 1 rows: no room"):
        programs(lane).prepare(600.0)


def test_a_device_lost_while_preparing_is_an_error() -> None:
    lane = Recorder()
    lane.fault = lambda captures: torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(EngineLost):
        programs(lane).prepare(600.0)


def test_what_cannot_be_captured_is_called(caplog: pytest.LogCaptureFixture) -> None:
    lane = Recorder()
    lane.fault = lambda captures: RuntimeError("operation not permitted when stream is capturing")
    made = programs(lane)
    for _ in range(3):
        run(made, lane)
    assert (lane.captures, lane.replays) == (1, 0)
    assert "not captured, slower: decode of 3 rows" in caplog.text


def test_forgotten_programs_are_captured_again() -> None:
    lane = Recorder()
    made = programs(lane)
    for _ in range(2):
        run(made, lane)
    made.forget()
    for _ in range(2):
        run(made, lane)
    assert lane.captures == 2


class Pool(Recorder):
    """Each capture takes a byte, and while one is under way the device does not say what its pool has."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()
        self.leave.set()
        self.taken, self.capturing = 0, False
        self.while_read: Callable[[], None] | None = None

    def capture(self, step: Step, inward: Tensor) -> Step:
        """See Lane."""
        self.capturing = True
        self.entered.set()
        assert self.leave.wait(60)
        made = super().capture(step, inward)
        self.taken, self.capturing = self.taken + 1, False
        return made

    @property
    def pool_bytes(self) -> int:
        """See Lane; `while_read` happens between the look and the answer."""
        assert not self.capturing
        found, meanwhile = self.taken, self.while_read
        if meanwhile is not None:
            self.while_read = None
            apart(meanwhile).join()
        return found


def apart(call: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_what_a_version_takes_is_known_while_a_program_is_captured() -> None:
    """As it was before, without a look at what is being changed."""
    lane = Pool()
    made = programs(lane)
    before = made.nbytes
    for rows in (1, 2):
        run(made, lane, rows)
    run(made, lane, 1)
    lane.entered.clear()
    lane.leave.clear()
    second = apart(lambda: run(made, lane, 2))
    assert lane.entered.wait(60)
    found: list[int] = []
    try:
        apart(lambda: found.append(made.nbytes)).join()
    finally:
        lane.leave.set()
        second.join()
    assert found == [before + 1]
    assert made.nbytes == before + 2


def test_a_program_captured_while_another_thread_reads_counts_from_then_on() -> None:
    lane = Pool()
    made = programs(lane)
    before = made.nbytes
    for rows in (1, 1, 2):
        run(made, lane, rows)
    lane.while_read = lambda: run(made, lane, 2)
    assert made.nbytes in (before + 1, before + 2)
    lane.while_read = None
    run(made, lane, 2)
    assert (made.nbytes, lane.captures) == (before + 2, 2)


def test_what_is_released_counts_no_more() -> None:
    lane = Pool()
    made = programs(lane)
    before = made.nbytes
    made.prepare(600.0)
    assert made.nbytes == before + lane.captures

    def release() -> None:
        lane.taken = 0

    lane.release = release  # type: ignore[method-assign]
    made.failed(Key("decode", 8, (0,)), EngineOutOfMemory("no room"))
    assert made.nbytes == before


@pytest.mark.parametrize(("plain", "fused", "kept"), [(1.0, 0.5, True), (1.0, 0.99, False), (1.0, 2.0, False)])
def test_the_faster_one_is_kept(plain: float, fused: float, kept: bool) -> None:
    lane = Recorder()
    lane.times = [plain, fused]
    seconds = iter([True, False])
    made = programs(lane, Once(lambda function: compiled(function, "eager"), seconds))
    made.prepare(600.0)
    assert made._made[Key("decode", 1, (0,))].fused is kept
    assert not made._made[Key("decode", 2, (0,))].fused
    run(made, lane, 1)


def test_what_cannot_be_compiled_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    def broken(function: Function) -> Function:
        raise RuntimeError("no compiler here")

    lane = Recorder()
    made = programs(lane, Fusion(broken, seconds=600.0))
    made.prepare(600.0)
    run(made, lane)
    assert not any(program.fused for program in made._made.values())
    assert "not fused: decode of 1 rows, fused: no compiler here" in caplog.text


def test_without_time_nothing_is_compiled() -> None:
    def never(function: Function) -> Function:
        raise AssertionError("compiled")

    lane = Recorder()
    programs(lane, Fusion(never, seconds=0.0)).prepare(600.0)


def test_rows_that_are_large_are_few_in_a_program() -> None:
    wide = Signature(data=ArraySpec(shape=(1024,)), latent=(Part(name="z", shape=(8,)),), operations=("decode",))
    fields = Fields(wide, DeviceNoise("cpu"))
    largest = fields.buckets("decode", 1 << 20, 0).largest
    assert largest == MOST_BYTES // 4096
    assert fields.most_bytes({"decode": largest}, 16)[1] <= MOST_BYTES
    assert fields.buckets("decode", 100, 0).largest == 100
    assert fields.buckets("decode", 100, 48).allowed == (48,)


class Once(Fusion):
    """A fusion with time for the first program only."""

    def __init__(self, compiler: Callable[[Function], Function], answers: Any) -> None:
        super().__init__(compiler)
        self._answers = answers

    @property
    def has_time(self) -> bool:
        """See Fusion."""
        return next(self._answers, False)


def test_each_program_has_variants_of_its_own_with_the_compiler() -> None:
    """It makes eight of one code object at most, and then none: for all versions of a process together."""
    torch.compiler.reset()
    for rows in range(1, 12):
        function = compiled(fed(double, FIELDS.feeders("decode", rows, (0,))), "eager")
        assert function(torch.ones(rows, 2)).shape == (rows, 2)


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=700))
@settings(max_examples=30)
def test_runs_that_a_table_does_not_hold_are_cut_at_places_of_the_layout(lengths: list[int]) -> None:
    made = Programs(FIELDS, {"decode": double}, Recorder(), {"decode": Buckets(ladder(4096))})
    part = SIGNATURE.latent[0]
    told = Drawn.of(NoiseSource(1, SAMPLING, 0, part), [(k, 0, count) for k, count in enumerate(lengths)], 1.0)
    reached = 0
    for start, stop, key in made.slices("decode", [told]):
        assert start == reached and start % ALIGNMENT == 0
        assert len(told[start:stop].runs) <= key.runs[0] <= RUNS[-1]
        reached = stop
    assert reached == sum(lengths)

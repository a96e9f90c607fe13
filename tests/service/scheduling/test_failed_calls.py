"""Calls that fail: bisection, memory that runs out, a device that is lost, and those who left meanwhile."""

from __future__ import annotations

from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from service.scheduling.jobs import Job
from tests.service.scheduling.machine import World

LONG = 990  # rows in 10 ms


def test_a_bad_chunk_fails_alone_by_bisection() -> None:
    world = World()
    jobs = [world.submit(2) for _ in range(16)]
    bad = jobs[11]
    failed = []
    calls = 0
    while batch := world.scheduler.pull():
        calls += 1
        if any(chunk.job is bad for chunk in batch.chunks):
            failed += [chunk.job for chunk in world.scheduler.failed(batch, EngineError("poisoned"))]
        else:
            world.finish(batch)
    assert failed == [bad] and calls == 1 + 2 * 4
    assert all(world.complete(job) for job in jobs if job is not bad)


def test_out_of_memory_halves_the_rows_once_and_then_gives_up() -> None:
    world = World()
    job = world.submit(800)
    batch = world.scheduler.pull()
    assert batch is not None and batch.rows == 800
    assert world.scheduler.failed(batch, EngineOutOfMemory()) == []
    again = world.scheduler.pull()
    assert again is not None and again.rows == 400
    (chunk,) = world.scheduler.failed(again, EngineOutOfMemory())
    assert chunk.job is job


def short_of_memory(world: World, capacity: int) -> list[Job]:
    """Make calls until none is left, on a device with memory for so many rows; the jobs that fail."""
    failed: list[Job] = []
    while (batch := world.scheduler.pull()) is not None:
        if batch.rows <= capacity:
            world.finish(batch)
            continue
        for chunk in world.scheduler.failed(batch, EngineOutOfMemory()):
            world.scheduler.leave(chunk.job)
            failed.append(chunk.job)
    return failed


def test_a_job_that_memory_does_not_suffice_for_fails_without_its_neighbours() -> None:
    world = World()
    large = world.submit(700)
    small = [world.submit(1) for _ in range(5)]
    assert short_of_memory(world, 50) == [large]
    assert all(world.complete(job) for job in small)


def test_the_budget_of_rows_goes_down_until_calls_fit() -> None:
    """Each failure halves it, so that later jobs are cut to what the device can take; another kind keeps its own."""
    world = World()
    failed = [short_of_memory(world, 50) for _ in range(8) if world.submit(800)]
    assert failed[0] and not failed[-1]
    assert sum(map(bool, failed)) <= 3
    other = world.submit(800, kind="other")
    batch = world.scheduler.pull()
    assert batch is not None and batch.rows == 800 and batch.chunks[0].job is other


def test_what_waits_or_is_to_be_tried_again_can_be_given_up() -> None:
    world = World()
    first = world.submit(800)
    batch = world.scheduler.pull()
    assert batch is not None
    second = world.submit(5)
    world.scheduler.failed(batch, EngineOutOfMemory())
    assert world.scheduler.abandon() == [second, first]
    assert world.scheduler.pull() is None and world.scheduler.idle


def test_after_out_of_memory_later_calls_start_small_and_grow_back() -> None:
    world = World()
    first = world.submit(800)
    batch = world.scheduler.pull()
    assert batch is not None
    world.scheduler.failed(batch, EngineOutOfMemory())
    assert [batch.rows for batch in iter(world.step, None)] == [400, 400]
    assert world.complete(first)
    world.submit(100_000)
    sizes = [batch.rows for batch in iter(world.step, None)]
    assert 400 < sizes[0] < 600 and max(sizes) == LONG
    assert sizes[:20] == sorted(sizes[:20])


def test_a_lost_device_fails_the_whole_call() -> None:
    world = World()
    jobs = [world.submit(2) for _ in range(4)]
    batch = world.scheduler.pull()
    assert batch is not None
    assert [chunk.job for chunk in world.scheduler.failed(batch, EngineLost("gone"))] == jobs


def test_those_who_left_are_dropped_from_a_second_try() -> None:
    world = World()
    jobs = [world.submit(2) for _ in range(4)]
    batch = world.scheduler.pull()
    assert batch is not None
    world.scheduler.failed(batch, EngineError("poisoned"))
    world.scheduler.leave(jobs[0])
    world.scheduler.leave(jobs[1])
    again = world.scheduler.pull()
    assert again is not None and [chunk.job for chunk in again.chunks] == jobs[2:]

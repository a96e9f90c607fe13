"""The scheduler alone, with a clock that is moved by hand: chunks, fairness, credit."""

from __future__ import annotations

import pytest

from service.scheduling.scheduler import LATELY, Pace
from tests.service.scheduling.machine import FAR, PER_CALL, PER_ROW, World

HALF, SHORT, LONG = 115, 240, 990  # rows in 1.25, 2.5 and 10 ms


def test_a_lone_job_takes_long_calls() -> None:
    world = World()
    job = world.submit(3000)
    sizes = [batch.rows for batch in iter(world.step, None)]
    assert sizes == [LONG, LONG, LONG, 30]
    assert world.complete(job) and world.scheduler.idle


def test_calls_are_short_while_a_smaller_job_waits() -> None:
    world = World()
    world.submit(100_000)
    small = world.submit(1, kind="another model")
    first, second = world.step(), world.step()
    assert first is not None and second is not None
    assert first.rows == SHORT and second.rows == 1
    assert world.complete(small)


def test_calls_stay_short_for_a_while_after_a_smaller_job_and_then_are_long_again() -> None:
    world = World()
    world.submit(100_000)
    small = world.submit(1, kind="another model")
    while not world.complete(small):
        world.step()
    since = world.now
    while (batch := world.step()) is not None and batch.rows == SHORT:
        pass
    assert batch is not None and batch.rows == LONG
    assert LATELY < world.now - since < LATELY + 2 * Pace().long


def test_what_cannot_be_done_in_time_any_more_is_not_begun() -> None:
    world = World()
    begun, hopeless, other = (world.submit(2 * LONG, deadline=1.0, start_by=0.5) for _ in range(3))
    other.start_by = 0.9
    first = world.scheduler.pull()
    assert first is not None and first.chunks[0].job is begun
    assert world.scheduler.expired(0.49) == []
    assert world.scheduler.expired(0.5) == [hopeless]
    assert world.scheduler.expired(0.9) == [other]
    assert world.scheduler.expired(1.0) == [begun]


def test_one_row_gets_the_next_call_for_itself() -> None:
    """One that comes as a short call begins waits for it, and then for its own row: the large job has its turn next."""
    world = World()
    world.submit(100_000)
    assert world.step()
    for _ in range(3):
        small = world.submit(1)
        own = world.step()
        assert own is not None and own.rows == 1 and world.complete(small)
        large = world.step()
        assert large is not None and large.rows == SHORT


def test_small_jobs_go_first_in_every_second_call_at_most_and_ride_along_in_the_others() -> None:
    world = World()
    large = world.submit(100_000)
    assert world.step()
    sizes = []
    for _ in range(6):
        small = world.submit(5)
        batch = world.step()
        assert batch is not None and world.complete(small)
        sizes.append(batch.rows)
    assert sizes == [5, SHORT] * 3
    assert world.took[""] == pytest.approx(world.now) and large.next_row == LONG + 3 * (SHORT - 5)


def test_whoever_is_in_debt_does_not_go_first() -> None:
    world = World()
    world.submit(100_000, "large")
    small = world.submit(1, "small")
    world.scheduler._tenants.charge("small", Pace().long)
    batch = world.step()
    assert batch is not None and batch.rows > 1 and not world.complete(small)


def test_where_a_call_costs_more_than_a_short_one_small_jobs_ride_along() -> None:
    world = World(per_call=2 * Pace().short)
    world.submit(100_000)
    small = world.submit(1)
    batch = world.step()
    assert batch is not None and world.complete(small) and len(batch.chunks) == 2


def test_many_small_jobs_share_a_call_that_holds_them_all() -> None:
    world = World()
    world.submit(100_000)
    small = [world.submit(1) for _ in range(SHORT // 2)]
    shared = world.step()
    assert shared is not None and shared.rows == SHORT * 2 // 3
    assert all(world.complete(job) for job in small)


def test_jobs_of_one_kind_share_a_call_and_kinds_do_not() -> None:
    world = World()
    for place in range(40):
        world.submit(1, kind=place % 2)
    assert [batch.rows for batch in iter(world.step, None)] == [20, 20]


@pytest.mark.parametrize("kinds", [("a", "a"), ("a", "b")])
def test_tenants_get_equal_time_however_much_they_ask(kinds: tuple[str, str]) -> None:
    world = World()
    for _ in range(50):
        world.submit(20_000, "many", kinds[0])
    world.submit(1_000_000, "one", kinds[1])
    while world.now < 3.0:
        assert world.step()
    assert world.took["one"] == pytest.approx(world.took["many"], rel=0.02)


def test_models_share_the_machine_fairly() -> None:
    world = World()
    for kind in ("a", "b", "c"):
        world.submit(1_000_000, kind, kind)
    while world.now < 3.0:
        assert world.step()
    assert max(world.took.values()) < 1.03 * min(world.took.values())


def test_room_that_others_leave_is_used_and_not_held_against_anyone_for_long() -> None:
    """`rider` fills calls that `small` leaves nearly empty; then it still gets its half beside a newcomer."""
    world = World()
    world.submit(1_000_000, "rider")
    for _ in range(200):
        world.submit(1, "small")
        world.step()
    start = world.took["rider"]
    assert start > 0.9 * world.now
    begun = world.now
    world.submit(1_000_000, "new", "another")
    while world.now < begun + 2.0:
        world.step()
    assert world.took["rider"] - start == pytest.approx(world.took["new"], rel=0.05)


@pytest.mark.parametrize("tenants", [1, 3])
@pytest.mark.parametrize("mates", [1, 4])
def test_nobody_starves(tenants: int, mates: int) -> None:
    """The bound of the docstring, beside big jobs of other kinds, which nothing can ride along with."""
    world = World()
    for tenant in range(tenants):
        for mate in range(mates):
            world.submit(10**6, str(tenant), (tenant, mate))
    for _ in range(37):
        world.step()
    job = world.submit(1, "0", "newcomer")
    begun, pace = world.now, Pace()
    while not world.complete(job):
        world.step()
    assert world.now - begun <= 2 * tenants * (mates + 1) * (pace.long + pace.short)


def test_who_leaves_is_not_computed() -> None:
    world = World()
    gone, stays = world.submit(10), world.submit(10)
    world.scheduler.leave(gone)
    batch = world.step()
    assert batch is not None and [chunk.job for chunk in batch.chunks] == [stays]
    assert world.scheduler.idle


def test_late_jobs_leave_and_the_others_stay() -> None:
    world = World()
    late, fine = world.submit(10, deadline=1.0), world.submit(10)
    assert world.scheduler.expired(0.5) == []
    assert world.scheduler.expired(1.0) == [late]
    assert list(world.scheduler.waiting()) == [fine]


def test_depth_bounds_the_calls_that_are_out() -> None:
    for depth in (1, 2):
        world = World(Pace(depth=depth))
        world.submit(10**6)
        out = [world.scheduler.pull() for _ in range(depth)]
        assert all(out) and world.scheduler.pull() is None
        assert out[0] is not None
        world.finish(out[0])
        assert world.scheduler.pull() is not None


def test_nothing_is_prepared_behind_a_call_that_keeps_the_host_busy() -> None:
    world = World(Pace(depth=2))
    world.scheduler.prefetches = lambda kind: kind == "on a device"
    world.submit(1, kind="on a device")
    world.submit(1, kind="on the host")
    world.submit(1, kind="on a device")
    first, second = world.scheduler.pull(), world.scheduler.pull()
    assert first is not None and second is not None
    assert (first.kind, second.kind) == ("on a device", "on the host")
    world.finish(first)
    world.submit(1, kind="on a device")
    assert world.scheduler.pull() is None
    world.finish(second)
    assert world.scheduler.pull() is not None


def test_a_job_is_alone_while_nothing_else_waits_is_out_or_lately_came() -> None:
    world = World()
    world.scheduler.prefetches = lambda kind: False
    world.submit(100_000)

    def alone() -> bool:
        batch = world.scheduler.pull()
        assert batch is not None
        said = world.scheduler.alone(batch)
        world.finish(batch)
        return said

    assert alone()
    small = world.submit(1)
    assert not alone() and world.complete(small)
    assert not alone()
    while world.scheduler._computed < world.scheduler._short_until:
        assert world.step()
    assert alone()
    equal = world.submit(100_000, kind="another model")
    assert not alone()
    world.scheduler.leave(equal)
    world.scheduler.prefetches = lambda kind: True
    assert not alone()


def test_a_job_whose_last_rows_are_out_is_not_alone_with_what_they_share() -> None:
    world = World()
    world.scheduler.prefetches = lambda kind: False
    world.submit(LONG - 1)
    world.submit(LONG - 1)
    shared = world.scheduler.pull()
    assert shared is not None and len(shared.chunks) == 2
    assert not world.scheduler.alone(shared)


def test_the_delay_of_a_small_job_does_not_count_all_of_the_big_ones() -> None:
    world = World()
    for _ in range(3):
        world.submit(10**6, deadline=FAR)
    assert world.scheduler.delay("model", 1) == pytest.approx(4 * PER_ROW + PER_CALL)
    assert world.scheduler.delay("model", 10**6) == pytest.approx(4 * 10**6 * (PER_ROW + PER_CALL / LONG))


@pytest.mark.parametrize("per_call", [PER_CALL, 60 * PER_CALL])
def test_the_delay_is_what_then_passes_also_where_a_call_costs_more_than_its_rows(per_call: float) -> None:
    world = World(per_call=per_call)
    for _ in range(40):
        world.submit(300)
    world.submit(3000, kind="another model")
    expected, last = world.scheduler.delay("model", 300), world.submit(300)
    while not world.complete(last):
        assert world.step()
    assert world.now == pytest.approx(expected, rel=0.1)


def test_the_backlog_is_all_that_waits_and_all_that_is_out() -> None:
    world = World()
    assert world.scheduler.backlog == 0
    gone = world.submit(500)
    world.submit(2000, kind="another")
    world.scheduler.leave(gone)
    assert world.scheduler.backlog == pytest.approx(2000 * (PER_ROW + PER_CALL / LONG))
    assert world.scheduler.pull() is not None
    assert world.scheduler.backlog == pytest.approx(2000 * PER_ROW + 1010 / LONG * PER_CALL + PER_CALL)
    for batch in list(world.scheduler.in_flight):
        world.finish(batch)
    while world.step():
        pass
    assert world.scheduler.backlog == 0


def test_equal_jobs_are_done_one_after_the_other() -> None:
    """Shared out evenly, all of them would be done at the very end, and late together."""
    world = World()
    jobs = [world.submit(2000) for _ in range(8)]
    while sum(job.next_row for job in jobs) < 8000:
        assert world.step()
    assert sum(world.complete(job) for job in jobs) >= 2


def test_small_jobs_that_keep_coming_do_not_starve_a_big_one() -> None:
    """They ask for half of the machine; the big one gets the other half."""
    world = World()
    big = world.submit(100_000)
    for step in range(200):
        if step % 2:
            world.submit(SHORT)
        assert world.step()
    rows = {job is big: 0 for job in (big, None)}
    for job, done in world.done.items():
        rows[job is big] += sum(stop - start for start, stop in done)
    assert rows[True] > 0.4 * sum(rows.values())

"""What much smaller jobs get beside larger ones of their kind: a call of their own, or a place in a shorter one."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from service.scheduling.cost import Cost
from service.scheduling.jobs import Job
from service.scheduling.sharing import LEADERS_PART
from service.scheduling.waiting import Waiting

MUCH = 4  # times smaller is much smaller


def go_first(waiting: Waiting, cost: Cost, short: float, room: int, in_credit: Callable[[Job], bool]) -> list[Job]:
    """Much smaller jobs that get a call of their own before the larger ones go on: few beside a short one's `room`.

    Every second call at most, and nobody in debt: the larger ones lose two fifths of the time at worst.
    """
    if waiting.first_served or cost.per_call > short:
        return []
    small = [job for job in waiting.jobs if job.rows * MUCH < waiting.most and in_credit(job)]
    return small if sum(job.left for job in small) * MUCH <= room else []


def rows_beside(waiting: Waiting, cost: Cost, short: float) -> float:
    """Rows of a call in which much smaller jobs ride along: half of a short one, or what they need for themselves.

    They have waited for the call before theirs to end, and their own is as long as what they share it with: one
    short call and a half, from end to end. Where that call was one of small jobs, it was shorter still.
    """
    if waiting.most * cost.per_row <= short or waiting.first_served:
        return inf
    small = sum(job.left for job in waiting.jobs if job.rows * MUCH < waiting.most)
    with_leader = small + -(-small // (LEADERS_PART - 1))
    return max(cost.rows(short / 2), with_leader) if small else inf

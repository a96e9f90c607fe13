"""How the rows of one engine call are divided among the jobs that may have them."""

from __future__ import annotations

from service.scheduling.jobs import Job
from service.scheduling.turns import level

LEADERS_PART = 4  # of its tenant's rows in a call, one in so many is the leader's


def share(jobs: list[Job], room: int, leader: Job, shares: dict[Job, int]) -> int:
    """Divide `room` rows evenly over tenants; of each one's part its jobs take what they need, the smallest first.

    So equal jobs are done one after the other, and not all of them late. The leader is sure of a quarter of its
    tenant's part, so that small jobs that keep coming do not starve it. Returns how many rows were taken.
    """
    tenants: dict[str, list[Job]] = {leader.tenant: []}  # in front: where it does not come out even, it gets one more
    for job in jobs:
        tenants.setdefault(job.tenant, []).append(job)
    taken = 0
    parts = level([sum(job.left for job in group) for group in tenants.values()], room)
    for group, part in zip(tenants.values(), parts, strict=True):
        taken += part
        if part and leader in group:
            shares[leader] = min(leader.left, -(-part // LEADERS_PART))
            part -= shares[leader]
        for job in sorted(group, key=lambda job: job.left):
            if not part:
                break
            more = min(job.left - shares.get(job, 0), part)
            if more:
                shares[job] = shares.get(job, 0) + more
                part -= more
    return taken

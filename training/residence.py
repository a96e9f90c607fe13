"""Where the rows of a fit lie: on the device, where they fit."""

from __future__ import annotations

import torch

SHARE = 0.5


def fits(needed: int, free: int | None) -> bool:
    """Whether rows of `needed` bytes go onto a device with `free` bytes: into `SHARE` of them, model and graphs too.

    `free` None is a device that shares the host's memory: they are there already.

    >>> fits(50, 100), fits(51, 100), fits(10**12, None)
    (True, False, True)
    """
    return free is None or needed <= SHARE * free


def free_bytes(device: torch.device) -> int | None:
    """What a card has left, with what torch holds of it and does not use; None for the CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)

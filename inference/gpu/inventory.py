"""What cards there are, and what memory they have. Imports torch: only for those who were asked to use one."""

from __future__ import annotations

import torch


def count() -> int:
    """How many cards there are; none is initialised by asking."""
    return torch.cuda.device_count()


def held_memory(device: str) -> int:
    """Bytes of a card's memory that torch holds for this process, used or to be used again."""
    return torch.cuda.memory_reserved(torch.device(device))


def free_memory(device: str) -> int:
    """Bytes of a card's memory that nobody uses at the moment."""
    free, _total = torch.cuda.mem_get_info(torch.device(device))
    return free

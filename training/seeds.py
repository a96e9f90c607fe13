"""All randomness follows from (seed, purpose, step): nothing else has to be remembered to go on after a kill."""

from __future__ import annotations

import hashlib
import struct

import torch


def derive(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for one purpose at one place: the first bytes of a hash, so that neighbours are unrelated.

    >>> derive(0, "step", 1) == derive(0, "step", 1), derive(0, "step", 1) == derive(0, "step", 2)
    (True, False)
    """
    content = purpose.encode() + struct.pack(f">{len(counters) + 1}q", seed, *counters)
    return int.from_bytes(hashlib.sha256(content).digest()[:8]) >> 1


def reseed(device: torch.device, seed: int) -> None:
    """Let the default generator of the device draw from the beginning of `seed`. Other devices' go on as they were."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """A generator on the CPU that starts at the derived seed."""
    return torch.Generator().manual_seed(derive(seed, purpose, *counters))

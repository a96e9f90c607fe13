"""The setting `device`: one device, or several, each of which gets a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from inference.engine import EngineError

_COUNT = "from inference.gpu.inventory import count; print(count())"


def devices_of(setting: str, count: Callable[[], int]) -> tuple[str, ...]:
    """The device of each process; `count` tells how many cards there are, and is asked for `cuda:all` alone.

    >>> devices_of("cpu,cpu", lambda: 0), devices_of("cuda:1", lambda: 8), devices_of("cuda:all", lambda: 2)
    (('cpu', 'cpu'), ('cuda:1',), ('cuda:0', 'cuda:1'))

    Raises:
        EngineError: there is no card, or one is named twice.
    """
    if setting == "cuda:all":
        devices = tuple(f"cuda:{place}" for place in range(count()))
        if not devices:
            raise EngineError("device cuda:all: no CUDA device is available here")
        return devices
    devices = tuple(setting.split(","))
    twice = [device for device in devices if device != "cpu" and devices.count(device) > 1]
    if twice:
        raise EngineError(f"device {setting}: {twice[0]} is named twice")
    return devices


def one_device(setting: str) -> str:
    """The device of a service in one process. Raises ValueError where the setting means several."""
    if "," in setting or setting == "cuda:all":
        raise ValueError(f"device {setting}: one app has one device; `python -m service` starts a process for each")
    return setting


def count_cards() -> int:
    """How many CUDA devices there are, asked in another process, so that this one need not import torch.

    Raises EngineError.
    """
    asked = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, check=False)
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise EngineError(f"device cuda:all: the cards cannot be counted ({why})")
    return int(asked.stdout)

"""Parts that were finished, one JSON each: what was measured on this source and device is not measured again.

A part runs in a process of its own with a limit, so that a lost device or a hanging compiler ends one part alone,
which keeps the rows that it has. What it left tells where and when it ran: the page can be written later, and on a
machine without the device.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from benchmarks.gpu.plan import Plan, Row
from benchmarks.gpu.sets import lacking, needed, told
from benchmarks.record import commit, machine, packages

LIMIT_S = 540.0  # what waits for the script mostly gives it ten minutes
UNFINISHED = "unfinished"
PACKAGES = ("torch", "triton", "numpy", "onnxruntime", "lightning", "zuko", "FrEIA", "fastapi", "uvicorn")
MISSING = "its package is not installed here"  # a row's note on the package that it names
_SOURCES = ("benchmarks", "flows", "inference", "model_store", "service", "tests", "training")
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Kept:
    """What a part left: its rows, those before the `error` that ended it if any, and the facts of where it ran."""

    part: str
    rows: list[Row]
    facts: dict[str, str]
    error: str = ""


def source() -> str:
    """The commit; with a digest of the packages' sources where the tree differs from it or there is no repository."""
    name = commit()
    if not name.endswith("-dirty") and name != "unknown":
        return name
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return f"{name}-{digest.hexdigest()[:12]}"


def place(plan: Plan, part: str) -> Path:
    """Where a part is kept."""
    return plan.folder / f"{part}-{plan.device.replace(':', '')}-{plan.source}.json"


def read(plan: Plan, part: str) -> Kept | None:
    """What a part left on this source and device; None when it did not run there."""
    path = place(plan, part)
    return Kept(**json.loads(path.read_text())) if path.exists() else None


def write(plan: Plan, kept: Kept) -> None:
    """Keep it: the file is there whole or not at all."""
    path = place(plan, kept.part)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(asdict(kept)))
    unfinished.replace(path)


def finish(plan: Plan, part: str, limit_s: float = LIMIT_S) -> Kept:
    """The part as it was kept, else run now in a process of its own.

    One that failed is run again the next time, and one that did without a package when that has come. One whose
    packages are not there is left out: its `error` says what it lacks, and nothing is kept.
    """
    kept = read(plan, part)
    if kept is not None and not kept.error and not any(map(find_spec, _missed(kept))):
        print(f"{part}: kept from an earlier run", flush=True)
        return kept
    absent = lacking(needed(part))
    if absent:
        print(f"{part}: left out, {told(absent)}", flush=True)
        return Kept(part, [], {}, f"left out, {told(absent)}")
    start = time.monotonic()
    place(plan, part).unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.part", part, plan.device, str(plan.folder), plan.source]
    ended = _run(command, limit_s)
    kept = read(plan, part) or Kept(part, [], facts_here(plan), UNFINISHED)
    if kept.error == UNFINISHED:
        kept = replace(kept, error=ended)
        write(plan, kept)
    seconds = time.monotonic() - start
    print(f"{part}: {f'failed, {kept.error}' if kept.error else 'done'} after {seconds:.0f} s", flush=True)
    return kept


def _missed(kept: Kept) -> set[str]:
    """The packages that its rows note as missing."""
    return {name for row in kept.rows for name, note in row.get("notes", {}).items() if note == MISSING}


def _run(command: list[str], limit_s: float) -> str:
    """Wait for the process, end it with all its children at the limit; what to say if it did not finish."""
    with subprocess.Popen(command, cwd=_ROOT, start_new_session=True, stdin=subprocess.PIPE) as process:
        try:
            return f"its process ended with {process.wait(limit_s)}"
        except subprocess.TimeoutExpired:
            return f"it ran past {limit_s:.3g} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def facts_here(plan: Plan) -> dict[str, str]:
    """Device, machine, versions and time of this process."""
    return {
        "device": device_name(plan.device),
        "machine": machine(),
        "packages": packages(PACKAGES),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def device_name(device: str) -> str:
    """The card's name and memory, or the processor's architecture; what was asked for where there is no answer."""
    import torch

    if not device.startswith("cuda"):
        return f"CPU ({platform.machine()})"
    try:
        properties = torch.cuda.get_device_properties(torch.device(device))
    except (AssertionError, RuntimeError):  # torch without CUDA, or a lost card
        return device
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"

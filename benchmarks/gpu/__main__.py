"""`python -m benchmarks.gpu [PART...]`, run by benchmarks/gpu.sh: resumable parts, then one page."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.check import run_check
from benchmarks.gpu.speed import run_speed
from benchmarks.gpu.train import run_train

Row = dict[str, object]
PARTS: dict[str, Callable[[torch.device], list[Row]]] = {"check": run_check, "speed": run_speed, "train": run_train}


def main() -> int:
    """Run the parts that this commit and device have not finished, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device; DEVICE=cpu benchmarks/gpu.sh exercises the script without one", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    finished = {name: finish(name, device) for name in options.parts or PARTS}
    options.out.mkdir(parents=True, exist_ok=True)
    page = options.out / ("gpu.md" if device.type == "cuda" else "gpu-dry-run.md")
    page.write_text(render(finished, device))
    print(page.read_text())
    return 0


def finish(name: str, device: torch.device) -> list[Row]:
    """The part's rows: from its file if it was run on this commit and device, else run now and kept."""
    kept = Path("build/gpu") / f"{name}-{device.type}-{commit()}.json"
    if kept.exists():
        print(f"{name}: kept from an earlier run")
        return json.loads(kept.read_text())
    print(f"{name}: running on {device_name(device)}")
    start = time.monotonic()
    rows = PARTS[name](device)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(rows))
    print(f"{name}: done in {time.monotonic() - start:.0f} s")
    return rows


def render(finished: dict[str, list[Row]], device: torch.device) -> str:
    """The page: where it ran, then one table per part."""
    lines = [
        "# On an accelerator" if device.type == "cuda" else "# The accelerator script, exercised on a CPU",
        "",
        f"`benchmarks/gpu.sh` on commit {commit()}: {device_name(device)}, torch {torch.__version__}, "
        f"Python {platform.python_version()}; inputs from seed 0, no data set.",
    ]
    for name, rows in finished.items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += ["", f"## {name}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"


def commit() -> str:
    """The commit this tree is on, or `unknown` outside a repository."""
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return git.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

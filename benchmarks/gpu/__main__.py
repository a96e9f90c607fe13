"""`python -m benchmarks.gpu [PART...]`, run by benchmarks/gpu.sh: resumable parts, then the page of all there are."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path

import torch

from benchmarks.gpu.kept import LIMIT_S, finish, read, source
from benchmarks.gpu.part import PARTS
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sets import lacking, needed, told
from benchmarks.record import PAGES

PAGE_ALONE = "page"


def main() -> int:
    """Run the parts that this source and device have not finished, and write the page.

    Returns 1 when one of them failed or was left out for lack of a package or of time, 2 without the device.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; or {PAGE_ALONE}")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=PAGES, help="folder of the page")
    parser.add_argument("--folder", type=Path, default=Path("build/gpu"), help="folder of what parts leave")
    parser.add_argument(
        "--minutes", type=float, default=inf, help="end within so many, with the page (default: no limit)"
    )
    parser.add_argument("--source", help="name of the source whose parts are meant (default: this tree's)")
    options = parser.parse_args()
    unknown = set(options.parts) - {*PARTS, PAGE_ALONE}
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)} and {PAGE_ALONE}")
    plan = Plan(options.device, options.folder, options.source or source())
    wanted = [name for name in options.parts or PARTS if name != PAGE_ALONE]
    if wanted and plan.card and not torch.cuda.is_available():
        print("no CUDA device; DEVICE=cpu benchmarks/gpu.sh exercises the script without one", file=sys.stderr)
        return 2
    if not plan.card and options.out.resolve() == PAGES.resolve():
        options.out = options.folder / "page"
    undone = run_parts(plan, wanted, time.monotonic() + 60 * options.minutes)
    write_page(plan, options.out)
    for part, why in undone.items():
        print(f"{part}: {why}")
    return 1 if undone else 0


def run_parts(plan: Plan, wanted: Sequence[str], ends: float) -> dict[str, str]:
    """Which parts were not finished, and why. None runs on past `ends` of the monotonic clock."""
    undone: dict[str, str] = {}
    for part in wanted:
        left = ends - time.monotonic()
        why = finish(plan, part, min(LIMIT_S, left)).error if left > 0 else "no time was left"
        if why:
            undone[part] = why
    return undone


def write_page(plan: Plan, folder: Path) -> None:
    """The page of the parts that are there; without what draws it, how to write it elsewhere."""
    absent = lacking(needed(PAGE_ALONE))
    if absent:
        print(f"the page is not written, {told(absent)}; or elsewhere, from {plan.folder}/*.json:")
        print(f"  {'' if plan.card else 'DEVICE=cpu '}benchmarks/gpu.sh page --source {plan.source}")
        return
    from benchmarks.gpu.page import page

    found = [kept for part in PARTS if (kept := read(plan, part)) is not None]
    written = page(plan, found, tuple(PARTS)).write(folder)
    print(written.read_text())
    print(f"written: {written}")


if __name__ == "__main__":
    sys.exit(main())

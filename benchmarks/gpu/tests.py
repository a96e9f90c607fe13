"""The tests that only a card can pass or fail: what a recording, a stream and a lost step do there."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.plan import Plan, Row

ROOT = Path(__file__).parents[2]
FILES = ("tests/inference/gpu/test_card.py", "tests/inference/test_device_noise.py", "tests/training/test_card.py")
PASSED = "passed"


def measure(plan: Plan) -> Iterator[Row]:
    """One row per test marked `cuda`: its outcome, what a failure says, and its seconds. On a CPU all are skipped.

    Raises RuntimeError where the tests cannot be collected.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-m", "cuda", "-o", "addopts=--import-mode=importlib", f"--junitxml={report}"]
        done = subprocess.run([sys.executable, "-m", "pytest", *options, *FILES], cwd=ROOT)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest ended with {done.returncode}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    yield from map(_row, cases)


def _row(case: ElementTree.Element) -> Row:
    said = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
    row: Row = {"test": f"{case.get('classname')}.{case.get('name')}", "s": float(case.get("time", "nan"))}
    if said is None:
        return row | {"outcome": PASSED, "said": ""}
    return row | {"outcome": said.tag, "said": said.get("message", "").partition("\n")[0][:200].replace("|", "/")}

"""Turns pytest's junit XML into the table that `make test-full` commits.

`python -m tests.report build/test-full.xml`
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree


def report(xml: Path) -> str:
    """A Markdown table: one line per test module, then the sums."""
    outcomes: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    for case in ElementTree.parse(xml).getroot().iter("testcase"):
        row = outcomes[case.get("classname", "")]
        tags = {child.tag for child in case}
        row[1 if tags & {"failure", "error"} else 2 if "skipped" in tags else 0] += 1
        row[3] += float(case.get("time", 0))
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# The full suite",
        "",
        f"`make test-full` on commit {git.stdout.strip()}; {machine}.",
        "",
        "| module | passed | failed | skipped | seconds |",
        "|---|---|---|---|---|",
    ]
    total = [0, 0, 0, 0.0]
    for name, row in sorted(outcomes.items()):
        lines.append(f"| {name} | {row[0]} | {row[1]} | {row[2]} | {row[3]:.1f} |")
        total = [a + b for a, b in zip(total, row, strict=True)]
    lines.append(f"| **all** | {total[0]} | {total[1]} | {total[2]} | {total[3]:.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1])))

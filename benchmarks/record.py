"""Pages of measured results: our figure beside the goal and the published one, and what it takes to do it again."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

PAGES = Path("docs/results")
_ROOT = Path(__file__).parent.parent
_TRACKED_BUT_PAGES = ("--porcelain", "--untracked-files=no", "--", ".", f":!{PAGES}")


@dataclass(frozen=True)
class Figure:
    """One measured quantity. `goal` bounds it from the side that `better` names; None: reported without a goal."""

    quantity: str
    value: float
    goal: float | None = None
    better: Literal["higher", "lower"] = "higher"
    published: str = "not published"
    digits: int = 4
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one. NaN reaches nothing."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def cells(self) -> tuple[str, ...]:
        """The figure as cells of the page's table."""
        sign = "≥" if self.better == "higher" else "≤"
        goal = "" if self.goal is None else f"{sign} {self.goal:g}"
        verdict = {None: "", True: "reached", False: "**missed**"}[self.reached]
        return (self.quantity, self.published, goal, f"{self.value:.{self.digits}f}", verdict, self.note)


@dataclass(frozen=True)
class Page:
    """One page of docs/results: `body` is Markdown after the table, `pictures` are (path, PNG, caption).

    `facts` stand in the place of this process's commit, machine and packages where another one measured.
    """

    name: str
    title: str
    command: str
    protocol: str
    figures: Sequence[Figure]
    subjects: Sequence[Mapping[str, str]] = ()
    seed: int | None = None
    body: str = ""
    pictures: Sequence[tuple[str, bytes, str]] = field(default_factory=tuple)
    packages: Sequence[str] = ("numpy", "onnxruntime", "scikit-learn", "torch")
    facts: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """The page in Markdown."""
        blocks = [f"# {self.title}", verdict(self.figures), self.protocol]
        if self.figures:
            header = ("quantity", "published", "goal", "measured", "verdict", "note")
            blocks.append(table(header, [figure.cells() for figure in self.figures]))
        blocks += [f"![{caption}]({path})\n\n*{caption}*" for path, _, caption in self.pictures]
        blocks += [self.body] if self.body else []
        blocks.append("## How it was measured")
        facts = {"command": f"`{self.command}`"}
        facts |= self.facts or {"commit": commit(), "machine": machine()}
        facts |= {} if self.seed is None else {"seed": str(self.seed)}
        facts |= {} if self.facts else {"packages": packages(self.packages)}
        blocks.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
        if self.subjects:
            blocks.append(table(list(self.subjects[0]), [list(subject.values()) for subject in self.subjects]))
        return "\n\n".join(blocks) + "\n"

    def write(self, folder: Path = PAGES) -> Path:
        """Write the page and its pictures into `folder`; returns the page's path."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, content, _ in self.pictures:
            (folder / path).write_bytes(content)
        target = folder / f"{self.name}.md"
        target.write_text(self.render())
        return target


def verdict(figures: Sequence[Figure]) -> str:
    """One line on how many goals were reached, naming those that were not.

    >>> verdict([Figure("accuracy", 0.98, 0.99), Figure("ECE", 0.001, 0.005, "lower")])
    '**1 of 2 goals reached.** Missed: accuracy.'
    """
    judged = [figure for figure in figures if figure.reached is not None]
    missed = [figure.quantity for figure in judged if not figure.reached]
    if not judged:
        return "Reported without a goal."
    end = f" Missed: {'; '.join(missed)}." if missed else ""
    return f"**{len(judged) - len(missed)} of {len(judged)} goals reached.**{end}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def commit() -> str:
    """The commit of the source tree, marked where files that are tracked differ from it; pages like this one aside."""
    try:
        return _git("rev-parse", "--short=12", "HEAD") + ("-dirty" if _git("status", *_TRACKED_BUT_PAGES) else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def machine() -> str:
    """Processor, cores that this process may use, memory, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS")
    limit = f" (OMP_NUM_THREADS={threads})" if threads else ""
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{_processor()}, {cores} cores{limit}, {memory}, {platform.system()}, Python {platform.python_version()}"


def packages(names: Sequence[str]) -> str:
    """Versions of installed packages."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

"""Which state of the code publishes a version, for its lineage."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def code_version() -> str:
    """`git describe` where the package lies in its own source tree, else the version of the installed package."""
    tree = Path(__file__).resolve().parent.parent
    if (tree / ".git").exists():
        try:
            # not `describe --dirty`: it writes the index, and leaves a lock there where the disk is full
            changed = _git(tree, "status", "--porcelain", "--untracked-files=no")
            return _git(tree, "describe", "--always", "--tags") + ("-dirty" if changed else "")
        except (OSError, subprocess.SubprocessError):
            pass
    try:
        return metadata.version("condflow")
    except metadata.PackageNotFoundError:
        return "unknown"


def _git(tree: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(tree), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

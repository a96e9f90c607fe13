"""Which state of the code publishes a version, for its lineage."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def code_version() -> str:
    """`git describe` where the package lies in its own source tree, else the version of the installed package."""
    tree = Path(__file__).resolve().parent.parent
    if (tree / ".git").exists():
        command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--tags"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    try:
        return metadata.version("condflow")
    except metadata.PackageNotFoundError:
        return "unknown"

"""`python -m inference`: publish flows that were exported elsewhere."""

from __future__ import annotations

from inference.cli import app

if __name__ == "__main__":
    app(prog_name="python -m inference")

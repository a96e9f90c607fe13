"""`python -m model_store`: look at a store and keep it in order."""

from __future__ import annotations

from model_store.cli import app

if __name__ == "__main__":
    app(prog_name="python -m model_store")

"""What becomes of a run folder when something fails: a fit is kept, and what came to no checkpoint is cleared away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.engine import EngineError
from inference.errors import LoadError
from model_store.errors import StoreError
from training.callbacks import BEST, LAST
from training.errors import FitError, TrainingError, plain
from training.phases import PHASES

RUN = "run.json"
AFTER_A_FIT = (TrainingError, StoreError, LoadError, EngineError, OSError, ValueError)
"""What exporting, loading, evaluating and publishing raise for what a person can put right."""


@contextmanager
def begun(folder: Path) -> Iterator[None]:
    """Inside, a fit is made in `folder`. A failure before its first checkpoint leaves nothing of it behind.

    A disk that fails later raises FitError that says how the fit goes on.
    """
    was_there = folder.exists()
    try:
        yield
    except Exception as error:
        if not any((folder / phase / file).exists() for phase in PHASES for file in (LAST, BEST)):
            clear(folder)
            if not was_there:
                with suppress(OSError):  # it was never made, or somebody put something there
                    folder.rmdir()
        elif isinstance(error, OSError):
            raise _going_on(error, folder) from error
        raise


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Inside, a finished fit in `folder` is made use of. Failures become FitError that says how to go on."""
    try:
        yield
    except AFTER_A_FIT as error:
        raise _going_on(error, folder) from error


def clear(folder: Path) -> None:
    """Remove a fit's record and the folders of its phases, and nothing else."""
    with suppress(OSError):  # nothing is there, or not even a folder
        (folder / RUN).unlink()
    for phase in PHASES:
        shutil.rmtree(folder / phase, ignore_errors=True)


def _going_on(error: Exception, folder: Path) -> FitError:
    said = plain(error).rstrip(".")
    return FitError(f"{said}. The fit is kept in {folder}: the same command with --resume goes on from there")

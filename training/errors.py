"""Errors that a person can act on: the command line prints them without a traceback."""

from __future__ import annotations

from difflib import get_close_matches


class TrainingError(Exception):
    """Something the caller can put right: a recipe, a file, a column, an option."""


class RecipeError(TrainingError):
    """A recipe or a setting that does not say what it must."""


class DataError(TrainingError):
    """Data that is absent, damaged, or not fit to be learned from."""


class FitError(TrainingError):
    """A fit that cannot go on."""


def plain(error: Exception) -> str:
    """What an error says, without the number of an operating system's one.

    >>> plain(FileNotFoundError(2, "No such file or directory", "a.csv"))
    'a.csv: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)


def first_line(error: Exception) -> str:
    """Of what an error says, or its kind where it says nothing.

    >>> first_line(ValueError("no\\nbecause")), first_line(AssertionError())
    ('no', 'AssertionError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(name: str, names: list[str]) -> str:
    """A hint that ends an error message: the closest known name, or all of them.

    >>> nearest("epoch", ["epochs", "rate"])
    "did you mean 'epochs'?"
    >>> nearest("zzz", ["epochs", "rate"])
    'known: epochs, rate'
    """
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names))}"

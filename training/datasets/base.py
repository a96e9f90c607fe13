"""A data set: what x and the condition are, and three splits of rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from model_store.signature import ArraySpec, ConditionSpec, LabelCondition


@dataclass(frozen=True)
class Split:
    """Rows: x is (rows, *shape); the condition is (rows,) labels, (rows, M), (rows, C, H, W), or None.

    Arrays may be memory-mapped. Integer data are uint8, everything else float32, labels int64.
    """

    x: np.ndarray
    condition: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray | slice) -> Split:
        """Some of the rows: a view for a slice, a copy for indices."""
        return Split(self.x[rows], None if self.condition is None else self.condition[rows])


class Truth(Protocol):
    """The law that the rows were drawn from, where it is known."""

    @property
    def entropy(self) -> float:
        """E[-log p(x | condition)] in nats: the least mean negative log-likelihood there is."""
        ...

    def log_prob(self, x: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """log p(x | condition) per row, in nats."""
        ...

    def sample(self, condition: np.ndarray, seed: int) -> np.ndarray:
        """One fresh x per row of the condition."""
        ...


@dataclass(frozen=True)
class Note:
    """What was found or decided, and the option of `fit` that decides otherwise, quoted for a shell."""

    text: str
    setting: str = ""


@dataclass(frozen=True)
class Column:
    """What was found out about a column of a table. `lower` and `upper` bound the support of an x; None: open.

    `step` g of the grid that values were on before U(-g/2, g/2) spread them; None where they are as in the file.
    """

    name: str
    role: str
    kind: str
    low: float | None = None
    high: float | None = None
    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Three splits with their signature. `columns` describe tables, `notes` what was left out of or let into them."""

    name: str
    data: ArraySpec
    condition: ConditionSpec
    train: Split
    validation: Split
    test: Split
    truth: Truth | None = None
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> tuple[str, ...]:
        """The columns of x whose values were spread over the gaps of their grid."""
        return tuple(column.name for column in self.columns if column.step is not None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the signature and the bytes of all splits, in order."""
        hasher = hashlib.sha256()
        hasher.update(self.data.model_dump_json().encode() + self.condition.model_dump_json().encode())
        for split in (self.train, self.validation, self.test):
            for array in (split.x, split.condition):
                if array is not None:
                    hasher.update(f"{array.dtype.str}{array.shape}".encode())
                    hasher.update(np.ascontiguousarray(array).data)
        return hasher.hexdigest()

    @property
    def class_prior(self) -> tuple[float, ...] | None:
        """Share of each class in the training rows (one row added to each, so that none is impossible)."""
        if not isinstance(self.condition, LabelCondition) or self.train.condition is None:
            return None
        counts = np.bincount(self.train.condition, minlength=len(self.condition.classes)) + 1.0
        return tuple(float(share) for share in counts / counts.sum())


def split_rows(rows: int, validation: float, test: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disjoint row indices of train, validation and test: a permutation that depends on the seed alone.

    >>> [len(part) for part in split_rows(100, validation=0.1, test=0.2, seed=0)]
    [70, 10, 20]
    """
    order = np.random.default_rng([seed, 0x5B117]).permutation(rows)
    held = round(rows * validation)
    tested = round(rows * test)
    return order[held + tested :], order[:held], order[held : held + tested]

"""What scoring takes of x: x itself, or what the version's encoder makes of it, once for each row."""

from __future__ import annotations

import numpy as np

from inference.engine import Arrays
from inference.loaded import Loaded
from inference.work import Question
from model_store.signature import Operation


def embedded(loaded: Loaded, x: np.ndarray) -> Question[Arrays]:
    """`{"embedding": embed(x)}` of checked rows (n, *data), or `{"x": x}` where the version has no `embed`.

    It is the input by which `score`, `encode` and `infer` know x, under any noise and any condition.
    """
    if loaded.signature.embedding is None:
        return {"x": x}
    work = EmbedWork(x, loaded.signature.embedding)
    yield work
    return {"embedding": work.embedding}


class EmbedWork:
    """Row r embeds row r of x."""

    operation: Operation = "embed"

    def __init__(self, x: np.ndarray, shape: tuple[int, ...]) -> None:
        self.rows = len(x)
        self.embedding = np.empty((len(x), *shape), dtype=np.float32)
        self._x = x

    def inputs(self, start: int, stop: int) -> Arrays:
        """x of rows [start, stop)."""
        return {"x": self._x[start:stop]}

    def accept(self, start: int, stop: int, outputs: Arrays) -> None:
        """Keep the embeddings."""
        self.embedding[start:stop] = outputs["embedding"]

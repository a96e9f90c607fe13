"""Checkpoints without pickle: one safetensors file whose metadata holds the tree around the tensors as JSON.

One file, written beside its place and moved over it: a kill leaves the old checkpoint or the new one, never half.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.errors import FitError

TREE = "tree"


def save(tree: Any, path: Path) -> None:
    """Write nested dicts, lists, tuples, scalars and tensors.

    Raises TypeError that names anything else, and OSError where the disk does not take it; an older file then stays.
    """
    tensors: dict[str, torch.Tensor] = {}
    description = json.dumps(_describe(tree, "", tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        try:
            save_file(tensors, partial, metadata={TREE: description})
        except SafetensorError as error:
            raise OSError(f"{path}: the checkpoint could not be written ({error})") from error
        with partial.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to. It is moved over `path` in the end, or removed where that fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> Any:
    """Read what `save` wrote. Raises FitError for a file that is something else or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        return _rebuild(json.loads(metadata[TREE]), tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        raise FitError(f"{path}: not a checkpoint of this program, or damaged ({error})") from error


def _describe(value: Any, place: str, tensors: dict[str, torch.Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        tensors[place] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": place}
    if isinstance(value, dict):
        return {"dict": [[key, _describe(inner, f"{place}/{key}", tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_describe(inner, f"{place}/{index}", tensors) for index, inner in enumerate(value)]}
    raise TypeError(f"{place}: a checkpoint holds tensors, numbers and text, not {type(value).__name__}")


def _rebuild(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _rebuild(inner, tensors) for key, inner in content}
    values = [_rebuild(inner, tensors) for inner in content]
    return values if kind == "list" else tuple(values)


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoints through `save` and `load`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        save(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, its tensors on the CPU."""
        tree: dict[str, Any] = load(Path(path))
        return tree

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)

"""What somebody gives to be published: the signature file, the graphs, a sample of conditions; each read with care."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from model_store.signature import Frozen, NoCondition, Operation, Signature, VectorCondition

LARGEST_SIGNATURE = 1 << 20
MOST_ELEMENTS = 1 << 24  # of one row of any input: a 4096 x 4096 image
MOST_AXES = 4
PRIOR_ROWS = 4096
RESERVED = frozenset({"x", "condition", "log_weight", "estimate"})
OPERATIONS: tuple[Operation, ...] = tuple(name for name in get_args(Operation) if name != "embed")


class Refusal(ValueError):
    """A given file is not what it must be; the message names the file and what was expected."""


class Given(Frozen):
    """Paths of what is to be published; external data of a graph lie beside it.

    `reference`: rows whose scores are stored with the version, taken with `draws` draws of noise.
    """

    signature: Path
    graphs: dict[Operation, Path]
    prior_sample: Path | None = None
    reference: Path | None = None
    draws: int = 64


def read_signature(given: Given) -> Signature:
    """The signature, its operations those of the graphs.

    Raises:
        Refusal: not JSON, unknown or missing keys, sizes beyond reason, or operations without a graph.
    """
    path = given.signature
    try:
        content = json.loads(read_file(path, LARGEST_SIGNATURE))
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: expected a signature in JSON: {error}") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path}: expected a JSON object")
    operations = [operation for operation in OPERATIONS if operation in given.graphs]
    claimed = content.setdefault("operations", operations)
    if content.get("embedding") is not None or (isinstance(claimed, list) and "embed" in claimed):
        raise Refusal(
            f"{path}: embedding: a brought flow has none, as there is no graph `embed` to be given; leave the key out, "
            "and let score, encode and infer take x itself"
        )
    if not isinstance(claimed, list) or sorted(map(str, claimed)) != sorted(operations):
        raise Refusal(f"{path}: operations: expected {operations}, the graphs that are given, or no such key")
    content["operations"] = operations
    try:
        signature = Signature.model_validate(content)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc'])) or 'signature'}: {one['msg']}" for one in error.errors()[:5]]
        raise Refusal(f"{path}: {'; '.join(lines)}") from None
    _check_parts(signature, path)
    if isinstance(signature.condition, NoCondition) and "infer" in operations:
        raise Refusal(f"{path}: condition: an infer graph is given, so expected a label, vector or image condition")
    return signature


def read_prior_sample(path: Path, signature: Signature) -> np.ndarray:
    """Conditions (n, M) from a `.npy` file, float32, the first 4096 of them.

    Raises:
        Refusal: not such a file, another shape or type, not finite, or a model that has no vector condition.
    """
    condition = signature.condition
    if not isinstance(condition, VectorCondition):
        raise Refusal(f"{path}: a prior sample goes with a vector condition, this one is {condition.kind}")
    try:
        with path.open("rb") as file:
            array: Any = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refusal(f"{path}: expected a .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise Refusal(f"{path}: expected one array of numbers")
    if array.ndim != 1 + len(condition.array.shape) or array.shape[1:] != condition.array.shape or not len(array):
        raise Refusal(f"{path}: expected conditions of shape {('n', *condition.array.shape)}, got {array.shape}")
    kept = np.ascontiguousarray(array[:PRIOR_ROWS], dtype=np.float32)
    if not np.isfinite(kept).all():
        raise Refusal(f"{path}: expected finite numbers")
    return kept


def read_file(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most `largest` bytes; raises Refusal."""
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise Refusal(f"{path}: expected a regular file")
        if status.st_size > largest:
            raise Refusal(f"{path}: {status.st_size:,} bytes, at most {largest:,} are allowed")
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from None


def beside(graph: Path, largest: int) -> Callable[[str], bytes]:
    """A reader of the external data of one graph: plain file names in its folder, no links; each file is read once."""
    read: dict[str, bytes] = {}

    def named(location: str) -> bytes:
        if location not in read:
            if location != Path(location).name or location in ("", "..") or "\0" in location:
                raise Refusal(
                    f"{graph}: external data lie in {location!r}, expected the plain name of a file beside the graph"
                )
            path = graph.parent / location
            if path.is_symlink():
                raise Refusal(f"{path}: external data of {graph.name} may not be a link")
            read[location] = read_file(path, largest)
        return read[location]

    return named


def _check_parts(signature: Signature, path: Path) -> None:
    parts = (*signature.latent, *signature.noise)
    names = [part.name for part in parts]
    if len(set(names)) < len(names) or RESERVED & set(names):
        raise Refusal(
            f"{path}: latent and noise: expected names that differ from each other and from {sorted(RESERVED)}, "
            f"got {names}"
        )
    shapes = {"data": signature.data.shape, **{part.name: part.shape for part in parts}}
    array = getattr(signature.condition, "array", None)
    if array is not None:
        shapes["condition"] = array.shape
    for name, shape in shapes.items():
        if len(shape) > MOST_AXES or prod(shape) > MOST_ELEMENTS:
            raise Refusal(
                f"{path}: {name}: expected at most {MOST_AXES} axes and {MOST_ELEMENTS:,} elements a row, got {shape}"
            )

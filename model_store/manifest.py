"""The manifest: one immutable JSON document that names every byte of a version and what it means."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field

from model_store.signature import Frozen, Signature

SCHEMA_VERSION: Literal[1] = 1
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class FileEntry(Frozen):
    """One file of a version: its path inside the version and the digest that names its blob."""

    path: str
    digest: Digest
    size: Annotated[int, Field(ge=0)]


class Calibration(Frozen):
    """`probabilities = softmax(log model_posterior / temperature)`, fitted on the validation split (Guo 2017)."""

    temperature: Annotated[float, Field(gt=0)] = 1.0


class ValidationScores(Frozen):
    """Sorted per-row log-likelihoods of the validation split, against which percentiles are read.

    Taken with `draws` noise draws of seed 0: percentiles are honest only for the same number of draws.
    """

    draws: Annotated[int, Field(ge=1)] = 1
    conditional: tuple[float, ...] = ()
    marginal: tuple[float, ...] = ()


class Lineage(Frozen):
    """Where a version came from."""

    recipe: str
    seed: int
    data_digest: str
    code_version: str
    parents: tuple[str, ...] = ()
    config: dict[str, Any] = {}


class GraphError(Frozen):
    """Largest error of one exported graph against torch in float64, over the batch sizes tried at export."""

    max_abs: Annotated[float, Field(ge=0)]
    max_rel: Annotated[float, Field(ge=0)]
    batch_sizes: tuple[int, ...]


class Probe(Frozen):
    """A self-test: `path` holds inputs and expected outputs, named `<operation>.<input|output>.<name>`."""

    path: str = "probe.safetensors"
    atol: float = 1e-4
    rtol: float = 1e-3


class Manifest(Frozen):
    """One version of one model. Its identity is the SHA-256 of its canonical JSON."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: Name
    version: Annotated[int, Field(ge=1)]
    files: tuple[FileEntry, ...]
    signature: Signature
    class_prior: tuple[float, ...] | None = None
    calibration: Calibration | None = None
    validation_scores: ValidationScores = ValidationScores()
    family: str
    parameters: Annotated[int, Field(ge=0)]
    metrics: dict[str, Any] = {}
    graph_errors: dict[str, GraphError] = {}
    probe: Probe = Probe()
    lineage: Lineage
    created: str

    def canonical(self) -> bytes:
        """The bytes that are hashed and stored: sorted keys, no spaces, UTF-8, no NaN."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def file(self, path: str) -> FileEntry | None:
        """The entry of `path`, or None."""
        return next((entry for entry in self.files if entry.path == path), None)

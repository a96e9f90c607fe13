"""The manifest: one immutable JSON document that names every byte of a version and what it means."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator

from model_store.errors import BadManifest, BadName, UnknownSchemaVersion
from model_store.names import check_path
from model_store.signature import Frozen, Signature

SCHEMA_VERSION: Literal[1] = 1
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Precision = Literal["float32", "tf32", "bf16"]
Lowered = Literal["tf32", "bf16"]


class FileEntry(Frozen):
    """One file of a version: its path inside the version and the digest that names its blob."""

    path: str
    digest: Digest
    size: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        try:
            return check_path(path)
        except BadName as error:
            raise ValueError(str(error)) from None


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
    """Largest error of one operation against torch in float64, over the batch sizes tried at export.

    `batch_bound`: how far two answers to the same row may lie apart that differ in the batch's size and in the row's
    place in it, relative to max(1, |answer|); for integers in levels. Twenty times the largest difference seen at
    export and at least 1e-5, so that it holds for other rows too. None where nobody measured it.
    """

    max_abs: Annotated[float, Field(ge=0)]
    max_rel: Annotated[float, Field(ge=0)]
    batch_sizes: tuple[int, ...]
    batch_bound: Annotated[float | None, Field(ge=0)] = None


class Probe(Frozen):
    """A self-test: `path` holds inputs and expected outputs, named `<operation>.<input|output>.<name>`."""

    path: str = "probe.safetensors"
    atol: float = 1e-4
    rtol: float = 1e-3


class Draft(Frozen):
    """What a publisher says about a version: a manifest before it has a number, files and a date.

    `graph_errors` are by operation. `precision_errors` are those of torch on a CPU that computes as a card does in that
    precision, by precision and then by operation, from x: a version may run in the precisions that are named there.
    bf16: the conditioners' trunks in bfloat16. tf32: both factors of each product and convolution cut to ten bits of
    mantissa, added up in float32; hardware that rounds them instead is nearer.
    """

    name: Name
    signature: Signature
    class_prior: tuple[float, ...] | None = None
    calibration: Calibration | None = None
    validation_scores: ValidationScores = ValidationScores()
    family: str
    parameters: Annotated[int, Field(ge=0)]
    metrics: dict[str, Any] = {}
    graph_errors: dict[str, GraphError] = {}
    precision_errors: dict[Lowered, dict[str, GraphError]] = {}
    probe: Probe = Probe()
    lineage: Lineage


class Manifest(Draft):
    """One version of one model. Its identity is the SHA-256 of its canonical JSON.

    The identity of a stored version never depends on the code that reads it: a manifest that was parsed repeats
    the fields that it was stored with, whatever optional fields were added since.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    version: Annotated[int, Field(ge=1, lt=10**9)]
    files: tuple[FileEntry, ...]
    created: str

    _parsed: bool = PrivateAttr(default=False)

    @field_validator("files")
    @classmethod
    def _distinct(cls, files: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        paths = [entry.path for entry in files]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"file path {path!r}: named twice")
            if any(other.startswith(f"{path}/") for other in paths):
                raise ValueError(f"file path {path!r}: both a file and a folder")
        return files

    @classmethod
    def parse(cls, content: bytes, where: str) -> Manifest:
        """Read canonical JSON; `where` names it in the errors BadManifest and UnknownSchemaVersion."""
        try:
            raw = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise BadManifest(f"{where}: expected a manifest in JSON, it is truncated or malformed ({error})") from None
        if not isinstance(raw, dict) or "schema_version" not in raw:
            raise BadManifest(f"{where}: expected a JSON object with a schema_version")
        found = raw["schema_version"]
        if type(found) is not int or found != SCHEMA_VERSION:
            raise UnknownSchemaVersion(f"{where}: schema_version is {found!r}, this code reads {SCHEMA_VERSION}")
        try:
            manifest = cls.model_validate(raw)
            manifest._parsed = True
            canonical = manifest.canonical()
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadManifest(f"{where}: {place}: {first['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise BadManifest(f"{where}: {error}") from None
        if canonical != content:
            raise BadManifest(f"{where}: expected canonical JSON (sorted keys, no spaces, each key once)")
        return manifest

    def canonical(self) -> bytes:
        """The bytes that are hashed and stored: sorted keys, no spaces, UTF-8, no NaN.

        Raises ValueError for a number that JSON does not know, TypeError for anything but plain values.
        """
        content = self.model_dump(exclude_unset=self._parsed)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def file(self, path: str) -> FileEntry | None:
        """The entry of `path`, or None."""
        return next((entry for entry in self.files if entry.path == path), None)


def unpublished(draft: Draft, files: Mapping[str, bytes]) -> Manifest:
    """A manifest as the store will write it, so that a version is loaded and verified before it is one."""
    entries = tuple(
        FileEntry(path=path, digest=hashlib.sha256(content).hexdigest(), size=len(content))
        for path, content in files.items()
    )
    fields = {field: getattr(draft, field) for field in Draft.model_fields}
    return Manifest(**fields, version=1, files=entries, created="")

"""Inputs and outputs of each operation of a version, by its signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_store.manifest import Manifest
from model_store.signature import ArraySpec, LabelCondition, NoCondition, Part, Signature, VectorCondition
from service.open_inference.tensors import BYTES


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. -1 in its shape is any size.

    `optional`: an input that may be left out, or an output that comes only when it is asked for.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False

    def takes(self, datatype: str, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of these fits; class labels come as indexes or as names."""
        same = datatype == self.datatype or (self.is_label and datatype == BYTES)
        extents = zip(shape, self.shape, strict=False)
        return same and len(shape) == len(self.shape) and all(wanted in (-1, found) for found, wanted in extents)

    @property
    def is_label(self) -> bool:
        """Whether it carries class labels."""
        return self.name == "condition" and self.datatype == "INT64"

    def __str__(self) -> str:
        datatype = f"{self.datatype} or {BYTES}" if self.is_label else self.datatype
        return f"{datatype} of shape {list(self.shape)}"

    def metadata(self) -> dict[str, Any]:
        """As model metadata shows it."""
        entry: dict[str, Any] = {"name": self.name, "datatype": self.datatype, "shape": self.shape}
        return {**entry, "parameters": {"optional": True}} if self.optional else entry

    def configuration(self) -> dict[str, Any]:
        """As a model configuration shows it, where only inputs can be optional."""
        kind = "TYPE_STRING" if self.datatype == BYTES else f"TYPE_{self.datatype}"
        return {"name": self.name, "data_type": kind, "dims": self.shape}


def inputs(manifest: Manifest, operation: str) -> tuple[TensorSpec, ...]:
    """What the operation takes: x and condition, then what may be left out."""
    signature = manifest.signature
    x = TensorSpec("x", _datatype(signature.data), (-1, *signature.data.shape))
    prior = _class_prior(signature)
    match operation:
        case "sample":
            return (*_condition(signature), *(_part(part, optional=True) for part in signature.latent))
        case "loglik":
            return (x, *_condition(signature, optional=isinstance(signature.condition, LabelCondition)), *prior)
        case "infer-condition":
            return (x, *prior)
        case _:
            return (x, *_condition(signature))


def outputs(manifest: Manifest, operation: str) -> tuple[TensorSpec, ...]:
    """What the operation answers; numbers that an answer lacks are NaN."""
    match operation:
        case "sample":
            return tuple(_samples(manifest))
        case "loglik":
            return tuple(_scores(manifest))
        case "infer-condition":
            return tuple(_inferred(manifest))
        case _:
            return (*(_part(part) for part in manifest.signature.latent), *_extrapolated(manifest.signature))


def _samples(manifest: Manifest) -> Iterator[TensorSpec]:
    signature = manifest.signature
    leading = (-1,) if isinstance(signature.condition, NoCondition) else (-1, -1)
    yield TensorSpec("samples", _datatype(signature.data), (*leading, *signature.data.shape))
    if "score" in signature.operations:
        yield TensorSpec("log_likelihood", "FP64", leading, optional=True)
    for part in signature.latent:
        yield TensorSpec(f"latent.{part.name}", "FP32", (*leading, *part.shape), optional=True)
    yield from _extrapolated(signature)


def _scores(manifest: Manifest) -> Iterator[TensorSpec]:
    signature, stored = manifest.signature, manifest.validation_scores
    names = ["log_likelihood"]
    names += ["bits_per_dim"] if signature.data.is_integer and signature.space == "data" else []
    names += ["percentile", "p_value"] if stored.conditional or stored.marginal else []
    names += [] if signature.exact else ["std_error", "effective_sample_size"]
    for name in names:
        yield TensorSpec(name, "FP64", (-1,))
    if not signature.exact:
        yield TensorSpec("unreliable", "BOOL", (-1,))
    yield from _extrapolated(signature)


def _inferred(manifest: Manifest) -> Iterator[TensorSpec]:
    signature, condition = manifest.signature, manifest.signature.condition
    if isinstance(condition, LabelCondition):
        rows = (-1, len(condition.classes))
        yield TensorSpec("label", BYTES, (-1,))
        yield TensorSpec("index", "INT64", (-1,))
        yield TensorSpec("probabilities", "FP64", rows)
        yield TensorSpec("model_posterior", "FP64", rows)
        if "infer" in signature.operations:
            yield TensorSpec("condition", "FP32", rows)
    elif not isinstance(condition, NoCondition):
        yield TensorSpec("condition", "FP32", (-1, *condition.array.shape))
        yield TensorSpec("std", "FP32", (-1, *condition.array.shape))
        if not (signature.exact and "infer" in signature.operations):
            yield TensorSpec("effective_sample_size", "FP64", (-1,))


def _extrapolated(signature: Signature) -> Iterator[TensorSpec]:
    if isinstance(signature.condition, VectorCondition) and signature.condition.least:
        yield TensorSpec("extrapolated", "BOOL", (-1,))


def _part(part: Part, *, optional: bool = False) -> TensorSpec:
    return TensorSpec(f"latent.{part.name}", "FP32", (-1, *part.shape), optional)


def _condition(signature: Signature, *, optional: bool = False) -> tuple[TensorSpec, ...]:
    match signature.condition:
        case NoCondition():
            return ()
        case LabelCondition():
            return (TensorSpec("condition", "INT64", (-1,), optional),)
        case condition:
            return (TensorSpec("condition", _datatype(condition.array), (-1, *condition.array.shape), optional),)


def _class_prior(signature: Signature) -> tuple[TensorSpec, ...]:
    condition = signature.condition
    if not isinstance(condition, LabelCondition):
        return ()
    return (TensorSpec("class_prior", "FP64", (len(condition.classes),), optional=True),)


def _datatype(spec: ArraySpec) -> str:
    return "UINT8" if spec.is_integer else "FP32"

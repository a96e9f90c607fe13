"""Shapes of one row of every input and output of the operations, and what inputs are made of, by the signature."""

from __future__ import annotations

import numpy as np

from model_store.signature import LabelCondition, NoCondition, Operation, Signature


def input_shape(signature: Signature, name: str) -> tuple[int, ...]:
    """Shape of one row of `x`, `condition`, the embedding, or a latent or noise part.

    >>> from model_store.signature import ArraySpec, Part
    >>> input_shape(Signature(data=ArraySpec(shape=(2,)), latent=(Part(name="z", shape=(3,)),), operations=()), "z")
    (3,)
    """
    if name == "x":
        return signature.data.shape
    if name == "embedding" and signature.embedding is not None:
        return signature.embedding
    if name == "condition":
        condition = signature.condition
        return () if isinstance(condition, LabelCondition | NoCondition) else condition.array.shape
    return next(part.shape for part in (*signature.latent, *signature.noise) if part.name == name)


def input_dtype(signature: Signature, name: str) -> type[np.generic]:
    """What an input's rows are made of: labels are int64, everything else float32."""
    return np.int64 if name == "condition" and isinstance(signature.condition, LabelCondition) else np.float32


def zeros(signature: Signature, operation: Operation, rows: int) -> dict[str, np.ndarray]:
    """So many rows of zeros for each input of an operation, which every engine takes."""
    return {
        name: np.zeros((rows, *input_shape(signature, name)), input_dtype(signature, name))
        for name in signature.inputs(operation)
    }


def output_shape(signature: Signature, operation: Operation, name: str) -> tuple[int, ...]:
    """Shape of one row of an output: label models score, and estimate, all classes at once."""
    condition = signature.condition
    classes = (len(condition.classes),) if isinstance(condition, LabelCondition) else None
    if name == "log_weight":
        return classes if classes and operation == "score" else ()
    if name == "estimate":
        return classes or input_shape(signature, "condition")
    return input_shape(signature, name)

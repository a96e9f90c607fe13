"""Shapes of one row of every input and output of the operations, by the signature."""

from __future__ import annotations

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


def output_shape(signature: Signature, operation: Operation, name: str) -> tuple[int, ...]:
    """Shape of one row of an output: label models score, and estimate, all classes at once."""
    condition = signature.condition
    classes = (len(condition.classes),) if isinstance(condition, LabelCondition) else None
    if name == "log_weight":
        return classes if classes and operation == "score" else ()
    if name == "estimate":
        return classes or input_shape(signature, "condition")
    return input_shape(signature, name)

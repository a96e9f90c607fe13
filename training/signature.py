"""From a model to the store's signature: the same shapes and kinds, with the names that only the data know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows import config
from flows.models.base import Model
from flows.models.embedding import VectorEmbedding
from flows.models.joint import JointFlow
from flows.models.latent import LatentFlow
from model_store.signature import (
    ArraySpec,
    ConditionSpec,
    ImageCondition,
    LabelCondition,
    NoCondition,
    Part,
    Signature,
    VectorCondition,
)


def signature_of(
    model: Model,
    *,
    x_names: Sequence[str] | None = None,
    condition_names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    condition_rows: np.ndarray | None = None,
) -> Signature:
    """What a version of `model` speaks.

    `x_names` and `condition_names` name the elements of x and of a vector condition; `classes` names the labels and
    defaults to "0", "1", ...; `condition_rows` (rows, M) of the training split give a vector condition its range.
    Raises ValueError when there are not as many names as things to name.
    """
    return Signature(
        data=_array(model.data.shape, model.data.levels, x_names),
        condition=_ranged(_condition(model, condition_names, classes), condition_rows),
        latent=tuple(_part(part) for part in model.latent),
        noise=tuple(_part(part) for part in model.noise),
        space=model.space,
        embedding=model.embedding_shape,
        operations=model.operations,
    )


def _part(part: object) -> Part:
    return Part.model_validate(part, from_attributes=True)


def _array(shape: tuple[int, ...], levels: int | None, names: Sequence[str] | None = None) -> ArraySpec:
    given = None if names is None else tuple(names)
    if levels is None:
        return ArraySpec(shape=shape, names=given)
    return ArraySpec(shape=shape, dtype="uint8", levels=levels, names=given)


def _condition(model: Model, names: Sequence[str] | None, classes: Sequence[str] | None) -> ConditionSpec:
    match model.condition:
        case config.LabelCondition(classes=count):
            given = tuple(classes) if classes is not None else tuple(str(index) for index in range(count))
            if len(given) != count:
                raise ValueError(f"classes: expected {count} names, got {len(given)}")
            return LabelCondition(classes=given)
        case config.VectorCondition(size=size):
            return VectorCondition(array=_array((size,), None, names), relaxation=_relaxation(model))
        case config.ImageCondition(shape=shape, levels=levels):
            return ImageCondition(array=_array(shape, levels))
        case config.NoCondition():
            return NoCondition()


def _ranged(condition: ConditionSpec, rows: np.ndarray | None) -> ConditionSpec:
    if not isinstance(condition, VectorCondition) or rows is None:
        return condition
    return condition.within(rows.min(axis=0).tolist(), rows.max(axis=0).tolist())


def _relaxation(model: Model) -> tuple[float, ...]:
    """epsilon times the scale of the condition's standardisation, for joint flows; else nothing."""
    flow = model.flow if isinstance(model, LatentFlow) else model
    if not isinstance(flow, JointFlow) or not isinstance(flow.embedding, VectorEmbedding):
        return ()
    return tuple((flow.epsilon * flow.embedding.scale.double()).tolist())

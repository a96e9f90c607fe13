"""The likelihood by which a flow of either family is fitted."""

from __future__ import annotations

from typing import Literal, cast

from flows.models.base import Model
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.joint import JointFlow
from training.objectives.base import Objective
from training.objectives.conditional_likelihood import ConditionalLikelihood
from training.objectives.joint_likelihood import JointLikelihood


def likelihood(model: Model, rows: int, padding: Literal["fresh", "fixed"], seed: int) -> Objective:
    """The objective of the model's family."""
    if isinstance(model, JointFlow):
        return JointLikelihood(model, rows, padding, seed)
    return ConditionalLikelihood(cast(ConditionalCouplingFlow, model))

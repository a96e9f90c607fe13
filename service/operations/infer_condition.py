"""POST /infer-condition."""

from __future__ import annotations

import re

from inference.condition_inference import InferredConditions, InferredLabels, infer_condition
from inference.loaded import Loaded
from model_store.signature import ImageCondition, LabelCondition, VectorCondition
from service.codecs.media import JSON, NPY, NPZ
from service.operations.base import Plan, Reply, check_answer, check_cost, check_draws, present, read_x
from service.requests import InferConditionRequest
from service.settings import Limits


class InferCondition:
    """Which condition does this x have?"""

    name = "infer-condition"
    request = InferConditionRequest
    arrays = re.compile("x|class_prior")
    main_input = "x"
    media: tuple[str, ...] = (JSON, NPZ, NPY)

    def plan(self, loaded: Loaded, asked: InferConditionRequest, limits: Limits, media: str) -> Plan:
        """Cost: rows x draws, times the version's prior sample where it is weighed."""
        x, rows = read_x(loaded, asked.x, limits)
        draws = check_draws(loaded, asked.draws, limits)
        spec = loaded.signature.condition
        passes, values = 1, 0
        if isinstance(spec, LabelCondition):
            passes += "infer" in loaded.signature.operations
            values = 3 * len(spec.classes)
        elif isinstance(spec, (VectorCondition, ImageCondition)):
            values = 2 * spec.array.size
            if "infer" not in loaded.signature.operations and loaded.prior_sample is not None:
                passes = len(loaded.prior_sample)
        check_answer(rows, values + 2, 0, limits, media, "/x")
        engine_rows = check_cost(rows * draws * passes, limits, "/x")
        question = infer_condition(loaded, x, draws=asked.draws, seed=asked.seed or 0, class_prior=asked.class_prior)
        return Plan(question, rows, engine_rows)

    def reply(self, loaded: Loaded, asked: InferConditionRequest, answer: InferredLabels | InferredConditions) -> Reply:
        """Labels with their probabilities, or the condition with its standard deviation."""
        if isinstance(answer, InferredLabels):
            fields = present(
                label=list(answer.label),
                index=answer.index,
                probabilities=answer.probabilities,
                model_posterior=answer.model_posterior,
                calibrated=answer.calibrated,
                condition=answer.condition,
                draws=answer.draws,
                seed=answer.seed,
            )
            return Reply(fields, "probabilities")
        fields = present(
            condition=answer.condition,
            std=answer.std,
            effective_sample_size=answer.effective_sample_size,
            draws=answer.draws,
            seed=answer.seed,
        )
        return Reply(fields, "condition")

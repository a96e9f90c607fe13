"""POST /loglik."""

from __future__ import annotations

import re

from inference.likelihood import LogLikelihood, log_likelihood
from inference.loaded import Loaded
from service.codecs.media import JSON, NPY, NPZ
from service.operations.base import Plan, Reply, check_answer, check_cost, check_draws, present, read_condition, read_x
from service.requests import LoglikRequest
from service.settings import Limits

_ANSWERED = 6


class Loglik:
    """How likely is x?"""

    name = "loglik"
    request = LoglikRequest
    arrays = re.compile("x|condition|class_prior")
    main_input = "x"
    media: tuple[str, ...] = (JSON, NPZ, NPY)

    def plan(self, loaded: Loaded, asked: LoglikRequest, limits: Limits, media: str) -> Plan:
        """Cost: rows x draws."""
        x, rows = read_x(loaded, asked.x, limits)
        draws = check_draws(loaded, asked.draws, limits)
        check_answer(rows, _ANSWERED, 0, limits, media, "/x")
        engine_rows = check_cost(rows * draws, limits, "/x")
        condition = read_condition(loaded, asked.condition, "/condition", limits)
        question = log_likelihood(
            loaded, x, condition, draws=asked.draws, seed=asked.seed or 0, class_prior=asked.class_prior
        )
        return Plan(question, rows, engine_rows)

    def reply(self, loaded: Loaded, asked: LoglikRequest, answer: LogLikelihood) -> Reply:
        """`percentile` and `p_value` are null where the version stores no scores of this kind."""
        fields = {
            "log_likelihood": answer.log_likelihood,
            **present(bits_per_dim=answer.bits_per_dim),
            "percentile": answer.percentile,
            "p_value": answer.p_value,
            "space": answer.space,
            "estimator": answer.estimator,
            **present(
                std_error=answer.std_error,
                effective_sample_size=answer.effective_sample_size,
                unreliable=answer.unreliable,
                extrapolated=answer.extrapolated,
            ),
            "draws": answer.draws,
            "seed": answer.seed,
        }
        return Reply(fields, "log_likelihood")

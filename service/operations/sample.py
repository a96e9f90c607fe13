"""POST /sample."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import numpy as np

from inference.drawing import Drawing, drawing
from inference.fields import SEED_BITS, shape_of
from inference.loaded import Loaded
from inference.quantiles import TooManyValues
from inference.sampling import Samples, Summarized, samples_of, summaries, summary_of
from inference.summaries import DEFAULT_LEVELS, wanted
from inference.work import Question
from model_store.signature import ArraySpec
from service.codecs.media import JSON, NDJSON, NPY, NPZ, PNG
from service.operations.base import (
    Plan,
    Reply,
    StreamPlan,
    check_answer,
    check_cost,
    flags,
    latent_size,
    present,
    read_condition,
    sizes,
)
from service.operations.sample_stream import stream_plan
from service.problems import Problem, escaped, too_large
from service.requests import SampleRequest
from service.settings import Limits

_MAX_PIXELS = 2**26
_seeds = Random()
_FLOAT64 = 2  # it takes twice the bytes of the float32 by which answers are measured


class Sample:
    """Draw x given a condition."""

    name = "sample"
    request = SampleRequest
    arrays = re.compile(r"condition|conditions|latent\.[a-z][a-z0-9_]{0,31}")
    main_input = "conditions"
    media: tuple[str, ...] = (JSON, NPZ, NPY, PNG, NDJSON)

    def plan(self, loaded: Loaded, asked: SampleRequest, limits: Limits, media: str) -> Plan | StreamPlan:
        """Cost: conditions x samples, again with default draws where the samples are scored."""
        spec = loaded.signature.data
        samples = _num_samples(loaded, asked)
        rows, blamed = _count(asked.conditions) * samples, "/num_samples" if samples > 1 else "/conditions"
        if rows > limits.samples:
            raise too_large("samples", limits.samples, rows, "Ask for them in several requests.", blamed)
        kept = _with_samples(asked)
        floats, integers = sizes(spec) if kept else (0, 0)
        floats += (latent_size(loaded) if asked.return_latent else 0) + asked.return_log_likelihood
        statistics = _FLOAT64 * _statistics(spec, asked, limits)
        if media == NDJSON:
            check_answer(1, statistics, 0, limits, JSON, "/summary")
        else:
            check_answer(1, rows * floats + statistics, rows * integers, limits, media, blamed)
        if media in (NPY, PNG) and not kept:
            detail = f"{media} carries samples alone, and only a summary is asked; ask for them with `return_samples`"
            raise Problem(406, "accept", detail, header="Accept")
        if media == PNG:
            _check_picture(spec, rows, blamed)
        draws = loaded.default_draws if asked.return_log_likelihood else 0
        engine_rows = check_cost(rows * (1 + draws), limits, blamed)
        try:
            if media == NDJSON:
                return _stream(loaded, asked, limits, engine_rows)
            return Plan(_question(loaded, asked, limits), rows, engine_rows)
        except TooManyValues:
            hint = "Ask for fewer samples of each condition, or for no quantiles."
            raise too_large("quantile_values", limits.quantile_values, None, hint, "/summary") from None

    def reply(self, loaded: Loaded, asked: SampleRequest, answer: Samples | Summarized) -> Reply:
        """`samples` is [conditions, num_samples, *data]; with one condition the first axis is dropped."""
        spec = loaded.signature.data
        pictures = None
        if spec.is_integer and spec.is_image and answer.samples is not None:
            pictures = answer.samples if asked.conditions is not None else answer.samples[None]
        fields = present(
            samples=answer.samples,
            seed=answer.seed,
            log_likelihood=answer.log_likelihood,
            latent=answer.latent,
            summary=answer.summary if isinstance(answer, Summarized) else None,
            extrapolated=flags(answer.extrapolated),
        )
        return Reply(fields, "samples", pictures, spec.levels)


def _question(loaded: Loaded, asked: SampleRequest, limits: Limits) -> Question[Any]:
    drawn = _drawing(loaded, asked, limits)
    if asked.summary is None and asked.quantile_levels is None and _with_samples(asked):
        return samples_of(drawn)
    return summary_of(
        drawn,
        asked.summary,
        asked.quantile_levels,
        limits.quantile_values,
        return_samples=_with_samples(asked),
    )


def _stream(loaded: Loaded, asked: SampleRequest, limits: Limits, engine_rows: int) -> StreamPlan:
    drawn = _drawing(loaded, asked, limits)
    statistics = wanted(asked.summary, asked.quantile_levels, drawn.read.each, limits.quantile_values)
    return stream_plan(drawn, summaries(drawn, statistics), _with_samples(asked), engine_rows)


def _drawing(loaded: Loaded, asked: SampleRequest, limits: Limits) -> Drawing:
    return drawing(
        loaded,
        read_condition(loaded, asked.condition, "/condition", limits),
        asked.num_samples,
        conditions=read_condition(loaded, asked.conditions, "/conditions", limits),
        temperature=asked.temperature,
        seed=_seeds.getrandbits(SEED_BITS) if asked.seed is None else asked.seed,
        shared_latent=asked.shared_latent,
        latent=asked.latent,
        return_log_likelihood=asked.return_log_likelihood,
        return_latent=asked.return_latent,
    )


def _with_samples(asked: SampleRequest) -> bool:
    return asked.summary is None if asked.return_samples is None else asked.return_samples


def _statistics(spec: ArraySpec, asked: SampleRequest, limits: Limits) -> int:
    """How many numbers the summary has; what is no list is refused later. Raises Problem."""
    if not isinstance(asked.summary, list):
        return 0
    columns = ("mean" in asked.summary) + ("sd" in asked.summary)
    if "quantiles" in asked.summary:
        columns += len(asked.quantile_levels) if isinstance(asked.quantile_levels, list) else len(DEFAULT_LEVELS)
    if "covariance" in asked.summary:
        if spec.size > limits.covariance_size:
            raise too_large("covariance_size", limits.covariance_size, spec.size, pointer="/summary")
        columns += spec.size
    return _count(asked.conditions) * columns * spec.size


def _count(conditions: Any) -> int:
    """How many conditions there are; what is not a list of them is refused later."""
    if isinstance(conditions, np.ndarray):
        return len(conditions) if conditions.ndim else 1
    return len(conditions) if isinstance(conditions, list) else 1


def _num_samples(loaded: Loaded, asked: SampleRequest) -> int:
    if asked.num_samples is not None:
        return asked.num_samples
    if isinstance(asked.latent, dict):
        for name, value in asked.latent.items():
            shape = shape_of(value, f"/latent/{escaped(name)}", 8)
            return shape[0] if shape else 1
    return 1


def _check_picture(spec: ArraySpec, rows: int, blamed: str) -> None:
    if not spec.is_image or not spec.is_integer or spec.shape[0] not in (1, 3):
        detail = "this model's samples have no PNG form (not 8-bit images of 1 or 3 channels)"
        raise Problem(406, "accept", detail, header="Accept")
    if rows * spec.size > _MAX_PIXELS:
        raise too_large("answer_bytes", _MAX_PIXELS, rows * spec.size, "Ask for fewer pictures in one grid.", blamed)

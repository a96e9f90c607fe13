"""POST /encode."""

from __future__ import annotations

import re

from inference.encoding import Latents, encode
from inference.loaded import Loaded
from service.codecs.media import JSON, NPY, NPZ
from service.operations.base import Plan, Reply, check_answer, check_cost, latent_size, present, read_condition, read_x
from service.requests import EncodeRequest
from service.settings import Limits


class Encode:
    """Which latent gives this x, under this condition?"""

    name = "encode"
    request = EncodeRequest
    arrays = re.compile("x|condition")
    main_input = "x"
    media: tuple[str, ...] = (JSON, NPZ, NPY)

    def plan(self, loaded: Loaded, asked: EncodeRequest, limits: Limits, media: str) -> Plan:
        """Cost: rows."""
        x, rows = read_x(loaded, asked.x, limits)
        check_answer(rows, latent_size(loaded), 0, limits, media, "/x")
        check_cost(rows, limits, "/x")
        condition = read_condition(loaded, asked.condition, "/condition", limits)
        return Plan(encode(loaded, x, condition, seed=asked.seed or 0), rows, rows)

    def reply(self, loaded: Loaded, asked: EncodeRequest, answer: Latents) -> Reply:
        """`latent` by part; an npy answer is its first part."""
        fields = present(latent=answer.latent, extrapolated=answer.extrapolated, seed=answer.seed)
        return Reply(fields, f"latent.{next(iter(answer.latent))}")

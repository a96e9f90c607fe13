"""What is printed once the service answers: its URL and one copy-paste curl for each endpoint, with a real model."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np

from inference.loaded import Loaded
from inference.sampling import sample
from inference.work import answer
from model_store.signature import LabelCondition, NoCondition
from service.codecs.png import encode_grid
from service.parts import Parts
from service.settings import Settings

_SHORT = 32


def announcement(parts: Parts, models: list[Loaded], port: int) -> str:
    """The text, with examples for `models`, of which none is closed meanwhile."""
    host = parts.settings.host if parts.settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{port}"
    lines = [f"condflow is ready on {url}  (playground: {url}/  reference: {url}/docs)"]
    if parts.settings.hosts is None and not _has_keys(parts.settings):
        lines.append("No keys are set and other machines can reach this address: see `python -m service keys --help`.")
    if not parts.registry.models:
        lines.append(f"The store {parts.settings.store} holds no models yet; what is published there appears here.")
    key = " -H 'Authorization: Bearer '\"$CONDFLOW_KEY\"" if _has_keys(parts.settings) else ""
    for path, body in _examples(models):
        data = shlex.quote(json.dumps(body))
        lines.append(f"\n  curl -s {url}{path}{key} -H 'Content-Type: application/json' -d {data}")
    return "\n".join(lines)


def _has_keys(settings: Settings) -> bool:
    return bool(settings.keys or settings.keys_file)


def _examples(models: list[Loaded]) -> list[tuple[str, dict[str, Any]]]:
    """A body for each endpoint that some model answers; the simplest such model: labels first, small data first."""
    ordered = sorted(models, key=lambda model: (not model.classes, model.signature.data.size, model.name))
    makers: tuple[tuple[str, Callable[[Loaded], bool], Callable[[Loaded], dict[str, Any]]], ...] = (
        ("/sample", lambda model: "decode" in model.signature.operations, _sample),
        ("/loglik", lambda model: "score" in model.signature.operations, _loglik),
        ("/infer-condition", _infers, _infer),
        ("/encode", lambda model: "encode" in model.signature.operations, _loglik),
    )
    examples = []
    for path, can, make in makers:
        model = next((model for model in ordered if can(model) and _condition_is_short(model)), None)
        if model is not None:
            examples.append((path, make(model)))
    return examples


def _infers(model: Loaded) -> bool:
    return bool(model.classes) or "infer" in model.signature.operations or model.prior_sample is not None


def _condition_is_short(model: Loaded) -> bool:
    spec = model.signature.condition
    return isinstance(spec, (NoCondition, LabelCondition)) or spec.array.size <= _SHORT


def _sample(model: Loaded) -> dict[str, Any]:
    return {"model": model.name, **_condition(model), "num_samples": 2, "seed": 1}


def _loglik(model: Loaded) -> dict[str, Any]:
    return {"model": model.name, "x": _x(model), **_condition(model)}


def _infer(model: Loaded) -> dict[str, Any]:
    return {"model": model.name, "x": _x(model)}


def _condition(model: Loaded) -> dict[str, Any]:
    spec = model.signature.condition
    if isinstance(spec, NoCondition):
        return {}
    if isinstance(spec, LabelCondition):
        return {"condition": spec.classes[0]}
    if model.prior_sample is not None:
        return {"condition": np.round(model.prior_sample[0].astype(float), 3).tolist()}
    return {"condition": np.zeros(spec.array.shape, dtype=int).tolist()}


def _x(model: Loaded) -> Any:
    """A sample of the model itself, as a PNG where numbers would fill the screen."""
    spec = model.signature.data
    drawn = answer(model.engine, sample(model, **_condition(model), seed=1)).samples
    if spec.size > _SHORT and spec.is_image and spec.is_integer and spec.shape[0] in (1, 3):
        return base64.b64encode(encode_grid(drawn[None], spec.levels)).decode()
    return np.round(drawn.astype(float), 3).tolist() if not spec.is_integer else drawn.tolist()

"""Examples of every operation for every kind of condition, shown in OpenAPI and on the reference page."""

from __future__ import annotations

from typing import Any

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEUlEQVR4nGNgYGBgAGIGEBYAABQAAZ0ynQoAAAAASUVORK5CYII="
_DIGEST = "5f0c" * 16
_WHO = {"model": "digits", "version": 3, "digest": _DIGEST}
_SMALL = [[0.5, -1.2], [0.1, 0.7]]
_IMAGE = [[[0, 128], [255, 64]]]
_TIMELESS = {"draws": 1, "seed": 0}


def _named(**examples: dict[str, Any]) -> dict[str, Any]:
    return {name: {"summary": name.replace("_", " ").capitalize(), "value": value} for name, value in examples.items()}


REQUESTS: dict[str, dict[str, Any]] = {
    "sample": _named(
        no_condition={"model": "two-moons", "num_samples": 2, "seed": 7},
        label_by_name={"model": "digits", "condition": "3", "num_samples": 2, "seed": 7},
        labels_by_index={"model": "digits", "conditions": [3, 8], "num_samples": 2, "shared_latent": True},
        vector={"model": "wine", "condition": [7.4, 0.7], "num_samples": 2, "return_log_likelihood": True},
        image={"model": "digits-upscale", "condition": _IMAGE, "num_samples": 1},
        image_as_png={"model": "digits-upscale", "condition": _PNG, "num_samples": 1},
    ),
    "loglik": _named(
        no_condition={"model": "two-moons", "x": _SMALL},
        label={"model": "gaussian-mixture", "x": _SMALL, "condition": ["red", "green"]},
        label_marginal={"model": "gaussian-mixture", "x": _SMALL},
        vector={"model": "wine", "x": _SMALL, "condition": [7.4, 0.7], "draws": 64},
        image={"model": "digits-upscale", "x": [_IMAGE], "condition": _IMAGE},
        image_as_png={"model": "digits-upscale", "x": [_PNG], "condition": [_PNG]},
    ),
    "infer-condition": _named(
        label={"model": "gaussian-mixture", "x": _SMALL},
        label_of_png={"model": "digits", "x": _PNG, "draws": 16},
        vector={"model": "wine", "x": _SMALL},
        image={"model": "digits-upscale", "x": [_IMAGE]},
    ),
    "encode": _named(
        no_condition={"model": "two-moons", "x": _SMALL},
        label={"model": "digits", "x": _PNG, "condition": "3"},
        vector={"model": "wine", "x": _SMALL, "condition": [[7.4, 0.7], [6.0, 0.3]]},
        image={"model": "digits-upscale", "x": [_IMAGE], "condition": _IMAGE},
    ),
}

RESPONSES: dict[str, dict[str, Any]] = {
    "sample": _named(
        one_condition={**_WHO, "samples": _SMALL, "seed": 7},
        several_conditions={
            **_WHO,
            "samples": [_SMALL, _SMALL],
            "seed": 7,
            "log_likelihood": [[-2.1, -3.4], [-2.0, -2.2]],
        },
    ),
    "loglik": _named(
        exact={
            **_WHO,
            "log_likelihood": [-2.13, None],
            "percentile": [0.42, 0.0],
            "p_value": [0.84, 0.002],
            "space": "data",
            "estimator": "exact",
            **_TIMELESS,
            "nonfinite": [{"field": "log_likelihood", "index": [1], "kind": "-inf"}],
        },
        importance={
            **_WHO,
            "log_likelihood": [-2.13],
            "bits_per_dim": [1.54],
            "percentile": [0.42],
            "p_value": [0.84],
            "space": "data",
            "estimator": "importance",
            "std_error": [0.02],
            "effective_sample_size": [48.7],
            "unreliable": [False],
            "draws": 64,
            "seed": 0,
        },
    ),
    "infer-condition": _named(
        label={
            **_WHO,
            "label": ["green"],
            "index": [1],
            "probabilities": [[0.1, 0.9]],
            "model_posterior": [[0.05, 0.95]],
            "calibrated": True,
            "condition": [[0.04, 0.97]],
            **_TIMELESS,
        },
        vector={**_WHO, "condition": [[7.3, 0.6]], "std": [[0.2, 0.1]], "effective_sample_size": [812.0], **_TIMELESS},
    ),
    "encode": _named(any_condition={**_WHO, "latent": {"z": _SMALL}, "seed": 0}),
}

"""Configurations: refused where they are wrong, complete when stored, and the only way to a model."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from flows import CouplingConfig, JointConfig, LatentConfig, build, load_architecture
from flows.models.coupling import ConditionalCouplingFlow
from flows.models.joint import JointFlow
from flows.models.latent import LatentFlow
from tests.flows.models.catalogue import AUTOENCODER, CATALOGUE

LABEL = {"kind": "label", "classes": 10}
IMAGE = {"kind": "image", "shape": (1, 4, 4)}
DIGITS = {"shape": (1, 8, 8), "levels": 17}
JOINT, COUPLING = {"family": "joint", "data": {"shape": (2,)}}, {"family": "coupling", "data": {"shape": (2,)}}
LATENT = {"family": "latent", "data": DIGITS, "flow": {"family": "joint"}}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_stored_json_gives_the_same_configuration(name: str) -> None:
    config = CATALOGUE[name]
    assert load_architecture(config.model_dump_json()) == config


@pytest.mark.parametrize("name", CATALOGUE)
def test_build_is_deterministic(name: str) -> None:
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build(CATALOGUE[name]).state_dict())
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


def test_permutations_follow_from_the_seed_and_differ_between_blocks() -> None:
    def orders(seed: int) -> list[tuple[int, ...]]:
        model = build(JointConfig(data={"shape": (16,)}, seed=seed, blocks=4))
        return [tuple(value.tolist()) for key, value in model.state_dict().items() if key.endswith(".order")]

    torch.manual_seed(0)
    first = orders(5)
    torch.manual_seed(1)
    assert orders(5) == first
    assert len(set(first)) == 4
    assert set(orders(6)).isdisjoint(first)


def test_defaults_are_written_out() -> None:
    stored = json.loads(JointConfig(data=DIGITS, condition=LABEL).model_dump_json())
    assert stored["padding"] == 10
    assert [step["kind"] for step in stored["preprocessing"]] == ["dequantize", "logit", "standardize"]
    inner = json.loads(LatentConfig.model_validate({**LATENT, "condition": LABEL}).model_dump_json())["flow"]
    assert inner["data"]["shape"] == [20] and inner["condition"]["classes"] == 10 and inner["preprocessing"] == []


def test_a_latent_that_is_not_normalised_is_standardised() -> None:
    config = LatentConfig.model_validate({**LATENT, "normalize": False})
    assert [step.kind for step in config.flow.preprocessing or ()] == ["standardize"]


def test_each_family_builds_its_model() -> None:
    assert isinstance(build(JointConfig(data={"shape": (2,)})), JointFlow)
    assert isinstance(build(CouplingConfig(data={"shape": (2,)})), ConditionalCouplingFlow)
    config = LatentConfig.model_validate({**LATENT, "autoencoder": AUTOENCODER})
    model = build(config)
    assert isinstance(model, LatentFlow) and model.space == "latent"
    assert config.flow.data.shape == (AUTOENCODER["latent"],)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({**JOINT, "blcoks": 3}, "blcoks"),
    "unknown field of the other family": ({**COUPLING, "epsilon": 0.1}, "epsilon"),
    "unknown inner field": ({**JOINT, "conditioner": {"widht": 3}}, "conditioner.widht"),
    "unknown field of a latent's flow": ({**LATENT, "flow": {"family": "joint", "prior": "conditional"}}, "prior"),
    "unknown family": ({"family": "autoregressive", "data": {"shape": (2,)}}, "autoregressive"),
    "no data": ({"family": "joint"}, "data"),
    "no family": ({"data": {"shape": (2,)}}, "family"),
    "epsilon": ({**JOINT, "epsilon": 0}, "epsilon"),
    "no room for z": ({**JOINT, "condition": LABEL, "padding": 8}, "padding"),
    "one class": ({**JOINT, "condition": {"kind": "label", "classes": 1}}, "classes"),
    "image condition of a joint flow": ({**JOINT, "condition": IMAGE}, "condition"),
    "prior without condition": ({**COUPLING, "prior": "conditional"}, "prior"),
    "dequantization of real data": ({**JOINT, "preprocessing": [{"kind": "dequantize"}]}, "preprocessing"),
    "integers without dequantization": ({**JOINT, "data": DIGITS, "preprocessing": []}, "preprocessing"),
    "bounds": ({**JOINT, "preprocessing": [{"kind": "support", "lower": [0], "upper": [1]}]}, "support.lower"),
    "crossed bounds": ({**JOINT, "preprocessing": [{"kind": "support", "lower": [0, 2], "upper": [1, 2]}]}, "upper"),
    "latent of vectors": ({**LATENT, "data": {"shape": (2,)}}, "data.shape"),
    "collapse": ({**LATENT, "gradient": "through", "normalize": False}, "normalize"),
    "kernels": ({**LATENT, "autoencoder": {"channels": (8, 16)}}, "kernels"),
    "another condition inside": (
        {**LATENT, "condition": LABEL, "flow": {"family": "joint", "condition": {"kind": "none"}}},
        "flow.condition",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_configuration_is_refused_by_the_name_of_its_field(name: str) -> None:
    content, field = REFUSED[name]
    with pytest.raises(ValidationError) as refusal:
        load_architecture(json.dumps(content))
    report = " ".join(
        ".".join(str(part) for part in error["loc"]) + ": " + error["msg"] for error in refusal.value.errors()
    )
    assert field in report


def test_an_auto_encoder_of_more_than_a_million_parameters_is_refused() -> None:
    config = LatentConfig.model_validate({**LATENT, "autoencoder": {"channels": (64, 128, 512)}})
    with pytest.raises(ValueError, match="autoencoder: expected at most 1000000 parameters"):
        build(config)


def test_too_many_levels_for_the_image_are_refused() -> None:
    autoencoder = {"channels": (4,) * 5, "kernels": (4,) * 5, "residual": (0,) * 5}
    with pytest.raises(ValueError, match=r"autoencoder\.channels"):
        build(LatentConfig.model_validate({**LATENT, "autoencoder": autoencoder}))


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValidationError):
        JointConfig(data={"shape": (2,)}).blocks = 9  # type: ignore[misc]

"""422 over real HTTP: every field that is wrong is named, and a version that cannot answer says why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.harness import Running
from tests.service.refusals import GOOD, problem


@pytest.mark.parametrize(
    ("operation", "change", "pointer"),
    [
        ("loglik", {"x": [[0.0]]}, "/x/0"),
        ("loglik", {"x": None}, "/x"),
        ("loglik", {"condition": "nobody"}, "/condition"),
        ("loglik", {"condition": 3}, "/condition"),
        ("loglik", {"condition": -1}, "/condition"),
        ("loglik", {"condition": True}, "/condition"),
        ("loglik", {"condition": 1.0}, "/condition"),
        ("loglik", {"condition": [0, 1]}, "/condition"),
        ("loglik", {"condition": []}, "/condition"),
        ("loglik", {"condition": {"a": 1}}, "/condition"),
        ("loglik", {"draws": 0}, "/draws"),
        ("loglik", {"draws": 1.5}, "/draws"),
        ("loglik", {"draws": "3"}, "/draws"),
        ("loglik", {"seed": -1}, "/seed"),
        ("loglik", {"seed": 2**53}, "/seed"),
        ("loglik", {"seed": True}, "/seed"),
        ("loglik", {"class_prior": [0.5, 0.5]}, "/class_prior"),
        ("loglik", {"class_prior": [0.5, 0.5, 0.5]}, "/class_prior"),
        ("loglik", {"class_prior": [2, -1, 0]}, "/class_prior/0"),
        ("loglik", {"class_prior": [1, 0, 0], "condition": 1}, "/class_prior"),
        ("loglik", {"unknown": 1}, "/unknown"),
        ("loglik", {"model": 3}, "/model"),
        ("loglik", {"model": ""}, "/model"),
        ("loglik", {"version": 1.5}, "/version"),
        ("loglik", {"model": "plain", "x": [0.0], "condition": 1}, "/condition"),
        ("loglik", {"model": "vector", "x": [0.0]}, "/condition"),
        ("loglik", {"model": "image-condition", "x": [[[0, 0], [0, 0]]]}, "/condition"),
        ("loglik", {"model": "grey", "x": [[[0, 0], [0, 16]]]}, "/x/0/1/1"),
        ("loglik", {"model": "grey", "x": [[[0, 0], [0, 0.5]]]}, "/x/0/1/1"),
        ("loglik", {"model": "image-condition", "x": "aGk="}, "/x"),
        ("infer-condition", {"condition": 1}, "/condition"),
        ("infer-condition", {"model": "vector", "x": [0.0], "class_prior": [1]}, "/class_prior"),
        ("encode", {}, "/condition"),
        ("encode", {"condition": 0, "draws": 3}, "/draws"),
    ],
)
def test_422_names_the_field(service: Running, operation: str, change: dict[str, Any], pointer: str) -> None:
    problem(service.client.post(f"/{operation}", json={**GOOD, **change}), 422, pointer)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"condition": None}, "/condition"),
        ({"conditions": [0]}, "/conditions"),
        ({"condition": None, "conditions": 1}, "/conditions"),
        ({"condition": None, "conditions": []}, "/conditions"),
        ({"num_samples": 0}, "/num_samples"),
        ({"num_samples": 2.0}, "/num_samples"),
        ({"temperature": -1}, "/temperature"),
        ({"temperature": "hot"}, "/temperature"),
        ({"temperature": 1e300}, "/temperature"),
        ({"temperature": True}, "/temperature"),
        ({"seed": 2**53}, "/seed"),
        ({"shared_latent": 1}, "/shared_latent"),
        ({"latent": []}, "/latent"),
        ({"latent": {"y": [[0, 0]]}}, "/latent/y"),
        ({"latent": {"z": [[0]]}}, "/latent/z/0"),
        ({"latent": {"z": [0, 0]}}, "/latent/z"),
        ({"latent": {"z": [[0, 0]]}, "num_samples": 2}, "/latent/z"),
        ({"summary": ["median"]}, "/summary/0"),
    ],
)
def test_422_of_sample(service: Running, change: dict[str, Any], pointer: str) -> None:
    body = {"model": "labels", "condition": 1, **change}
    problem(service.client.post("/sample", json={k: v for k, v in body.items() if v is not None}), 422, pointer)


def test_422_missing_fields_are_all_named(service: Running) -> None:
    document = problem(service.client.post("/loglik", json={"draws": "x"}), 422, "/x")
    assert {"/model", "/draws"} <= {error["pointer"] for error in document["errors"]}


@pytest.mark.parametrize(
    ("operation", "body", "reason", "pointer"),
    [
        ("infer-condition", {"model": "plain", "x": [0.0]}, "no condition", "/model"),
        ("infer-condition", {"model": "image-condition", "x": [[[0, 0], [0, 0]]]}, "cannot give it back", "/model"),
        ("infer-condition", {"model": "vector", "x": [30.0]}, "effective sample size", "/x"),
        ("infer-condition", {"model": "vector", "x": [1e9]}, "single precision", "/x"),
        ("encode", {"model": "padded", "x": [0.0], "condition": 0}, "no `encode`", "/model"),
        ("loglik", {"model": "vector-joint", "x": [0.0], "condition": [0.0]}, "no `score`", "/model"),
        (
            "sample",
            {"model": "vector-joint", "condition": [0.0], "return_log_likelihood": True},
            "no `score`",
            "/return_log_likelihood",
        ),
    ],
)
def test_422_cannot_answer_says_why(
    service: Running, operation: str, body: dict[str, Any], reason: str, pointer: str
) -> None:
    document = problem(service.client.post(f"/{operation}", json=body), 422, pointer)
    assert document["type"].endswith("cannot-answer")
    assert reason in document["detail"]

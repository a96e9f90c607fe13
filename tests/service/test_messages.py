"""What refusals say: the field, what was expected and what was found, in words that help."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.codecs.npz import write_npz
from tests.service.harness import Running
from tests.service.refusals import problem

LOGLIK = {"model": "labels", "x": [[0.0, 1.0]]}
SAMPLE = {"model": "labels", "condition": 0}
BEYOND = [2**64, 10**30, -(10**30)]


def refused(service: Running, operation: str, body: dict[str, Any], pointer: str) -> str:
    """What the refusal says of this field."""
    document = problem(service.client.post(f"/{operation}", json=body), 422, pointer)
    return next(error["detail"] for error in document["errors"] if error["pointer"] == pointer)


@pytest.mark.parametrize("number", BEYOND)
@pytest.mark.parametrize(
    ("operation", "body", "field", "expected"),
    [
        ("loglik", LOGLIK, "seed", "expected an integer 0..9007199254740991"),
        ("loglik", LOGLIK, "draws", "expected an integer 1 or more"),
        ("loglik", LOGLIK, "condition", "expected a class index 0..2 or a class name"),
        ("loglik", LOGLIK, "version", "expected an integer or a string"),
        ("sample", SAMPLE, "num_samples", "expected an integer 1 or more"),
        ("sample", SAMPLE, "temperature", "expected a number 0..100"),
    ],
)
def test_integers_beyond_64_bits(
    service: Running, operation: str, body: dict[str, Any], field: str, expected: str, number: int
) -> None:
    said = refused(service, operation, {**body, field: number}, f"/{field}")
    assert said.startswith(f"{expected}, got ")
    assert said.endswith("(beyond 64 bits)")


def test_integers_of_64_bits_are_quoted(service: Running) -> None:
    assert refused(service, "loglik", {**LOGLIK, "seed": 2**63}, "/seed").endswith(f"got {2**63}")
    assert refused(service, "sample", {**SAMPLE, "condition": 2**63}, "/condition").endswith(f"got {2**63}")


def test_numbers_beyond_floats(service: Running) -> None:
    assert "expected a number between -3.4e+38 and 3.4e+38 (float32), got 1e+60" in refused(
        service, "loglik", {**LOGLIK, "x": [[0, 10**60]]}, "/x/0/1"
    )
    text = f'{{"model": "labels", "x": [[0, 1], [2, {"9" * 400}]]}}'
    response = service.client.post("/loglik", content=text, headers={"Content-Type": "application/json"})
    assert "float64" in problem(response, 422, "/x/1/1")["detail"]


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"seed": 1.5}, "/seed", "expected an integer 0..9007199254740991, got 1.5"),
        ({"summary": ["median"]}, "/summary/0", "expected one of mean, sd, quantiles, covariance, got 'median'"),
        ({"summary": ["mean", 3]}, "/summary/1", "expected one of mean, sd, quantiles, covariance, got 3"),
        ({"summary": ["sd", "sd"]}, "/summary/1", "expected each statistic once, got 'sd' twice"),
        ({"seed": "7"}, "/seed", "expected an integer 0..9007199254740991, got a string"),
        ({"shared_latent": 1}, "/shared_latent", "expected true or false, got 1"),
        ({"model": "m" * 300}, "/model", "expected a string of 1..200 characters, got a string of 300"),
        ({"temperature": None}, "/temperature", "expected a number 0..100, got null"),
        ({"num_samples": [3]}, "/num_samples", "expected an integer 1 or more, got a list"),
    ],
)
def test_scalars(service: Running, change: dict[str, Any], pointer: str, said: str) -> None:
    assert refused(service, "sample", {**SAMPLE, **change}, pointer).startswith(said)


CHANNELS_LAST = [
    ("loglik", {"model": "pictures", "x": np.zeros((2, 4, 3), int), "condition": 0}, "/x", "[3, 2, 4]"),
    ("loglik", {"model": "pictures", "x": np.zeros((5, 2, 4, 3), int), "condition": 0}, "/x", "[n, 3, 2, 4]"),
    ("loglik", {"model": "grey", "x": np.zeros((2, 2, 1), int)}, "/x", "[1, 2, 2]"),
    ("sample", {"model": "picture-condition", "condition": np.zeros((1, 3, 1), int)}, "/condition", "[1, 1, 3]"),
    (
        "sample",
        {"model": "picture-condition", "conditions": np.zeros((2, 1, 3, 1), int)},
        "/conditions",
        "[n, 1, 1, 3]",
    ),
]


@pytest.mark.parametrize(("operation", "body", "pointer", "shape"), CHANNELS_LAST)
def test_channels_last(service: Running, operation: str, body: dict[str, Any], pointer: str, shape: str) -> None:
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in body.items()}
    said = refused(service, operation, plain, pointer)
    for part in (shape, "axes C, H, W", "looks like channels last (H, W, C)"):
        assert part in said
    arrays = {name: value for name, value in body.items() if isinstance(value, np.ndarray)}
    scalars = {name: value for name, value in body.items() if name not in arrays and name != "condition"}
    if "condition" in body and "condition" not in arrays:
        arrays["condition"] = np.array(body["condition"])
    response = service.client.post(
        f"/{operation}", params=scalars, content=write_npz(arrays), headers={"Content-Type": "application/x-npz"}
    )
    assert "looks like channels last" in problem(response, 422, pointer)["detail"]


def test_other_shapes_of_images_are_not_called_channels_last(service: Running) -> None:
    said = refused(service, "loglik", {"model": "grey", "x": [[0, 0], [0, 0]]}, "/x")
    assert "axes C, H, W" in said
    assert "last" not in said


@pytest.mark.parametrize(
    ("mode", "model", "words"),
    [
        ("RGB", "grey", "greyscale or greyscale with alpha), got RGB"),
        ("RGBA", "grey", "got RGB with alpha"),
        ("P", "grey", "got palette"),
        ("L", "pictures", "RGB or palette or RGB with alpha), got greyscale"),
        ("LA", "pictures", "got greyscale with alpha"),
    ],
)
def test_colour_types_in_words(service: Running, mode: str, model: str, words: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (2, 2) if model == "grey" else (4, 2)).save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    assert refused(service, "loglik", {"model": model, "x": picture}, "/x").endswith(words)


@pytest.mark.parametrize(
    "value",
    ["application/json;;;", "application/json; charset=latin-1", "application/json; a=b", "text/plain", ";", ""],
)
def test_415_lists_what_is_accepted(service: Running, value: str) -> None:
    headers = {"Content-Type": value} if value else {}
    document = problem(service.client.post("/loglik", content=b"{}", headers=headers), 415)
    (error,) = document["errors"]
    assert error["header"] == "Content-Type"
    for media in ("application/json", "application/x-npz", "application/x-npy", value or "nothing"):
        assert media in error["detail"]


def test_headers_at_fault_are_named(service: Running) -> None:
    json = {"Content-Type": "application/json"}
    coded = service.client.post("/loglik", content=b"{}", headers={**json, "Content-Encoding": "br"})
    assert problem(coded, 415)["errors"][0]["header"] == "Content-Encoding"
    for operation, body, accept in (("loglik", LOGLIK, "text/html"), ("sample", SAMPLE, "image/png")):
        refusal = service.client.post(f"/{operation}", json=body, headers={"Accept": accept})
        assert problem(refusal, 406)["errors"][0]["header"] == "Accept"


def test_a_version_that_cannot_answer_has_a_title_of_its_own(service: Running) -> None:
    refusal = problem(service.client.post("/infer-condition", json={"model": "plain", "x": [0.0]}), 422)
    assert refusal["title"] == "Not answered by this version"
    assert problem(service.client.post("/loglik", json={**LOGLIK, "draws": 0}), 422)["title"] == "Invalid field"

"""Every endpoint x every kind of condition x every media type: what HTTP answers is what `inference` says."""

from __future__ import annotations

import base64
import io
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.condition_inference import infer_condition
from inference.encoding import encode
from inference.likelihood import log_likelihood
from inference.loaded import Loaded
from inference.sampling import sample
from inference.work import answer
from tests.service.harness import Running

JSON, NPZ, NPY, PNG = "application/json", "application/x-npz", "application/x-npy", "image/png"
GREY = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
COLOUR = np.arange(24, dtype=np.uint8).reshape(3, 2, 4) * 10
X: dict[str, Any] = {
    "labels": np.array([[0.0, 1.0], [2.0, -1.5]], np.float32),
    "padded": np.array([[0.5], [-1.0], [2.0]], np.float32),
    "vector": np.array([[0.5], [0.1]], np.float32),
    "vector-joint": np.array([[0.5]], np.float32),
    "image-condition": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2),
    "picture-condition": np.stack([GREY, GREY + 50]),
    "pictures": np.stack([COLOUR, 255 - COLOUR]),
    "grey": np.stack([GREY, 15 - GREY]),
    "plain": np.array([[0.5], [3.0]], np.float32),
}
ONE: dict[str, Any] = {
    "labels": 1,
    "padded": "right",
    "vector": [0.5, -1.0],
    "vector-joint": [0.25],
    "image-condition": [[[1.0, 2.0], [3.0, 4.5]]],
    "picture-condition": [[[10, 20, 30]]],
    "pictures": "day",
}
MANY: dict[str, Any] = {
    "labels": [0, "right"],
    "padded": [0, 1, 2],
    "vector": [[0.5, -1.0], [0.0, 0.0]],
    "vector-joint": [[0.25]],
    "image-condition": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2).tolist(),
    "picture-condition": [[[[1, 2, 3]]], [[[250, 251, 252]]]],
    "pictures": [1, 0],
}
WITH = {
    "loglik": [name for name in X if name != "vector-joint"],
    "infer-condition": ["labels", "padded", "vector", "vector-joint", "pictures"],
    "encode": ["labels", "vector", "pictures", "plain", "picture-condition"],
}
CASES = [(operation, name) for operation, names in WITH.items() for name in names]
EXTRAS = {"loglik": {"draws": 3, "seed": 5}, "infer-condition": {"draws": 5, "seed": 5}, "encode": {"seed": 5}}


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def unpack(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return dict(file)


def as_array(value: Any) -> np.ndarray:
    return np.array([str(item) for item in value]) if isinstance(value, list) and "right" in value else np.array(value)


def direct(operation: str, model: Loaded, x: Any, condition: Any, extra: dict[str, Any]) -> dict[str, Any]:
    """The answer of `inference` in process, without what is None."""
    given = {} if condition is None else {"condition": condition}
    asks = {"loglik": log_likelihood, "infer-condition": infer_condition, "encode": encode}
    result = answer(model.engine, asks[operation](model, x, **given, **extra))
    named = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: value for name, value in named.items() if value is not None}


def check_json(got: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, dict):
            check_json(got[name], value)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(np.array(got[name], value.dtype), value, rtol=1e-6, atol=1e-7, err_msg=name)
        elif isinstance(value, np.ndarray | tuple):
            assert got[name] == list(np.asarray(value).tolist()), name
        else:
            assert got[name] == value, name


def check_arrays(got: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    flat = {
        (f"{name}.{inner}" if inner else name): array
        for name, value in expected.items()
        for inner, array in (value.items() if isinstance(value, dict) else [("", value)])
    }
    arrays = {name: np.asarray(value) for name, value in flat.items() if isinstance(value, np.ndarray | tuple)}
    assert set(got) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-6, atol=1e-7, err_msg=name) if (
            value.dtype.kind == "f"
        ) else np.testing.assert_array_equal(got[name], value)
        if value.dtype.kind != "U":
            assert got[name].dtype == value.dtype


def condition_of(operation: str, name: str, rank: str) -> Any:
    if operation == "infer-condition" or name not in ONE:
        return None
    return ONE[name] if rank == "one" else MANY[name]


@pytest.mark.parametrize("rank", ["one", "many"])
@pytest.mark.parametrize(("operation", "name"), CASES)
def test_json(service: Running, loaded: dict[str, Loaded], operation: str, name: str, rank: str) -> None:
    condition = condition_of(operation, name, rank)
    body = {"model": name, "x": X[name].tolist(), **EXTRAS[operation]}
    if condition is not None:
        body["condition"] = condition
    response = service.client.post(f"/{operation}", json=body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == JSON
    got = response.json()
    assert (got["model"], got["version"], got["digest"]) == (name, 1, loaded[name].digest)
    check_json(got, direct(operation, loaded[name], X[name], condition, EXTRAS[operation]))


@pytest.mark.parametrize("rank", ["one", "many"])
@pytest.mark.parametrize(("operation", "name"), CASES)
def test_npz(service: Running, loaded: dict[str, Loaded], operation: str, name: str, rank: str) -> None:
    condition = condition_of(operation, name, rank)
    if name == "labels" and condition == [0, "right"]:
        condition = ["left", "right"]  # arrays have one type
    arrays = {"x": X[name]} | ({} if condition is None else {"condition": as_array(condition)})
    headers = {"Content-Type": NPZ, "Accept": NPZ}
    params = {"model": name, **EXTRAS[operation]}
    response = service.client.post(f"/{operation}", params=params, content=npz(**arrays), headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == NPZ
    expected = direct(operation, loaded[name], X[name], condition, EXTRAS[operation])
    check_arrays(unpack(response.content), expected)
    assert response.headers["x-condflow-model"] == name
    assert response.headers["x-condflow-digest"] == loaded[name].digest
    for scalar in ("seed", "space", "estimator", "draws"):
        if scalar in expected:
            assert response.headers[f"x-condflow-{scalar}"] == str(expected[scalar])


MAIN = {"loglik": "log_likelihood", "encode": "latent"}


@pytest.mark.parametrize(
    ("operation", "name"), [case for case in CASES if case[1] in ("padded", "plain", "vector-joint", "grey")]
)
def test_npy(service: Running, loaded: dict[str, Loaded], operation: str, name: str) -> None:
    """The body is x, the answer its main array; everything else rides in the query and the headers."""
    if operation != "infer-condition" and name in ONE and operation != "loglik":
        return
    body = io.BytesIO()
    np.save(body, X[name])
    headers = {"Content-Type": NPY, "Accept": NPY}
    response = service.client.post(f"/{operation}", params={"model": name}, content=body.getvalue(), headers=headers)
    assert response.status_code == 200, response.text
    expected = direct(operation, loaded[name], X[name], None, {})
    main = MAIN.get(operation) or ("probabilities" if "probabilities" in expected else "condition")
    value = expected[main]["z"] if main == "latent" else expected[main]
    np.testing.assert_allclose(np.load(io.BytesIO(response.content)), value, rtol=1e-6)


@pytest.mark.parametrize("rank", ["one", "many"])
@pytest.mark.parametrize("name", X)
def test_sample_in_every_media_type(service: Running, loaded: dict[str, Loaded], name: str, rank: str) -> None:
    model = loaded[name]
    options: dict[str, Any] = {"num_samples": 3, "temperature": 0.5, "seed": 11, "return_latent": True}
    options["return_log_likelihood"] = "score" in model.signature.operations
    field = "condition" if rank == "one" else "conditions"
    given = {} if name not in ONE else {field: ONE[name] if rank == "one" else MANY[name]}
    expected = answer(model.engine, sample(model, **given, **options))
    body = {"model": name, **given, **options}
    response = service.client.post("/sample", json=body)
    assert response.status_code == 200, response.text
    got = response.json()
    named = {"samples": expected.samples, "latent": expected.latent, "seed": 11}
    if expected.log_likelihood is not None:
        named["log_likelihood"] = expected.log_likelihood
    if expected.extrapolated is not None and rank == "many":
        named["extrapolated"] = expected.extrapolated
    check_json(got, named)
    assert np.shape(got["samples"]) == expected.samples.shape

    if name == "labels" and rank == "many":
        given = {"conditions": ["left", "right"]}
    params = {"model": name, **{key: str(value).lower() for key, value in options.items()}}
    arrays = npz(**{key: as_array(value) for key, value in given.items()})
    binary = service.client.post("/sample", params=params, content=arrays, headers={"Content-Type": NPZ, "Accept": NPZ})
    assert binary.status_code == 200, binary.text
    check_arrays(unpack(binary.content), named)
    assert binary.headers["x-condflow-seed"] == "11"

    alone = service.client.post("/sample", json=body, headers={"Accept": NPY})
    np.testing.assert_allclose(np.load(io.BytesIO(alone.content)), expected.samples, rtol=1e-6)

    picture = service.client.post("/sample", json=body, headers={"Accept": PNG})
    spec = model.signature.data
    if not (spec.is_image and spec.is_integer):
        assert picture.status_code == 406
        return
    assert picture.headers["content-type"] == PNG
    grid = np.asarray(Image.open(io.BytesIO(picture.content)))
    rows = expected.samples if rank == "many" and name in MANY else expected.samples[None]
    channels, height, width = spec.shape
    assert grid.shape[:2] == (rows.shape[0] * height, 3 * width)
    first = grid[:height, width : 2 * width].reshape(height, width, channels).transpose(2, 0, 1)
    np.testing.assert_array_equal(first, np.rint(rows[0, 1] * (255.0 / (spec.levels - 1))).astype(np.uint8))


def png(array: np.ndarray, mode: str | None = None) -> str:
    picture = Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize("operation", ["loglik", "infer-condition"])
@pytest.mark.parametrize("mode", [None, "RGBA"])
def test_png_is_the_integer_image(service: Running, operation: str, mode: str | None) -> None:
    plain = service.client.post(f"/{operation}", json={"model": "pictures", "x": X["pictures"].tolist()}).json()
    encoded = [png(picture, mode) for picture in X["pictures"]]
    response = service.client.post(f"/{operation}", json={"model": "pictures", "x": encoded})
    assert response.status_code == 200, response.text
    assert response.json() == plain
    single = service.client.post(f"/{operation}", json={"model": "pictures", "x": encoded[0]}).json()
    key = "log_likelihood" if operation == "loglik" else "probabilities"
    np.testing.assert_allclose(single[key], plain[key][:1], rtol=1e-6)


def test_png_grey_follows_the_levels(service: Running) -> None:
    """Grey g is round(g (levels - 1) / 255): a model of 16 levels gets 17 l back as l."""
    levels = GREY + 5
    plain = service.client.post("/loglik", json={"model": "grey", "x": [levels.tolist()]}).json()
    for mode in (None, "LA"):
        body = {"model": "grey", "x": png(levels * 17, mode)}
        assert service.client.post("/loglik", json=body).json() == plain


@pytest.mark.parametrize("many", [False, True])
def test_png_as_a_condition(service: Running, many: bool) -> None:
    numbers = np.array([[[10, 20, 30]]], np.uint8)
    condition = [png(numbers), png(numbers)] if many else png(numbers)
    plain = [numbers.tolist()] * 2 if many else numbers.tolist()
    x = X["picture-condition"].tolist()
    bodies = [{"model": "picture-condition", "x": x, "condition": value} for value in (condition, plain)]
    first, second = (service.client.post("/loglik", json=body) for body in bodies)
    assert first.status_code == 200, first.text
    assert first.json() == second.json()
    field = "conditions" if many else "condition"
    asked = [{"model": "picture-condition", field: value, "seed": 1} for value in (condition, plain)]
    assert service.client.post("/sample", json=asked[0]).json() == service.client.post("/sample", json=asked[1]).json()


def test_one_row_without_the_first_axis(service: Running) -> None:
    many = service.client.post("/loglik", json={"model": "labels", "x": [[0.5, 1.0]], "condition": 1}).json()
    assert service.client.post("/loglik", json={"model": "labels", "x": [0.5, 1.0], "condition": 1}).json() == many


def test_nonfinite_is_null_and_listed(service: Running) -> None:
    """A value so far out that float32 has no density for it."""
    body = {"model": "labels", "x": [[0.0, 0.0], [1e30, 0.0]], "condition": 0}
    got = service.client.post("/loglik", json=body).json()
    assert got["log_likelihood"][1] is None
    assert got["log_likelihood"][0] is not None
    assert got["nonfinite"] == [{"field": "log_likelihood", "index": [1], "kind": "-inf"}]
    binary = service.client.post("/loglik", json=body, headers={"Accept": NPY})
    assert np.load(io.BytesIO(binary.content))[1] == -np.inf


def test_a_longer_draw_begins_with_the_shorter(service: Running) -> None:
    draws = [
        service.client.post("/sample", json={"model": "labels", "condition": 1, "num_samples": count, "seed": 3}).json()
        for count in (50, 500)
    ]
    np.testing.assert_allclose(draws[1]["samples"][:50], draws[0]["samples"], rtol=1e-6)


def test_seed_is_drawn_when_absent_and_answered(service: Running) -> None:
    body = {"model": "labels", "condition": 1}
    first, second = (service.client.post("/sample", json=body).json() for _ in range(2))
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**53
    again = service.client.post("/sample", json={**body, "seed": first["seed"]}).json()
    assert again["samples"] == first["samples"]


def test_shared_latent_and_temperature_zero(service: Running) -> None:
    body = {"model": "labels", "conditions": [0, 1], "num_samples": 4, "return_latent": True}
    shared = service.client.post("/sample", json={**body, "shared_latent": True}).json()["latent"]["z"]
    assert shared[0] == shared[1]
    mode = service.client.post("/sample", json={"model": "plain", "num_samples": 2, "temperature": 0}).json()
    assert mode["samples"] == [[1.0], [1.0]]


def test_counterfactual(service: Running) -> None:
    """encode under one condition, sample with that latent under another: a translation between the classes' means."""
    x = [[0.25, 0.5]]
    latent = service.client.post("/encode", json={"model": "labels", "x": x, "condition": 1}).json()["latent"]
    body = {"model": "labels", "condition": 2, "latent": latent}
    got = service.client.post("/sample", json=body).json()["samples"]
    np.testing.assert_allclose(got, [[2.0, -0.25]], rtol=1e-5)
    arrays = npz(condition=np.array(2), **{"latent.z": np.array(latent["z"], np.float32)})
    headers = {"Content-Type": NPZ, "Accept": NPY}
    binary = service.client.post("/sample", params={"model": "labels"}, content=arrays, headers=headers)
    np.testing.assert_allclose(np.load(io.BytesIO(binary.content)), got, rtol=1e-6)


def test_marginal_and_class_prior(service: Running) -> None:
    body = {"model": "labels", "x": [[0.0, 0.0]]}
    sure = service.client.post("/loglik", json={**body, "class_prior": [0, 1, 0]}).json()
    given = service.client.post("/loglik", json={**body, "condition": 1}).json()
    np.testing.assert_allclose(sure["log_likelihood"], given["log_likelihood"], rtol=1e-6)
    assert sure["percentile"] is None  # another prior than the one the scores were taken with
    assert given["percentile"] is not None
    labels = service.client.post("/infer-condition", json={**body, "class_prior": [0, 0, 1]}).json()
    assert labels["label"] == ["right"]


@pytest.mark.parametrize("reference", [1, "1", "champion", None, "digest", "prefix"])
def test_version_references(service: Running, loaded: dict[str, Loaded], reference: Any) -> None:
    digest = loaded["plain"].digest
    named = {"digest": digest, "prefix": digest[:12]}.get(reference, reference)
    body = {"model": "plain", "x": [[0.0]], "version": named}
    response = service.client.post("/loglik", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["digest"] == digest

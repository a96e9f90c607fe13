"""What a Triton client is answered is what the own endpoints answer, for every operation and kind of model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inference.loaded import Loaded
from tests.service.harness import Running
from tests.service.open_inference.asking import Answer, ask
from tests.service.test_answers import CASES, EXTRAS, MANY, NPZ, ONE, X, as_array, npz, unpack

SAMPLING = {"num_samples": 3, "temperature": 0.5, "seed": 11}
NATIVE = {"Content-Type": NPZ, "Accept": NPZ}


def conditions(name: str, loaded: dict[str, Loaded]) -> dict[str, np.ndarray]:
    """Several conditions as the metadata has them; class names where the hand-made ones name some."""
    if name not in MANY:
        return {}
    spec = loaded[name].signature.condition
    value = ["left", "right"] if name == "labels" else MANY[name]
    array = as_array(value) if "right" in value else np.array(value)
    if hasattr(spec, "array"):
        array = array.astype(spec.array.dtype)
    return {"condition": array}


def endpoint(service: Running, operation: str, name: str, arrays: dict[str, Any], options: dict[str, Any]) -> Any:
    params = {"model": name, **{key: str(value).lower() for key, value in options.items()}}
    response = service.client.post(f"/{operation}", params=params, content=npz(**arrays), headers=NATIVE)
    assert response.status_code == 200, response.text
    return response


def check(got: Answer, native: Any) -> None:
    """Every tensor has the bits of the endpoint's array; what only the tensors have is not a number."""
    arrays = unpack(native.content)
    assert set(got.tensors) >= set(arrays)
    for name, value in got.tensors.items():
        if name not in arrays:
            assert np.isnan(value).all(), name
        elif arrays[name].dtype.kind == "U":
            assert [text if isinstance(text, str) else text.decode() for text in value] == arrays[name].tolist()
        else:
            assert value.dtype == arrays[name].dtype, name
            np.testing.assert_array_equal(value, arrays[name], err_msg=name)
    parameters = got.head["parameters"]
    assert parameters["digest"] == native.headers["x-condflow-digest"]
    for name in ("seed", "draws", "space", "estimator", "calibrated"):
        assert str(parameters.get(name)).lower() == str(native.headers.get(f"x-condflow-{name}")).lower()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize(("operation", "name"), CASES)
def test_questions_about_x(
    service: Running, loaded: dict[str, Loaded], operation: str, name: str, binary: bool
) -> None:
    arrays = {"x": X[name]}
    if operation != "infer-condition":
        arrays |= conditions(name, loaded)
    if len(arrays.get("condition", X[name])) != len(X[name]):
        arrays["condition"] = arrays["condition"][:1]
    native = endpoint(service, operation, name, arrays, EXTRAS[operation])
    got = ask(service, f"{name}.{operation}", arrays, EXTRAS[operation], binary=binary)
    check(got, native)
    assert got.head["model_name"] == f"{name}.{operation}"
    assert got.head["model_version"] == "1"


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("name", X)
def test_samples(service: Running, loaded: dict[str, Loaded], name: str, binary: bool) -> None:
    """Optional outputs come when they are asked for by name, and cost what the endpoint's flags cost."""
    given = conditions(name, loaded)
    scored = "score" in loaded[name].signature.operations
    options = {**SAMPLING, "return_latent": True, "return_log_likelihood": scored}
    native = endpoint(service, "sample", name, {f"{key}s": value for key, value in given.items()}, options)
    outputs = ["samples", *(["log_likelihood"] if scored else ())]
    outputs += [f"latent.{part.name}" for part in loaded[name].signature.latent]
    told = ["extrapolated"] if getattr(loaded[name].signature.condition, "least", ()) else []
    outputs += told
    got = ask(service, f"{name}.sample", given, SAMPLING, binary=binary, outputs=outputs)
    assert list(got.tensors) == outputs
    check(got, native)
    alone = ask(service, f"{name}.sample", given, SAMPLING, binary=binary)
    assert list(alone.tensors) == ["samples", *told]
    np.testing.assert_array_equal(alone.tensors["samples"], got.tensors["samples"])


def test_latents_there_and_back(service: Running) -> None:
    """A counterfactual: encode under one class, decode under another."""
    x = np.array([[0.25, -0.5]], np.float32)
    latent = ask(service, "labels.encode", {"x": x, "condition": np.array([0])}, binary=True).tensors["latent.z"]
    moved = {"condition": np.array([0, 2]), "latent.z": latent}
    samples = ask(service, "labels.sample", moved, binary=False).tensors["samples"]
    assert samples.shape == (2, 1, 2)
    np.testing.assert_allclose(samples[0], x, rtol=1e-6)
    np.testing.assert_allclose(samples[1] - x, [[3.0, -1.25]], rtol=1e-6)


def test_a_class_prior_is_an_input(service: Running) -> None:
    prior = np.array([0.7, 0.2, 0.1])
    arrays = {"x": X["labels"], "class_prior": prior}
    native = endpoint(service, "infer-condition", "labels", arrays, {})
    check(ask(service, "labels.infer-condition", arrays, binary=True), native)


def test_nonfinite_is_ieee_in_binary_and_null_in_json(service: Running) -> None:
    arrays = {"x": np.array([[1e30], [0.0]], np.float32)}
    binary = ask(service, "plain.loglik", arrays, binary=True)
    assert binary.tensors["log_likelihood"][0] == -np.inf
    text = ask(service, "plain.loglik", arrays, binary=False, outputs=["log_likelihood"])
    assert text.head["outputs"][0]["data"][0] is None
    assert text.head["outputs"][0]["data"][1] == binary.tensors["log_likelihood"][1]


def test_only_what_is_asked_for(service: Running) -> None:
    arrays = {"x": X["labels"]}
    got = ask(service, "labels.infer-condition", arrays, binary=True, outputs=["index"], request_id="mine")
    assert list(got.tensors) == ["index"]
    assert got.head["id"] == "mine"


def test_one_condition_for_all_rows_and_one_number(service: Running) -> None:
    one = ask(
        service, "vector.loglik", {"x": X["vector"], "condition": np.array([ONE["vector"]], np.float32)}, binary=True
    )
    body = {"model": "vector", "x": X["vector"].tolist(), "condition": ONE["vector"]}
    native = service.client.post("/loglik", json=body).json()
    assert one.tensors["log_likelihood"].tolist() == native["log_likelihood"]

"""What the protocol tells about the server and its models, read by the real client."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from inference.loaded import Loaded
from model_store.store import Store
from service.open_inference.names import Name, offered, parse_name
from tests.inference import handmade
from tests.service.harness import Running, running, until
from tests.service.open_inference.asking import ask, client, tensor
from tests.service.test_answers import MANY, X, as_array
from tests.service.versions import publish

OFFERED = {
    "labels": ("sample", "loglik", "infer-condition", "encode"),
    "padded": ("sample", "loglik", "infer-condition"),
    "vector": ("sample", "loglik", "infer-condition", "encode"),
    "vector-joint": ("sample", "infer-condition"),
    "image-condition": ("sample", "loglik"),
    "picture-condition": ("sample", "loglik", "encode"),
    "pictures": ("sample", "loglik", "infer-condition", "encode"),
    "grey": ("sample", "loglik"),
    "plain": ("sample", "loglik", "encode"),
}
MODELS = [(name, operation) for name, operations in OFFERED.items() for operation in operations]


def test_every_version_offers_what_it_can_answer(loaded: dict[str, Loaded]) -> None:
    assert {name: offered(version.manifest) for name, version in loaded.items()} == OFFERED


def test_server(service: Running) -> None:
    with client(service) as asking:
        assert asking.is_server_live()
        assert asking.is_server_ready()
        server = asking.get_server_metadata()
    assert server["name"] == "condflow"
    assert "binary_tensor_data" in server["extensions"]
    assert "statistics" not in server["extensions"]


def test_index(service: Running) -> None:
    with client(service) as asking:
        index = asking.get_model_repository_index()
    assert {entry["name"] for entry in index} == {f"{name}.{operation}" for name, operation in MODELS}
    assert {(entry["version"], entry["state"]) for entry in index} == {("1", "READY")}


@pytest.mark.parametrize(("name", "operation"), MODELS)
def test_an_answer_is_what_the_metadata_says(
    service: Running, loaded: dict[str, Loaded], name: str, operation: str
) -> None:
    model = f"{name}.{operation}"
    with client(service) as asking:
        assert asking.is_model_ready(model)
        metadata = asking.get_model_metadata(model)
        configuration = asking.get_model_config(model, "1")
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == (model, ["1"], "condflow")
    for ours, theirs in (("inputs", "input"), ("outputs", "output")):
        shown = [(spec["name"], spec["shape"]) for spec in metadata[ours]]
        assert shown == [(spec["name"], spec["dims"]) for spec in configuration[theirs]]
    given = {}
    for spec in metadata["inputs"]:
        if "parameters" in spec:
            assert spec["parameters"] == {"optional": True}
            continue
        array = X[name] if spec["name"] == "x" else as_array(MANY[name])[:1]
        if spec["datatype"] != "INT64":
            array = array.astype(np.float32 if spec["datatype"] == "FP32" else np.uint8)
        elif array.dtype.kind == "U":
            array = np.array([0])
        given[spec["name"]] = array
    outputs = [spec["name"] for spec in metadata["outputs"]]
    got = ask(service, model, given, {"draws": 2} if operation == "loglik" else None, binary=True, outputs=outputs)
    assert list(got.tensors) == outputs
    for spec, output in zip(metadata["outputs"], got.head["outputs"], strict=True):
        assert output["datatype"] == spec["datatype"]
        assert len(output["shape"]) == len(spec["shape"]), spec
        assert all(wanted in (-1, found) for found, wanted in zip(output["shape"], spec["shape"], strict=True)), spec
        if spec["datatype"] != "BYTES":
            assert np_to_triton_dtype(got.tensors[spec["name"]].dtype) == spec["datatype"]


@pytest.mark.parametrize(
    "name", ["labels", "labels.", ".sample", "labels.nope", "nobody.sample", "grey.encode", "x" * 300]
)
def test_unknown_models(service: Running, name: str) -> None:
    with client(service) as asking:
        assert not asking.is_model_ready(name)
        for call in (asking.get_model_metadata, asking.get_model_config):
            with pytest.raises(InferenceServerException) as refusal:
                call(name)
            assert refusal.value.status() == "404"
        with pytest.raises(InferenceServerException) as refusal:
            asking.infer(name, [tensor("x", X["labels"], binary=True)])
        assert refusal.value.status() == "404"


def test_names_with_dots_stay_unique() -> None:
    assert parse_name("a.sample.loglik") == Name("a.sample", "loglik")


def test_versions_aliases_and_digests(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "models")
    first = publish(store, "flow", handmade.unconditional())
    publish(store, "flow", handmade.labels(), alias="next")
    with running(tmp_path / "models") as service, client(service) as asking:
        until(lambda: len(service.parts.registry.serving["flow"]) == 2, "both versions")
        assert asking.get_model_metadata("flow.loglik")["versions"] == ["1", "2"]
        for reference, inputs in (("", 1), ("1", 1), (first.digest, 1), ("champion", 1), ("next", 3), ("2", 3)):
            assert len(asking.get_model_metadata("flow.loglik", reference)["inputs"]) == inputs
            assert asking.is_model_ready("flow.loglik", reference)
        x = tensor("x", np.zeros((1, 2), np.float32), binary=True)
        assert asking.infer("flow.loglik", [x], model_version="next").get_response()["model_version"] == "2"
        assert not asking.is_model_ready("flow.loglik", "3")
        assert not asking.is_model_ready("flow.infer-condition", "1")
        assert asking.is_model_ready("flow.infer-condition", "2")
        service.parts.admission.state = "lingering"
        assert not asking.is_server_ready()
        assert asking.is_server_live()
        assert not asking.is_model_ready("flow.loglik")
        service.parts.admission.state = "serving"


def test_the_asynchronous_client(service: Running) -> None:
    """It calls its bodies octets also where they are JSON."""

    async def story() -> list[np.ndarray]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{service.port}") as asking:
            inputs = [tensor("x", X["labels"], binary=binary) for binary in (True, False)]
            results = [await asking.infer("labels.loglik", [given]) for given in inputs]
            return [result.as_numpy("log_likelihood") for result in results]

    binary, text = asyncio.run(story())
    np.testing.assert_array_equal(binary, text)


def test_compressed_bodies_are_refused(service: Running) -> None:
    with client(service) as asking, pytest.raises(InferenceServerException) as refusal:
        given = [tensor("x", X["labels"], binary=True)]
        asking.infer("labels.loglik", given, request_compression_algorithm="gzip")
    assert refusal.value.status() == "415"


def test_shared_memory_is_refused(service: Running) -> None:
    given = triton.InferInput("x", [1, 2], "FP32")
    given.set_shared_memory("region", 8)
    with client(service) as asking, pytest.raises(InferenceServerException) as refusal:
        asking.infer("labels.loglik", [given])
    assert refusal.value.status() == "422"

"""Hostile versions: each is refused at load, with its own error, and nothing of it stays."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save

from inference import errors, load, load_version
from inference.graph_checks import LARGEST_GRAPH, MOST_NODES
from model_store.errors import BadManifest, BlobChanged, BlobMissing, StoreError, UnknownSchemaVersion
from model_store.manifest import Draft, ValidationScores
from model_store.store import Store
from tests.inference import handmade
from tests.inference.conftest import PRIOR_SAMPLE
from tests.inference.graphs import WEIGHTS, Files, manifest
from tests.inference.handmade import Version

MADE = handmade.labels()
GOOD = MADE.files()


def refused(
    error: type[Exception], files: Files, message: str | None = None, version: Version = MADE, **fields: object
) -> None:
    """The version of these files, with digests that fit them, raises exactly `error`."""
    with pytest.raises(error, match=message) as raised:
        load_version(manifest(version.signature, files, **fields), files)
    assert type(raised.value) is error


def with_graph(change: Callable[[onnx.ModelProto], None], operation: str = "decode") -> Files:
    model = onnx.load_from_string(GOOD[f"{operation}.onnx"])
    change(model)
    return {**GOOD, f"{operation}.onnx": model.SerializeToString()}


def test_the_good_version_loads() -> None:
    load_version(manifest(MADE.signature, GOOD), GOOD).close()


class TestFiles:
    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_changed_byte(self, path: str) -> None:
        content = bytearray(GOOD[path])
        content[len(content) // 2] ^= 1
        with pytest.raises(errors.ChangedFile, match=path):
            load_version(manifest(MADE.signature, GOOD), {**GOOD, path: bytes(content)})

    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_cut_or_extended(self, path: str) -> None:
        for content in (GOOD[path][:-1], GOOD[path] + b"\0", b""):
            with pytest.raises(errors.ChangedFile, match="bytes, the manifest says"):
                load_version(manifest(MADE.signature, GOOD), {**GOOD, path: content})

    @pytest.mark.parametrize("path", sorted(GOOD))
    def test_missing(self, path: str) -> None:
        files = {name: content for name, content in GOOD.items() if name != path}
        refused(errors.MissingFile, files, "does not list it")
        with pytest.raises(errors.MissingFile, match="not to be had"):
            load_version(manifest(MADE.signature, GOOD), files)


class TestManifests:
    def test_class_prior(self) -> None:
        for prior in ((0.5, 0.5), (0.5, 0.5, 0.5), (1.5, -0.5, 0.0), (float("nan"), 0.5, 0.5)):
            refused(errors.InconsistentManifest, GOOD, "class_prior", class_prior=prior)

    def test_class_prior_without_classes(self) -> None:
        version = handmade.unconditional()
        refused(errors.InconsistentManifest, version.files(), "class_prior", version, class_prior=(1.0,))

    def test_validation_scores(self) -> None:
        for scores in ((2.0, 1.0), (1.0, float("nan"))):
            stored = ValidationScores(conditional=scores)
            refused(errors.InconsistentManifest, GOOD, "sorted", validation_scores=stored)

    def test_unknown_schema_version(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content.update(schema_version=2))
        with pytest.raises(UnknownSchemaVersion):
            load(store, "handmade", 1)

    def test_unknown_field(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content.update(hook="import os"))
        with pytest.raises(BadManifest, match="hook"):
            load(store, "handmade", 1)

    def test_path_outside(self, tmp_path: Path) -> None:
        store, path = _published(tmp_path)
        _rewrite(path, lambda content: content["files"][0].update(path="../../etc/passwd"))
        with pytest.raises(BadManifest):
            load(store, "handmade", 1)

    def test_changed_and_missing_blobs(self, tmp_path: Path) -> None:
        store, _ = _published(tmp_path)
        blob = max((p for p in (tmp_path / "store/blobs").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        content = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(BlobChanged):
            load(store, "handmade", 1)
        blob.unlink()
        with pytest.raises(BlobMissing):
            load(store, "handmade", 1)
        blob.symlink_to("/etc/passwd")
        with pytest.raises(StoreError):
            load(store, "handmade", 1)


class TestWeights:
    def replaced(self, **tensors: np.ndarray) -> Files:
        return {**GOOD, WEIGHTS: save({**load_tensors(GOOD[WEIGHTS]), **tensors})}

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_non_finite(self, bad: float) -> None:
        means = handmade.MEANS.copy()
        means[1, 1] = bad
        refused(errors.NonFiniteWeight, self.replaced(means=means), "means")

    def test_wrong_key(self) -> None:
        tensors = load_tensors(GOOD[WEIGHTS])
        tensors["meanz"] = tensors.pop("means")
        refused(errors.WrongKey, {**GOOD, WEIGHTS: save(tensors)}, "'means'")

    def test_wrong_shape(self) -> None:
        refused(errors.WrongShape, self.replaced(means=np.ascontiguousarray(handmade.MEANS.reshape(2, 3))), "means")

    def test_wrong_dtype(self) -> None:
        refused(errors.WrongDtype, self.replaced(means=handmade.MEANS.view(np.int32)), "I32")

    def test_swapped_tensors(self) -> None:
        """Names of the file's tensors exchanged in its header: the offsets no longer fit the graphs."""
        swapped = _header(GOOD[WEIGHTS], lambda h: h.update(means=h["scales"], scales=h["means"]))
        refused(errors.ForeignExternalData, {**GOOD, WEIGHTS: swapped})

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty", b""),
            ("short", b"\x02\0\0"),
            ("header longer than the file", struct.pack("<Q", 2**63) + b"{}"),
            ("header of gigabytes", struct.pack("<Q", 12 << 30) + b"{}" * 10),
            ("not JSON", struct.pack("<Q", 4) + b"{{{{"),
            ("not UTF-8", struct.pack("<Q", 2) + b"\xff\xff"),
            ("a list", struct.pack("<Q", 2) + b"[]"),
            ("deep", struct.pack("<Q", 200_000) + b"[" * 200_000),
            ("pickle", b"\x80\x04\x95" + b"." * 30),
        ],
    )
    def test_malformed_file(self, name: str, content: bytes) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: content})

    @pytest.mark.parametrize(
        "change",
        [
            lambda h: h["means"].update(data_offsets=[0, 2**40]),
            lambda h: h["means"].update(data_offsets=[-8, 16]),
            lambda h: h["means"].update(data_offsets=[24, 0]),
            lambda h: h["means"].update(data_offsets=[0.0, 24.0]),
            lambda h: h["means"].update(data_offsets=[True, 24]),
            lambda h: h["means"].update(data_offsets=[0, 24, 24]),
            lambda h: h["means"].update(shape=[2**40, 2**40]),
            lambda h: h["means"].update(shape=[-3, -2]),
            lambda h: h["means"].update(shape=[1] * 30 + [3, 2]),
            lambda h: h["means"].update(shape="32"),
            lambda h: h["means"].update(dtype="O"),
            lambda h: h["means"].update(dtype=["F32"]),
            lambda h: h["means"].update(extra=1),
            lambda h: h["scales"].update(data_offsets=h["means"]["data_offsets"], shape=[6]),  # overlap
            lambda h: h.pop("scales"),  # a gap
            lambda h: h.update(means=[1]),
            lambda h: h.update(empty={"dtype": "F32", "shape": [0], "data_offsets": [2, 2]}),
        ],
    )
    def test_malformed_header(self, change: Callable[[dict], None]) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: _header(GOOD[WEIGHTS], change)})

    def test_key_twice(self) -> None:
        size = int.from_bytes(GOOD[WEIGHTS][:8], "little")
        header, data = GOOD[WEIGHTS][8 : 8 + size].strip(), GOOD[WEIGHTS][8 + size :]
        header = header[:-1] + b"," + header[1:]
        content = len(header).to_bytes(8, "little") + header + data
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: content}, "twice")

    def test_trailing_bytes(self) -> None:
        refused(errors.MalformedWeights, {**GOOD, WEIGHTS: GOOD[WEIGHTS] + b"PK\x03\x04"}, "tensors end at")


class TestExternalData:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("location", "/etc/passwd"),
            ("location", "../weights.safetensors"),
            ("location", "./weights.safetensors"),
            ("location", "weights.safetensors\0.txt"),
            ("location", "*/_ORT_MEM_ADDR_/*"),
            ("location", ""),
            ("offset", "0"),
            ("offset", "-8"),
            ("offset", "00000000000000000184"),
            ("offset", "1e2"),
            ("offset", ""),
            ("length", "4"),
            ("length", "1000000000000"),
            ("length", "-1"),
        ],
    )
    def test_elsewhere(self, key: str, value: str) -> None:
        def change(model: onnx.ModelProto) -> None:
            for entry in _weight(model).external_data:
                if entry.key == key:
                    entry.value = value

        refused(errors.ForeignExternalData, with_graph(change))

    def test_entry_missing(self) -> None:
        refused(errors.ForeignExternalData, with_graph(lambda model: _weight(model).external_data.pop()))

    def test_entry_added(self) -> None:
        refused(
            errors.ForeignExternalData,
            with_graph(lambda model: _weight(model).external_data.add(key="checksum", value="0")),
        )

    def test_entry_twice(self) -> None:
        refused(
            errors.MalformedGraph,
            with_graph(lambda model: _weight(model).external_data.add(key="location", value="/etc/passwd")),
            "twice",
        )

    def test_in_a_constant(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            value = TensorProto(name="value", dims=[2], data_type=TensorProto.FLOAT)
            value.data_location = TensorProto.EXTERNAL
            value.external_data.add(key="location", value="/etc/passwd")
            model.graph.node.append(helper.make_node("Constant", [], ["leak"], value=value))

        refused(errors.ForeignExternalData, with_graph(change), "constant")

    def test_both_inline_and_external(self) -> None:
        refused(errors.MalformedGraph, with_graph(lambda model: setattr(_weight(model), "raw_data", b"\0" * 24)))

    def test_other_element_type(self) -> None:
        refused(
            errors.WrongDtype,
            with_graph(lambda model: setattr(_weight(model), "data_type", TensorProto.INT32)),
            "means",
        )

    def test_other_shape(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            del _weight(model).dims[:]
            _weight(model).dims.extend([2, 3])

        refused(errors.WrongShape, with_graph(change))

    def test_initializer_twice(self) -> None:
        refused(
            errors.MalformedGraph,
            with_graph(lambda model: model.graph.initializer.append(_weight(model))),
            "appears twice",
        )


class TestOperators:
    @pytest.mark.parametrize(
        ("operator", "domain"),
        [
            ("PyOp", "ai.onnx.contrib"),
            ("Gelu", "com.microsoft"),
            ("TreeEnsemble", "ai.onnx.ml"),
            ("Add", "ai.onnx.training"),
            ("Add", "AI.ONNX"),
            ("RandomNormal", ""),
            ("RandomUniformLike", "ai.onnx"),
            ("Bernoulli", ""),
        ],
    )
    def test_foreign(self, operator: str, domain: str) -> None:
        def change(model: onnx.ModelProto) -> None:
            model.graph.node.append(helper.make_node(operator, ["x"], ["more"], domain=domain))

        refused(errors.ForeignOperator, with_graph(change), operator)

    @pytest.mark.parametrize("operator", ["Loop", "If", "Scan"])
    def test_control_flow(self, operator: str) -> None:
        body = helper.make_graph([], "body", [], [])

        def change(model: onnx.ModelProto) -> None:
            model.graph.node.append(helper.make_node(operator, ["x"], ["more"], body=body))

        refused(errors.ForeignOperator, with_graph(change), "control flow")

    def test_list_of_subgraphs(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            node = helper.make_node("Identity", ["x"], ["more"])
            attribute = node.attribute.add(name="bodies", type=onnx.AttributeProto.GRAPHS)
            attribute.graphs.append(helper.make_graph([], "body", [], []))
            model.graph.node.append(node)

        refused(errors.ForeignOperator, with_graph(change), "control flow")

    def test_local_function(self) -> None:
        function = helper.make_function(
            "", "Shadow", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], [helper.make_opsetid("", 18)]
        )
        refused(errors.ForeignOperator, with_graph(lambda model: model.functions.append(function)), "local functions")

    def test_training_information(self) -> None:
        refused(errors.ForeignOperator, with_graph(lambda model: model.training_info.add()), "training information")

    def test_sparse_initializer(self) -> None:
        sparse = helper.make_sparse_tensor(
            numpy_helper.from_array(np.float32([1]), "s"), numpy_helper.from_array(np.int64([0]), "i"), [4]
        )
        refused(
            errors.ForeignOperator, with_graph(lambda model: model.graph.sparse_initializer.append(sparse)), "sparse"
        )

    def test_unknown_operator(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            model.graph.node.append(helper.make_node("NoSuchOperator", ["x"], ["more"]))

        refused(errors.MalformedGraph, with_graph(change), "ONNX Runtime refuses")


class TestGraphs:
    @pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04", b"\0" * 100, GOOD["decode.onnx"][:-5]])
    def test_malformed(self, content: bytes) -> None:
        refused(errors.MalformedGraph, {**GOOD, "decode.onnx": content})

    def test_second_graph(self) -> None:
        """Protobuf would merge the two into one graph."""
        refused(errors.MalformedGraph, {**GOOD, "decode.onnx": GOOD["decode.onnx"] * 2}, "twice")

    def test_too_large(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            model.doc_string = "x" * LARGEST_GRAPH

        refused(errors.MalformedGraph, with_graph(change), "at most")

    def test_too_many_nodes(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            node = helper.make_node("Neg", ["x"], ["y"])
            model.graph.node.extend([node] * (MOST_NODES + 1))

        refused(errors.MalformedGraph, with_graph(change), "nodes")

    def test_unknown_ir_version(self) -> None:
        refused(errors.MalformedGraph, with_graph(lambda model: setattr(model, "ir_version", 99)), "ONNX Runtime")

    @pytest.mark.parametrize(
        "change",
        [
            lambda g: setattr(g.input[0], "name", "y"),
            lambda g: g.input.reverse(),
            lambda g: g.input.pop(),
            lambda g: g.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n"])),
            lambda g: setattr(g.output[0], "name", "y"),
            lambda g: g.output.append(g.output[0]),
            lambda g: setattr(g.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
            lambda g: setattr(g.input[1].type.tensor_type, "elem_type", TensorProto.FLOAT),
            lambda g: setattr(g.output[0].type.tensor_type, "elem_type", TensorProto.FLOAT16),
            lambda g: setattr(g.input[0].type.tensor_type.shape.dim[0], "dim_value", 1),
            lambda g: setattr(g.input[0].type.tensor_type.shape.dim[1], "dim_value", 3),
            lambda g: setattr(g.output[0].type.tensor_type.shape.dim[1], "dim_param", "m"),
            lambda g: g.input[0].type.tensor_type.ClearField("shape"),
            lambda g: g.input[0].type.tensor_type.shape.dim.add(dim_value=1),
            lambda g: g.input[0].ClearField("type"),
        ],
    )
    def test_not_the_signature(self, change: Callable[[onnx.GraphProto], None]) -> None:
        refused(errors.SignatureMismatch, with_graph(lambda model: change(model.graph)))

    def test_graphs_exchanged(self) -> None:
        swapped = {**GOOD, "decode.onnx": GOOD["encode.onnx"], "encode.onnx": GOOD["decode.onnx"]}
        refused(errors.SignatureMismatch, swapped)


class TestProbe:
    def probe(self, change: Callable[[dict[str, np.ndarray]], object]) -> Files:
        tensors = load_tensors(GOOD["probe.safetensors"])
        change(tensors)
        return {**GOOD, "probe.safetensors": save(tensors)}

    def test_other_answers(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["score.output.log_weight"] = tensors["score.output.log_weight"] + np.float32(0.1)

        refused(errors.ProbeFailed, self.probe(change), "6 of 6 answers are off")

    def test_other_shape(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.output.x"] = np.ascontiguousarray(tensors["decode.output.x"][:1])

        refused(errors.ProbeFailed, self.probe(change), "has shape")

    def test_nan_answers(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.output.x"] = np.full_like(tensors["decode.output.x"], np.nan)

        refused(errors.ProbeFailed, self.probe(change))

    def test_weights_of_another_model(self) -> None:
        tensors = {**load_tensors(GOOD[WEIGHTS]), "means": handmade.MEANS + 1}
        refused(errors.ProbeFailed, {**GOOD, WEIGHTS: save(tensors)})

    def test_input_missing(self) -> None:
        refused(errors.SignatureMismatch, self.probe(lambda tensors: tensors.pop("encode.input.condition")))

    def test_output_missing(self) -> None:
        refused(errors.WrongKey, self.probe(lambda tensors: tensors.pop("encode.output.z")))

    def test_label_out_of_range(self) -> None:
        def change(tensors: dict[str, np.ndarray]) -> None:
            tensors["decode.input.condition"] = np.array([0, 77])

        refused(errors.ProbeFailed, self.probe(change))

    def test_integers_may_round_the_other_way_once(self) -> None:
        version = handmade.images()
        files = version.files()
        tensors = load_tensors(files["probe.safetensors"])
        pixels = tensors["decode.output.x"].astype(int)
        for changes, error in ((1, None), (2, errors.ProbeFailed)):
            moved = pixels.copy()
            moved.reshape(-1)[:changes] += np.where(moved.reshape(-1)[:changes] > 0, -1, 1)
            hostile = {**files, "probe.safetensors": save({**tensors, "decode.output.x": moved.astype(np.uint8)})}
            if error is None:
                load_version(manifest(version.signature, hostile), hostile).close()
            else:
                refused(error, hostile, version=version)


class TestPriorSample:
    def files(self, **tensors: np.ndarray) -> tuple[Version, Files]:
        version = handmade.coupled_vector(PRIOR_SAMPLE)
        return version, {**version.files(), "prior_sample.safetensors": save(tensors)}

    @pytest.mark.parametrize(
        ("error", "tensors"),
        [
            (errors.WrongKey, {"conditions": PRIOR_SAMPLE}),
            (errors.WrongDtype, {"condition": PRIOR_SAMPLE.astype(np.float64)}),
            (errors.WrongShape, {"condition": np.zeros((5, 3), np.float32)}),
            (errors.WrongShape, {"condition": np.zeros((0, 2), np.float32)}),
            (errors.WrongShape, {"condition": np.zeros(2, np.float32)}),
            (errors.NonFiniteWeight, {"condition": np.full((5, 2), np.inf, np.float32)}),
        ],
    )
    def test_refused(self, error: type[errors.LoadError], tensors: dict[str, np.ndarray]) -> None:
        version, files = self.files(**tensors)
        refused(error, files, version=version)

    def test_for_labels(self) -> None:
        files = {**GOOD, "prior_sample.safetensors": save({"condition": PRIOR_SAMPLE})}
        refused(errors.InconsistentManifest, files, "vector conditions")


def _weight(model: onnx.ModelProto) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == "means")


def _header(content: bytes, change: Callable[[dict], object]) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    change(header)
    encoded = json.dumps(header).encode()
    encoded = encoded.ljust(size) if len(encoded) <= size else encoded
    return len(encoded).to_bytes(8, "little") + encoded + content[8 + size :]


def _published(folder: Path) -> tuple[Store, Path]:
    store = Store.open(folder / "store")
    fields = MADE.manifest().model_dump(include=set(Draft.model_fields))
    store.publish(Draft.model_validate(fields), GOOD, alias=None)
    return store, folder / "store/models/handmade/versions/1.json"


def _rewrite(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.chmod(0o644)
    path.write_bytes(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())

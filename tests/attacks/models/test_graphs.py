"""Hostile graphs: foreign data and operators, graphs that are no graphs, and graphs of another signature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference import errors
from inference.graph_checks import LARGEST_GRAPH, MOST_NODES
from tests.attacks.models.hostile import GOOD, refused, with_graph


def weight_of(model: onnx.ModelProto) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == "means")


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
            for entry in weight_of(model).external_data:
                if entry.key == key:
                    entry.value = value

        refused(errors.ForeignExternalData, with_graph(change))

    def test_entry_missing(self) -> None:
        refused(errors.ForeignExternalData, with_graph(lambda model: weight_of(model).external_data.pop()))

    def test_entry_added(self) -> None:
        refused(
            errors.ForeignExternalData,
            with_graph(lambda model: weight_of(model).external_data.add(key="checksum", value="0")),
        )

    def test_entry_twice(self) -> None:
        refused(
            errors.MalformedGraph,
            with_graph(lambda model: weight_of(model).external_data.add(key="location", value="/etc/passwd")),
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
        refused(errors.MalformedGraph, with_graph(lambda model: setattr(weight_of(model), "raw_data", b"\0" * 24)))

    def test_other_element_type(self) -> None:
        refused(
            errors.WrongDtype,
            with_graph(lambda model: setattr(weight_of(model), "data_type", TensorProto.INT32)),
            "means",
        )

    def test_other_shape(self) -> None:
        def change(model: onnx.ModelProto) -> None:
            del weight_of(model).dims[:]
            weight_of(model).dims.extend([2, 3])

        refused(errors.WrongShape, with_graph(change))

    def test_initializer_twice(self) -> None:
        refused(
            errors.MalformedGraph,
            with_graph(lambda model: model.graph.initializer.append(weight_of(model))),
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

"""Exported graphs answer what torch answers, from weights that are stored once."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from flows import LatentConfig, Model, build, functions, load_architecture
from flows.config import AutoEncoderConfig, CouplingConfig, Data
from flows.config import LabelCondition as Label
from inference.graph_checks import INLINE_BYTES, WEIGHTS
from model_store.signature import LabelCondition
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_latent, random_model
from training.export import Export, ExportError, export, session_of
from training.graphs import trace
from training.signature import signature_of

EVERY = pytest.mark.parametrize("name", CATALOGUE)
EXPORTS: dict[str, tuple[Model, Export]] = {}


def exported(name: str) -> tuple[Model, Export]:
    """Each architecture is exported once per process, on examples of its own."""
    if name not in EXPORTS:
        model = random_model(CATALOGUE[name], dtype=torch.float32)
        x, _, condition = random_inputs(model, 16)
        EXPORTS[name] = model, export(model, x, condition, batch_sizes=(1, 2, 7))
    return EXPORTS[name]


def tensors_of(model: Model, rows: int) -> dict[str, Tensor]:
    x, noise, condition = random_inputs(model, rows, seed=11)
    named = {"x": x, "embedding": model.embed(x)} | {
        part.name: tensor for part, tensor in zip(model.noise, noise, strict=True)
    }
    named |= {part.name: tensor for part, tensor in zip(model.latent, random_latent(model, rows), strict=True)}
    return named if condition is None else named | {"condition": condition}


@EVERY
@torch.no_grad()
def test_graphs_equal_torch_at_every_batch_size(name: str) -> None:
    model, made = exported(name)
    for operation, function in functions(model).items():
        session = session_of(made.files[f"{operation}.onnx"], made.files[WEIGHTS])
        for rows in (0, 1, 2, 7):
            named = tensors_of(model, rows)
            answers = function(*(named[key] for key in function.inputs))
            expected = answers if isinstance(answers, tuple) else (answers,)
            got = session.run(list(function.outputs), {key: named[key].numpy() for key in function.inputs})
            for output, reference in zip(got, expected, strict=True):
                assert output.shape == tuple(reference.shape)
                scale = max(1.0, float(reference.abs().max())) if rows else 1.0
                np.testing.assert_allclose(output, reference.numpy(), rtol=0, atol=2e-5 * scale)


@EVERY
def test_the_weights_file_rebuilds_the_model(name: str) -> None:
    model, made = exported(name)
    rebuilt = build(load_architecture(made.files["architecture.json"])).eval()
    stored = {key: torch.from_numpy(array.copy()) for key, array in load(made.files[WEIGHTS]).items()}
    rebuilt.load_state_dict({key: value for key, value in stored.items() if not key.startswith("graph.")})
    x, noise, condition = random_inputs(model, 5)
    assert torch.equal(rebuilt.log_weight(x, noise, condition), model.log_weight(x, noise, condition))


@EVERY
def test_each_weight_is_stored_once_and_graphs_point_at_it(name: str) -> None:
    model, made = exported(name)
    weights = made.files[WEIGHTS]
    start = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:start])
    header.pop("__metadata__", None)
    state = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    extra = sum(
        end - begin
        for key, entry in header.items()
        if key.startswith("graph.")
        for begin, end in [entry["data_offsets"]]
    )
    assert len(weights) - start == state + extra
    assert extra <= 0.05 * state  # folded constants alone, no second copy of a layer
    pointed = 0
    for operation in model.operations:
        graph = onnx.load_from_string(made.files[f"{operation}.onnx"]).graph
        for tensor in graph.initializer:
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                assert (
                    tensor.data_type != onnx.TensorProto.FLOAT
                    or onnx.numpy_helper.to_array(tensor).nbytes <= INLINE_BYTES
                )
                continue
            place = {entry.key: entry.value for entry in tensor.external_data}
            begin, end = header[tensor.name]["data_offsets"]
            assert place == {"location": WEIGHTS, "offset": str(start + begin), "length": str(end - begin)}
            assert list(tensor.dims) == header[tensor.name]["shape"] and header[tensor.name]["dtype"] == "F32"
            pointed += 1
    assert pointed


def test_weights_that_graphs_use_transposed_are_not_stored_again() -> None:
    torch.manual_seed(0)
    autoencoder = AutoEncoderConfig(
        latent=4, channels=(8,), kernels=(3,), residual=(0,), dense=(32,), decoder_dense=(32,), decoder_channels=()
    )
    flow = {"family": "joint", "blocks": 1, "conditioner": {"width": 8, "depth": 1}}
    data, condition = Data(shape=(1, 8, 8), levels=17), Label(classes=3)
    model = build(LatentConfig(data=data, condition=condition, autoencoder=autoencoder, flow=flow))
    stored = load(export(model).files[WEIGHTS])
    assert not [key for key in stored if key.startswith("graph.")]


@EVERY
def test_graphs_tell_nothing_of_the_machine(name: str) -> None:
    model, made = exported(name)
    for operation in model.operations:
        content = made.files[f"{operation}.onnx"]
        assert b".py" not in content and b"flows." not in content.replace(b"flows.functions", b"")
        graph = onnx.load_from_string(content)
        assert {entry.domain for entry in graph.opset_import} == {""} and not graph.functions


@EVERY
def test_the_probe_passes_and_errors_are_reported(name: str) -> None:
    model, made = exported(name)
    probe = load(made.files[made.probe.path])
    assert set(made.graph_errors) == set(model.operations)
    for operation, error in made.graph_errors.items():
        assert error.batch_sizes == (1, 2, 7) and error.max_rel < 1e-4
        assert error.batch_bound is not None and 1e-5 <= error.batch_bound <= (1 if operation == "decode" else 1e-3)
        session = session_of(made.files[f"{operation}.onnx"], made.files[WEIGHTS])
        prefix = f"{operation}.input."
        feeds = {key.removeprefix(prefix): array for key, array in probe.items() if key.startswith(prefix)}
        names = [output.name for output in session.get_outputs()]
        for output, value in zip(names, session.run(names, feeds), strict=True):
            expected = probe[f"{operation}.output.{output}"]
            np.testing.assert_allclose(value, expected, rtol=made.probe.rtol, atol=made.probe.atol)
            changed = expected + 10 * (made.probe.atol + made.probe.rtol * np.abs(expected))
            assert not np.allclose(value, changed, rtol=made.probe.rtol, atol=made.probe.atol)


def test_without_examples_they_are_drawn_from_the_model() -> None:
    model = random_model(CATALOGUE["joint-label"], dtype=torch.float32)
    made = export(model, batch_sizes=(1, 256))
    assert made.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert load(made.files["probe.safetensors"])["score.output.log_weight"].shape == (3, 3)


def test_exporting_leaves_the_model_as_it_was() -> None:
    model = random_model(CATALOGUE["latent-joint"], dtype=torch.float32).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    export(model, batch_sizes=(2,))
    assert model.training and model.autoencoder.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_graph_that_disagrees_is_refused() -> None:
    model = random_model(CATALOGUE["coupling-vector"], dtype=torch.float32)
    with pytest.raises(ExportError, match=r"decode: the graph is .* away from torch"):
        export(model, batch_sizes=(2,), tolerance=1e-12)


def test_non_finite_weights_are_refused() -> None:
    model = random_model(CATALOGUE["coupling-vector"], dtype=torch.float32)
    with torch.no_grad():
        next(model.bijection.parameters()).fill_(float("nan"))
    with pytest.raises(ExportError):
        export(model, batch_sizes=(2,))


def test_the_signature_takes_names_from_the_data() -> None:
    model = random_model(CATALOGUE["joint-label"])
    signature = signature_of(model, x_names=("a", "b", "c", "d"), classes=("cat", "dog", "owl"))
    assert signature.data.names == ("a", "b", "c", "d")
    assert isinstance(signature.condition, LabelCondition) and signature.condition.classes == ("cat", "dog", "owl")
    with pytest.raises(ValueError, match="classes: expected 3 names, got 2"):
        signature_of(model, classes=("cat", "dog"))
    with pytest.raises(ValueError, match="names"):
        signature_of(model, x_names=("a",))


@EVERY
def test_signatures_say_what_the_model_is(name: str) -> None:
    model = random_model(CATALOGUE[name])
    signature = signature_of(model)
    assert signature.space == model.space and signature.exact == (not model.noise)
    assert signature.data.shape == model.data.shape and signature.data.is_integer == (model.data.levels is not None)
    assert signature.condition.kind == model.condition.kind
    assert [part.name for part in (*signature.latent, *signature.noise)] == [
        part.name for part in (*model.latent, *model.noise)
    ]


@pytest.mark.parametrize("mixing", ["permutation", "lu"])
def test_what_is_one_number_for_all_rows_is_not_spread_over_them_in_a_graph(
    mixing: Literal["permutation", "lu"],
) -> None:
    config = CouplingConfig(data=Data(shape=(4,)), blocks=2, actnorm=True, mixing=mixing)  # standardised, as tables are
    function = functions(build(config))["score"]
    operators = {node.op_type for node in trace(function, (torch.randn(2, 4),)).graph.node}
    assert "Gemm" in operators and operators.isdisjoint({"Shape", "Expand", "ConstantOfShape"})

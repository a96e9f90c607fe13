"""A version with an encoder runs it once for each x, however many draws of noise score it; older ones still answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load, save

from flows import Model, functions
from flows.functions import Function
from inference.condition_inference import InferredLabels, infer_condition
from inference.encoding import encode
from inference.engine import Arrays, Engine
from inference.graph_checks import WEIGHTS
from inference.likelihood import log_likelihood
from inference.loaded import Loaded
from inference.loading import load_version
from inference.torch_engine import TorchEngine
from inference.work import answer
from model_store.signature import Operation, Signature
from tests.flows.models.catalogue import CATALOGUE, random_inputs, random_model
from tests.inference.graphs import manifest
from training.export import export
from training.graphs import WeightsFile, trace
from training.signature import signature_of

ROWS, DRAWS, LATENT = 5, 64, 6


class Watched(Engine):
    """An engine that notes how many rows each of its calls had, and which inputs."""

    device = "cpu"
    draws = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: list[tuple[str, int, frozenset[str]]] = []

    def run(self, operation: Operation, inputs: Mapping[str, np.ndarray]) -> Arrays:
        self.calls.append((operation, len(next(iter(inputs.values()))), frozenset(inputs)))
        return self.engine.run(operation, inputs)

    def rows(self, operation: str) -> int:
        return sum(rows for called, rows, _ in self.calls if called == operation)

    def close(self) -> None:
        self.engine.close()


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(CATALOGUE["latent-joint"], dtype=torch.float32)


@pytest.fixture(scope="module")
def version(model: Model) -> Loaded:
    x, _, condition = random_inputs(model, 16)
    made = export(model, x, condition, batch_sizes=(1, 2, 7))
    fields = {"graph_errors": made.graph_errors, "probe": made.probe}
    return load_version(manifest(signature_of(model), made.files, **fields), made.files)


@pytest.fixture(scope="module")
def older(model: Model) -> Loaded:
    """The same model as it was published before there was `embed`: the encoder inside every graph."""
    files = older_files(model)
    return load_version(manifest(older_signature(model), files), files)


def older_signature(model: Model) -> Signature:
    content = signature_of(model).model_dump()
    del content["embedding"]
    content["operations"] = [operation for operation in content["operations"] if operation != "embed"]
    return Signature.model_validate(content)


def older_files(model: Model) -> dict[str, bytes]:
    x, noise, condition = random_inputs(model, 2)
    z = tuple(torch.zeros(2, *part.shape) for part in model.latent)
    named = {"x": x, "condition": condition}
    named |= {part.name: tensor for part, tensor in zip((*model.noise, *model.latent), (*noise, *z), strict=True)}
    made: dict[Operation, Function] = functions(model, embedded=False)
    protos = {name: trace(one, tuple(named[key] for key in one.inputs)) for name, one in made.items()}
    weights = WeightsFile({name: tensor.numpy() for name, tensor in model.state_dict().items()})
    for proto in protos.values():
        weights.add(proto)
    content, graphs = weights.finish(protos)
    probe: Arrays = {}
    for name, one in made.items():
        outputs = one(*(named[key] for key in one.inputs))
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        probe |= {f"{name}.input.{key}": named[key].numpy() for key in one.inputs}
        probe |= {
            f"{name}.output.{key}": np.ascontiguousarray(part.detach())
            for key, part in zip(one.outputs, parts, strict=True)
        }
    files = {f"{name}.onnx": graph for name, graph in graphs.items()}
    architecture = model.config.model_dump_json().encode()
    return {**files, WEIGHTS: content, "architecture.json": architecture, "probe.safetensors": save(probe)}


def pictures(model: Model) -> np.ndarray:
    return random_inputs(model, ROWS, seed=9)[0].numpy().astype(np.uint8)


def test_the_encoder_runs_once_for_each_row(model: Model, version: Loaded) -> None:
    watched = Watched(version.engine)
    loaded = Loaded(version.manifest, version.digest, watched)
    answer(watched, log_likelihood(loaded, pictures(model), 1, draws=DRAWS))
    assert (watched.rows("embed"), watched.rows("score")) == (ROWS, ROWS * DRAWS)
    watched.calls.clear()
    answer(watched, infer_condition(loaded, pictures(model), draws=DRAWS))
    assert (watched.rows("embed"), watched.rows("infer")) == (ROWS, ROWS * DRAWS)
    assert all("x" not in inputs for called, _, inputs in watched.calls if called != "embed")


def test_the_encoder_is_in_one_graph_alone(model: Model) -> None:
    made = export(model, batch_sizes=(2,))
    encoder = {name for name, _ in model.named_parameters() if name.startswith("autoencoder.")}
    for operation in functions(model):
        graph = onnx.load_from_string(made.files[f"{operation}.onnx"]).graph
        weights = {tensor.name for tensor in graph.initializer} & encoder
        convolutions = sum(node.op_type == "Conv" for node in graph.node)
        assert bool(weights or convolutions) == (operation in ("embed", "decode"))


def test_answers_are_those_of_graphs_with_the_encoder_inside(model: Model, version: Loaded, older: Loaded) -> None:
    x, bounds = pictures(model), version.manifest.graph_errors
    assert bounds["score"].batch_bound is not None and bounds["encode"].batch_bound is not None
    for given in ({"condition": 2}, {}):
        new = answer(version.engine, log_likelihood(version, x, **given, draws=DRAWS, seed=3))
        old = answer(older.engine, log_likelihood(older, x, **given, draws=DRAWS, seed=3))
        assert np.abs(new.log_likelihood / old.log_likelihood - 1).max() <= bounds["score"].batch_bound
    labels = [answer(one.engine, infer_condition(one, x, draws=8)) for one in (version, older)]
    assert isinstance(labels[0], InferredLabels) and isinstance(labels[1], InferredLabels)
    np.testing.assert_allclose(labels[0].model_posterior, labels[1].model_posterior, atol=1e-4)
    latents = [answer(one.engine, encode(one, x, 0)).latent for one in (version, older)]
    for name, part in latents[0].items():
        apart = np.abs(part - latents[1][name]) / np.maximum(1, np.abs(part))
        assert apart.max() <= bounds["encode"].batch_bound


def test_the_bound_covers_the_way_from_x(model: Model, version: Loaded) -> None:
    """Rows embedded and scored alone and together: the stated bound is of both graphs, one after the other."""
    x = pictures(model)
    together = answer(version.engine, log_likelihood(version, x, 0, draws=3)).log_likelihood
    alone = [answer(version.engine, log_likelihood(version, row, 0, draws=3)).log_likelihood[0] for row in x]
    bound = version.manifest.graph_errors["score"].batch_bound
    assert bound is not None
    assert (np.abs(together - alone) <= bound * np.maximum(1, np.abs(together))).all()


@pytest.mark.parametrize("which", ("version", "older"))
def test_torch_answers_both_kinds_of_versions(which: str, model: Model, request: pytest.FixtureRequest) -> None:
    loaded: Loaded = request.getfixturevalue(which)
    files = older_files(model)
    engine = TorchEngine(loaded.signature, files["architecture.json"], load(files[WEIGHTS]), "cpu")
    x = pictures(model)
    expected = answer(loaded.engine, log_likelihood(loaded, x, 1, draws=4)).log_likelihood
    got = answer(engine, log_likelihood(loaded, x, 1, draws=4)).log_likelihood
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_an_embedding_and_its_operation_go_together(model: Model) -> None:
    content = signature_of(model).model_dump()
    assert content["embedding"] == (LATENT,)
    for wrong in ({"embedding": None}, {"operations": ("decode", "score")}):
        with pytest.raises(ValueError, match="embedding: expected its shape where there is an operation `embed`"):
            Signature.model_validate({**content, **wrong})

"""The torch engine, on CPU: the same answers as ONNX Runtime, from the same verified bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flows.architecture import build
from flows.config import AutoEncoderConfig, Conditioner, CouplingConfig, Data, JointConfig, LabelCondition, LatentConfig
from flows.config import VectorCondition as Vector
from flows.models.base import Model
from inference.engine import EngineError
from inference.graph_checks import check_graph
from inference.onnx_engine import OnnxEngine
from inference.torch_engine import TorchEngine
from inference.weights import read_tensors
from training.export import export
from training.signature import signature_of

SMALL = Conditioner(width=16, depth=1)
LATENT = LatentConfig(
    data=Data(shape=(1, 8, 8), levels=17),
    condition=LabelCondition(classes=3),
    autoencoder=AutoEncoderConfig(latent=4, channels=(4,), kernels=(3,), residual=(0,), decoder_channels=(4,)),
    flow=JointConfig(data=Data(shape=(4,)), condition=LabelCondition(classes=3), blocks=2, conditioner=SMALL),
)
ARCHITECTURES = {
    "joint": JointConfig(data=Data(shape=(2,)), condition=LabelCondition(classes=3), blocks=2, conditioner=SMALL),
    "coupling": CouplingConfig(data=Data(shape=(3,)), condition=Vector(size=2), blocks=2, conditioner=SMALL),
    "latent": LATENT,
}


def model_of(name: str) -> Model:
    torch.manual_seed(0)
    model = build(ARCHITECTURES[name])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def engines(name: str) -> tuple[OnnxEngine, TorchEngine]:
    model = model_of(name)
    files, signature = export(model).files, signature_of(model)
    tensors = read_tensors(files["weights.safetensors"], "weights.safetensors")
    arrays = {key: tensors.array(key) for key in tensors.entries}
    graphs = {operation: files[f"{operation}.onnx"] for operation in signature.operations}
    needed = {name: check_graph(graphs[name], f"{name}.onnx", name, signature, tensors) for name in graphs}
    onnx = OnnxEngine(signature, graphs, needed)
    return onnx, TorchEngine(signature, files["architecture.json"], arrays, device="cpu")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_answers_as_the_cpu_engine_does(name: str) -> None:
    onnx, engine = engines(name)
    rng = np.random.default_rng(0)
    signature = engine.signature
    for operation in signature.operations:
        named = {}
        for column, (shape, dtype) in engine._columns[operation].items():
            if dtype is np.int64:
                named[column] = rng.integers(0, 3, 5)
            elif column == "x" and signature.data.is_integer:
                named[column] = rng.integers(0, 17, (5, *shape)).astype(np.uint8)
            else:
                named[column] = rng.standard_normal((5, *shape)).astype(np.float32)
        wanted, got = onnx.run(operation, named), engine.run(operation, named)
        assert set(got) == set(wanted)
        for output in wanted:
            assert got[output].dtype == wanted[output].dtype
            np.testing.assert_allclose(got[output], wanted[output], rtol=1e-4, atol=1e-4)


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    model = model_of("joint")
    files = export(model).files
    with pytest.raises(EngineError, match=r"weights: bijection\.\S+ of the architecture is not in weights"):
        TorchEngine(signature_of(model), files["architecture.json"], {}, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a card")
def test_a_missing_card_is_said() -> None:
    model = model_of("joint")
    with pytest.raises(EngineError, match="no CUDA device"):
        TorchEngine(signature_of(model), b"{}", {}, device="cuda")


def test_a_closed_engine_refuses() -> None:
    _, engine = engines("joint")
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.warm()

"""Hand-made versions whose densities, moments and posteriors are known in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, pi, sqrt

import numpy as np
import onnx
from safetensors.numpy import save

from inference import noise
from inference.loaded import Loaded
from inference.loading import load_version
from inference.onnx_engine import OnnxEngine
from model_store.manifest import Manifest
from model_store.signature import (
    ArraySpec,
    ImageCondition,
    LabelCondition,
    NoCondition,
    Operation,
    Part,
    Signature,
    VectorCondition,
)
from tests.inference.graphs import WEIGHTS, Files, GraphBuilder, manifest

CLASSES = ("left", "middle", "right")
MEANS = np.array([[-1.0, 0.5], [0.25, 0.0], [2.0, -0.75]], dtype=np.float32)
SCALES = np.array([0.5, 1.5], dtype=np.float32)
SHIFT, NOISE = 1.25, 0.5  # x = mean + SHIFT * padding + NOISE * z
VECTOR = np.array([[0.75, -0.5]], dtype=np.float32)  # x = VECTOR c + 0.5 z
LEVELS = 16


@dataclass
class Version:
    """Files and manifest fields of a version that has not been loaded."""

    signature: Signature
    graphs: dict[Operation, onnx.ModelProto]
    content: bytes
    fields: dict[str, object] = field(default_factory=dict)
    extra: Files = field(default_factory=dict)

    def files(self) -> Files:
        """All files, the probe made by running the graphs."""
        files = {f"{name}.onnx": graph.SerializeToString() for name, graph in self.graphs.items()}
        return {**files, WEIGHTS: self.content, "probe.safetensors": save(self.probe()), **self.extra}

    def probe(self) -> dict[str, np.ndarray]:
        """Two rows of noise through every graph."""
        from inference.graph_checks import check_graph
        from inference.weights import read_tensors

        weights = read_tensors(self.content, WEIGHTS)
        graphs = {name: graph.SerializeToString() for name, graph in self.graphs.items()}
        tensors = {name: check_graph(graph, name, name, self.signature, weights) for name, graph in graphs.items()}
        engine = OnnxEngine(self.signature, graphs, tensors)
        probe: dict[str, np.ndarray] = {}
        for operation in self.signature.operations:
            inputs = {name: self._example(name) for name in self.signature.inputs(operation)}
            outputs = engine.run(operation, inputs)
            probe |= {f"{operation}.input.{name}": array for name, array in inputs.items()}
            probe |= {f"{operation}.output.{name}": np.ascontiguousarray(array) for name, array in outputs.items()}
        return probe

    def _example(self, name: str) -> np.ndarray:
        parts = {part.name: part for part in (*self.signature.latent, *self.signature.noise)}
        if name in parts:
            return noise.NoiseSource(1, noise.SAMPLING, 0, parts[name]).draw(0, 0, 2)
        if name == "x":
            return np.ones((2, *self.signature.data.shape), dtype=self.signature.data.dtype)
        condition = self.signature.condition
        if isinstance(condition, LabelCondition):
            return np.array([0, 1])
        assert not isinstance(condition, NoCondition)
        return np.ones((2, *condition.array.shape), dtype=np.float32)

    def manifest(self, files: Mapping[str, bytes] | None = None) -> Manifest:
        return manifest(self.signature, self.files() if files is None else files, **self.fields)

    def load(self, **fields: object) -> Loaded:
        files = self.files()
        return load_version(manifest(self.signature, files, **{**self.fields, **fields}), files)


def labels() -> Version:
    """x | k ~ N(MEANS[k], diag(SCALES)^2), exact: x = MEANS[k] + SCALES z."""
    signature = Signature(
        data=ArraySpec(shape=(2,)),
        condition=LabelCondition(classes=CLASSES),
        latent=(Part(name="z", shape=(2,)),),
        operations=("decode", "encode", "score"),
    )
    weights = {"means": MEANS, "scales": SCALES}
    decode, encode, score = (GraphBuilder(weights) for _ in range(3))
    decode.op("Add", decode.op("Gather", "means", "condition"), decode.op("Mul", "z", "scales"), output="x")
    encode.op("Div", encode.op("Sub", "x", encode.op("Gather", "means", "condition")), "scales", output="z")
    row = score.op("Unsqueeze", "x", score.constant([1], np.int64))
    _normal(score, score.op("Div", score.op("Sub", row, "means"), "scales"), 2, 2, float(np.log(SCALES).sum()))
    return _version(signature, weights, decode=decode, encode=encode, score=score)


def padded_labels() -> Version:
    """x | k ~ N(mean_k, SHIFT^2 + NOISE^2) in 1-D by padding u: log-weight log N(x; mean_k + SHIFT u, NOISE^2).

    `infer`: estimate (x + u) * (1, 0, -1), with log-weight log N(x; SHIFT u, NOISE^2).
    """
    signature = Signature(
        data=ArraySpec(shape=(1,)),
        condition=LabelCondition(classes=CLASSES),
        latent=(Part(name="z", shape=(1,)), Part(name="v", shape=(1,))),
        noise=(Part(name="padding", shape=(1,)),),
        operations=("decode", "score", "infer"),
    )
    weights = {"means": MEANS[:, :1], "row": MEANS[:, 0], "signs": np.array([1, 0, -1], np.float32)}
    decode, score, infer = (GraphBuilder(weights) for _ in range(3))
    mean = decode.op("Gather", "means", "condition")
    moved = decode.op("Add", mean, decode.op("Mul", "v", decode.constant(SHIFT)))
    decode.op("Add", moved, decode.op("Mul", "z", decode.constant(NOISE)), output="x")
    rest = score.op("Sub", score.op("Sub", "x", score.op("Mul", "padding", score.constant(SHIFT))), "row")
    deviation = score.op("Unsqueeze", rest, score.constant([2], np.int64))
    _normal(score, score.op("Div", deviation, score.constant(NOISE)), 2, 1, log(NOISE))
    infer.op("Mul", infer.op("Add", "x", "padding"), "signs", output="estimate")
    rest = infer.op("Sub", "x", infer.op("Mul", "padding", infer.constant(SHIFT)))
    _normal(infer, infer.op("Div", rest, infer.constant(NOISE)), 1, 1, log(NOISE))
    return _version(signature, weights, decode=decode, score=score, infer=infer)


def read_off_vector(relaxation: float = 0.25) -> Version:
    """A vector condition of one number, read off as x + u, u | x ~ N(SHIFT x / (SHIFT^2 + NOISE^2), ...)."""
    signature = Signature(
        data=ArraySpec(shape=(1,)),
        condition=VectorCondition(array=ArraySpec(shape=(1,)), relaxation=(relaxation,)),
        latent=(Part(name="z", shape=(1,)),),
        noise=(Part(name="padding", shape=(1,)),),
        operations=("decode", "infer"),
    )
    decode, infer = GraphBuilder({}), GraphBuilder({})
    decode.op("Add", "condition", "z", output="x")
    infer.op("Add", "x", "padding", output="estimate")
    rest = infer.op("Sub", "x", infer.op("Mul", "padding", infer.constant(SHIFT)))
    _normal(infer, infer.op("Div", rest, infer.constant(NOISE)), 1, 1, log(NOISE))
    return _version(signature, {}, decode=decode, infer=infer)


def coupled_vector(
    prior: np.ndarray | None, least: tuple[float, ...] = (), greatest: tuple[float, ...] = ()
) -> Version:
    """x | c ~ N(VECTOR c, 0.25) in 1-D with c in 2-D; the posterior under c ~ N(0, I) is Gaussian."""
    signature = Signature(
        data=ArraySpec(shape=(1,)),
        condition=VectorCondition(array=ArraySpec(shape=(2,)), least=least, greatest=greatest),
        latent=(Part(name="z", shape=(1,)),),
        operations=("decode", "encode", "score"),
    )
    weights = {"matrix": VECTOR}
    decode, encode, score = (GraphBuilder(weights) for _ in range(3))
    mean = _project(decode)
    decode.op("Add", mean, decode.op("Mul", "z", decode.constant(0.5)), output="x")
    encode.op("Div", encode.op("Sub", "x", _project(encode)), encode.constant(0.5), output="z")
    _normal(score, score.op("Div", score.op("Sub", "x", _project(score)), score.constant(0.5)), 1, 1, log(0.5))
    version = _version(signature, weights, decode=decode, encode=encode, score=score)
    if prior is not None:
        version.extra["prior_sample.safetensors"] = save({"condition": prior})
    return version


def images() -> Version:
    """Images 1 x 2 x 2 of 16 levels: pixel mass ((i + 1)^2 - i^2) / 16^2, by dequantization with density 2 t."""
    signature = Signature(
        data=ArraySpec(shape=(1, 2, 2), dtype="uint8", levels=LEVELS),
        latent=(Part(name="z", shape=(1, 2, 2)),),
        noise=(Part(name="dequantization", shape=(1, 2, 2), distribution="uniform"),),
        operations=("decode", "score"),
    )
    decode, score = GraphBuilder({}), GraphBuilder({})
    share = decode.op("Erf", decode.op("Mul", "z", decode.constant(sqrt(0.5))))
    share = decode.op("Mul", decode.op("Add", share, decode.constant(1.0)), decode.constant(0.5))
    level = decode.op("Floor", decode.op("Mul", decode.op("Sqrt", share), decode.constant(float(LEVELS))))
    decode.op("Clip", level, decode.constant(0.0), decode.constant(LEVELS - 1.0), output="x")
    density = score.op("Mul", score.op("Add", "x", "dequantization"), score.constant(2.0 / LEVELS**2))
    axes = score.constant([1, 2, 3], np.int64)
    score.op("ReduceSum", score.op("Log", density), axes, keepdims=0, output="log_weight")
    return _version(signature, {}, decode=decode, score=score)


def image_condition() -> Version:
    """x = c + 0.5 z for images 1 x 2 x 2, exact."""
    signature = Signature(
        data=ArraySpec(shape=(1, 2, 2)),
        condition=ImageCondition(array=ArraySpec(shape=(1, 2, 2))),
        latent=(Part(name="z", shape=(1, 2, 2)),),
        operations=("decode", "score"),
    )
    decode, score = GraphBuilder({}), GraphBuilder({})
    decode.op("Add", "condition", decode.op("Mul", "z", decode.constant(0.5)), output="x")
    deviation = score.op("Div", score.op("Sub", "x", "condition"), score.constant(0.5))
    flat = score.op("Reshape", deviation, score.constant([-1, 4], np.int64))
    _normal(score, flat, 1, 4, 4 * log(0.5))
    return _version(signature, {}, decode=decode, score=score)


def unconditional(space: str = "data") -> Version:
    """x ~ N(1, 4) in 1-D."""
    signature = Signature(
        data=ArraySpec(shape=(1,)),
        latent=(Part(name="z", shape=(1,)),),
        space=space,
        operations=("decode", "encode", "score"),
    )
    decode, encode, score = (GraphBuilder({}) for _ in range(3))
    decode.op("Add", decode.op("Mul", "z", decode.constant(2.0)), decode.constant(1.0), output="x")
    encode.op("Div", encode.op("Sub", "x", encode.constant(1.0)), encode.constant(2.0), output="z")
    deviation = score.op("Div", score.op("Sub", "x", score.constant(1.0)), score.constant(2.0))
    _normal(score, deviation, 1, 1, log(2.0))
    return _version(signature, {}, decode=decode, encode=encode, score=score)


def numbered(number: int, floats: int) -> Version:
    """x = number + z, so that z = x - number tells which version answered; each graph has so many float32 weights."""
    signature = Signature(
        data=ArraySpec(shape=(1,)), latent=(Part(name="z", shape=(1,)),), operations=("decode", "encode")
    )
    weights = {"ballast": np.full(floats, number, np.float32)}
    decode, encode = GraphBuilder(weights), GraphBuilder(weights)
    for graph, operator, given, output in ((decode, "Add", "z", "x"), (encode, "Sub", "x", "z")):
        mean = graph.op("Gather", "ballast", graph.constant([0], np.int64))
        graph.op(operator, given, mean, output=output)
    return _version(signature, weights, decode=decode, encode=encode)


def normal_log_density(x: np.ndarray, mean: np.ndarray | float, variance: np.ndarray | float) -> np.ndarray:
    """log N(x; mean, variance), elementwise in float64."""
    return -0.5 * (np.square(x - mean) / variance + np.log(2 * pi * np.asarray(variance)))


def _normal(g: GraphBuilder, deviation: str, axis: int, size: int, log_scale: float) -> None:
    """log_weight = -|deviation|^2 / 2 - size/2 log 2 pi - log_scale, summed over `axis`."""
    squares = g.op("ReduceSum", g.op("Mul", deviation, deviation), g.constant([axis], np.int64), keepdims=0)
    constant = g.constant(-0.5 * size * log(2 * pi) - log_scale)
    g.op("Add", g.op("Mul", squares, g.constant(-0.5)), constant, output="log_weight")


def _project(g: GraphBuilder) -> str:
    return g.op("ReduceSum", g.op("Mul", "condition", "matrix"), g.constant([1], np.int64), keepdims=1)


def _version(signature: Signature, weights: Mapping[str, np.ndarray], **graphs: GraphBuilder) -> Version:
    content = save({name: np.ascontiguousarray(array) for name, array in weights.items()})
    return Version(signature, {name: g.build(signature, name) for name, g in graphs.items()}, content)

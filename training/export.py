"""From a fitted model to the files of a version: architecture, weights stored once, one ONNX graph per operation.

Every graph is run in ONNX Runtime from the very bytes that will be stored, at several batch sizes, and compared with
torch in float64; a graph that takes an embedding is run behind the one that makes it, so that its errors are those of
the whole way from x. The errors go into the manifest, beside those of lower precisions, and a few of the rows into the
self-test probe.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from safetensors.numpy import save
from torch import Tensor

from flows.config import ImageCondition, LabelCondition, VectorCondition
from flows.functions import Function, functions
from flows.models.base import Model, Operation, Part
from inference.graph_checks import WEIGHTS
from model_store.manifest import GraphError, Lowered, Probe
from training.errors import TrainingError
from training.graphs import WeightsFile, trace
from training.lowered import precision_errors

BATCH_SIZES = (1, 2, 7, 256)
PROBE_ROWS = 3
BATCH_BOUND, BATCH_FACTOR = 1e-5, 20.0
PROBE = "probe.safetensors"
Arrays = dict[str, np.ndarray]


class ExportError(TrainingError):
    """A graph disagrees with the model it was made from."""


@dataclass(frozen=True)
class Export:
    """`files` by path, the errors of each graph, and of torch in lower precisions, against torch in float64, the probe
    with its tolerances."""

    files: dict[str, bytes]
    graph_errors: dict[str, GraphError]
    precision_errors: dict[Lowered, dict[str, GraphError]]
    probe: Probe
    parameters: int


def export(
    model: Model,
    x: Tensor | None = None,
    condition: Tensor | None = None,
    *,
    batch_sizes: tuple[int, ...] = BATCH_SIZES,
    seed: int = 0,
    tolerance: float = 1e-2,
) -> Export:
    """Files of a version of `model`, checked.

    `x` (rows, *data shape) and `condition` are examples to check the graphs on, repeated to the batch sizes; without
    them conditions are drawn at random and x is decoded from random latents. Raises ExportError when a graph's error
    relative to the largest output exceeds `tolerance`.
    """
    was_training = model.training
    model.eval()
    try:
        examples = _Examples(model, x, condition, seed)
        exported = functions(model)
        protos = {str(name): trace(function, examples.inputs(function, 2)) for name, function in exported.items()}
        state = model.state_dict()
        weights = WeightsFile({name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()})
        for proto in protos.values():
            weights.add(proto)
        content, graphs = weights.finish(protos)

        whole = _in_float64(model)
        sessions = {name: session_of(graphs[name], content) for name in exported}
        errors: dict[str, GraphError] = {}
        probe: Arrays = {}
        for name, function in exported.items():
            way = _Way(whole[name], sessions[name], sessions["embed"] if function.embedded else None)
            errors[name] = _measure(way, examples, batch_sizes, tolerance)
            probe |= _probe_rows(function, sessions[name], examples)
        lowered = precision_errors(model, _exact(model, whole, examples, max(batch_sizes)))
    finally:
        model.train(was_training)
    files = {f"{name}.onnx": graph for name, graph in graphs.items()}
    files |= {
        "architecture.json": model.config.model_dump_json(indent=2).encode(),
        WEIGHTS: content,
        PROBE: save(probe),
    }
    count = sum(parameter.numel() for parameter in model.parameters())
    return Export(files, errors, lowered, _tolerances(probe, errors), count)


def measure_lowered(model: Model, *, seed: int = 0) -> dict[Lowered, dict[str, GraphError]]:
    """What lower precisions do to the answers of `model` (in evaluation mode) to its own samples."""
    examples = _Examples(model, None, None, seed)
    return precision_errors(model, _exact(model, _in_float64(model), examples, max(BATCH_SIZES)))


def session_of(graph: bytes, weights: bytes) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session of one graph, its external data taken from the weights file's bytes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class _Examples:
    """Inputs for each function: the given rows, or conditions at random and x decoded from random latents."""

    def __init__(self, model: Model, x: Tensor | None, condition: Tensor | None, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        rows = max(BATCH_SIZES) if x is None else x.shape[0]
        if condition is None:
            condition = self._random_condition(model, rows)
        self._tensors = {part.name: self._draw(part, rows) for part in (*model.latent, *model.noise)}
        if condition is not None:
            self._tensors["condition"] = condition
        if x is None:
            with torch.no_grad():
                x = model.decode(tuple(self._tensors[part.name] for part in model.latent), condition)
        self._tensors["x"] = x.to(torch.get_default_dtype())
        with torch.no_grad():
            self._tensors["embedding"] = model.embed(self._tensors["x"])

    def inputs(self, function: Function, rows: int) -> tuple[Tensor, ...]:
        """The first `rows` rows, from the start again when there are fewer."""
        index = torch.arange(rows) % self._tensors["x"].shape[0]
        return tuple(self._tensors[name][index] for name in function.inputs)

    def _draw(self, part: Part, rows: int) -> Tensor:
        draw = torch.randn if part.distribution == "normal" else torch.rand
        return draw((rows, *part.shape), generator=self._generator)

    def _random_condition(self, model: Model, rows: int) -> Tensor | None:
        match model.condition:
            case LabelCondition(classes=classes):
                return torch.randint(classes, (rows,), generator=self._generator)
            case VectorCondition(size=size):
                return torch.randn(rows, size, generator=self._generator)
            case ImageCondition(shape=shape, levels=levels):
                if levels is None:
                    return torch.randn(rows, *shape, generator=self._generator)
                return torch.randint(levels, (rows, *shape), generator=self._generator).float()
        return None


@dataclass(frozen=True)
class _Way:
    """From the inputs of `function`, which takes x itself, to its outputs by graphs: `embed`, if any, then `of`."""

    function: Function
    of: onnxruntime.InferenceSession
    embed: onnxruntime.InferenceSession | None

    def run(self, inputs: tuple[Tensor, ...]) -> Arrays:
        """What the graphs answer."""
        feeds = {name: tensor.numpy() for name, tensor in zip(self.function.inputs, inputs, strict=True)}
        if self.embed is not None:
            (feeds["embedding"],) = self.embed.run(["embedding"], {"x": feeds.pop("x")})
        return _run(self.function, self.of, feeds)


def _run(function: Function, session: onnxruntime.InferenceSession, feeds: Arrays) -> Arrays:
    outputs = session.run(list(function.outputs), feeds)
    return dict(zip(function.outputs, (np.asarray(output) for output in outputs), strict=True))


@torch.no_grad()
def _expected(function: Function, inputs: tuple[Tensor, ...]) -> Arrays:
    outputs = function(*(tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs))
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: tensor.numpy() for name, tensor in zip(function.outputs, tensors, strict=True)}


def _in_float64(model: Model) -> Mapping[Operation, Function]:
    """The functions of a copy of `model`, those that take an embedding from x on."""
    reference = copy.deepcopy(model).double()
    return functions(reference) | functions(reference, embedded=False)


def _exact(
    model: Model, whole: Mapping[Operation, Function], examples: _Examples, rows: int
) -> dict[str, tuple[Function, tuple[Tensor, ...], Arrays]]:
    """The functions of `model` from x on, with inputs, and what `whole`, which are the same in float64, answer."""
    ours = functions(model) | functions(model, embedded=False)
    return {
        name: (ours[name], inputs := examples.inputs(function, rows), _expected(function, inputs))
        for name, function in whole.items()
    }


def _measure(way: _Way, examples: _Examples, batch_sizes: tuple[int, ...], tolerance: float) -> GraphError:
    """Largest |graph - torch|, and the same relative to the largest |torch| of that output.

    Integers may fall to the other side of a rounding: one level, in one of a hundred elements.
    """
    absolute = relative = 0.0
    function, apart = way.function, _apart(way, examples, batch_sizes)
    for rows in batch_sizes:
        inputs = examples.inputs(function, rows)
        got, expected = way.run(inputs), _expected(function, inputs)
        for name, reference in expected.items():
            if got[name].shape != reference.shape:
                raise ExportError(
                    f"{function.operation}: {name} has shape {got[name].shape} at {rows} rows, "
                    f"torch says {reference.shape}"
                )
            difference = np.abs(got[name] - reference)
            if not np.isfinite(difference).all():
                raise ExportError(f"{function.operation}: {name} is not finite on the examples, or the weights are not")
            error = float(difference.max(initial=0.0))
            absolute = max(absolute, error)
            if _is_integer(function, name):
                _check_integers(function, difference)
                continue
            relative = max(relative, error / max(float(np.abs(reference).max(initial=0.0)), 1e-6))
    if relative > tolerance:
        raise ExportError(
            f"{function.operation}: the graph is {relative:.1e} away from torch in float64, allowed is {tolerance:.1e}"
        )
    bound = max(BATCH_BOUND, BATCH_FACTOR * apart)
    if "x" in function.outputs and _is_integer(function, "x"):
        bound = max(1.0, bound)
    return GraphError(max_abs=absolute, max_rel=relative, batch_sizes=batch_sizes, batch_bound=bound)


def _apart(way: _Way, examples: _Examples, batch_sizes: tuple[int, ...]) -> float:
    """Largest |one answer - another| / max(1, |answer|) to the same row, in batches of other sizes or one place on."""
    most = max(batch_sizes)
    inputs = examples.inputs(way.function, most)
    whole = way.run(inputs)
    rolled = way.run(tuple(tensor.roll(1, 0) for tensor in inputs))
    others = [{name: np.roll(output, -1, 0) for name, output in rolled.items()}]
    others += [way.run(examples.inputs(way.function, rows)) for rows in batch_sizes if rows != most]
    differences = (
        np.abs(output - whole[name][: len(output)]) / np.maximum(1, np.abs(output))
        for other in others
        for name, output in other.items()
    )
    return max(float(difference.max(initial=0.0)) for difference in differences)


def _is_integer(function: Function, output: str) -> bool:
    return output == "x" and function.model.data.levels is not None


def _check_integers(function: Function, difference: np.ndarray) -> None:
    off = float((difference > 0).mean()) if difference.size else 0.0
    if not (difference.max(initial=0.0) <= 1 and off <= 0.01):
        raise ExportError(
            f"{function.operation}: integers differ from torch in float64 by up to {difference.max():.0f} levels, "
            f"in {off:.1%} of the elements; allowed is one level in 1%"
        )


def _probe_rows(function: Function, session: onnxruntime.InferenceSession, examples: _Examples) -> Arrays:
    inputs = zip(function.inputs, examples.inputs(function, PROBE_ROWS), strict=True)
    feeds = {name: tensor.numpy() for name, tensor in inputs}
    outputs = _run(function, session, feeds)
    named = {f"input.{name}": array for name, array in feeds.items()}
    named |= {f"output.{name}": output for name, output in outputs.items()}
    return {f"{function.operation}.{name}": np.ascontiguousarray(array) for name, array in named.items()}


def _tolerances(probe: Mapping[str, np.ndarray], errors: Mapping[str, GraphError]) -> Probe:
    """Twenty times the measured relative error of the worst graph, and never tighter than float32 allows."""
    relative = max(1e-4, 20 * max(error.max_rel for error in errors.values()))
    largest = max(float(np.abs(array).max()) for name, array in probe.items() if ".output." in name)
    return Probe(path=PROBE, rtol=relative, atol=max(1e-4, relative * min(largest, 1.0)))

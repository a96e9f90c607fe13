"""From a manifest and its bytes to a version that answers: every byte and every claim is checked on the way.

Each file is read once and hashed; nothing after that opens a path. The graphs may use the standard operators alone,
without control flow, local functions or random numbers, and of the outside only tensors of `weights.safetensors`.
What is not checked is how much memory an operator asks for at run time: whoever may publish a version may make it
slow or large, but not make it read files, run code, or answer other than its probe says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inference.array_engine import ArrayEngine
from inference.engine import EngineError, EngineLost, EngineOutOfMemory
from inference.errors import (
    ChangedFile,
    InconsistentManifest,
    MalformedGraph,
    MissingFile,
    ProbeFailed,
    SignatureMismatch,
    WrongDtype,
    WrongKey,
    WrongShape,
)
from inference.graph_checks import WEIGHTS, check_graph
from inference.loaded import Loaded
from inference.onnx_engine import OnnxEngine
from inference.weights import Tensors, read_tensors
from model_store.manifest import Manifest, Precision
from model_store.signature import LabelCondition, Operation, Signature, VectorCondition

ARCHITECTURE = "architecture.json"
PRIOR_SAMPLE = "prior_sample.safetensors"
LOWERED_FACTOR = 8.0  # probe answers in a lower precision may be off by so many times the error recorded for it
Read = Callable[[str], bytes]


class Store(Protocol):
    """What loading needs of a model store."""

    def resolve(self, name: str, reference: int | str | None = None) -> Manifest:
        """The manifest that a reference means."""
        ...

    def read(self, manifest: Manifest, path: str) -> bytes:
        """The bytes of one file of a version."""
        ...


@dataclass(frozen=True)
class Placement:
    """Where and how a version is computed.

    `device` "cpu" runs the graphs in ONNX Runtime with `threads`; anything else runs the architecture in torch there. A
    version without an architecture, which was brought as graphs, runs on the CPU whatever the device. The rest is for
    torch alone: `precision` of products, where the version's export recorded its error; `most_rows` of one program;
    `fixed_rows` of every program, 0 for as many as a batch needs; `fuse_seconds` that a version's warm-up may spend on
    finding what a compiler makes faster. Of the CPU's engine, `rests` says that it is going to be told which operations
    may rest.
    """

    device: str = "cpu"
    threads: int = 1
    precision: Precision = "float32"
    most_rows: int = 65_536
    fixed_rows: int = 0
    fuse_seconds: float = 0.0
    rests: bool = False

    def on_device(self, manifest: Manifest) -> bool:
        """Whether a version is computed on `device`, and not on the CPU instead."""
        return self.device == "cpu" or manifest.file(ARCHITECTURE) is not None

    def precision_of(self, manifest: Manifest) -> Precision:
        """How the products of a version are computed."""
        return self.precision if self.on_device(manifest) else "float32"


def load(
    store: Store,
    name: str,
    reference: int | str | None = None,
    *,
    threads: int = 1,
    device: str = "cpu",
    placement: Placement | None = None,
) -> Loaded:
    """Resolve `name@reference` (None: alias champion, else the highest version), and load it as `load_version` does.

    Raises:
        LoadError, EngineError: the version is refused; see `load_version`.
        model_store errors: the reference means nothing, or a blob is not to be had.
    """
    manifest = store.resolve(name, reference)
    place = placement or Placement(device, threads)
    return load_version(manifest, lambda path: store.read(manifest, path), placement=place)


def load_version(
    manifest: Manifest,
    read: Read | Mapping[str, bytes],
    *,
    threads: int = 1,
    device: str = "cpu",
    placement: Placement | None = None,
) -> Loaded:
    """Verify and load a version whose bytes `read(path)` gives (or a mapping holds), in a store or before publication.

    `placement` says more than `threads` and `device`, and is taken instead of them.

    Raises:
        LoadError: the version is refused; its subclass says why.
        EngineError: it may not run in the precision asked for; EngineOutOfMemory: the device has no room for it.
    """
    place = placement or Placement(device, threads)
    _check_manifest(manifest)
    _check_precision(manifest, place)
    files = _read_files(manifest, read)
    signature = manifest.signature
    weights = read_tensors(_need(files, WEIGHTS), WEIGHTS)
    weights.check_finite(WEIGHTS)
    graphs: dict[Operation, bytes] = {}
    tensors: dict[Operation, dict[str, np.ndarray]] = {}
    for operation in signature.operations:
        path = f"{operation}.onnx"
        graphs[operation] = _need(files, path)
        tensors[operation] = check_graph(graphs[operation], path, operation, signature, weights)
    prior_sample = _prior_sample(manifest, files)
    probe = read_tensors(_need(files, manifest.probe.path), manifest.probe.path)
    if place.device == "cpu" or not place.on_device(manifest):
        try:
            engine: ArrayEngine = OnnxEngine(signature, graphs, tensors, place.threads, rests=place.rests)
        except EngineOutOfMemory:
            raise
        except EngineError as error:
            raise MalformedGraph(f"ONNX Runtime refuses it: {error}") from error
    else:
        engine = _torch_engine(signature, files[ARCHITECTURE], weights, place)
    try:
        for operation in signature.operations:
            _check_probe(engine, operation, probe, manifest, place.precision_of(manifest))
    except BaseException:
        engine.close()
        raise
    return Loaded(manifest, manifest.digest, engine, prior_sample)


def check_device(device: str) -> None:
    """Raises EngineError, before anything is loaded, when versions cannot run on `device`."""
    if device == "cpu":
        return
    try:
        from inference.torch_engine import check_device as check
    except ImportError as error:
        raise EngineError(f"device {device}: torch is not installed ({error})") from error
    check(device)


def _torch_engine(signature: Signature, architecture: bytes, weights: Tensors, place: Placement) -> ArrayEngine:
    from inference.torch_engine import Fusion, TorchEngine  # torch is imported only where it runs

    tensors = {name: weights.array(name) for name in weights.entries}
    # what a compiler makes of a program is chosen by the clock: not where every bit is promised
    fusion = Fusion(seconds=place.fuse_seconds) if place.fuse_seconds and not place.fixed_rows else None
    try:
        return TorchEngine(
            signature,
            architecture,
            tensors,
            place.device,
            precision=place.precision,
            most_rows=place.most_rows,
            fixed_rows=place.fixed_rows,
            fusion=fusion,
        )
    except (EngineOutOfMemory, EngineLost):
        raise
    except (EngineError, ValueError) as error:
        raise WrongKey(f"torch cannot build it: {error}", ARCHITECTURE) from error


def _check_precision(manifest: Manifest, place: Placement) -> None:
    precision = place.precision_of(manifest)
    if precision == "float32":
        return
    if place.device == "cpu":
        raise EngineError(f"precision {precision}: the CPU engine computes in float32")
    missing = set(manifest.signature.operations) - set(manifest.precision_errors.get(precision, {}))
    if missing:
        name, version = manifest.name, manifest.version
        raise EngineError(
            f"precision {precision}: the export of {name} version {version} did not record what it does to "
            f"{', '.join(sorted(missing))}; `python -m training precision {name}` does, or serve it in float32"
        )


def _check_manifest(manifest: Manifest) -> None:
    condition = manifest.signature.condition
    if manifest.class_prior is not None:
        classes = len(condition.classes) if isinstance(condition, LabelCondition) else 0
        prior = np.array(manifest.class_prior)
        if len(prior) != classes or not (prior >= 0).all() or not abs(prior.sum() - 1) <= 1e-6:
            raise InconsistentManifest(f"class_prior: expected {classes} probabilities that sum to one")
    for kind, scores in (
        ("conditional", manifest.validation_scores.conditional),
        ("marginal", manifest.validation_scores.marginal),
    ):
        if not (np.diff(scores) >= 0).all() or np.isnan(scores).any():
            raise InconsistentManifest(f"validation_scores.{kind}: expected sorted numbers")


def _read_files(manifest: Manifest, read: Read | Mapping[str, bytes]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for entry in manifest.files:
        try:
            content = read[entry.path] if isinstance(read, Mapping) else read(entry.path)
        except (KeyError, FileNotFoundError) as error:
            raise MissingFile("its bytes are not to be had", entry.path) from error
        if len(content) != entry.size:
            raise ChangedFile(f"{len(content)} bytes, the manifest says {entry.size}", entry.path)
        if hashlib.sha256(content).hexdigest() != entry.digest:
            raise ChangedFile("its digest is not the manifest's", entry.path)
        files[entry.path] = content
    return files


def _need(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise MissingFile("the signature needs it, the manifest does not list it", path)
    return files[path]


def _prior_sample(manifest: Manifest, files: Mapping[str, bytes]) -> np.ndarray | None:
    condition = manifest.signature.condition
    if PRIOR_SAMPLE not in files:
        return None
    if not isinstance(condition, VectorCondition):
        raise InconsistentManifest("only vector conditions have a prior sample", PRIOR_SAMPLE)
    tensors = read_tensors(files[PRIOR_SAMPLE], PRIOR_SAMPLE)
    tensors.check_finite(PRIOR_SAMPLE)
    entry = _entry(tensors, "condition", PRIOR_SAMPLE)
    if entry.dtype != "F32":
        raise WrongDtype(f"condition is {entry.dtype}, expected F32", PRIOR_SAMPLE)
    if entry.shape[1:] != condition.array.shape or not entry.shape[0]:
        raise WrongShape(f"condition has shape {entry.shape}, expected (n, {condition.size})", PRIOR_SAMPLE)
    return tensors.array("condition")


def _entry(tensors: Tensors, key: str, path: str) -> Any:
    if key not in tensors.entries:
        raise WrongKey(f"there is no tensor {key!r}", path)
    return tensors.entries[key]


def _check_probe(
    engine: ArrayEngine, operation: Operation, probe: Tensors, manifest: Manifest, precision: Precision
) -> None:
    path, signature, atol = manifest.probe.path, manifest.signature, manifest.probe.atol
    if precision != "float32":
        atol += LOWERED_FACTOR * manifest.precision_errors[precision][operation].max_abs
    prefix = f"{operation}.input."
    names = {key.removeprefix(prefix) for key in probe.entries if key.startswith(prefix)}
    if names != set(signature.inputs(operation)):
        raise SignatureMismatch(f"{operation} has inputs {sorted(names)}, expected {signature.inputs(operation)}", path)
    try:
        got = engine.run(operation, {name: probe.array(prefix + name) for name in names})
    except (EngineOutOfMemory, EngineLost):
        raise
    except EngineError as error:
        raise ProbeFailed(str(error), path) from error
    for name in signature.outputs(operation):
        key = f"{operation}.output.{name}"
        _entry(probe, key, path)
        expected, found = probe.array(key).astype(np.float64), got[name].astype(np.float64)
        if expected.shape != found.shape:
            raise ProbeFailed(f"{key} has shape {expected.shape}, the graph gives {found.shape}", path)
        close = np.isclose(found, expected, rtol=manifest.probe.rtol, atol=atol, equal_nan=True)
        if name == "x" and signature.data.is_integer:  # rounding may fall to the other side on another machine
            near = np.abs(found - expected) <= 1
            close |= near if np.sum(~close & near) <= max(1, close.size // 100) else False
        if not close.all():
            worst = np.abs(found - expected)[~close].max()
            raise ProbeFailed(f"{key}: {np.sum(~close)} of {close.size} answers are off, by up to {worst:.3g}", path)

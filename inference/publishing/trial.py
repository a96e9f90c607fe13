"""The trial: in a process of its own, under limits, foreign graphs become the files of a version and must pass as one.

`main(FOLDER)` reads `FOLDER/job.json`, and writes the files into `FOLDER/files` and what was found into
`FOLDER/report.json`; a refusal goes into `FOLDER/refusal.txt`, with exit status 3. Whatever a hostile graph does to
ONNX Runtime, it does here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import save

from inference.engine import EngineError, EngineOutOfMemory
from inference.errors import LoadError
from inference.graph_checks import WEIGHTS, check_graph
from inference.loading import PRIOR_SAMPLE, load_version
from inference.onnx_engine import OnnxEngine
from inference.publishing.checks import check, example_inputs
from inference.publishing.given import Given, Refusal, beside, read_file, read_prior_sample, read_signature
from inference.publishing.job import REFUSED, SEED, Check, GraphFacts, Job, Report
from inference.publishing.reference import score_reference
from inference.publishing.rewriting import Rewritten, WeightsFile, rewrite
from inference.weights import read_tensors
from model_store.manifest import Draft, Lineage, Probe, unpublished
from model_store.signature import Operation, Signature, VectorCondition

LARGEST_FILE = (2 << 30) - 1  # what protobuf can hold
LARGEST_EXTERNAL = 64 << 30  # the limit on memory is met long before


def try_out(given: Given) -> tuple[Report, dict[str, bytes]]:
    """The report and the files of the version, loaded and verified as the service will do it.

    Raises:
        Refusal, LoadError, EngineError: what is wrong with what was given.
    """
    signature = read_signature(given)
    files, facts, parameters = _files(given, signature)
    prior_sample = None
    if given.prior_sample is not None:
        prior_sample = read_prior_sample(given.prior_sample, signature)
        files[PRIOR_SAMPLE] = save({"condition": prior_sample})
        signature = _ranged(signature, prior_sample)
    weights = read_tensors(files[WEIGHTS], WEIGHTS)
    weights.check_finite(WEIGHTS)
    graphs = {operation: files[f"{operation}.onnx"] for operation in signature.operations}
    tensors = {name: check_graph(graphs[name], f"{name}.onnx", name, signature, weights) for name in graphs}
    engine = OnnxEngine(signature, graphs, tensors)
    inputs = example_inputs(signature, engine, SEED, prior_sample)
    checks = check(signature, engine, inputs)
    probe = _probe(signature, engine, inputs)
    files["probe.safetensors"] = save(probe)
    engine.close()
    report = Report(
        signature=signature,
        parameters=parameters,
        probe=_tolerances(probe, checks),
        graphs=facts,
        checks=tuple(checks),
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )
    loaded = load_version(unpublished(_draft(report), files), files)
    try:
        if given.reference is not None:
            reference = score_reference(loaded, given.reference, given.draws)
            report = report.model_copy(update={"reference": reference})
    finally:
        loaded.close()
    return report, files


def _ranged(signature: Signature, prior_sample: np.ndarray) -> Signature:
    """The signature with the range of the prior sample, where it names none itself."""
    condition = signature.condition
    if not isinstance(condition, VectorCondition) or condition.least:
        return signature
    ends = (end.ravel().tolist() for end in (prior_sample.min(axis=0), prior_sample.max(axis=0)))
    return signature.model_copy(update={"condition": condition.within(*ends)})


def _files(given: Given, signature: Signature) -> tuple[dict[str, bytes], dict[Operation, GraphFacts], int]:
    weights = WeightsFile()
    rewritten: dict[Operation, Rewritten] = {}
    facts: dict[Operation, GraphFacts] = {}
    for operation in signature.operations:
        path = given.graphs[operation]
        content = read_file(path, LARGEST_FILE)
        graph = rewrite(content, str(path), operation, signature, beside(path, LARGEST_EXTERNAL), weights)
        digest = hashlib.sha256(content).hexdigest()
        facts[operation] = GraphFacts(digest=digest, size=len(content), producer=graph.producer, opset=graph.opset)
        rewritten[operation] = graph
    files = {WEIGHTS: weights.content()}
    tensors = read_tensors(files[WEIGHTS], WEIGHTS)
    files |= {f"{operation}.onnx": graph.encode(tensors, operation) for operation, graph in rewritten.items()}
    return files, facts, weights.parameters


def _probe(signature: Signature, engine: OnnxEngine, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    probe: dict[str, np.ndarray] = {}
    for operation in signature.operations:
        given = {name: np.ascontiguousarray(inputs[name]) for name in signature.inputs(operation)}
        outputs = engine.run(operation, given)
        probe |= {f"{operation}.input.{name}": array for name, array in given.items()}
        probe |= {f"{operation}.output.{name}": np.ascontiguousarray(array) for name, array in outputs.items()}
    return probe


def _tolerances(probe: dict[str, np.ndarray], checks: Sequence[Check]) -> Probe:
    """A hundred times what one machine's own rounding did to the answers, and never tighter than the default."""
    spread = next(one.value or 0.0 for one in checks if one.name == "rows")
    relative = max(Probe().rtol, 100 * min(spread, 1e-4))
    largest = max(float(np.abs(array).max()) for name, array in probe.items() if ".output." in name)
    return Probe(rtol=relative, atol=max(Probe().atol, relative * min(largest, 1.0)))


def _draft(report: Report) -> Draft:
    lineage = Lineage(recipe="trial", seed=SEED, data_digest="", code_version="")
    return Draft(
        name="trial",
        signature=report.signature,
        family="onnx",
        parameters=report.parameters,
        probe=report.probe,
        lineage=lineage,
    )


def main(folder: Path, connected: str | None) -> int:
    """Run the job of `folder`; the exit status. `connected`: why this process still has the network, None if not."""
    job = Job.model_validate_json((folder / "job.json").read_bytes())
    job.limits.apply()
    try:
        report, files = try_out(job.given)
        said = "the trial had none" if connected is None else f"the trial had it: {connected}"
        report = report.model_copy(update={"checks": (*report.checks, Check(name="network", result=said))})
        (folder / "files").mkdir()
        for path, content in files.items():
            (folder / "files" / path).write_bytes(content)
        (folder / "report.json").write_text(report.model_dump_json())
    except (MemoryError, EngineOutOfMemory):
        message = f"it needs more than {job.limits.memory} MiB of memory (--memory)"
    except (Refusal, LoadError, EngineError) as error:
        message = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
    else:
        return 0
    (folder / "refusal.txt").write_text(message[:2000])
    return REFUSED

"""The models that clients of the protocol see: one for each model of the store and operation it answers.

`mnist.sample` draws from `mnist`; the part after the last dot is always the operation, so names with dots stay unique.
"""

from __future__ import annotations

from dataclasses import dataclass

from inference.loading import PRIOR_SAMPLE
from model_store.manifest import Manifest
from model_store.signature import LabelCondition, NoCondition, VectorCondition
from service.operations.known import OPERATIONS
from service.problems import Problem

PLATFORM = "condflow"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "parameters"]


@dataclass(frozen=True)
class Name:
    """A model's name and an operation."""

    model: str
    operation: str

    def __str__(self) -> str:
        return f"{self.model}.{self.operation}"


def parse_name(text: str) -> Name:
    """Both parts of a name. Raises Problem (404).

    >>> parse_name("mnist.v2.infer-condition")
    Name(model='mnist.v2', operation='infer-condition')
    """
    model, _, operation = text.rpartition(".")
    if not model or operation not in OPERATIONS:
        known = ", ".join(f".{name}" for name in OPERATIONS)
        raise Problem(404, "unknown-model", f"no model {text[:64]!r}: names end with what is asked of them: {known}")
    return Name(model, operation)


def offered(manifest: Manifest) -> tuple[str, ...]:
    """The operations that this version can answer."""
    graphs, condition = manifest.signature.operations, manifest.signature.condition
    weighs = isinstance(condition, VectorCondition) and manifest.file(PRIOR_SAMPLE) is not None
    reads_off = "infer" in graphs and not isinstance(condition, (NoCondition, LabelCondition))
    can = {
        "sample": "decode" in graphs,
        "loglik": "score" in graphs,
        "infer-condition": reads_off or ("score" in graphs and (isinstance(condition, LabelCondition) or weighs)),
        "encode": "encode" in graphs,
    }
    return tuple(name for name, answers in can.items() if answers)


def check_offered(manifest: Manifest, name: Name) -> None:
    """Raise Problem (404) where this version does not answer the operation."""
    known = offered(manifest)
    if name.operation not in known:
        detail = f"version {manifest.version} of {name.model!r} does not answer {name.operation}; it answers "
        raise Problem(404, "unknown-model", detail + ", ".join(known))

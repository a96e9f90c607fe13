"""What the publisher asks of a trial and what it hears back: JSON documents between two processes."""

from __future__ import annotations

from inference.publishing.given import Given
from model_store.manifest import Probe, ValidationScores
from model_store.signature import Frozen, Operation, Signature

REFUSED = 3  # exit status
SEED = 0


class Limits(Frozen):
    """What a trial may take: MiB of address space, and seconds of CPU time."""

    memory: int = 4096
    seconds: int = 60

    def apply(self) -> None:
        """Put this process under them, for good."""
        import resource

        size = self.memory << 20
        for limit, value in (
            (resource.RLIMIT_AS, size),
            (resource.RLIMIT_FSIZE, size),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (value, value))
        resource.setrlimit(resource.RLIMIT_CPU, (self.seconds, self.seconds + 5))


class Job(Frozen):
    """What to try, and under which limits."""

    given: Given
    limits: Limits


class Check(Frozen):
    """One check that passed, or that was not to be made; `result` is a sentence for people."""

    name: str
    result: str
    value: float | None = None


class GraphFacts(Frozen):
    """Where a graph came from: the digest of the file that was given, and what its exporter noted."""

    digest: str
    size: int
    producer: str
    opset: int


class Reference(Frozen):
    """Scores of reference rows: digest of the file, how many rows and how many of them finite, their mean -log p."""

    digest: str
    rows: int
    finite: int
    nll: float
    scores: ValidationScores


class Report(Frozen):
    """What a trial found out about a flow that passed."""

    signature: Signature
    parameters: int
    probe: Probe
    graphs: dict[Operation, GraphFacts]
    checks: tuple[Check, ...]
    runtime: str
    reference: Reference | None = None

"""The card of a flow that was brought: what it speaks, what the trial saw, where the graphs came from, and no more."""

from __future__ import annotations

from inference.publishing.job import Report
from model_store.markdown import code_block, shell_json, table, text
from model_store.signature import ArraySpec, LabelCondition, NoCondition, Signature

_MOST_NUMBERS = 64


def card(name: str, report: Report) -> str:
    """`card.md` in Markdown; names of classes and columns are untrusted and escaped."""
    signature = report.signature
    exact = "exact" if signature.exact else "estimated over draws of noise"
    parts = [
        f"# {text(name)}",
        f"A flow that was exported elsewhere and published as ONNX graphs ({report.parameters:,} parameters): "
        f"{_array(signature.data)}, given {_condition(signature)}. Its likelihood is of the {signature.space}, "
        f"{exact}.",
        _fit(report),
        *_example(name, signature),
        "## What the trial saw",
        f"On noise, in {text(report.runtime)}:",
        table(("check", "result"), [(text(one.name), text(one.result)) for one in report.checks]),
        "## Where it came from",
        table(
            ("graph", "exporter", "opset", "bytes", "SHA-256 of the file"),
            [
                (operation, text(facts.producer or "unknown"), str(facts.opset), f"{facts.size:,}", facts.digest[:16])
                for operation, facts in report.graphs.items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _fit(report: Report) -> str:
    known = report.reference
    if known is None:
        return (
            "Nothing is known here of its data or of how well it fits them: it was published without an evaluation, so "
            "`/loglik` answers no percentiles."
        )
    draws = "" if report.signature.exact else f" with {known.scores.draws} draws of noise"
    return (
        f"Of its data {known.rows:,} reference rows are known: their mean negative log-likelihood{draws} is "
        f"{known.nll:.4f} nats ({known.rows - known.finite:,} rows without any mass left out), and the percentiles of "
        "`/loglik` are read against them."
    )


def _array(spec: ArraySpec) -> str:
    kind = "integers" if spec.is_integer else "numbers"
    names = "" if spec.names is None else f" ({', '.join(map(text, spec.names[:_MOST_NUMBERS]))})"
    return f"{' x '.join(map(str, spec.shape)) or '1'} {kind}{names}"


def _condition(signature: Signature) -> str:
    condition = signature.condition
    if isinstance(condition, NoCondition):
        return "nothing"
    if isinstance(condition, LabelCondition):
        shown = ", ".join(map(text, condition.classes[:_MOST_NUMBERS]))
        return f"one of {len(condition.classes)} classes ({shown})"
    return f"{'an image of ' if condition.kind == 'image' else ''}{_array(condition.array)}"


def _example(name: str, signature: Signature) -> list[str]:
    """A command that samples it, where its condition is short enough to be written down."""
    condition = signature.condition
    body: dict[str, object] = {"model": name, "num_samples": 3}
    if isinstance(condition, LabelCondition):
        body["condition"] = condition.classes[0]
    elif not isinstance(condition, NoCondition):
        if len(condition.array.shape) != 1 or condition.array.size > _MOST_NUMBERS:
            return []
        body["condition"] = [0.0] * condition.array.size
    command = f"curl -s http://127.0.0.1:8000/sample -H 'content-type: application/json' -d {shell_json(body)}"
    return ["## How to ask it", code_block(command, "sh")]

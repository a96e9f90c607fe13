"""The model card: what a version is, how to ask it, what it is good for, what was measured, where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model_store.manifest import GraphError, Manifest
from model_store.markdown import code_block, shell_json, table, text
from model_store.signature import ArraySpec, ImageCondition, LabelCondition, NoCondition, Signature, VectorCondition
from training.evaluation.limits import good_for, limits
from training.evaluation.section import Section

_SERVICE = "http://127.0.0.1:8000"
_MOST_NUMBERS = 64
_ORIGIN = "## Where it came from"


def card(
    manifest: Manifest,
    sections: Sequence[Section],
    example: np.ndarray,
    condition: np.ndarray | None,
    learned_from: Sequence[str] = (),
) -> str:
    """`card.md` in Markdown; pictures are linked by their names beside it.

    `example` is one row of x and `condition` its condition (a scalar label, an array, or None), for the commands.
    `learned_from` are blocks on the training data. Names of classes, columns and data sets are untrusted and escaped.
    """
    signature = manifest.signature
    parts = [
        f"# {text(manifest.name)}",
        _summary(manifest),
        "## How to ask it",
        "Start the service (`make serve`) and:",
        *_commands(manifest.name, signature, example, condition),
        "## What it is for, and its limits",
        "\n".join(f"- {line}" for line in (*good_for(signature), *limits(signature))),
        "## What was measured",
        "On the exported version, through the engine that serves it. Choices were made on the validation split; what "
        "follows is of the test split, and of its own seed.",
        *(block for section in sections for block in _section(section)),
        *(("## What it learned from", *learned_from) if learned_from else ()),
        _ORIGIN,
        _origin(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def with_origin(text: str, manifest: Manifest) -> str:
    """A card whose last section, where the version came from, is that of `manifest`."""
    before = text.rpartition(_ORIGIN)[0] or f"{text}\n"
    return f"{before}{_ORIGIN}\n\n{_origin(manifest)}\n"


def _summary(manifest: Manifest) -> str:
    signature = manifest.signature
    return (
        f"A conditional normalizing flow ({text(manifest.family)} family, {manifest.parameters:,} parameters) of "
        f"{_array(signature.data)}, given {_condition(signature)}."
    )


def _array(spec: ArraySpec) -> str:
    if spec.is_image:
        kind = f"images {' x '.join(map(str, spec.shape))}"
        return f"{kind} with {spec.levels} levels" if spec.is_integer else kind
    names = "" if spec.names is None else " (" + _listed(spec.names) + ")"
    return f"{spec.size} {'number' if spec.size == 1 else 'numbers'}{names}"


def _condition(signature: Signature) -> str:
    match signature.condition:
        case LabelCondition(classes=classes):
            return f"one of {len(classes)} classes: {_listed(classes)}"
        case VectorCondition(array=array):
            return _array(array)
        case condition if condition.kind == "image":
            return _array(condition.array).replace("images", "an image")
        case _:
            return "nothing"


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(text(name) for name in names[:most]) + more


def _commands(name: str, signature: Signature, example: np.ndarray, condition: np.ndarray | None) -> list[str]:
    given: dict[str, Any] = {}
    if isinstance(signature.condition, LabelCondition) and condition is not None:
        given = {"condition": signature.condition.classes[int(condition)]}
    elif condition is not None:
        given = {"condition": _numbers(condition)}
    blocks = []
    if "decode" in signature.operations and _writable(given.get("condition")):
        blocks.append(_curl("sample", {"model": name, **given, "num_samples": 3, "seed": 1}))
        if signature.data.is_image:
            grid = {"model": name, **given, "num_samples": 10, "seed": 1}
            blocks.append(_curl("sample", grid, "-H 'Accept: image/png' -o samples.png "))
    x = _numbers(example[None])
    inferred = not isinstance(signature.condition, ImageCondition | NoCondition)
    if _writable(x) and _writable(given.get("condition")):
        blocks.append(_curl("loglik", {"model": name, "x": x, **given}))
        if inferred:
            blocks.append(_curl("infer-condition", {"model": name, "x": x}))
    elif inferred:
        blocks.append(_npz(name, signature))
    return blocks


def _curl(route: str, body: dict[str, Any], options: str = "") -> str:
    command = f"curl -s {_SERVICE}/{route} -H 'Content-Type: application/json' {options}\\\n  -d {shell_json(body)}"
    return code_block(command, "sh")


def _npz(name: str, signature: Signature) -> str:
    shape = ", ".join(map(str, signature.data.shape))
    script = (
        f"python -c \"import numpy; numpy.savez('rows.npz', x=numpy.zeros((1, {shape}), '{signature.data.dtype}'))\"\n"
        f"curl -s '{_SERVICE}/infer-condition?model={name}' -H 'Content-Type: application/x-npz' "
        "-H 'Accept: application/json' --data-binary @rows.npz"
    )
    return code_block(script, "sh")


def _numbers(values: np.ndarray) -> Any:
    if values.dtype.kind in "iu":
        return values.tolist()
    return np.vectorize(lambda value: float(f"{value:.5g}"), otypes=[float])(values).tolist()


def _writable(values: Any) -> bool:
    """Whether the numbers are few enough for a line of shell."""
    return not isinstance(values, list) or np.size(values) <= _MOST_NUMBERS


def _section(section: Section) -> list[str]:
    blocks = [f"### {section.title}"]
    if section.lines:
        rows = [(line.quantity, line.value, line.note) for line in section.lines]
        blocks.append(table(("quantity", "value", "read it against"), rows))
    for picture in section.pictures:
        blocks.append(f"![{picture.caption}]({picture.path})")
        blocks.append(f"*{picture.caption}*")
    return blocks


def _origin(manifest: Manifest) -> str:
    lineage = manifest.lineage
    rows = [
        ("recipe", text(lineage.recipe)),
        ("seed", str(lineage.seed)),
        ("data digest (SHA-256)", text(lineage.data_digest)),
        ("code version", text(lineage.code_version)),
        ("parents", _listed(lineage.parents) if lineage.parents else "none"),
    ]
    rows += [
        (f"graph {text(name)} against torch", _error(error)) for name, error in sorted(manifest.graph_errors.items())
    ]
    for precision, errors in manifest.precision_errors.items():
        rows += [(f"{text(name)} in {precision} against float64", _error(of)) for name, of in sorted(errors.items())]
    return table(("what", "value"), rows)


def _error(error: GraphError) -> str:
    sizes = ", ".join(map(str, error.batch_sizes))
    return f"largest error {error.max_abs:.2g} (relative {error.max_rel:.2g}) at batch sizes {sizes}"

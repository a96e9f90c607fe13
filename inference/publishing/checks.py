"""What can be known about a foreign flow without its data: run on noise, its graphs are held against each other.

Raised is what makes a flow wrong for everybody; what could not be checked is said, and stands in the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, pi

import numpy as np

from inference.engine import Arrays, Engine, EngineError
from inference.noise import SAMPLING, SCORING, sources
from inference.publishing.given import Refusal
from inference.publishing.job import Check
from inference.shapes import input_shape
from model_store.signature import ImageCondition, LabelCondition, NoCondition, Operation, Part, Signature

ROWS = 7
BATCHES = (1, 2, ROWS)
LARGEST_SPREAD = 1e-3  # of a row among other rows, relative to the largest answer
LARGEST_RETURN = 1e-2  # of decode(encode(x)), relative to the largest x
LARGEST_GAP = 0.25  # nats between the score and the change of variables
STEPS = (1e-2, 5e-3)
FAR = 10.0  # of a latent, and of x in units of its largest example
POINTS, MOST_DIMENSIONS, LEAST_POINTS = 16, 32, 4


def example_inputs(signature: Signature, engine: Engine, seed: int, prior_sample: np.ndarray | None) -> Arrays:
    """Seven rows of every input: noise by its distribution, conditions, and x decoded from them.

    Conditions are labels in turn, rows of the prior sample, or standard normal numbers (integers for images of levels).

    Raises:
        EngineError: `decode` fails.
    """
    inputs = _draw(signature.latent, seed, SAMPLING, ROWS) | _draw(signature.noise, seed, SCORING, ROWS)
    condition = _conditions(signature, seed, prior_sample, ROWS)
    if condition is not None:
        inputs["condition"] = condition
    inputs["x"] = engine.run("decode", _of("decode", signature, inputs))["x"]
    return inputs


def check(signature: Signature, engine: Engine, inputs: Arrays) -> list[Check]:
    """Every check on these rows.

    Raises:
        Refusal: a graph's answers are not finite, rows touch each other, or two graphs contradict each other.
        EngineError: a graph fails, or answers in another shape.
    """
    outputs = {name: engine.run(name, _of(name, signature, inputs)) for name in signature.operations}
    _check_finite(outputs)
    checks = [_rows(signature, engine, inputs, outputs), _far_out(signature, engine, inputs)]
    checks.append(_round_trip(signature, engine, inputs, outputs))
    checks.append(_density(signature, engine, inputs))
    return checks


def _check_finite(outputs: dict[Operation, Arrays]) -> None:
    for operation, arrays in outputs.items():
        for name, array in arrays.items():
            bad = int(np.sum(~np.isfinite(array)))
            if bad:
                source = "noise" if operation == "decode" else "samples that decode.onnx gave"
                raise Refusal(
                    f"{operation}.onnx: {bad} of {array.size} numbers of {name!r} are not finite, for {source}"
                )


def _rows(signature: Signature, engine: Engine, inputs: Arrays, outputs: dict[Operation, Arrays]) -> Check:
    """Rows must be answered alike alone and among others: the service cuts and joins requests as it likes."""
    worst = 0.0
    for operation in signature.operations:
        for rows in BATCHES:
            part = {name: array[:rows] for name, array in _of(operation, signature, inputs).items()}
            for name, got in engine.run(operation, part).items():
                whole = outputs[operation][name].astype(np.float64)
                spread = _relative(got - whole[:rows], whole)
                if not spread <= LARGEST_SPREAD and not _is_image(signature, name):
                    raise Refusal(
                        f"{operation}.onnx: {name!r} of the first {rows} of {ROWS} rows differs by {spread:.2g} of the "
                        f"largest answer when they are asked alone, expected at most {LARGEST_SPREAD:g}: rows may not "
                        "touch each other (was the model in eval mode?)"
                    )
                worst = max(worst, spread)
    sizes = ", ".join(map(str, BATCHES))
    return Check(name="rows", result=f"{sizes} rows are answered alike, up to {worst:.1e} relative", value=worst)


def _far_out(signature: Signature, engine: Engine, inputs: Arrays) -> Check:
    """One row far out must be answered, be it by an infinity: anybody may ask for it, and it may come alone."""
    row = {name: array[:1] for name, array in inputs.items()}
    moved = [part.name for part in signature.latent if part.distribution == "normal"]
    moved += [] if signature.data.is_integer else ["x"]
    for name in moved:
        reach = FAR * max(float(np.abs(inputs[name]).max()), 1.0)
        row[name] = row[name] + np.where(row[name] < 0, -reach, reach).astype(np.float32)
    for operation in signature.operations:
        try:
            engine.run(operation, _of(operation, signature, row))
        except EngineError as error:
            raise Refusal(
                f"{operation}.onnx: it fails on one row far out, though it answers others (a graph that picks rows by "
                f"a mask, like a spline's inside, must take an empty one): {error}"
            ) from None
    return Check(name="far out", result="a row far out, alone, is answered")


def _round_trip(signature: Signature, engine: Engine, inputs: Arrays, outputs: dict[Operation, Arrays]) -> Check:
    """decode(encode(x, c), c) = x, where x is real, nothing is padded, and the density is of the data."""
    name = "round trip"
    if "encode" not in signature.operations:
        return Check(name=name, result="not checked: there is no encode graph")
    if not _is_plain(signature):
        return Check(name=name, result="not checked: the likelihood takes noise, or x is of integers or of a latent")
    latent = outputs["encode"]
    again = engine.run("decode", _of("decode", signature, {**inputs, **latent}))["x"]
    away = _relative(again - inputs["x"], inputs["x"])
    if not away <= LARGEST_RETURN:
        raise Refusal(
            f"encode.onnx: decode(encode(x)) is {away:.2g} of the largest x away from x, expected at most "
            f"{LARGEST_RETURN:g}: encode must be the inverse of decode under the same condition"
        )
    return Check(name=name, result=f"decode(encode(x)) gives x back, up to {away:.1e} relative", value=away)


def _density(signature: Signature, engine: Engine, inputs: Arrays) -> Check:
    """log p(x | c) = log p(z) - log |det dx/dz| at x = decode(z, c), the determinant by central differences."""
    name = "change of variables"
    size = sum(part.size for part in signature.latent)
    if not _is_plain(signature) or size != signature.data.size or size > MOST_DIMENSIONS:
        return Check(
            name=name,
            result=f"not checked: only for exact flows of at most {MOST_DIMENSIONS} real numbers of equal size",
        )
    points = {
        key: np.tile(array, (-(-POINTS // ROWS), *[1] * (array.ndim - 1)))[:POINTS] for key, array in inputs.items()
    }
    points |= _draw(signature.latent, 1, SAMPLING, POINTS)
    latent = np.concatenate([points[part.name].reshape(POINTS, -1) for part in signature.latent], axis=1)
    points["x"] = engine.run("decode", _of("decode", signature, points))["x"]
    score = engine.run("score", _of("score", signature, points))["log_weight"].astype(np.float64)
    if isinstance(signature.condition, LabelCondition):
        score = score[np.arange(POINTS), points["condition"]]
    coarse, fine = (_log_det(signature, engine, points, latent, step) for step in STEPS)
    sure = np.abs(coarse - fine) < LARGEST_GAP / 5
    if sure.sum() < LEAST_POINTS:
        return Check(name=name, result="not checked: decode is too steep for differences in single precision")
    gaps = np.abs(score - (_log_base(signature, points) - fine))[sure]
    gap = float(np.median(gaps))
    if not gap <= LARGEST_GAP:
        raise Refusal(
            f"score.onnx: 'log_weight' is {gap:.3g} nats away from log p(z) - log |det dx/dz| of decode.onnx (median "
            f"of {sure.sum()} samples), expected at most {LARGEST_GAP}: is the log-determinant of every step in it, "
            "standardisation too, and the normal's constant?"
        )
    return Check(name=name, result=f"the score is that of decode, up to {gap:.1e} nats (median)", value=gap)


def _log_det(signature: Signature, engine: Engine, points: Arrays, latent: np.ndarray, step: float) -> np.ndarray:
    """log |det dx/dz| (points,) by central differences of one step, all of them in one call."""
    count, size = latent.shape
    moves = step * np.concatenate([np.eye(size), -np.eye(size)])
    moved = (latent[:, None] + moves).astype(np.float32).reshape(-1, size)
    inputs: Arrays = {key: np.repeat(array, 2 * size, axis=0) for key, array in points.items()}
    place = 0
    for part in signature.latent:
        inputs[part.name] = moved[:, place : place + part.size].reshape(-1, *part.shape)
        place += part.size
    x = engine.run("decode", _of("decode", signature, inputs))["x"].astype(np.float64)
    ahead, behind = np.split(x.reshape(count, 2 * size, size), 2, axis=1)
    log_det: np.ndarray = np.linalg.slogdet((ahead - behind) / (2 * step))[1]
    return log_det


def _log_base(signature: Signature, points: Arrays) -> np.ndarray:
    """log p(z) of the normal parts; uniform ones have density 1."""
    total = np.zeros(POINTS)
    for part in signature.latent:
        if part.distribution == "normal":
            squares = np.square(points[part.name].astype(np.float64)).reshape(POINTS, -1).sum(axis=1)
            total -= 0.5 * (squares + part.size * log(2 * pi))
    return total


def _is_plain(signature: Signature) -> bool:
    return signature.exact and signature.space == "data" and not signature.data.is_integer


def _is_image(signature: Signature, output: str) -> bool:
    """Integers may fall to the other side of a rounding."""
    return output == "x" and signature.data.is_integer


def _relative(difference: np.ndarray, reference: np.ndarray) -> float:
    largest = max(float(np.abs(reference).max(initial=0.0)), 1e-6)
    return float(np.abs(difference).max(initial=0.0)) / largest


def _of(operation: Operation, signature: Signature, inputs: Arrays) -> Arrays:
    return {name: inputs[name] for name in signature.inputs(operation)}


def _draw(parts: Sequence[Part], seed: int, purpose: int, rows: int) -> Arrays:
    return {s.part.name: s.draw(0, 0, rows) for s in sources(seed, purpose, tuple(parts))}


def _conditions(signature: Signature, seed: int, prior_sample: np.ndarray | None, rows: int) -> np.ndarray | None:
    spec = signature.condition
    if isinstance(spec, NoCondition):
        return None
    if isinstance(spec, LabelCondition):
        return np.arange(rows) % len(spec.classes)
    if prior_sample is not None:
        return prior_sample[np.arange(rows) % len(prior_sample)]
    part = Part(name="condition", shape=input_shape(signature, "condition"))
    levels = spec.array.levels if spec.array.is_integer else None
    if levels is None or not isinstance(spec, ImageCondition):
        return sources(seed, SAMPLING, (*signature.latent, part))[-1].draw(0, 0, rows)
    uniform = part.model_copy(update={"distribution": "uniform"})
    shares = sources(seed, SAMPLING, (*signature.latent, uniform))[-1].draw(0, 0, rows)
    return np.floor(shares * levels).astype(np.float32)

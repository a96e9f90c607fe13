"""One small hand-made version for each kind of condition and data, published into a store."""

from __future__ import annotations

import numpy as np

from model_store.manifest import Calibration, Draft, Lineage, Manifest, ValidationScores
from model_store.signature import ArraySpec, ImageCondition, LabelCondition, Part, Signature
from model_store.store import Store
from tests.inference import handmade
from tests.inference.graphs import GraphBuilder
from tests.inference.handmade import Version

PNG_BYTES = b"\x89PNG\r\n\x1a\nnot a real picture"
CARD = b"# A card\n\n<script>alert(1)</script>\n"
HOSTILE_CLASS = "<img src=x onerror=alert(1)>"


def pictures() -> Version:
    """Colour pictures 3 x 2 x 4 of 256 levels by label, scored in a latent space; decode is round(128 + 40 z)."""
    signature = Signature(
        data=ArraySpec(shape=(3, 2, 4), dtype="uint8"),
        condition=LabelCondition(classes=("day", HOSTILE_CLASS)),
        latent=(Part(name="z", shape=(3, 2, 4)), Part(name="v", shape=(2,))),
        space="latent",
        operations=("decode", "encode", "score"),
    )
    weights = {"shift": np.array([100, 156], np.float32)}
    decode, encode, score = (GraphBuilder(weights) for _ in range(3))
    axes = np.array([1, 2, 3])

    def centre(g: GraphBuilder) -> str:
        return g.op("Unsqueeze", g.op("Gather", "shift", "condition"), g.constant(axes, np.int64))

    noise = decode.op("ReduceSum", "v", decode.constant([1], np.int64), keepdims=1)
    noise = decode.op("Unsqueeze", noise, decode.constant([2, 3], np.int64))
    raw = decode.op("Add", centre(decode), decode.op("Mul", "z", decode.constant(40.0)))
    raw = decode.op("Round", decode.op("Add", raw, noise))
    decode.op("Clip", raw, decode.constant(0.0), decode.constant(255.0), output="x")
    encode.op("Div", encode.op("Sub", "x", centre(encode)), encode.constant(40.0), output="z")
    flat = encode.op("ReduceMean", "x", encode.constant(axes, np.int64), keepdims=0)
    column = encode.op("Unsqueeze", flat, encode.constant([1], np.int64))
    encode.op("Concat", column, column, axis=1, output="v")
    mean = score.op("ReduceMean", "x", score.constant(axes, np.int64), keepdims=0)
    deviation = score.op("Sub", score.op("Unsqueeze", mean, score.constant([1], np.int64)), "shift")
    score.op("Mul", score.op("Mul", deviation, deviation), score.constant(-0.001), output="log_weight")
    return handmade._version(signature, weights, decode=decode, encode=encode, score=score)


def picture_condition() -> Version:
    """8-bit pictures 1 x 2 x 2 given an 8-bit picture 1 x 1 x 3: x = mean(condition), scored by distance."""
    signature = Signature(
        data=ArraySpec(shape=(1, 2, 2), dtype="uint8"),
        condition=ImageCondition(array=ArraySpec(shape=(1, 1, 3), dtype="uint8")),
        latent=(Part(name="z", shape=(1, 2, 2)),),
        operations=("decode", "encode", "score"),
    )
    decode, encode, score = (GraphBuilder({}) for _ in range(3))
    axes = np.array([1, 2, 3])

    def mean(g: GraphBuilder, name: str) -> str:
        return g.op("ReduceMean", name, g.constant(axes, np.int64), keepdims=1)

    raw = decode.op("Add", mean(decode, "condition"), decode.op("Mul", "z", decode.constant(3.0)))
    decode.op("Clip", decode.op("Round", raw), decode.constant(0.0), decode.constant(255.0), output="x")
    encode.op("Div", encode.op("Sub", "x", mean(encode, "condition")), encode.constant(3.0), output="z")
    deviation = score.op("Sub", mean(score, "x"), mean(score, "condition"))
    squares = score.op("Reshape", score.op("Mul", deviation, deviation), score.constant([-1], np.int64))
    score.op("Mul", squares, score.constant(-0.01), output="log_weight")
    return handmade._version(signature, {}, decode=decode, encode=encode, score=score)


def publish(store: Store, name: str, version: Version, alias: str | None = "champion", **fields: object) -> Manifest:
    """Publish a hand-made version with a card and a picture."""
    files = {**version.files(), "card.md": CARD, "samples.png": PNG_BYTES, "notes.html": b"<script></script>"}
    draft = Draft(
        **{
            "name": name,
            "signature": version.signature,
            "family": "coupling",
            "parameters": 1,
            "lineage": Lineage(recipe="handmade", seed=0, data_digest="0" * 64, code_version="0"),
            **version.fields,
            **fields,
        }
    )
    return store.publish(draft, files, alias)


def damage(store: Store, name: str, number: int, path: str) -> None:
    """Change the last byte of a file of a version, behind the store's back."""
    entry = store.resolve(name, number).file(path)
    assert entry is not None
    root = store.backend.root  # type: ignore[attr-defined]
    blob = next(blob for blob in root.rglob(entry.digest))
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)


def fill(store: Store) -> None:
    """One version of every kind."""
    rng = np.random.default_rng(0)
    scores = tuple(np.sort(rng.normal(-3, 1, 200)).tolist())
    publish(
        store,
        "labels",
        handmade.labels(),
        class_prior=(0.2, 0.3, 0.5),
        calibration=Calibration(temperature=1.5),
        validation_scores=ValidationScores(conditional=scores, marginal=scores),
        metrics={"nll": 2.5},
    )
    publish(store, "padded", handmade.padded_labels(), family="joint", validation_scores=ValidationScores(draws=4))
    prior = rng.normal(size=(512, 2)).astype(np.float32)
    publish(store, "vector", handmade.coupled_vector(prior, least=(0.0, -2.0), greatest=(1.0, 2.0)))
    publish(store, "vector-joint", handmade.read_off_vector(), family="joint")
    publish(store, "image-condition", handmade.image_condition())
    publish(store, "picture-condition", picture_condition())
    publish(store, "pictures", pictures(), family="latent")
    publish(store, "grey", handmade.images())
    publish(store, "plain", handmade.unconditional())

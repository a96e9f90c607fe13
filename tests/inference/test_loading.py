"""Loading good versions: from a mapping, from a reader, from a real store; and what is remembered of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference import answer, load, load_version, log_likelihood
from model_store.manifest import Draft
from model_store.store import Store
from tests.inference import handmade
from tests.inference.conftest import PRIOR_SAMPLE


@pytest.mark.parametrize(
    "version",
    [
        handmade.labels,
        handmade.padded_labels,
        handmade.read_off_vector,
        handmade.images,
        handmade.image_condition,
        handmade.unconditional,
        lambda: handmade.coupled_vector(PRIOR_SAMPLE),
    ],
)
def test_every_kind_loads(version) -> None:
    made = version()
    files = made.files()
    manifest = made.manifest(files)
    loaded = load_version(manifest, files.__getitem__)
    assert (loaded.name, loaded.version, loaded.digest) == ("handmade", 1, manifest.digest)
    assert loaded.signature == made.signature
    assert loaded.engine.device == "cpu"


def test_what_is_remembered() -> None:
    loaded = handmade.coupled_vector(PRIOR_SAMPLE).load()
    np.testing.assert_array_equal(loaded.prior_sample, PRIOR_SAMPLE)
    assert loaded.classes == ()
    labels = handmade.labels().load()
    assert labels.classes == handmade.CLASSES
    np.testing.assert_allclose(labels.class_prior, 1 / 3)
    assert labels.prior_sample is None


def test_from_a_store(tmp_path: Path) -> None:
    made = handmade.labels()
    fields = made.manifest().model_dump(include=set(Draft.model_fields))
    store = Store.open(tmp_path / "store")
    published = store.publish(Draft.model_validate(fields), made.files())
    for reference in (None, 1, "champion", published.digest):
        loaded = load(store, "handmade", reference)
        assert loaded.digest == published.digest
    found = answer(loaded.engine, log_likelihood(loaded, [[0.0, 0.0]], "left"))
    direct = made.load()
    wanted = answer(direct.engine, log_likelihood(direct, [[0.0, 0.0]], "left"))
    np.testing.assert_array_equal(found.log_likelihood, wanted.log_likelihood)


def test_external_weights_are_exact() -> None:
    """The answers with weights beside the graph equal those of a graph that holds them inline, bit for bit."""
    import onnxruntime
    from onnx import numpy_helper

    made = handmade.labels()
    loaded = made.load()
    inputs = {"z": np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), "condition": np.arange(50) % 3}
    weights = {"means": handmade.MEANS, "scales": handmade.SCALES}
    model = made.graphs["decode"]
    for initializer in model.graph.initializer:
        if initializer.name in weights:
            initializer.CopyFrom(numpy_helper.from_array(weights[initializer.name], initializer.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(loaded.engine.run("decode", inputs)["x"], session.run(None, inputs)[0])

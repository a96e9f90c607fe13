"""Lower precisions: only where the export recorded their error, and then with that error and no other."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from inference.engine import EngineError
from inference.errors import ProbeFailed
from inference.gpu.precision import float32_products
from inference.loaded import Loaded
from inference.loading import Placement, load_version
from inference.shapes import zeros
from model_store.manifest import GraphError, Precision
from tests.inference import handmade
from tests.inference.exported import exported, inputs, manifest_of, onnx_engine

NAME = "coupling-label"


def load(precision: Precision, device: str = "cpu:0", **fields: object) -> Loaded:
    """On the CPU, but by the torch engine: it is asked for by any device but `cpu`."""
    return load_version(manifest_of(NAME, **fields), exported(NAME)[1].files, placement=Placement(device, 1, precision))


def test_bf16_answers_within_the_recorded_error_and_is_not_float32() -> None:
    onnx = onnx_engine(NAME)
    loaded = load("bf16")
    recorded = loaded.manifest.precision_errors["bf16"]
    for operation in onnx.signature.operations:
        feed = inputs(onnx.signature, operation, 64)
        for name, wanted in onnx.run(operation, feed).items():
            found = loaded.engine.run(operation, feed)[name]
            assert found.dtype == np.float32
            error = np.abs(found - wanted).max()
            assert 1e-5 < error < 8 * recorded[operation].max_abs
    loaded.close()


def test_tf32_is_loaded_where_it_is_recorded() -> None:
    load("tf32").close()


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_without_a_record_is_refused(precision: Precision) -> None:
    with pytest.raises(EngineError, match=rf"precision {precision}: .* did not record what it does to decode, encode"):
        load(precision, precision_errors={})
    some = exported(NAME)[1].precision_errors[precision]
    with pytest.raises(EngineError, match="does to decode;"):
        partly = {name: error for name, error in some.items() if name != "decode"}
        load(precision, precision_errors={precision: partly})


def test_brought_graphs_are_computed_in_float32_whatever_the_card_is_asked_for() -> None:
    """On the CPU, where nothing else is to be had."""
    brought = handmade.labels()
    plain = brought.load().engine
    files = brought.files()
    loaded = load_version(brought.manifest(files), files, placement=Placement("cuda", precision="bf16"))
    feed = zeros(brought.signature, "decode", 3)
    np.testing.assert_array_equal(loaded.engine.run("decode", feed)["x"], plain.run("decode", feed)["x"])


def test_the_cpu_engine_has_one_precision() -> None:
    with pytest.raises(EngineError, match="precision bf16: the CPU engine computes in float32"):
        load("bf16", device="cpu")


def test_the_probe_allows_what_was_recorded_and_no_more() -> None:
    """In float32 no more than before; in bf16 a record that is far too small is found out."""
    tiny = {name: GraphError(max_abs=0, max_rel=0, batch_sizes=(1,)) for name in ("decode", "encode", "score")}
    with pytest.raises(ProbeFailed):
        load("bf16", precision_errors={"bf16": tiny})
    load("float32", precision_errors={"bf16": tiny}).close()


def test_products_are_exact_inside_and_as_before_outside() -> None:
    """The flags of a card's libraries; torch itself lets convolutions use TF32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    for tf32 in (False, True):
        with pytest.raises(KeyError), float32_products(tf32=tf32):
            assert (matmul.allow_tf32, cudnn.allow_tf32) == (tf32, tf32)
            raise KeyError
        assert (matmul.allow_tf32, cudnn.allow_tf32) == before


def test_who_wants_other_products_waits_and_who_wants_the_same_does_not() -> None:
    cudnn = torch.backends.cudnn
    before, seen = cudnn.allow_tf32, []
    entered, leave = threading.Event(), threading.Event()

    def exact() -> None:
        with float32_products(tf32=False):
            entered.set()
            leave.wait()
            seen.append(("exact", cudnn.allow_tf32))

    def fast() -> None:
        with float32_products(tf32=True):
            seen.append(("fast", cudnn.allow_tf32))

    threads = [threading.Thread(target=exact), threading.Thread(target=fast)]
    threads[0].start()
    entered.wait()
    threads[1].start()
    with float32_products(tf32=False):
        leave.set()
        threads[0].join()
        assert not cudnn.allow_tf32
    threads[1].join()
    assert seen == [("exact", False), ("fast", True)]
    assert cudnn.allow_tf32 == before

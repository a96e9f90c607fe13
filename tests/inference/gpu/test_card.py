"""What only a card can show: captured programs answer as eager ones, a call takes no memory, OOM passes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from inference.engine import EngineError, EngineOutOfMemory
from inference.gpu.fusion import Fusion
from inference.repeated import Repeated
from inference.torch_engine import TorchEngine
from tests.inference.exported import NAMES, exported, inputs, onnx_engine, torch_engine

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ROWS = (1, 5, 64, 300)


@pytest.mark.parametrize("name", NAMES)
def test_captured_is_eager_and_both_are_the_cpu_engine(name: str) -> None:
    signature, made = exported(name)
    captured, eager = torch_engine(name, device="cuda"), torch_engine(name, device="cuda", graphs=False)
    for operation in signature.operations:
        levels = 1.0 if operation == "decode" and signature.data.is_integer else 0.0
        for rows in ROWS:
            feed = inputs(signature, operation, rows)
            wanted = onnx_engine(name).run(operation, feed)
            plain = eager.run(operation, feed)
            for _ in range(3):  # eager, captured, replayed
                found = captured.run(operation, feed)
                for output, array in wanted.items():
                    np.testing.assert_array_equal(found[output], plain[output])
                    np.testing.assert_allclose(
                        found[output].astype(np.float64), array, rtol=made.probe.rtol, atol=made.probe.atol + levels
                    )
    captured.close()
    eager.close()


def test_prepared_and_fused_programs_answer_the_same() -> None:
    plain, engine = (
        torch_engine("joint-label", device="cuda", most_rows=64, fusion=fusion)
        for fusion in (None, Fusion(seconds=120.0))
    )
    engine.warm_up()
    for operation in engine.signature.operations:
        feed = inputs(engine.signature, operation, 64)
        for output, array in plain.run(operation, feed).items():
            np.testing.assert_allclose(engine.run(operation, feed)[output], array, rtol=1e-4, atol=1e-4)


def test_calls_take_no_memory() -> None:
    engine = torch_engine("coupling-label", device="cuda")
    feeds = [(name, inputs(engine.signature, name, rows)) for name in ("decode", "score") for rows in (1, 50_000)]
    for _ in range(3):
        for operation, feed in feeds:
            engine.run(operation, feed)
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(20):
        for operation, feed in feeds:
            engine.run(operation, feed)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before
    assert engine.bytes > 0
    engine.close()


def test_two_threads_and_a_load_beside_them() -> None:
    """Copies of one batch run beside the other's computation, and beside another version's captures."""
    engine = torch_engine("coupling-label", device="cuda")
    feeds = [inputs(engine.signature, "score", rows, seed=rows) for rows in (1, 700, 20_000)]
    wanted = [engine.run("score", feed)["log_weight"] for feed in feeds]
    wrong: list[int] = []

    def work() -> None:
        for turn in range(60):
            place = turn % len(feeds)
            if not np.allclose(engine.run("score", feeds[place])["log_weight"], wanted[place], rtol=1e-4, atol=1e-4):
                wrong.append(place)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        other = torch_engine("joint-label", device="cuda", most_rows=256)
        other.prepare()
        other.close()
    for thread in threads:
        thread.join()
    assert wrong == []
    engine.close()


def test_out_of_memory_halves_the_rows_and_is_over() -> None:
    engine = torch_engine("coupling-label", device="cuda")
    feed = inputs(engine.signature, "score", 65_536)
    wanted = engine.run("score", feed)["log_weight"]
    engine._programs.forget()  # type: ignore[union-attr]  # it is not closed
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    hog = torch.empty(free - 8 * 2**20, dtype=torch.uint8, device="cuda")
    with pytest.raises(EngineOutOfMemory):
        engine.run("score", feed)
    del hog
    torch.cuda.empty_cache()
    np.testing.assert_allclose(engine.run("score", feed)["log_weight"], wanted, rtol=1e-4, atol=1e-4)
    engine.close()


def test_weights_and_graphs_go_when_the_engine_is_closed() -> None:
    first: TorchEngine | None = torch_engine("coupling-label", device="cuda", most_rows=1024)
    first.close()
    del first
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        engine = torch_engine("coupling-label", device="cuda", most_rows=1024)
        engine.warm_up()
        engine.close()
        del engine
    assert torch.cuda.memory_allocated() <= before


def test_a_label_that_is_none_does_not_take_the_device_down() -> None:
    engine = torch_engine("coupling-label", device="cuda")
    feed = inputs(engine.signature, "decode", 2)
    with pytest.raises(EngineError, match="labels from 0 to 2"):
        engine.run("decode", {**feed, "condition": np.array([0, 3])})
    engine.run("decode", feed)
    engine.close()


@pytest.mark.parametrize("name", ["coupling-label", "coupling-image"])
def test_conditions_that_are_told_are_those_that_are_given(name: str) -> None:
    """Captured once, replayed with other conditions and other runs."""
    engine = torch_engine(name, device="cuda")
    for seed, counts in enumerate(([300], [1, 299], [100, 150, 50], [10] * 30)):
        feed = inputs(engine.signature, "decode", 300, seed)
        told = Repeated(feed["condition"][: len(counts)], np.array(counts))
        wanted = engine.run("decode", {**feed, "condition": told.numbers()})["x"]
        np.testing.assert_array_equal(engine.run("decode", {**feed, "condition": told})["x"], wanted)
    engine.close()


def test_lower_precisions_are_within_what_was_recorded() -> None:
    signature, made = exported("coupling-label")
    for precision, errors in made.precision_errors.items():
        engine = torch_engine("coupling-label", device="cuda", precision=precision)
        for operation in signature.operations:
            feed = inputs(signature, operation, 64)
            for name, array in onnx_engine("coupling-label").run(operation, feed).items():
                found = engine.run(operation, feed)[name]
                assert np.abs(found - array).max() < 8 * errors[operation].max_abs
        engine.close()

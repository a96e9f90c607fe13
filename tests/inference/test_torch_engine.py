"""The torch engine, on a CPU by the same path as on a card but for the capture: the engine's contract, every family."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import torch

from inference.drawn import Drawn
from inference.engine import Arrays, EngineError, EngineLost, EngineOutOfMemory
from inference.gpu.fusion import Fusion, compiled
from inference.noise import SAMPLING, NoiseSource
from inference.torch_engine import TorchEngine
from model_store.signature import Operation
from tests.inference.exported import NAMES, exported, inputs, onnx_engine, torch_engine


@pytest.fixture(scope="module")
def labels() -> TorchEngine:
    return torch_engine("coupling-label")


@pytest.fixture(scope="module")
def pixels() -> TorchEngine:
    return torch_engine("latent-joint")


def spoil(engine: TorchEngine, operation: Operation, fault: Callable[[int], Exception | None]) -> list[int]:
    """From now on calls of `operation` raise `fault(rows)` unless it is None; the list says the rows of each call."""
    programs, calls = engine._programs, []
    assert programs is not None
    function = programs._functions[operation]

    def spoilt(*tensors: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        rows = len(tensors[0])
        calls.append(rows)
        error = fault(rows)
        if error is not None:
            raise error
        return function(*tensors)

    programs._functions = {**programs._functions, operation: spoilt}
    return calls


def within(found: Arrays, wanted: Arrays, rtol: float, atol: float) -> None:
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name].astype(np.float64), array, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", NAMES)
def test_answers_as_the_cpu_engine_does_within_what_the_manifest_says(name: str) -> None:
    signature, made = exported(name)
    onnx, engine = onnx_engine(name), torch_engine(name)
    for operation in signature.operations:
        for rows in (1, 5, 64):
            feed = inputs(signature, operation, rows)
            whole_levels = 1.0 if operation == "decode" and signature.data.is_integer else 0.0
            atol = made.probe.atol + whole_levels
            within(engine.run(operation, feed), onnx.run(operation, feed), made.probe.rtol, atol)


@pytest.mark.parametrize("name", ["joint-label", "coupling-image", "latent-coupling"])
def test_rows_do_not_see_the_padding_nor_the_slices(name: str) -> None:
    signature, _ = exported(name)
    engine, sliced = torch_engine(name), torch_engine(name, most_rows=4)
    for operation in signature.operations:
        feed = inputs(signature, operation, 11)  # of 12
        whole = engine.run(operation, feed)
        repeated = {column: np.concatenate([array, array[-1:]]) for column, array in feed.items()}
        again = engine.run(operation, repeated)
        for output, array in whole.items():
            np.testing.assert_array_equal(array, again[output][:11])
        within(sliced.run(operation, feed), whole, 1e-4, 1e-4)


def test_a_row_that_is_not_a_number_stays_alone(labels: TorchEngine) -> None:
    feed = inputs(labels.signature, "encode", 5)
    wanted = labels.run("encode", feed)["z"]
    feed["x"][-1] = np.nan  # and so are the rows of the padding
    found = labels.run("encode", feed)["z"]
    np.testing.assert_array_equal(found[:-1], wanted[:-1])
    assert np.isnan(found[-1]).all()


def test_fixed_rows_are_one_bucket() -> None:
    engine = torch_engine("coupling-label", fixed_rows=16)
    feed = inputs(engine.signature, "encode", 16)
    whole = engine.run("encode", feed)["z"]
    some = engine.run("encode", {name: array[:3] for name, array in feed.items()})["z"]
    np.testing.assert_array_equal(some, whole[:3])
    assert [program for program in engine._programs._made if program.bucket != 16] == []


def test_casts(labels: TorchEngine, pixels: TorchEngine) -> None:
    feed = inputs(labels.signature, "decode", 2)
    wanted = labels.run("decode", feed)["x"]
    other = {"z": feed["z"].astype(np.float64), "condition": feed["condition"].astype(np.int32)}
    np.testing.assert_array_equal(labels.run("decode", other)["x"], wanted)
    x = pixels.run("decode", inputs(pixels.signature, "decode", 3))["x"]
    assert x.dtype == np.uint8 and x.max() < pixels.signature.data.levels
    bytes_ = inputs(pixels.signature, "embed", 3)["x"]
    found = [pixels.run("embed", {"x": bytes_.astype(kind)})["embedding"] for kind in (np.uint8, np.int64, np.float64)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_integers_without_meaning_become_zero(pixels: TorchEngine) -> None:
    feed = inputs(pixels.signature, "decode", 2)
    feed["z"][0] = np.nan
    np.testing.assert_array_equal(pixels.run("decode", feed)["x"][0], 0)


@pytest.mark.parametrize(
    ("operation", "feed", "message"),
    [
        ("infer", {"x": np.zeros((1, 4))}, "no `infer`"),
        ("decode", {"z": np.zeros((1, 4))}, "expected inputs"),
        ("decode", {"z": np.zeros((1, 4)), "condition": [0], "x": [0]}, "expected inputs"),
        ("decode", {"z": np.zeros((1, 3)), "condition": np.zeros(1)}, r"rows of shape \(3,\)"),
        ("decode", {"z": np.zeros((2, 4)), "condition": np.zeros(1)}, "differ in rows"),
        ("decode", {"z": np.zeros((2, 4)), "condition": np.array([0, 3])}, "labels from 0 to 2"),
        ("decode", {"z": np.zeros((2, 4)), "condition": np.array([-1, 0])}, "labels from 0 to 2"),
    ],
)
def test_errors_leave_the_engine_usable(labels: TorchEngine, operation: Operation, feed: Arrays, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        labels.run(operation, feed)
    labels.run("decode", {"z": np.zeros((1, 4)), "condition": np.array([1])})


def test_no_rows(labels: TorchEngine) -> None:
    assert labels.run("score", {"x": np.zeros((0, 4))})["log_weight"].shape == (0, 3)


def test_a_closed_engine_refuses() -> None:
    engine = torch_engine("coupling-none")
    engine.run("encode", inputs(engine.signature, "encode", 3))
    assert engine.bytes > 0
    engine.close()
    engine.close()
    assert engine.bytes == 0
    with pytest.raises(EngineError, match="closed"):
        engine.warm_up()


def test_a_run_in_progress_ends_well_when_the_engine_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = torch_engine("coupling-none", most_rows=8)
    feed = inputs(engine.signature, "encode", 20)
    wanted = engine.run("encode", feed)["z"]
    assert engine._programs is not None
    monkeypatch.setattr(engine._programs.buckets["encode"], "went_well", lambda bucket: engine.close())
    np.testing.assert_array_equal(engine.run("encode", feed)["z"], wanted)
    with pytest.raises(EngineError, match="closed"):
        engine.run("encode", feed)


def test_closing_does_not_wait_for_a_slot_that_a_run_takes_meanwhile() -> None:
    """It holds the lane then, which that run waits for: neither would go on."""

    class Contested(SimpleQueue[Any]):
        """Whoever looks whether it is empty finds that others were quicker."""

        def empty(self) -> bool:
            found = super().empty()
            while super().qsize():
                super().get()
            return found

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            assert not block or super().qsize(), "waits for a slot in use"
            return super().get(block, timeout)

    engine = torch_engine("coupling-none")
    slots, engine._free = engine._slots, Contested()
    for slot in slots:
        engine._free.put(slot)
    engine.close()
    assert engine.bytes == 0


def test_memory_that_runs_out_in_a_capture_is_its_cause() -> None:
    """And not its own: who follows causes must come to an end."""
    engine = torch_engine("coupling-none")
    feed = inputs(engine.signature, "encode", 3)
    engine.run("encode", feed)
    full = torch.OutOfMemoryError("no room")
    spoil(engine, "encode", lambda rows: full)
    engine._programs._made.clear()  # type: ignore[union-attr]
    for _ in range(2):  # the second captures
        with pytest.raises(EngineOutOfMemory) as raised:
            engine.run("encode", feed)
        assert raised.value.__cause__ is full


def test_a_closed_engine_keeps_nothing() -> None:
    """And needs no collector to let go: another version may want the memory at once."""
    engine = torch_engine("coupling-none")
    programs = engine._programs
    assert programs is not None
    engine.run("encode", inputs(engine.signature, "encode", 3))
    held = weakref.ref(programs._fixed[0]), *(weakref.ref(slot) for slot in engine._slots)
    gc.collect()
    gc.disable()
    try:
        del programs
        engine.close()
        assert [reference() for reference in held] == [None, None, None]
    finally:
        gc.enable()


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    signature, made = exported("joint-label")
    with pytest.raises(EngineError, match=r"weights: bijection\.\S+ of the architecture is not in weights"):
        TorchEngine(signature, made.files["architecture.json"], {}, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a card")
def test_a_missing_card_is_said() -> None:
    with pytest.raises(EngineError, match="no CUDA device"):
        torch_engine("joint-label", device="cuda")


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_share_an_engine(labels: TorchEngine, threads: int) -> None:
    """Of different operations and batch sizes, through two slots and the same fixed buffers."""
    feeds = [
        (operation, inputs(labels.signature, operation, rows, seed=rows))
        for operation in labels.signature.operations
        for rows in (1, 3, 50)
    ]
    wanted = [labels.run(operation, feed) for operation, feed in feeds]
    wrong: list[str] = []
    together = threading.Barrier(threads)

    def work(first: int) -> None:
        together.wait()
        for turn in range(30):
            place = (first + turn) % len(feeds)
            operation, feed = feeds[place]
            for name, array in labels.run(operation, feed).items():
                if not np.array_equal(array, wanted[place][name]):
                    wrong.append(f"{operation} {name} {len(array)}")

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.parametrize("counts", [(40,), (7, 0, 30, 1), (1,) * 600, (3,) * 300])
def test_noise_that_is_told_is_drawn_here(counts: tuple[int, ...]) -> None:
    """However many runs there are: more than a program's table holds are cut into several calls."""
    engine = torch_engine("latent-joint")
    runs = [(stream, 5 * stream, 5 * stream + count) for stream, count in enumerate(counts)]
    told = {
        part.name: Drawn.of(NoiseSource(3, SAMPLING, place, part), runs, 0.7)
        for place, part in enumerate(engine.signature.latent)
    }
    condition = inputs(engine.signature, "decode", sum(counts))["condition"]
    given = {name: drawn.numbers() for name, drawn in told.items()}
    found = engine.run("decode", {**told, "condition": condition})["x"]
    wanted = engine.run("decode", {**given, "condition": condition})["x"]
    assert (found != wanted).mean() < 1e-3


def test_memory_that_runs_out_halves_the_rows() -> None:
    """As the scheduler does: it tries half of the batch, and what is larger later comes in slices."""
    engine = torch_engine("coupling-none")
    feed = inputs(engine.signature, "encode", 64)
    wanted = engine.run("encode", feed)["z"]
    engine._programs._made.clear()
    calls = spoil(engine, "encode", lambda rows: torch.OutOfMemoryError("no room") if rows > 32 else None)
    with pytest.raises(EngineOutOfMemory, match="encode of 64 rows"):
        engine.run("encode", feed)
    half = {name: array[:32] for name, array in feed.items()}
    np.testing.assert_allclose(engine.run("encode", half)["z"], wanted[:32], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(engine.run("encode", feed)["z"], wanted, rtol=1e-5, atol=1e-5)
    assert calls[0] == 64 and set(calls[1:]) == {32}


def test_a_lost_device_fails_everything_after_it() -> None:
    engine = torch_engine("coupling-none")
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    spoil(engine, "score", lambda rows: lost)
    with pytest.raises(EngineLost, match="illegal memory access"):
        engine.run("score", inputs(engine.signature, "score", 2))
    with pytest.raises(EngineLost, match="gone"):
        engine.run("encode", inputs(engine.signature, "encode", 2))
    engine.close()


@pytest.mark.full  # a compiler reads the generator once for each program
def test_prepared_programs_answer_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Also where a compiler was tried, on given and on told noise."""
    fusion = Fusion(lambda function: compiled(function, "eager"), seconds=600.0)
    plain, engine = (torch_engine("coupling-label", fixed_rows=2, fusion=tried) for tried in (None, fusion))
    engine.warm_up()
    assert "not fused" not in caplog.text
    for operation in engine.signature.operations:
        feed = inputs(engine.signature, operation, 3)
        within(engine.run(operation, feed), plain.run(operation, feed), 0, 0)

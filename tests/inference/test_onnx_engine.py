"""The CPU engine: casts, names, errors."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from inference import EngineError, onnx_engine
from inference.loaded import Loaded
from inference.loading import Placement, load_version
from inference.onnx_engine import OnnxEngine
from inference.warming import warm
from tests.inference import handmade
from tests.inference.handmade import LEVELS, MEANS, SCALES


def test_casts(labels: Loaded, images: Loaded) -> None:
    x = labels.engine.run("decode", {"z": np.ones((2, 2)), "condition": np.array([0, 2], dtype=np.int32)})["x"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, MEANS[[0, 2]] + SCALES, rtol=1e-6)
    pixels = images.engine.run("decode", {"z": np.linspace(-9, 9, 8).reshape(2, 1, 2, 2)})["x"]
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, LEVELS - 1)
    noise = np.full((1, 1, 2, 2), 0.5, dtype=np.float32)
    level = np.array([[[[0, 3], [7, 15]]]])
    found = [
        images.engine.run("score", {"x": level.astype(dtype), "dequantization": noise})["log_weight"]
        for dtype in (np.uint8, np.int64, np.float64)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_integers_without_meaning_become_zero(images: Loaded) -> None:
    pixels = images.engine.run("decode", {"z": np.full((1, 1, 2, 2), np.nan)})["x"]
    np.testing.assert_array_equal(pixels, 0)


@pytest.mark.parametrize(
    ("operation", "inputs", "message"),
    [
        ("infer", {"x": np.zeros((1, 2))}, "no `infer`"),
        ("decode", {"z": np.zeros((1, 2))}, "expected inputs"),
        ("decode", {"z": np.zeros((1, 2)), "condition": [0], "x": [0]}, "expected inputs"),
        ("decode", {"z": np.zeros((1, 3)), "condition": np.zeros(1)}, r"rows of shape \(3,\)"),
        ("decode", {"z": np.zeros((2, 2)), "condition": np.zeros(1)}, "differ in rows"),
        ("decode", {"z": np.zeros((1, 2)), "condition": np.array([99])}, "decode: "),
    ],
)
def test_errors(labels: Loaded, operation, inputs, message) -> None:
    with pytest.raises(EngineError, match=message):
        labels.engine.run(operation, inputs)


def test_a_failure_leaves_the_engine_usable(labels: Loaded) -> None:
    with pytest.raises(EngineError):
        labels.engine.run("decode", {"z": np.zeros((1, 2)), "condition": np.array([-99])})
    labels.engine.run("decode", {"z": np.zeros((1, 2)), "condition": np.array([1])})


def test_no_rows(labels: Loaded) -> None:
    assert labels.engine.run("score", {"x": np.zeros((0, 2))})["log_weight"].shape == (0, 3)


def test_warm_and_close() -> None:
    loaded = handmade.padded_labels().load()
    assert list(warm(loaded))
    loaded.close()
    loaded.close()
    with pytest.raises(EngineError, match="closed"):
        loaded.engine.run("score", {"x": np.zeros((1, 1)), "padding": np.zeros((1, 1))})


def test_threads_share_an_engine(labels: Loaded) -> None:
    x = np.random.default_rng(0).normal(size=(8, 500, 2)).astype(np.float32)
    wanted = [labels.engine.run("score", {"x": part})["log_weight"] for part in x]
    found: list[np.ndarray | None] = [None] * len(x)

    def work(place: int) -> None:
        found[place] = labels.engine.run("score", {"x": x[place]})["log_weight"]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(x))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, wanted)


def resting() -> OnnxEngine:
    made = handmade.labels()
    files = made.files()
    engine = load_version(made.manifest(files), files, placement=Placement(rests=True)).engine
    assert isinstance(engine, OnnxEngine)
    engine.rest({"decode"})
    return engine


class Together(dict[Any, Any]):
    """Sessions in which two threads find nothing before either of them goes on."""

    def __init__(self, sessions: Mapping[Any, Any]) -> None:
        super().__init__(sessions)
        self.both = threading.Barrier(2)
        self.seen: set[int] = set()

    def __contains__(self, key: object) -> bool:
        if threading.get_ident() not in self.seen:
            self.seen.add(threading.get_ident())
            self.both.wait(60)
        return super().__contains__(key)


def test_an_operation_that_rests_answers_the_same_and_rests_no_more(labels: Loaded) -> None:
    engine = resting()
    assert set(engine._sessions) == {"decode"}
    x = {"x": np.ones((3, 2), dtype=np.float32)}
    np.testing.assert_array_equal(engine.run("score", x)["log_weight"], labels.engine.run("score", x)["log_weight"])
    assert set(engine._sessions) == {"decode", "score"}


def test_the_weights_as_read_go_when_nothing_rests() -> None:
    engine = resting()
    _, tensors = engine._sources["encode"]
    content = weakref.ref(next(iter(tensors.values())))
    del tensors
    engine.prepare("score")
    assert content() is not None
    engine.prepare("encode")
    assert content() is None


def test_a_session_is_built_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = resting()
    built: list[object] = []
    build = onnx_engine._session

    def counted(*given: Any) -> Any:
        built.append(given)
        return build(*given)

    monkeypatch.setattr(onnx_engine, "_session", counted)
    engine._sessions = Together(engine._sessions)
    threads = [threading.Thread(target=engine.prepare, args=("score",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_a_closed_engine_does_not_come_back() -> None:
    engine = resting()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run("score", {"x": np.zeros((1, 2))})
    assert not engine._sessions


def test_nothing_rests_unless_it_was_said_at_the_start() -> None:
    engine = handmade.labels().load().engine
    assert isinstance(engine, OnnxEngine)
    engine.rest(())
    assert set(engine._sessions) == {"decode", "encode", "score"}

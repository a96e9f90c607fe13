"""Conditions that are told by run: answers to the bit as when each row has its own, and few bytes to the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from inference import answer, sample
from inference.device_noise import DeviceNoise
from inference.drawing import TOLD_NUMBERS, DecodeWork, drawing
from inference.drawn import Drawn
from inference.engine import Arrays, EngineError, Inputs
from inference.gpu.feeders import RepeatedFeeder
from inference.gpu.fields import Fields
from inference.gpu.packing import Field, Packing
from inference.gpu.programs import RUNS, Programs
from inference.loaded import Loaded
from inference.noise import SAMPLING, NoiseSource
from inference.repeated import Repeated
from model_store.signature import Operation
from tests.inference.exported import exported, inputs, manifest_of, torch_engine

NAMES = ["coupling-label", "coupling-vector", "coupling-image", "latent-coupling"]


class RowByRow:
    """An engine that is given each row's condition."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def run(self, operation: Operation, feed: Inputs) -> Arrays:
        given = {name: value.numbers() if isinstance(value, Repeated) else value for name, value in feed.items()}
        found: Arrays = self.engine.run(operation, given)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def told(name: str, counts: Sequence[int]) -> Repeated:
    signature, _ = exported(name)
    return Repeated(inputs(signature, "decode", len(counts))["condition"], np.array(counts))


def taken(fields: Fields, rows: int, runs: tuple[int, ...]) -> int:
    """Bytes that a program of so many rows, of which some inputs are told, takes in."""
    return Packing(field for feeder in fields.feeders("decode", rows, runs) for field in feeder.fields).size


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("counts", [(1,), (40,), (7, 0, 30, 1), (1,) * 300, (3,) * 300])
def test_answers_are_those_of_rows_that_are_given(name: str, counts: tuple[int, ...]) -> None:
    """Noise told or given; more runs than a program's table holds are cut into several calls."""
    engine = torch_engine(name)
    condition, signature = told(name, counts), engine.signature
    noise = {
        part.name: Drawn.of(NoiseSource(3, SAMPLING, place, part), [(0, 0, sum(counts))], 0.7)
        for place, part in enumerate(signature.latent)
    }
    for latent in (noise, {part: drawn.numbers() for part, drawn in noise.items()}):
        feed = {**latent, "condition": condition}
        np.testing.assert_array_equal(engine.run("decode", feed)["x"], RowByRow(engine).run("decode", feed)["x"])


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_rows_that_are_given(name: str) -> None:
    manifest, engine = manifest_of(name), torch_engine(name, most_rows=1000)
    rows = TOLD_NUMBERS // min(part.size for part in manifest.signature.latent) + 7
    conditions = told(name, (1, 1, 1)).values
    found = [
        answer(way, sample(Loaded(manifest, manifest.digest, way), conditions=conditions, num_samples=rows, seed=5))
        for way in (engine, RowByRow(engine))
    ]
    np.testing.assert_array_equal(found[0].samples, found[1].samples)


def test_no_conditions_are_moved() -> None:
    """Of fifty thousand rows the engine hears one condition, and its program takes as little in."""
    manifest, engine = manifest_of("coupling-image"), torch_engine("coupling-image")
    asked = drawing(Loaded(manifest, manifest.digest, engine), told("coupling-image", (1,)).values[0], 100_000)
    feed = DecodeWork(asked, 0, 100_000).inputs(40_000, 90_000)
    condition = feed["condition"]
    assert isinstance(condition, Repeated) and (len(condition.values), condition.counts.tolist()) == (1, [50_000])
    fields = Fields(engine.signature, DeviceNoise("cpu"))
    few, many = (taken(fields, rows, (RUNS[0],) * len(feed)) for rows in (RUNS[0], 50_000))
    assert few == many


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 8, 300, 3000])
def test_the_fixed_buffers_hold_whatever_is_told_and_given(name: str, rows: int) -> None:
    fields = Fields(exported(name)[0], DeviceNoise("cpu"))
    room, _ = fields.most_bytes({"decode": rows}, RUNS[-1])
    most = fields.told("decode", RUNS[-1])
    for mask in range(2 ** len(most)):
        runs = tuple(size if mask >> place & 1 else 0 for place, size in enumerate(most))
        assert taken(fields, rows, runs) <= room


def test_labels_that_are_none_are_refused() -> None:
    engine = torch_engine("coupling-label")
    z = inputs(engine.signature, "decode", 4)["z"]
    for label in (-1, 3):
        with pytest.raises(EngineError, match="labels from 0 to 2"):
            engine.run("decode", {"z": z, "condition": Repeated(np.array([0, label]), np.array([3, 1]))})


def test_the_padding_is_the_last_row() -> None:
    feeder = RepeatedFeeder(Field("condition", (8, 2), np.float32), 4)
    targets = [np.full(field.shape, -1, field.dtype) for field in feeder.fields]
    feeder.write(targets, Repeated(np.array([[1, 2], [3, 4]], np.float32), np.array([2, 3])))
    made = feeder.tensor([torch.from_numpy(target) for target in targets])
    assert made.tolist() == [[1, 2]] * 2 + [[3, 4]] * 6


def test_shapes_follow_from_the_arguments_alone() -> None:
    """On a device without data nothing can be read back, and no branch can be taken by it."""
    feeder = RepeatedFeeder(Field("condition", (64, 3), np.float32), 16)
    raw = [torch.empty((16, 3), device="meta"), torch.empty(16, dtype=torch.int64, device="meta")]
    assert feeder.tensor(raw).shape == (64, 3)


def test_what_is_captured_at_warm_up_is_what_large_draws_call() -> None:
    engine = torch_engine("coupling-label", most_rows=64)
    programs = engine._programs
    assert isinstance(programs, Programs)
    programs.prepare(600.0)
    made = set(programs._made)
    z = Drawn.of(NoiseSource(3, SAMPLING, 0, engine.signature.latent[0]), [(0, 0, 640)], 1.0)
    engine.run("decode", {"z": z, "condition": told("coupling-label", (640,))})
    assert set(programs._made) == made

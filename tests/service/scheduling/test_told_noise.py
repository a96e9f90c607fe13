"""Large draws tell the engine which noise to make: the same samples alone, beside neighbours, and however it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from flows import build
from flows.config import Conditioner, JointConfig
from flows.config import Data as Shape
from flows.config import LabelCondition as Labels
from inference import answer, sample
from inference.array_engine import ArrayEngine
from inference.drawing import TOLD_NUMBERS, DecodeWork, drawing
from inference.drawn import Drawn
from inference.engine import Inputs
from inference.loaded import Loaded
from inference.loading import load_version
from inference.torch_engine import TorchEngine
from inference.weights import read_tensors
from model_store.signature import Operation
from service.scheduling.driver import Driver
from service.scheduling.layout import Dense, FixedShape, Layout
from service.scheduling.scheduler import Pace
from tests.inference import handmade
from tests.inference.generators import Torch
from tests.inference.graphs import manifest
from training.export import export
from training.signature import signature_of

FAR = 1e18
BIG = TOLD_NUMBERS  # rows of one number and more
LAYOUTS = [pytest.param(Dense(), id="dense"), pytest.param(FixedShape(1024), id="fixed")]


class Draws(ArrayEngine):
    """The hand-made x = 1 + 2 z, to the bit in any company, with torch's generator before it; notes its calls."""

    device = "cpu"
    draws = True

    def __init__(self) -> None:
        self.inner = handmade.unconditional().load()
        super().__init__(self.inner.signature)
        self.generator = Torch("cpu")
        self.calls: list[tuple[str, int]] = []

    def compute(self, operation: Operation, feed: Inputs) -> Sequence[np.ndarray]:
        """Made here where it is told."""
        z = feed["z"]
        self.calls.append(("told" if isinstance(z, Drawn) else "given", len(z)))
        made = self.generator.numbers(z) if isinstance(z, Drawn) else z
        return [self.inner.engine.run(operation, {"z": made})["x"]]

    def close(self) -> None:
        """Of the hand-made one."""
        self.inner.engine.close()


class Torches:
    """A joint flow over labels, on the CPU in ONNX Runtime and in torch."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        config = JointConfig(
            data=Shape(shape=(2,)),
            condition=Labels(classes=3),
            blocks=2,
            conditioner=Conditioner(width=16, depth=1),
        )
        model = build(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        made = export(model.eval())
        described = manifest(signature_of(model), made.files, probe=made.probe, graph_errors=made.graph_errors)
        self.onnx = load_version(described, made.files)
        tensors = read_tensors(made.files["weights.safetensors"], "weights.safetensors")
        arrays = {key: tensors.array(key) for key in tensors.entries}
        engine = TorchEngine(self.onnx.signature, made.files["architecture.json"], arrays, device="cpu")
        self.torch = Loaded(self.onnx.manifest, self.onnx.digest, engine)


@pytest.fixture(scope="module")
def torches() -> Torches:
    return Torches()


def drive(loaded: Loaded, works: Sequence[DecodeWork], most_rows: int, layout: Layout) -> list[np.ndarray]:
    """Their samples, computed beside each other in calls of so many rows."""

    async def run() -> None:
        driver = Driver(Pace(short=60.0, long=60.0, most_rows=most_rows), layout=layout)
        try:
            await asyncio.gather(*(driver.run(loaded, work, FAR) for work in works))
        finally:
            await driver.close()

    asyncio.run(run())
    return [work.x for work in works]


def work(loaded: Loaded, rows: int, seed: int, **options: Any) -> DecodeWork:
    return DecodeWork(drawing(loaded, num_samples=rows, seed=seed, **options), 0, rows)


@pytest.fixture
def engine() -> Draws:
    return Draws()


@pytest.fixture
def loaded(engine: Draws) -> Loaded:
    return Loaded(engine.inner.manifest, engine.inner.digest, engine)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("most_rows", [1000, 3 * BIG])
def test_neither_neighbours_nor_chunks_change_a_bit(
    engine: Draws, loaded: Loaded, layout: Layout, most_rows: int
) -> None:
    alone = drive(loaded, [work(loaded, BIG, 4, temperature=0.5)], 3 * BIG, layout)[0]
    assert {kind for kind, _ in engine.calls} == {"told"}
    engine.calls.clear()
    asked = [
        work(loaded, BIG, 4, temperature=0.5),
        work(loaded, 3, 4, temperature=0.5),
        work(loaded, BIG, 5),
        work(loaded, 2, 6, latent={"z": [[0.25], [1.0]]}),
        work(loaded, BIG, 4, temperature=0.5, return_latent=True),
    ]
    together = drive(loaded, asked, most_rows, layout)
    np.testing.assert_array_equal(together[0], alone)
    assert {kind for kind, _ in engine.calls} == {"told", "given"}
    if isinstance(layout, FixedShape):
        assert {rows for _, rows in engine.calls} == {1024}
    np.testing.assert_allclose(together[1], alone[:3], rtol=1e-6, atol=1e-6)
    assert (together[2] != alone).any()
    np.testing.assert_array_equal(together[3], [[1.5], [3.0]])
    np.testing.assert_allclose(together[4], alone, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(together[4], 1 + 2 * asked[4].latent["z"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_members_of_both_kinds_are_answered_in_their_order(engine: Draws, loaded: Loaded, layout: Layout) -> None:
    told, given = work(loaded, BIG, 4), work(loaded, 30, 4)
    members = [(7, told.inputs(7, 60)), (3, given.inputs(3, 30)), (90, told.inputs(90, 100))]
    answers = [own["x"] for own in layout.run(engine, "decode", members)]
    z = 1 + 2 * engine.generator.numbers(told.inputs(0, 100)["z"])
    np.testing.assert_array_equal(answers[0], z[7:60])
    np.testing.assert_allclose(answers[1], z[3:30], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(answers[2], z[90:])
    assert [kind for kind, _ in engine.calls] == ["told", "given"]


def test_what_is_drawn_is_the_documented_noise(loaded: Loaded) -> None:
    plain = handmade.unconditional().load()
    given = answer(plain.engine, sample(plain, num_samples=BIG, seed=9)).samples
    told = answer(loaded.engine, sample(loaded, num_samples=BIG, seed=9)).samples
    np.testing.assert_allclose(told, given, rtol=1e-6, atol=1e-6)


def test_no_latents_are_moved(engine: Draws, loaded: Loaded) -> None:
    """Of a hundred thousand rows the engine hears a few numbers a call."""
    asked = work(loaded, 100_000, 1)
    inputs = asked.inputs(40_000, 90_000)
    z = inputs["z"]
    assert isinstance(z, Drawn)
    assert z.runs.tolist() == [[1, 0, 0, 40_000, 90_000]]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (BIG - 1, {}),
        (BIG, {"latent": {"z": np.ones((BIG, 1), np.float32)}}),
        (BIG, {"return_latent": True}),
    ],
    ids=["few", "given", "returned"],
)
def test_what_is_made_on_the_host(loaded: Loaded, rows: int, options: dict[str, Any]) -> None:
    assert isinstance(work(loaded, rows, 1, **options).inputs(0, 4)["z"], np.ndarray)


def test_conditions_of_few_samples_are_not_told_one_by_one(torches: Torches) -> None:
    few = drawing(torches.torch, conditions=[0, 1] * BIG, num_samples=2)
    many = drawing(torches.torch, conditions=[0, 1], num_samples=BIG)
    assert (few.told, many.told) == (False, True)


def test_the_cpu_engine_is_given_arrays(torches: Torches) -> None:
    inputs = DecodeWork(drawing(torches.onnx, 0, BIG), 0, BIG).inputs(0, BIG)
    assert all(isinstance(column, np.ndarray) for column in inputs.values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_torch_engine_answers_as_the_cpu_engine_does(torches: Torches, layout: Layout) -> None:
    """Both parts of two conditions; the run between them is cut; in calls of fixed shape to the bit."""
    asked = {"conditions": [2, 0], "num_samples": BIG, "seed": 8, "temperature": 0.9}
    wanted = answer(torches.onnx.engine, sample(torches.onnx, **asked)).samples.reshape(-1, 2)

    def whole() -> DecodeWork:
        return DecodeWork(drawing(torches.torch, **asked), 0, 2 * BIG)

    beside = DecodeWork(drawing(torches.torch, 1, 5, seed=8), 0, 5)
    alone = drive(torches.torch, [whole()], 4 * BIG, layout)[0]
    among = drive(torches.torch, [beside, whole(), whole()], 5000, layout)
    for found in (alone, *among[1:]):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    if isinstance(layout, FixedShape):
        np.testing.assert_array_equal(among[1], alone)
        np.testing.assert_array_equal(among[2], alone)

"""The generator in torch beside numpy's: the same words and uniforms, normals within 2 ulp, whatever the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.device_noise import DeviceNoise, run_table
from inference.drawn import Drawn
from inference.noise import SAMPLING, NoiseSource, normals
from model_store.signature import Part
from tests.inference.generators import TORCH, Numpy, Torch, ulps
from tests.inference.test_drawn import Asked, columns

MASK = 2**64 - 1
words = st.one_of(st.integers(0, MASK), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, MASK]))
blocks = st.lists(st.tuples(st.tuples(words, words, words, words), st.tuples(words, words)), min_size=1, max_size=5)


@pytest.mark.parametrize("device", TORCH)
@given(asked=blocks)
def test_words_are_numpys(device: str, asked: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    counters, keys = zip(*asked, strict=True)
    np.testing.assert_array_equal(Torch(device).words(counters, keys), Numpy().words(counters, keys))


@pytest.mark.parametrize("device", TORCH)
@given(
    several=st.lists(columns(size=5), min_size=1, max_size=3),
    spare_runs=st.integers(0, 4),
    spare_rows=st.integers(0, 9),
)
def test_numbers_are_numpys(device: str, several: list[Asked], spare_runs: int, spare_rows: int) -> None:
    told = Drawn.joined([asked.told for asked in several])
    found = Torch(device, spare_runs, spare_rows).numbers(told)
    wanted = np.concatenate([asked.given for asked in several])
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert ulps(found, wanted).max(initial=0) <= 2


@pytest.mark.parametrize("device", TORCH)
@given(asked=columns(size=3, distribution="uniform"), spare=st.integers(0, 9))
def test_uniforms_are_numpys_to_the_bit(device: str, asked: Asked, spare: int) -> None:
    np.testing.assert_array_equal(Torch(device, spare, spare).numbers(asked.told), asked.given)


@pytest.mark.parametrize("device", TORCH)
def test_of_a_million_normals_hardly_one_differs(device: str) -> None:
    """Both round the same real number, known to 1e-15 of it, to 6e-8: one in some hundred millions may differ."""
    drawn = Drawn.of(NoiseSource(7, SAMPLING, 0, Part(name="z", shape=(4, 2))), [(0, 0, 2**17)], 1.0)
    apart = ulps(Torch(device).numbers(drawn), drawn.numbers())
    assert apart.max() <= 2
    assert (apart > 0).sum() <= 3


@pytest.mark.parametrize("device", TORCH)
def test_extreme_words(device: str) -> None:
    """The largest radius, the smallest, whole turns, and quarters, where a cosine or a sine all but vanishes."""
    radii = [0, 1, 2**39, 2**40 - 2, 2**40 - 1]
    turns = [0, 1, 2**22 - 1, 2**22, 2**22 + 1, 2**23, 3 * 2**22, 2**24 - 1]
    raw = np.array([(radius << 24) + turn for radius in radii for turn in turns], dtype=np.uint64)

    made = DeviceNoise(device).normals(torch.from_numpy(raw.view(np.int64)).to(device))
    assert ulps(made.cpu().numpy().reshape(-1), normals(raw)).max() <= 2


@pytest.mark.parametrize("device", TORCH)
def test_a_row_does_not_hear_of_its_call(device: str) -> None:
    """Bit for bit the same number alone, after other runs, and in a call of another size."""
    source = NoiseSource(3, SAMPLING, 1, Part(name="z", shape=(3,)))
    whole = Torch(device).numbers(Drawn.of(source, [(0, 0, 300)], 0.7))
    pieces = Drawn.of(source, [(5, 0, 7), (0, 100, 171), (0, 0, 100), (0, 171, 300)], 0.7)
    among = Torch(device, spare_runs=9, spare_rows=40).numbers(pieces)[7:]
    np.testing.assert_array_equal(among[:71], whole[100:171])
    np.testing.assert_array_equal(among[71:171], whole[:100])
    np.testing.assert_array_equal(among[171:], whole[171:])


def test_shapes_follow_from_the_arguments_alone() -> None:
    """On a device without data nothing can be read back, and no branch can be taken by it."""
    table = torch.empty((8, 16), dtype=torch.int64, device="meta")
    made = DeviceNoise("meta").numbers(table, 64, Part(name="z", shape=(2, 3)))
    assert (made.shape, made.dtype) == ((64, 2, 3), torch.float32)


def test_more_runs_than_the_table_holds_are_refused() -> None:
    source = NoiseSource(3, SAMPLING, 1, Part(name="z", shape=(3,)))
    with pytest.raises(ValueError, match="a table of 1 runs cannot hold 2"):
        run_table(Drawn.of(source, [(0, 0, 1), (1, 0, 1)], 1.0), 1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_draws_what_its_table_says() -> None:
    """Captured once without a wait for the device, replayed with another table."""
    part = Part(name="z", shape=(3,))
    asked = [Drawn.of(NoiseSource(seed, SAMPLING, 0, part), [(0, 5, 60), (9, 0, 9)], 0.5) for seed in (1, 2)]
    noise, table = DeviceNoise("cuda"), torch.from_numpy(run_table(asked[0], 4)).to("cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        noise.numbers(table, 64, part)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        made = noise.numbers(table, 64, part)
    for drawn in asked:
        table.copy_(torch.from_numpy(run_table(drawn, 4)))
        graph.replay()
        assert ulps(made.cpu().numpy(), drawn.numbers()).max() <= 2

"""The bit layout of inference/noise.py, rebuilt here in plain Python from the paper's constants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.noise import SAMPLING, SCORING, NoiseSource, draw_together, normals, sources, uniforms
from model_store.signature import Part

MASK = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 (Salmon 2011, section 3.3)."""
    counter, key = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [
            (second >> 64) ^ counter[1] ^ key[0],
            second & MASK,
            (first >> 64) ^ counter[3] ^ key[1],
            first & MASK,
        ]
        key = [(key[0] + 0x9E3779B97F4A7C15) & MASK, (key[1] + 0xBB67AE8584CAA73B) & MASK]
    return counter


def expected(seed: int, purpose: int, place: int, stream: int, position: int, distribution: str) -> float:
    word, odd = divmod(position, 2)
    block, lane = divmod(word, 4)
    bits = philox([block + 1, stream, 0, 0], [seed, (purpose << 32) + place])[lane]
    if distribution == "uniform":
        return ((bits >> 32 if odd else bits & 0xFFFFFFFF) >> 8) * 2.0**-24
    radius = math.sqrt(-2 * math.log(((bits >> 24) + 0.5) * 2.0**-40))
    angle = 2 * math.pi * (bits & 0xFFFFFF) * 2.0**-24
    return radius * (math.sin(angle) if odd else math.cos(angle))


def test_philox_known_answers() -> None:
    """The vectors that come with the authors' Random123 library."""
    zeros = philox([0] * 4, [0] * 2)
    assert zeros == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    ones = philox([MASK] * 4, [MASK] * 2)
    assert ones == [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("seed", [0, 7, 2**53 - 1])
def test_layout(distribution: str, seed: int) -> None:
    part = Part(name="z", shape=(3,), distribution=distribution)
    for purpose, place, stream in ((SAMPLING, 0, 0), (SAMPLING, 1, 5), (SCORING, 0, 2**40)):
        drawn = NoiseSource(seed, purpose, place, part).draw(stream, 2, 9).reshape(-1)
        wanted = [expected(seed, purpose, place, stream, p, distribution) for p in range(6, 27)]
        np.testing.assert_allclose(drawn, wanted, rtol=1e-6, atol=1e-7)


def test_known_answers() -> None:
    """Frozen numbers: a change of layout would change every stored seed's samples."""
    z = NoiseSource(7, SAMPLING, 0, Part(name="z", shape=(2,))).draw(3, 0, 2)
    u = NoiseSource(7, SCORING, 0, Part(name="u", shape=(2,), distribution="uniform")).draw(0, 0, 2)
    assert [float(v).hex() for v in z.reshape(-1)] == KNOWN_NORMALS
    assert [float(v).hex() for v in u.reshape(-1)] == KNOWN_UNIFORMS


KNOWN_NORMALS = ["-0x1.8598aa0000000p-1", "-0x1.087f4c0000000p+0", "0x1.7f48580000000p+0", "-0x1.29e41a0000000p+0"]
KNOWN_UNIFORMS = ["0x1.65e81a0000000p-1", "0x1.8776180000000p-1", "0x1.3333600000000p-1", "0x1.58f42a0000000p-1"]


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 9),
    start=st.integers(0, 40),
    length=st.integers(1, 40),
    stream=st.integers(0, 3),
    distribution=st.sampled_from(["normal", "uniform"]),
)
def test_any_range_is_part_of_the_whole(size: int, start: int, length: int, stream: int, distribution: str) -> None:
    source = NoiseSource(11, SAMPLING, 0, Part(name="z", shape=(size,), distribution=distribution))
    whole = source.draw(stream, 0, 500)
    np.testing.assert_array_equal(source.draw(stream, start, start + length), whole[start : start + length])
    runs = [(stream, start, start + length), (stream + 1, 2, 3), (stream, 0, 1)]
    joined = source.draw_runs(runs)
    np.testing.assert_array_equal(joined, np.concatenate([source.draw(*run) for run in runs]))


def test_slices_of_the_transform_do_not_show() -> None:
    words = np.random.Philox(1).random_raw(100_003)
    whole = normals(words)
    np.testing.assert_array_equal(whole[2 * 65_500 :], normals(words[65_500:]))


def test_seeds_purposes_parts_and_streams_differ() -> None:
    part = Part(name="z", shape=(64,))
    draws = [
        NoiseSource(seed, purpose, place, part).draw(stream, 0, 8).reshape(-1)
        for seed in (0, 1)
        for purpose in (SAMPLING, SCORING)
        for place in (0, 1)
        for stream in (0, 1)
    ]
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(len(draws))).max() < 0.2


def test_moments_and_tails() -> None:
    z = NoiseSource(0, SAMPLING, 0, Part(name="z", shape=(5,))).draw(0, 0, 400_000).astype(np.float64).reshape(-1)
    n = z.size
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 4 * math.sqrt(96 / n)
    below = np.array([(z < t).mean() for t in (-3.0, -1.0, 0.0, 0.5, 2.0)])
    truth = np.array([0.5 * math.erfc(-t / math.sqrt(2)) for t in (-3.0, -1.0, 0.0, 0.5, 2.0)])
    assert (np.abs(below - truth) < 4 * np.sqrt(truth * (1 - truth) / n)).all()


def test_extreme_words() -> None:
    words = np.array([0, MASK, MASK ^ 0xFFFFFF, 0xFFFFFF], dtype=np.uint64)
    z = normals(words)
    assert np.isfinite(z).all()
    assert z[0] == np.float32(math.sqrt(-2 * math.log(2.0**-41)))  # the largest there is
    u = uniforms(words)
    assert u.dtype == np.float32
    assert (u >= 0).all() and (u < 1).all()
    assert u.max() == np.float32(1) - np.float32(2.0**-24)


def test_parts_are_keyed_by_their_place() -> None:
    parts = (Part(name="a", shape=(4,)), Part(name="b", shape=(4,)))
    first, second = sources(3, SCORING, parts)
    alone = NoiseSource(3, SCORING, 1, parts[1])
    np.testing.assert_array_equal(second.draw(0, 0, 5), alone.draw(0, 0, 5))
    assert (first.draw(0, 0, 5) != second.draw(0, 0, 5)).all()


@settings(max_examples=60, deadline=None)
@given(
    demands=st.lists(
        st.tuples(st.integers(0, 2**53 - 1), st.integers(1, 9), st.integers(0, 40), st.integers(1, 30)), min_size=1
    ),
    distribution=st.sampled_from(["normal", "uniform"]),
)
def test_neighbours_change_no_bit(demands: list[tuple[int, int, int, int]], distribution: str) -> None:
    asked = []
    for seed, size, start, length in demands:
        source = NoiseSource(seed, SAMPLING, 0, Part(name="z", shape=(size,), distribution=distribution))
        asked.append((source, [(0, start, start + length)]))
    for (source, runs), together in zip(asked, draw_together(asked), strict=True):
        np.testing.assert_array_equal(together, source.draw_runs(runs))

"""Known answers of the generator, on every device type: a change of layout would change every stored seed's samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from inference.drawn import Drawn
from inference.noise import SAMPLING, SCORING, NoiseSource
from model_store.signature import Part
from tests.inference.generators import EVERY, generator, ulps

MASK = 2**64 - 1
RANDOM123 = [  # Philox4x64-10 of the authors' own test vectors: counter, key, words
    ((0, 0, 0, 0), (0, 0), (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    ((MASK,) * 4, (MASK,) * 2, (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0)),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


@dataclass(frozen=True)
class Known:
    """Three rows of three numbers each, from index `start` of a stream on, and the block that the first one lies in."""

    seed: int
    purpose: int
    place: int
    stream: int
    start: int
    words: tuple[int, ...]
    normals: tuple[str, ...]
    uniforms: tuple[int, ...]  # times 2^-24

    def drawn(self, distribution: str) -> Drawn:
        part = Part(name="z", shape=(3,), distribution=distribution)
        source = NoiseSource(self.seed, self.purpose, self.place, part)
        return Drawn.of(source, [(self.stream, self.start, self.start + 3)], 1.0)


KNOWN = [
    Known(
        0,
        SAMPLING,
        0,
        0,
        0,
        words=(0x02F4BA6408E4D89B, 0x3DD62B0B9CA8C5B2, 0x1C8667A55D902E79, 0x907D7A052FD5B4DC),
        normals=(
            "0x1.2c8818p+1",
            "-0x1.d8bceap+0",
            "-0x1.d1cbaep-1",
            "-0x1.6b46f0p+0",
            "-0x1.ee9004p+0",
            "-0x1.9ee1bep-1",
            "0x1.1622d0p-1",
            "-0x1.d7b720p-1",
            "0x1.7bfb02p-3",
        ),
        uniforms=(582872, 193722, 10266821, 4052523, 6131758, 1869415, 3134900, 9469306, 8927623),
    ),
    Known(
        7,
        SAMPLING,
        1,
        3,
        5,
        words=(0x508FD59EB056C95C, 0xF446CB5AFD47C075, 0x4CC210532B8FD477, 0x2A15D795511B337A),
        normals=(
            "0x1.2d2d66p+0",
            "-0x1.5f5e78p-1",
            "-0x1.fa069cp-3",
            "-0x1.80bd04p+0",
            "0x1.c3b8fap-1",
            "0x1.39a12ap+0",
            "-0x1.aaa214p-4",
            "0x1.4cdb6cp+0",
            "0x1.e23bf4p-2",
        ),
        uniforms=(2758103, 13995540, 12858629, 2124383, 3674770, 7928971, 7878546, 14028328, 6448473),
    ),
    Known(
        2**53 - 1,
        SCORING,
        2,
        2**40,
        2**33 - 1,
        words=(0x19E70CFBCB02465E, 0x6E9E4D1C95BEE400, 0x4857D5580EAE9986, 0x5A526889D38A3F92),
        normals=(
            "-0x1.727044p+0",
            "-0x1.65e632p+0",
            "-0x1.6fe21ep-2",
            "-0x1.ca684ep+0",
            "-0x1.3ec22ap+0",
            "0x1.0f4a92p-2",
            "0x1.66557ap+0",
            "0x1.7b84b8p+0",
            "0x1.08f62cp-4",
        ),
        uniforms=(4741077, 13863487, 5919336, 3446977, 1555195, 4601952, 6081725, 5243334, 5579144),
    ),
]


@pytest.mark.parametrize("device", EVERY)
def test_words_of_random123(device: str) -> None:
    counters, keys, wanted = zip(*RANDOM123, strict=True)
    np.testing.assert_array_equal(generator(device).words(counters, keys), np.array(wanted, dtype=np.uint64))


@pytest.mark.parametrize("device", EVERY)
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"seed-{known.seed}")
def test_words_of_our_keys_and_counters(device: str, known: Known) -> None:
    counter = (known.start * 3 // 8 + 1, known.stream, 0, 0)
    key = (known.seed, (known.purpose << 32) + known.place)
    np.testing.assert_array_equal(generator(device).words([counter], [key])[0], np.array(known.words, dtype=np.uint64))


@pytest.mark.parametrize("device", EVERY)
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"seed-{known.seed}")
def test_normals(device: str, known: Known) -> None:
    wanted = np.array([float.fromhex(number) for number in known.normals], dtype=np.float32).reshape(3, 3)
    assert ulps(generator(device).numbers(known.drawn("normal")), wanted).max() <= 2


@pytest.mark.parametrize("device", EVERY)
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"seed-{known.seed}")
def test_uniforms(device: str, known: Known) -> None:
    wanted = np.array(known.uniforms).reshape(3, 3) * 2.0**-24
    np.testing.assert_array_equal(generator(device).numbers(known.drawn("uniform")), wanted)

"""The readers of npy, npz, PNG and JSON against numpy, Pillow and random damage."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image

from model_store.signature import ArraySpec
from service.codecs.json import parse_object, render_object
from service.codecs.npy import read_npy, write_npy
from service.codecs.npz import read_npz, write_npz
from service.codecs.png import decode_png, encode_grid
from service.problems import Problem

ANY = re.compile("[a-z.]+")
LIMIT = 1_000_000
DTYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", "<i8", ">i4", "<i2", "|i1", "|u1", "<u4", "<u8", "<U5", ">U3"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3), (2, 0), (1, 2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_reads_what_numpy_writes(dtype: str, shape: tuple[int, ...], order: Any) -> None:
    array = np.asarray(np.arange(int(np.prod(shape))).reshape(shape).astype(dtype), order=order)
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    got = read_npy(buffer.getvalue(), "x")
    np.testing.assert_array_equal(got, array)
    assert got.dtype == array.dtype.newbyteorder("=")
    assert got.flags.c_contiguous


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_reads_what_numpy_writes(save: Any) -> None:
    expected = {"x": np.arange(6.0).reshape(2, 3), "condition": np.array(["a", "bc"]), "latent.z": np.zeros((2, 1))}
    buffer = io.BytesIO()
    save(buffer, **expected)
    got = read_npz(buffer.getvalue(), ANY, LIMIT)
    assert set(got) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array)


def test_npz_from_a_stream_that_cannot_seek() -> None:
    """Such writers leave sizes out of the local headers and put them behind the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", write_npy(np.arange(4)))
    assert read_npz(pipe.getvalue(), ANY, LIMIT)["x"].tolist() == [0, 1, 2, 3]


@given(
    arrays_of.arrays(
        st.sampled_from(["<f4", "<f8", "<i8", "|u1", "|b1"]), arrays_of.array_shapes(min_dims=0, min_side=0)
    )
)
@settings(max_examples=50, deadline=None)
def test_numpy_reads_what_is_written(array: np.ndarray) -> None:
    np.testing.assert_array_equal(np.load(io.BytesIO(write_npy(array)), allow_pickle=False), array)
    with np.load(io.BytesIO(write_npz({"a": array, "b.c": array})), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["a"], array)
        np.testing.assert_array_equal(file["b.c"], array)


def test_npz_is_bounded_by_what_it_inflates_to() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros(LIMIT, np.uint8))
    with pytest.raises(Problem) as refusal:
        read_npz(buffer.getvalue(), ANY, LIMIT)
    assert refusal.value.status == 413


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with bytes replaced, cut out, repeated or cut off."""
    place = st.integers(0, len(good) - 1)

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        body = good
        for start, length, new in edits:
            body = body[:start] + new + body[start + length :]
        return body

    edit = st.tuples(place, st.integers(0, 12), st.binary(max_size=12))
    return st.lists(edit, min_size=1, max_size=4).map(apply)


def good_npz(compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("x.npy", write_npy(np.arange(12.0).reshape(3, 4)))
        archive.writestr("condition.npy", write_npy(np.array([1, 2, 3])))
    return buffer.getvalue()


def survives(read: Any, body: bytes) -> None:
    """The reader answers arrays within its limit or a refusal of 4xx, never anything else."""
    try:
        got = read(body)
    except Problem as problem:
        assert 400 <= problem.status < 500
        return
    arrays = got.values() if isinstance(got, dict) else [got]
    assert sum(array.nbytes for array in arrays) <= 4 * LIMIT


FUZZ = settings(max_examples=300, deadline=None)


@given(damaged(good_npz(zipfile.ZIP_STORED)) | damaged(good_npz(zipfile.ZIP_DEFLATED)) | st.binary(max_size=200))
@example(b"PK\x05\x06" + bytes(18))
@FUZZ
def test_damaged_npz(body: bytes) -> None:
    survives(lambda data: read_npz(data, ANY, LIMIT), body)


@given(damaged(write_npy(np.arange(6.0).reshape(2, 3))) | st.binary(max_size=200))
@FUZZ
def test_damaged_npy(body: bytes) -> None:
    survives(lambda data: read_npy(data, "x"), body)


def png_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(buffer, "PNG")
    return buffer.getvalue()


SPEC = ArraySpec(shape=(1, 3, 4), dtype="uint8")


@given(damaged(png_bytes()) | st.binary(max_size=100).map(lambda tail: png_bytes()[:33] + tail))
@FUZZ
def test_damaged_png(body: bytes) -> None:
    survives(lambda data: decode_png(base64.b64encode(data).decode(), SPEC, "/x"), body)


@given(damaged(b'{"model": "labels", "x": [[0.5, 1], [2, 3]], "latent": {"z": [1]}}') | st.binary(max_size=60))
@FUZZ
def test_json_agrees_with_the_standard_library(body: bytes) -> None:
    """What is read is what `json` reads, of objects without duplicates and of numbers; all else is refused."""
    try:
        got = parse_object(body)
    except Problem as problem:
        assert problem.status == (422 if "float64" in problem.detail else 400)
        return
    seen: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen.extend(name for name, _ in items)
        assert len({name for name, _ in items}) == len(items)
        return dict(items)

    assert json.loads(body, object_pairs_hook=pairs) == got


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"x": [0, 1e999]}', "/x/1"),
        ('{"x": [[1], [2, -1e400, 1e999', "/x/1/1"),
        ('{"a/]\\"[~": {"b": [{"c": 1}, {"x": 1e999', '/a~1]"[~0/b/1/x'),
        ('{"ü": "é[", "seed": ' + "9" * 5000 + "}", "/seed"),
        ("1e999", ""),
    ],
)
def test_numbers_past_float64_are_named(text: str, pointer: str) -> None:
    with pytest.raises(Problem, match="float64") as refusal:
        parse_object(text.encode())
    assert refusal.value.status == 422
    assert [error["pointer"] for error in refusal.value.errors] == [pointer]


@pytest.mark.parametrize("text", ['{"a"1e999}', '{"a": 1, "b": 2, "a": 1e999}', '{"a": -}', '{"a": 007}', "[]1e999"])
def test_other_faults_at_numbers_stay_malformed(text: str) -> None:
    with pytest.raises(Problem) as refusal:
        parse_object(text.encode())
    assert refusal.value.status == 400


@pytest.mark.parametrize("text", ['{"a:b": ":", "c": "\\":"}', '{"a": {"b": ":"}, "c": [{"d": {"e": 1}}]}', "{}"])
def test_colons_in_texts_are_no_names(text: str) -> None:
    assert parse_object(text.encode()) == json.loads(text)


@given(st.lists(st.floats(width=32), max_size=5))
@settings(deadline=None)
def test_nonfinite_values_are_listed(values: list[float]) -> None:
    text, suspect = render_object({"a": np.array(values, np.float32), "b": {"z": np.array([1.5])}})
    content = json.loads(text)
    bad = [place for place, value in enumerate(values) if not np.isfinite(value)]
    assert suspect == bool(bad)
    assert [entry["index"] for entry in content.get("nonfinite", [])] == [[place] for place in bad]
    assert [value is None for value in content["a"]] == [place in bad for place in range(len(values))]
    for value, back in zip(values, content["a"], strict=True):
        if back is not None:
            assert np.float32(back) == np.float32(value)


@pytest.mark.parametrize("levels", [2, 16, 17, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_survive_the_round_trip(levels: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, levels, (channels, 3, 4), dtype=np.uint8)
    text = base64.b64encode(encode_grid(picture[None, None], levels)).decode()
    spec = ArraySpec(shape=(channels, 3, 4), dtype="uint8", levels=levels)
    np.testing.assert_array_equal(decode_png(text, spec, "/x"), picture)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_small_depths_are_spread_over_the_levels(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert(mode).save(buffer, "PNG")
    spec = ArraySpec(shape=(1, 2, 2), dtype="uint8", levels=17)
    got = decode_png(base64.b64encode(buffer.getvalue()).decode(), spec, "/x")
    assert got.tolist() == [[[0, 16], [16, 0]]]

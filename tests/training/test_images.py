"""IDX files and the two sets made of them: found, unpacked, downloaded, checked, and refused in plain words."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from training.datasets import idx, mnist
from training.datasets.digits import DigitsData, downscale
from training.datasets.digits import load as load_digits
from training.datasets.mixture import CENTRES, MixtureData, MixtureTruth
from training.datasets.mixture import load as load_mixture
from training.errors import DataError

ROWS = {"train": 1000, "t10k": 200}


def encoded(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def write_set(folder: Path, compressed: bool) -> dict[str, str]:
    """A set of random images; returns the digests of the decompressed files."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    digests = {}
    for file in mnist.FILES:
        rows = ROWS[file.split("-")[0]]
        values = random.integers(0, 256, (rows, 28, 28)) if "images" in file else np.arange(rows) % 10
        content = encoded(values)
        digests[file] = hashlib.sha256(content).hexdigest()
        if compressed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)
    return digests


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDFLOW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("CONDFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path


def source(monkeypatch: pytest.MonkeyPatch, digests: dict[str, str], url: str = "http://127.0.0.1:1/") -> None:
    classes = tuple("abcdefghij")
    monkeypatch.setitem(mnist.SOURCES, "mnist", mnist.Source(url=url, digests=digests, classes=classes))


@pytest.mark.parametrize("compressed", [True, False])
def test_found_in_the_data_folder(place: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    source(monkeypatch, write_set(place / "data" / "mnist", compressed))
    dataset = mnist.load(mnist.ImageData(set="mnist", validation=100))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (900, 100, 200)
    assert dataset.train.x.shape == (900, 1, 28, 28) and dataset.train.x.dtype == np.uint8
    assert isinstance(dataset.train.x, np.memmap)
    assert dataset.train.condition is not None and dataset.validation.condition is not None
    assert dataset.train.condition[:3].tolist() == [0, 1, 2]
    assert dataset.validation.condition[0] == 0  # the last 100 rows
    assert dataset.digest == mnist.load(mnist.ImageData(set="mnist", validation=100)).digest


def test_unpacked_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, write_set(place / "data" / "mnist", compressed=True))
    first = mnist.locate("mnist", mnist.FILES[0])
    written = first.stat().st_mtime_ns
    assert mnist.locate("mnist", mnist.FILES[0]) == first and first.stat().st_mtime_ns == written


def test_some_classes_are_renumbered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, write_set(place / "data" / "mnist", compressed=False))
    dataset = mnist.load(mnist.ImageData(set="mnist", classes=(8, 3)))
    assert dataset.condition.model_dump()["classes"] == ("i", "d")
    assert len(dataset.train) + len(dataset.validation) == 200 and len(dataset.test) == 40
    everything = mnist.load(mnist.ImageData(set="mnist"))
    assert everything.train.condition is not None and dataset.train.condition is not None
    eights = everything.train.x[everything.train.condition == 8]
    ours = dataset.train.x[dataset.train.condition == 0]
    assert np.array_equal(ours, eights[: len(ours)])


def test_a_class_named_twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, write_set(place / "data" / "mnist", compressed=False))
    with pytest.raises(DataError, match="names a class twice"):
        mnist.load(mnist.ImageData(set="mnist", classes=(3, 3)))


@pytest.mark.parametrize("compressed", [True, False])
def test_changed_content_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    digests = write_set(place / "data" / "mnist", compressed)
    source(monkeypatch, digests | {mnist.FILES[0]: "0" * 64})
    with pytest.raises(DataError, match="decompressed content has SHA-256"):
        mnist.load(mnist.ImageData(set="mnist"))


def test_damaged_gzip(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, write_set(place / "data" / "mnist", compressed=True))
    path = place / "data" / "mnist" / f"{mnist.FILES[0]}.gz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="damaged gzip file"):
        mnist.load(mnist.ImageData(set="mnist"))
    assert not [entry for entry in (place / "cache" / "mnist").iterdir() if entry.is_file()]


def test_absent_and_offline_says_how_to_get_them(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(monkeypatch, dict.fromkeys(mnist.FILES, "0" * 64))
    with pytest.raises(DataError) as error:
        mnist.load(mnist.ImageData(set="mnist"))
    for part in ("could not be downloaded", "CONDFLOW_DATA", "train-images-idx3-ubyte", "folder named mnist"):
        assert part in str(error.value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/", folder
        listening.shutdown()
        thread.join()


def test_downloaded_when_it_is_not_there(
    place: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, Path]
) -> None:
    url, folder = server
    source(monkeypatch, write_set(folder, compressed=True), url)
    assert len(mnist.load(mnist.ImageData(set="mnist")).test) == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x03", "cut short"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x1f\x8b\x08\x01" + b"x" * 50, "not an IDX file"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 2) + b"x" * 8, "not an IDX file"),
        (encoded(np.zeros((3, 4)))[:-1], "the IDX header claims"),
        (encoded(np.zeros((3, 4))) + b"x", "the IDX header claims"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "the IDX header claims"),
    ],
)
def test_idx_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        idx.read(path)


def test_idx_is_mapped(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 3, 2)).astype(np.uint8)
    (tmp_path / "file").write_bytes(encoded(values))
    found = idx.read(tmp_path / "file")
    assert isinstance(found, np.memmap) and np.array_equal(found, values)


def test_digits() -> None:
    dataset = load_digits(DigitsData())
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 1797
    assert (dataset.data.levels, dataset.train.x.shape[1:], int(dataset.train.x.max())) == (17, (1, 8, 8), 16)


def test_digits_upscale_is_the_rounded_mean() -> None:
    dataset = load_digits(DigitsData(condition="upscale"))
    image, condition = dataset.test.x[0, 0].astype(float), dataset.test.condition
    assert condition is not None and condition.dtype == np.uint8 and condition.shape[1:] == (1, 4, 4)
    expected = [
        [np.floor(image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() + 0.5) for j in range(4)] for i in range(4)
    ]
    assert np.array_equal(condition[0, 0], expected)
    assert downscale(np.full((1, 1, 2, 2), 16, dtype=np.uint8)).max() == 16


def test_mixture_is_the_law_that_it_claims() -> None:
    dataset = load_mixture(MixtureData(rows=40_000, held=4000))
    truth = dataset.truth
    assert isinstance(truth, MixtureTruth) and dataset.train.condition is not None
    mean = -truth.log_prob(dataset.train.x, dataset.train.condition).mean()
    assert mean == pytest.approx(truth.entropy, abs=4 / np.sqrt(len(dataset.train)))
    assert np.bincount(dataset.train.condition).min() > 4500
    spread = dataset.train.x - CENTRES[dataset.train.condition]
    assert spread.std() == pytest.approx(0.2, rel=0.02)
    assert np.abs(np.linalg.norm(CENTRES, axis=1) - np.hypot(1, 1 + np.sqrt(2))).max() < 1e-12

"""MNIST and Fashion-MNIST: found in CONDFLOW_DATA, else downloaded; what is checked is the decompressed content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from model_store.signature import ArraySpec, Frozen, LabelCondition
from training.datasets import idx
from training.datasets.base import Dataset, Split
from training.errors import DataError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """Where a set can be had, and the SHA-256 of each decompressed file."""

    url: str
    digests: Mapping[str, str]
    classes: tuple[str, ...]


SOURCES = {
    "mnist": Source(
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        digests=dict(
            zip(
                FILES,
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                strict=True,
            )
        ),
        classes=tuple(str(digit) for digit in range(10)),
    ),
    "fashion-mnist": Source(
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        digests=dict(
            zip(
                FILES,
                (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
                strict=True,
            )
        ),
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
}


class ImageData(Frozen):
    """Images 1 x 28 x 28 of 256 grey levels with a label; `classes` keeps some of the ten, in the order given."""

    set: Literal["mnist", "fashion-mnist"]
    classes: Annotated[tuple[Annotated[int, Field(ge=0, le=9)], ...], Field(min_length=2)] | None = None
    validation: Annotated[int, Field(ge=100, le=20_000)] = 5000
    limit: Annotated[int, Field(ge=100)] | None = None


def locate(name: str, file: str) -> Path:
    """The decompressed file, from CONDFLOW_DATA/<name>/ (gzip or not), else downloaded; its content is checked.

    Raises DataError if it is nowhere to be had, or is not the file that everybody else uses.
    """
    source = SOURCES[name]
    cache = _cache() / name
    folder = os.environ.get("CONDFLOW_DATA")
    found: Path | None = None
    if folder:
        places = (Path(folder) / name / file, Path(folder) / name / f"{file}.gz")
        found = next((place for place in places if place.exists()), None)
    if found is None:
        found = _download(name, file, cache)
    path = idx.decompressed(found, cache)
    digest = idx.sha256(path)
    if digest != source.digests[file]:
        raise DataError(
            f"{found}: the decompressed content has SHA-256 {digest}, but {file} of {name} has {source.digests[file]}; "
            "remove the file to download it anew"
        )
    return path


def _cache() -> Path:
    from platformdirs import user_cache_path

    return Path(os.environ.get("CONDFLOW_CACHE") or user_cache_path("condflow"))


def _download(name: str, file: str, cache: Path) -> Path:
    import pooch

    address = f"{SOURCES[name].url}{file}.gz"
    try:
        path: str = pooch.retrieve(address, known_hash=None, fname=f"{file}.gz", path=cache / "downloads")
    except Exception as error:
        raise DataError(
            f"{name}: {file} was not found and could not be downloaded ({type(error).__name__}). Put the four IDX "
            f"files ({', '.join(FILES)}; gzip or not) into a folder named {name} and set CONDFLOW_DATA to the folder "
            f"above it; they are published at {SOURCES[name].url}"
        ) from error
    return Path(path)


def load(config: ImageData) -> Dataset:
    """Train, validation (the last rows of the official training set) and the official test set."""
    source = SOURCES[config.set]
    images, labels, test_images, test_labels = (idx.read(locate(config.set, file)) for file in FILES)
    classes = tuple(range(10)) if config.classes is None else config.classes
    if len(set(classes)) != len(classes):
        raise DataError(f"data.classes: {list(classes)} names a class twice")
    everything = _choose(images, labels, classes)
    held = min(config.validation, len(everything) // 5)
    train = everything.take(slice(0, len(everything) - held))
    return Dataset(
        name=config.set,
        data=ArraySpec(shape=(1, 28, 28), dtype="uint8", levels=256),
        condition=LabelCondition(classes=tuple(source.classes[k] for k in classes)),
        train=train if config.limit is None else train.take(slice(0, config.limit)),
        validation=everything.take(slice(len(everything) - held, None)),
        test=_choose(test_images, test_labels, classes),
    )


def _choose(images: np.ndarray, labels: np.ndarray, classes: tuple[int, ...]) -> Split:
    """All rows (the images stay mapped), or those of some classes with the label renumbered."""
    images = images[:, None]
    if classes == tuple(range(10)):
        return Split(images, labels.astype(np.int64))
    number = np.full(10, -1, dtype=np.int64)
    number[list(classes)] = np.arange(len(classes))
    renumbered = number[labels]
    keep = np.flatnonzero(renumbered >= 0)
    return Split(images[keep], renumbered[keep])

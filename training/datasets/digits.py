"""The UCI digits that come with scikit-learn: 1,797 images of 8 x 8 pixels with 17 grey levels."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from model_store.signature import ArraySpec, ConditionSpec, Frozen, ImageCondition, LabelCondition
from training.datasets.base import Dataset, Split, split_rows

LEVELS = 17


class DigitsData(Frozen):
    """`label`: the digit is the condition; `upscale`: the 4 x 4 image of 2 x 2 means is."""

    set: Literal["digits"] = "digits"
    condition: Literal["label", "upscale"] = "label"
    validation: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    seed: int = 0


def downscale(images: np.ndarray) -> np.ndarray:
    """Mean of each 2 x 2 block, rounded to whole grey levels.

    >>> downscale(np.array([[[[1, 2], [3, 5]]]], dtype=np.uint8))
    array([[[[3]]]], dtype=uint8)
    """
    rows, channels, height, width = images.shape
    blocks = images.reshape(rows, channels, height // 2, 2, width // 2, 2).astype(np.float64)
    return np.floor(blocks.mean(axis=(3, 5)) + 0.5).astype(np.uint8)


def load(config: DigitsData) -> Dataset:
    """The digits, split with the data's own seed (there is no official split)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    condition: np.ndarray
    spec: ConditionSpec
    if config.condition == "label":
        condition = bunch.target.astype(np.int64)
        spec = LabelCondition(classes=tuple(str(digit) for digit in range(10)))
    else:
        condition = downscale(images)
        spec = ImageCondition(array=ArraySpec(shape=(1, 4, 4), dtype="uint8", levels=LEVELS))
    train, validation, test = split_rows(len(images), config.validation, config.test, config.seed)
    everything = Split(images, condition)
    return Dataset(
        name="digits" if config.condition == "label" else "digits-upscale",
        data=ArraySpec(shape=(1, 8, 8), dtype="uint8", levels=LEVELS),
        condition=spec,
        train=everything.take(train),
        validation=everything.take(validation),
        test=everything.take(test),
    )

"""Data sets by their configuration."""

from __future__ import annotations

from training.datasets import digits, mixture, mnist, table
from training.datasets.base import Dataset
from training.datasets.digits import DigitsData
from training.datasets.mixture import MixtureData
from training.datasets.mnist import ImageData
from training.datasets.table import TableData


def load(config: MixtureData | DigitsData | ImageData | TableData) -> Dataset:
    """The data set that a recipe names. Raises DataError."""
    match config:
        case MixtureData():
            return mixture.load(config)
        case DigitsData():
            return digits.load(config)
        case ImageData():
            return mnist.load(config)
        case TableData():
            return table.load(config)

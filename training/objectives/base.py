"""The contract between the loop and an objective."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from training.rows import Batch

Terms = dict[str, Tensor]


class Objective(Protocol):
    """Terms of a batch, each a mean over its rows in nats; `loss` is what is minimised and watched.

    `module` holds the parameters that are fitted. In evaluation mode there is no augmentation.
    """

    @property
    def module(self) -> nn.Module:
        """What is fitted."""
        ...

    def __call__(self, batch: Batch) -> Terms:
        """The terms, with gradients; the default generator is seeded."""
        ...

    def start(self, batch: Batch) -> None:
        """Data-dependent initialisation on the first batch."""
        ...

"""How a card computes convolutions during a fit: the same way every time, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, cuDNN takes no kernel whose sums depend on the order of threads, and none in TF32.

    Its choice by trial is off: another run might choose another kernel. A fit that goes on after a kill is to come to
    the same bits. On a CPU there is nothing to set.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before

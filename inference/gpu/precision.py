"""How float32 products are computed: exactly rounded, or with the operands cut to TF32's ten bits of mantissa."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_products(*, tf32: bool) -> Iterator[None]:
    """Inside, products and convolutions in float32 on a card do, or do not, use TF32; afterwards as it was before.

    torch lets convolutions use TF32 unless told otherwise. The flags belong to the process and are read where a
    kernel is chosen, that is in eager calls and while a graph is captured, not in its replay: hold
    `inference.gpu.card.TRACING` around it.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before

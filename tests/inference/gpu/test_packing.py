"""Packing: what is written as arrays on one side is read as tensors on the other, and nothing overlaps."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.gpu.packing import ALIGNMENT, Field, Packing
from inference.gpu.program import tensors

KINDS = st.sampled_from([np.float32, np.int64, np.uint8])
SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


@given(st.lists(st.tuples(SHAPES, KINDS), min_size=1, max_size=5))
def test_arrays_and_tensors_are_the_same_places(columns: list[tuple[tuple[int, ...], type[np.generic]]]) -> None:
    packing = Packing([Field(f"f{place}", shape, kind) for place, (shape, kind) in enumerate(columns)])
    block = torch.zeros(packing.size, dtype=torch.uint8)
    rng = np.random.default_rng(0)
    wanted = [rng.integers(0, 200, shape).astype(kind) for shape, kind in columns]
    for target, values in zip(packing.arrays(block.numpy()), wanted, strict=True):
        target[...] = values
    for found, values in zip(tensors(packing, block), wanted, strict=True):
        np.testing.assert_array_equal(found.numpy(), values)
        assert found.data_ptr() % ALIGNMENT == block.data_ptr() % ALIGNMENT

"""Buckets: little padding, few of them, and their way back after memory ran out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.gpu.buckets import REGROW_AFTER, Buckets, ladder, warm_order

MOST = st.integers(1, 1 << 20)


@given(MOST, st.data())
def test_padding_wastes_under_a_third(most: int, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, most))
    bucket = Buckets(ladder(most)).of(rows)
    assert rows <= bucket <= most
    assert 3 * (bucket - rows) < bucket


@given(MOST)
def test_there_are_few_and_the_last_is_the_budget(most: int) -> None:
    sizes = ladder(most)
    assert sizes[0] == 1 and sizes[-1] == most
    assert list(sizes) == sorted(set(sizes))
    assert len(sizes) <= 2 * most.bit_length()
    assert sorted(warm_order(sizes)) == list(sizes)


@given(MOST)
def test_no_memory_at_all_ends_at_one_row(most: int) -> None:
    buckets = Buckets(ladder(most))
    steps = 0
    while buckets.largest > 1:
        before = buckets.largest
        buckets.shrink(before)
        assert buckets.largest <= max(1, before // 2)
        steps += 1
    buckets.shrink(1)
    assert buckets.largest == 1
    assert steps <= most.bit_length()


def test_a_late_failure_of_a_larger_call_allows_no_more_again() -> None:
    buckets = Buckets(ladder(64))
    buckets.shrink(16)
    buckets.shrink(64)
    assert buckets.largest == 8


def test_it_grows_back_by_one_bucket_after_many_calls_of_the_largest() -> None:
    buckets = Buckets(ladder(64))
    buckets.shrink(64)
    for _ in range(REGROW_AFTER - 1):
        buckets.went_well(32)
        buckets.went_well(24)  # says nothing of larger ones
    assert buckets.largest == 32
    buckets.went_well(32)
    assert buckets.largest == 48
    for size in (48, 64):
        for _ in range(REGROW_AFTER):
            buckets.went_well(size)
    assert buckets.largest == 64


def test_a_budget_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        ladder(0)

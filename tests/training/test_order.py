"""The order of the data follows from (seed, step) alone."""

from __future__ import annotations

import torch

from training.order import Order
from training.seeds import derive


def test_same_seed_same_rows_from_any_step() -> None:
    first, second = Order(1000, 64, seed=3), Order(1000, 64, seed=3)
    expected = [first(step) for step in range(40)]
    for step in (39, 17, 0, 16, 38):  # not in order, and without the steps before
        assert torch.equal(second(step), expected[step])


def test_a_pass_sees_no_row_twice_and_passes_differ() -> None:
    order = Order(1000, 64, seed=3)
    assert order.per_pass == 15
    passes = [torch.cat([order(15 * number + step) for step in range(15)]) for number in range(2)]
    assert all(len(set(rows.tolist())) == 960 for rows in passes)
    assert not torch.equal(*passes)


def test_seeds_differ() -> None:
    assert not torch.equal(Order(1000, 64, seed=3)(0), Order(1000, 64, seed=4)(0))
    assert len({derive(seed, purpose, step) for seed in (0, 1) for purpose in "ab" for step in range(50)}) == 200


def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    assert sorted(Order(5, 64, seed=0)(2).tolist()) == [0, 1, 2, 3, 4]

"""The rows of a step are the same wherever they lie, and always come to the same memory."""

from __future__ import annotations

import pytest
import torch

from tests.training.stepping import CPU
from training.feed import Resident, Streamed, feed
from training.order import Order
from training.phase import Splits
from training.residence import fits
from training.rows import Rows


def rows(condition: bool) -> Rows:
    x = torch.randint(0, 256, (23, 1, 4, 4), dtype=torch.uint8)
    return Rows(x, torch.arange(23) % 3 if condition else None)


@pytest.mark.parametrize("condition", [True, False])
def test_streamed_rows_are_resident_rows(condition: bool) -> None:
    split = rows(condition)
    resident, streamed = Resident(split, Order(23, 5, 1)), Streamed(split, Order(23, 5, 1))
    order = Order(23, 5, 1)
    for step in (0, 1, 2, 3, 4, 9, 3):  # passes of four steps, and back as after a kill
        resident.load(step)
        streamed.load(step)
        wanted = split.batch(order(step))
        for batch in (resident.batch(), streamed.batch()):
            assert batch.x.dtype == torch.float32 and torch.equal(batch.x, wanted.x)
            assert torch.equal(batch.rows, wanted.rows)
            if condition:
                assert batch.condition is not None and wanted.condition is not None
                assert torch.equal(batch.condition, wanted.condition)
            else:
                assert batch.condition is None


def test_what_a_step_reads_stays_where_it_is() -> None:
    split = rows(condition=True)
    streamed, resident = Streamed(split, Order(23, 5, 1)), Resident(split, Order(23, 5, 1))
    places = []
    for step in (0, 1, 5):
        streamed.load(step)
        resident.load(step)
        places.append([tensor.data_ptr() for tensor in streamed._here] + [resident.index.data_ptr()])
    assert places[0] == places[1] == places[2]


def test_rows_that_do_not_fit_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands for a card: nothing can be computed there, but where things lie can be seen."""
    split = rows(condition=True)
    splits, card = Splits(split, split), torch.device("meta")
    needed = 2 * (23 * 16 + 23 * 8)
    assert split.nbytes * 2 == needed
    for free, resident in ((2 * needed, True), (2 * needed - 1, False)):
        monkeypatch.setattr("training.phase.free_bytes", lambda device, free=free: free)
        placed = splits.to(card).train
        assert placed.device == card and placed.resident is resident
        assert placed.x.device == (card if resident else CPU)
        assert placed.slice(0, 3).x.device == card
        assert isinstance(feed(placed, Order(23, 5, 1)), Resident if resident else Streamed)


def test_the_share_of_memory_that_rows_may_take() -> None:
    assert fits(50, 100) and not fits(51, 100) and fits(10**15, None)

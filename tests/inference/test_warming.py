"""First calls: every operation of every kind of condition is called, and their times are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inference.warming import SIZES, warm
from tests.inference import handmade

MAKERS = [
    handmade.unconditional,
    handmade.padded_labels,
    handmade.read_off_vector,
    handmade.images,
    handmade.image_condition,
]


@pytest.mark.parametrize("make", MAKERS)
def test_every_operation_is_called_and_timed(make: Callable[[], handmade.Version]) -> None:
    loaded = make().load()
    calls = list(warm(loaded))
    assert [call.rows for call in calls] == list(SIZES[1:]) * len(loaded.signature.operations)
    assert {call.operation for call in calls} == set(loaded.signature.operations)
    assert all(call.seconds > 0 for call in calls)

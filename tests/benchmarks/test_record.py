from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.record import Figure, Page, verdict


@pytest.mark.parametrize(
    ("value", "better", "reached"),
    [
        (0.5, "higher", True),
        (0.49, "higher", False),
        (0.5, "lower", True),
        (0.51, "lower", False),
        (math.nan, "lower", False),
    ],
)
def test_a_goal_is_reached_from_its_own_side(value: float, better: str, reached: bool) -> None:
    figure = Figure("x", value, 0.5, better)  # type: ignore[arg-type]
    assert figure.reached is reached
    assert ("reached" if reached else "**missed**") in figure.cells()


def test_misses_are_told_in_the_first_line() -> None:
    figures = [Figure("a", 1.0, 0.5), Figure("b", 0.1, 0.5), Figure("c", 3.0)]
    assert verdict(figures) == "**1 of 2 goals reached.** Missed: b."
    assert verdict(figures[2:]) == "Reported without a goal."


def test_a_page_holds_all_that_it_takes_to_do_it_again(tmp_path: Path) -> None:
    page = Page(
        name="row",
        title="A row",
        command="python -m benchmarks.figures row",
        protocol="How.",
        figures=[Figure("a", 0.25, 0.5, "lower", "0.3")],
        subjects=[{"version": "m@1", "data digest": "abc"}],
        seed=7,
        pictures=[("row.png", b"png", "A picture")],
    )
    content = page.write(tmp_path).read_text()
    assert (tmp_path / "row.png").read_bytes() == b"png"
    assert "![A picture](row.png)" in content
    assert "| a | 0.3 | ≤ 0.5 | 0.2500 | reached |" in content
    for fact in (
        "`python -m benchmarks.figures row`",
        "- commit: ",
        "- machine: ",
        "cores",
        "- seed: 7",
        "| m@1 | abc |",
    ):
        assert fact in content

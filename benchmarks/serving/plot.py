"""The picture: throughput and p99 by the number of clients, and the p99 beside a large neighbour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.serving.contestants import NOOP, OURS
from benchmarks.serving.goals import p99, rate
from benchmarks.serving.measure import CONCURRENCIES
from benchmarks.serving.rounds import Raws, Reading, at, over_rounds, records
from training.plots.figure import ACCENT, GREY, INK, class_colour, new_figure, to_png


def plot(raws: Raws, names: Sequence[str]) -> bytes | None:
    """A PNG of medians over rounds, or None where part a was not measured."""
    single = [name for name in names if records(raws, name, "a")]
    if not single:
        return None
    figure, (rates, tails, neighbours) = new_figure(11, 3.8, columns=3)
    for place, name in enumerate(single):
        look: dict[str, Any] = {"color": _colour(name, place), "marker": "o", "markersize": 4, "label": name}
        look |= {"linewidth": 2.4 if name == OURS else 1.3, "linestyle": "--" if name == NOOP.name else "-"}
        for ax, reading in ((rates, rate), (tails, p99)):
            ax.plot(CONCURRENCIES, [_middle(raws, name, "a", reading(count)) for count in CONCURRENCIES], **look)
    for ax, title in ((rates, "1-row requests per second"), (tails, "p99 of 1-row requests, ms")):
        ax.set(xscale="log", yscale="log", title=title, xlabel="clients")
        ax.set_xticks(CONCURRENCIES, [str(count) for count in CONCURRENCIES])
        _tidy(ax)
    handles, labels = rates.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=8)
    pairs = {name: [_middle(raws, name, "b", at(which, "p99_ms")) for which in ("alone", "beside")] for name in names}
    _bars(neighbours, {name: pair for name, pair in pairs.items() if not any(map(math.isnan, pair))})
    handles, labels = neighbours.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    return to_png(figure)


def _middle(raws: Raws, name: str, part: str, reading: Reading) -> float:
    found = over_rounds(raws, name, part, reading)
    return math.nan if found is None else found


def _bars(ax: Axes, pairs: Mapping[str, Sequence[float]]) -> None:
    if not pairs:
        ax.set_axis_off()
        return
    places = range(len(pairs))
    for which, offset, label, colour in ((0, -0.2, "alone", GREY), (1, 0.2, "beside 10,000 rows", ACCENT)):
        values = [pair[which] for pair in pairs.values()]
        bars = ax.bar([place + offset for place in places], values, 0.38, color=colour, label=label)
        ax.bar_label(bars, [f"{value:.0f}" for value in values], fontsize=7, color=INK)
    ax.set(yscale="log", title="the same by one client, alone or not")
    ax.set_xticks(list(places), list(pairs), rotation=20, ha="right")
    _tidy(ax)


def _tidy(ax: Axes) -> None:
    ax.minorticks_off()
    ax.grid(axis="y")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))


def _colour(name: str, place: int) -> Any:
    return {OURS: ACCENT, NOOP.name: GREY}.get(name, class_colour(place, 10))

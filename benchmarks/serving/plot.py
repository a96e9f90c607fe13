"""The picture: throughput and p99 by the number of clients, and the p99 beside a large neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from training.plots.figure import ACCENT, GREY, INK, class_colour, new_figure, to_png

_OURS, _NOOP = "condflow", "no-op FastAPI"


def plot(raws: Mapping[str, dict[str, Any]], names: Sequence[str]) -> bytes | None:
    """A PNG, or None where part a was not measured."""
    single = [name for name in names if "a" in raws.get(name, {})]
    if not single:
        return None
    figure, (rates, tails, neighbours) = new_figure(11, 3.8, columns=3)
    for place, name in enumerate(single):
        cells = raws[name]["a"]
        counts = [int(count) for count in cells]
        look: dict[str, Any] = {"color": _colour(name, place), "marker": "o", "markersize": 4, "label": name}
        look |= {"linewidth": 2.4 if name == _OURS else 1.3, "linestyle": "--" if name == _NOOP else "-"}
        rates.plot(counts, [cells[str(count)]["requests_per_s"] for count in counts], **look)
        tails.plot(counts, [cells[str(count)]["p99_ms"] for count in counts], **look)
    for ax, title in ((rates, "1-row requests per second"), (tails, "p99 of 1-row requests, ms")):
        ax.set(xscale="log", yscale="log", title=title, xlabel="clients")
        ax.set_xticks(counts, [str(count) for count in counts])
        _tidy(ax)
    handles, labels = rates.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=8)
    _bars(neighbours, {name: raws[name]["b"] for name in names if "b" in raws.get(name, {})})
    handles, labels = neighbours.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False, fontsize=8)
    return to_png(figure)


def _bars(ax: Axes, cells: Mapping[str, dict[str, Any]]) -> None:
    names = [name for name, cell in cells.items() if "p99_ms" in cell["alone"] and "p99_ms" in cell["beside"]]
    if not names:
        ax.set_axis_off()
        return
    places = range(len(names))
    for offset, key, label, colour in ((-0.2, "alone", "alone", GREY), (0.2, "beside", "beside 10,000 rows", ACCENT)):
        values = [cells[name][key]["p99_ms"] for name in names]
        bars = ax.bar([place + offset for place in places], values, 0.38, color=colour, label=label)
        ax.bar_label(bars, [f"{value:.0f}" for value in values], fontsize=7, color=INK)
    ax.set(yscale="log", title="the same by one client, alone or not")
    ax.set_xticks(list(places), names, rotation=20, ha="right")
    _tidy(ax)


def _tidy(ax: Axes) -> None:
    ax.minorticks_off()
    ax.grid(axis="y")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))


def _colour(name: str, place: int) -> Any:
    return {_OURS: ACCENT, _NOOP: GREY}.get(name, class_colour(place, 10))

"""Pictures: no legend lies over what is drawn, and outliers neither cut the axes nor go unsaid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Polygon

from training.diagnostics.calibration import Reliability
from training.plots import curves, scatter

RNG = np.random.default_rng(0)
POINTS, LABELS = RNG.normal(size=(900, 2)), RNG.integers(0, 3, 900)
WILD = np.concatenate([POINTS, [[500.0, 0.0], [0.0, -500.0]]])
EDGES = np.linspace(0, 1, 11)
COUNT = np.array([0, 5, 40, 50, 60, 70, 80, 90, 100, 400])
RELIABLE = Reliability(EDGES, COUNT, EDGES[:-1] + 0.05, 1 - EDGES[:-1])
EPOCHS = np.arange(1, 41)
PICTURES: dict[str, Callable[[], bytes]] = {
    "points": lambda: scatter.samples_beside_truth(POINTS, POINTS),
    "classes": lambda: scatter.samples_beside_truth(POINTS, POINTS, LABELS, LABELS, ("a", "b", "a long name")),
    "marginals": lambda: scatter.marginals(RNG.normal(size=(900, 5)), RNG.normal(size=(900, 5)), list("abcde")),
    "one marginal": lambda: scatter.marginals(POINTS[:, :1], POINTS[:, :1], ["a"], jittered=["a"]),
    "latents": lambda: scatter.latent_plot(POINTS, LABELS, ("a", "b", "c")),
    "history": lambda: curves.training_curve({"training": (EPOCHS, 3 + 9 / EPOCHS), "validation": (EPOCHS, EPOCHS)}),
    "reliability": lambda: curves.reliability_plot([("model", RELIABLE), ("calibrated", RELIABLE)]),
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is turned into a picture, drawn."""
    found: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        FigureCanvasAgg(figure).draw()
        found.append(figure)
        return b""

    for module in (scatter, curves):
        monkeypatch.setattr(module, "to_png", keep)
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_no_legend_lies_over_axes_or_leaves_the_picture(figures: list[Figure], name: str) -> None:
    PICTURES[name]()
    (figure,) = figures
    legends = [legend for holder in (figure, *figure.axes) for legend in holder.findobj(Legend)]
    assert bool(legends) == (name != "points")
    titles = [ax.title.get_window_extent() for ax in figure.axes if ax.get_title()]
    for legend in legends:
        box = legend.get_window_extent()
        for taken in (*(ax.get_window_extent() for ax in figure.axes), *titles):
            assert not box.overlaps(taken)
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_two_outliers_do_not_cut_the_axes_and_are_counted(figures: list[Figure]) -> None:
    scatter.samples_beside_truth(WILD, POINTS)
    truth, samples = figures[0].axes
    for limits in (truth.get_xlim(), truth.get_ylim()):
        assert max(map(abs, limits)) < 8
    assert truth.get_title() == "test data (902 points, 2 outside the picture)"
    assert samples.get_title() == "samples (900 points)"


def test_nothing_is_cut_without_outliers(figures: list[Figure]) -> None:
    scatter.samples_beside_truth(POINTS, POINTS)
    low, high = figures[0].axes[0].get_xlim()
    assert low < POINTS[:, 0].min() and high > POINTS[:, 0].max()


def test_samples_far_out_are_named_and_missing_from_the_area(figures: list[Figure]) -> None:
    far = np.where(np.arange(900) < 90, 50.0, POINTS[:, 0])[:, None]
    scatter.marginals(POINTS[:, :1], far, ["a"])
    (ax,) = figures[0].axes
    assert ax.get_xlim()[1] < 5
    assert ax.get_title() == "10.0% of samples outside"
    (outline,) = (patch.get_xy() for patch in ax.patches if isinstance(patch, Polygon))
    x, y = outline.T
    assert abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 == pytest.approx(0.9, abs=0.01)


def test_test_data_far_out_are_left_out_and_named(figures: list[Figure]) -> None:
    scatter.marginals(WILD, POINTS, ["a", "b"])
    for ax in figures[0].axes:
        assert max(map(abs, ax.get_xlim())) < 8
        assert ax.get_title() == "0.1% of test data outside"


def test_latents_beyond_the_picture_are_counted(figures: list[Figure]) -> None:
    scatter.latent_plot(np.concatenate([POINTS, [[30.0, 0.0]]]))
    assert figures[0].axes[0].get_title().endswith("sd, 1 outside the picture")


def test_the_best_loss_is_in_the_picture_however_early_it_was(figures: list[Figure]) -> None:
    curves.training_curve({"validation": (EPOCHS, EPOCHS)})
    assert figures[0].axes[0].get_ylim()[0] < 1


def test_a_late_spike_of_the_loss_leaves_the_rest_visible(figures: list[Figure]) -> None:
    loss = 3 + 1 / EPOCHS
    loss[30] = 1e4
    curves.training_curve({"training": (EPOCHS, loss)})
    (ax,) = figures[0].axes
    assert ax.get_ylim()[1] < 4
    assert ax.get_title() == "30 values, 1 outside the picture"

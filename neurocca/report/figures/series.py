"""The two sides of a component over time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurocca.report.figures.canvas import BRAIN, FAINT, FILM, MUTED, house_style, new_figure, place, to_svg
from neurocca.report.wording import number

SMOOTHING = 30.0
"""Seconds of the running mean in the overview, where single volumes are finer than a pixel."""

WINDOW = 300.0
"""Seconds shown volume by volume."""


def time_courses(
    stimulus: NDArray[np.floating],
    bold: NDArray[np.floating],
    *,
    runs: Sequence[Mapping[str, Any]],
    t_r: float,
    name: str,
    width: int = 900,
) -> str:
    """Both variates over all runs, and volume by volume in the window with the most typical agreement.

    Parameters
    ----------
    stimulus, bold : array, shape (n,)
        Variates, runs stacked in order.
    runs : sequence of mappings
        ``Runs`` of the decomposition; Run, Kept and FirstKept are read.
    t_r : float
        Repetition time in seconds.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    film, brain = _z(stimulus), _z(bold)
    bounds = np.cumsum([0, *(run["Kept"] for run in runs)])
    run, start, length, r = _typical_window(film, brain, bounds, max(8, round(WINDOW / t_r)))
    first = (runs[run]["FirstKept"] + start - bounds[run]) * t_r / 60
    where = f"run {runs[run]['Run']}, minutes {number(first, 1)} to {number(first + length * t_r / 60, 1)}"
    alt = f"Film and brain variates over {len(runs)} runs, and in {where}, where they correlate with r = {number(r)}."
    with house_style():
        fig = new_figure(width, 262)
        overview, zoom = place(fig, 54, 34, width - 66, 76), place(fig, 54, 144, width - 66, 78)
        _overview(overview, film, brain, bounds, [str(run["Run"]) for run in runs], t_r)
        shown = slice(start, start + length)
        overview.axvspan(start * t_r / 60, (start + length) * t_r / 60, color=MUTED, alpha=0.22, linewidth=0)
        minutes = first + np.arange(length) * t_r / 60
        zoom.plot(minutes, film[shown], color=FILM, linewidth=1.6)
        zoom.plot(minutes, brain[shown], color=BRAIN, linewidth=1.6)
        zoom.set_xlim(minutes[0], minutes[-1])
        zoom.set_ylabel("z")
        for ax in (overview, zoom):
            ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        zoom.set_xlabel(f"minutes into run {runs[run]['Run']}  (the shaded window; here r = {number(r)})")
        _key(fig.add_axes((0, 1 - 18 / 262, 1, 18 / 262)), width)
        return to_svg(fig, name, alt)


def _z(x: NDArray[np.floating]) -> NDArray[np.floating]:
    spread = np.std(x)
    return (x - np.mean(x)) / (spread if spread > 0 else 1.0)


def _overview(
    ax: Axes,
    film: NDArray[np.floating],
    brain: NDArray[np.floating],
    bounds: NDArray[np.int_],
    labels: list[str],
    t_r: float,
) -> None:
    step = max(1, round(8.0 / t_r))
    limit = 0.0
    for number_, (low, high) in enumerate(pairwise(bounds)):
        minutes = np.arange(low, high) * t_r / 60
        for series, colour in ((film, FILM), (brain, BRAIN)):
            smooth = _running_mean(series[low:high], max(1, round(SMOOTHING / t_r)))
            limit = max(limit, float(np.max(np.abs(smooth))))
            ax.plot(minutes[::step], smooth[::step], color=colour, linewidth=1)
        if low:
            ax.axvline(low * t_r / 60, color=FAINT, linewidth=1)
        middle = (low + high) / 2 * t_r / 60
        prefix = "run " if number_ == 0 or len(labels) <= 9 else ""
        ax.text(middle, 1.03, prefix + labels[number_], transform=ax.get_xaxis_transform(), ha="center", color=MUTED)
    ax.set_xlim(0, bounds[-1] * t_r / 60)
    ax.set_ylim(-1.05 * limit, 1.05 * limit)
    ax.set_ylabel("z")


def _running_mean(x: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Centred mean over ``width`` samples; at the borders over those that exist."""
    box = np.ones(min(width, len(x)))
    return np.convolve(x, box, "same") / np.convolve(np.ones(len(x)), box, "same")


def _typical_window(
    film: NDArray[np.floating], brain: NDArray[np.floating], bounds: NDArray[np.int_], length: int
) -> tuple[int, int, int, float]:
    """Run, first row, rows and correlation of the window whose correlation is the median one of all windows."""
    windows = [
        (run, start, min(length, high - low))
        for run, (low, high) in enumerate(pairwise(bounds))
        for start in range(low, max(low, high - length) + 1, max(1, length // 5))
    ]
    r = [_correlation(film[s : s + n], brain[s : s + n]) for _, s, n in windows]
    # the middle one of the sorted list is a window that exists, unlike the median of an even number
    chosen = int(np.argsort(r, kind="stable")[len(r) // 2])
    return *windows[chosen], r[chosen]


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.mean(_z(a) * _z(b)))


def _key(ax: Axes, width: int) -> None:
    """Legend in one line; x runs in pixels."""
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, 1)
    for x, colour, text in ((44, FILM, "film side"), (130, BRAIN, "brain side")):
        ax.plot([x, x + 18], [0.5, 0.5], color=colour, linewidth=2)
        ax.text(x + 24, 0.5, text, va="center_baseline")
    ax.text(width - 12, 0.5, "minutes, runs end to end; mean over 30 s", va="center_baseline", ha="right", color=MUTED)

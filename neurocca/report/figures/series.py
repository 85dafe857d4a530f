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

SPIKE = 2.0
"""A series that goes beyond its 99th percentile by more than this factor is cut off there, and marked."""


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

    Each run is standardised by itself: weights of the fits that have not seen a run differ from run to run, and so do
    the scales of what they give. Spikes that would flatten all the rest are cut off, with a mark where they are.

    Parameters
    ----------
    stimulus, bold : array, shape (n,)
        Variates of runs that were left out of the fit, stacked in order.
    runs : sequence of mappings
        ``Runs`` of the decomposition; Run, Kept and FirstKept are read, and Cuts, seconds into the run, where it is
        known when the film cuts.
    t_r : float
        Repetition time in seconds.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    bounds = np.cumsum([0, *(run["Kept"] for run in runs)])
    film, brain = _z_by_run(stimulus, bounds), _z_by_run(bold, bounds)
    run, start, length, r = _typical_window(film, brain, bounds, max(8, round(WINDOW / t_r)))
    first = (runs[run]["FirstKept"] + start - bounds[run]) * t_r / 60
    where = f"run {runs[run]['Run']}, minutes {number(first, 1)} to {number(first + length * t_r / 60, 1)}"
    with house_style():
        fig = new_figure(width, 282)
        overview, zoom = place(fig, 54, 34, width - 66, 82), place(fig, 54, 154, width - 66, 88)
        smooth = [_smoothed(side, bounds, t_r) for side in (film, brain)]
        _overview(overview, smooth, bounds, [str(run["Run"]) for run in runs], t_r)
        overview.axvspan(start * t_r / 60, (start + length) * t_r / 60, color=MUTED, alpha=0.22, linewidth=0)
        minutes = first + np.arange(length) * t_r / 60
        shown = [side[start : start + length] for side in (film, brain)]
        for side, colour in zip(shown, (FILM, BRAIN), strict=True):
            zoom.plot(minutes, side, color=colour, linewidth=1.6)
        zoom.set_xlim(minutes[0], minutes[-1])
        cuts = [at / 60 for at in runs[run].get("Cuts", ()) if minutes[0] <= at / 60 <= minutes[-1]]
        cut = [_cut_spikes(overview, np.arange(bounds[-1]) * t_r / 60, smooth), _cut_spikes(zoom, minutes, shown)]
        for ax in (overview, zoom):
            ax.set_ylabel("z")
            ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], symmetric=True))
        zoom.vlines(cuts, 0, 0.06, transform=zoom.get_xaxis_transform(), color=MUTED, linewidth=1.2, zorder=3)
        ticks = "; ticks: cuts of the film" * bool(cuts)
        zoom.set_xlabel(f"minutes into run {runs[run]['Run']}  (the shaded window; here r = {number(r)}{ticks})")
        _key(fig.add_axes((0, 1 - 18 / 282, 1, 18 / 282)), width)
        alt = (
            f"Film and brain variates of {len(runs)} runs, each by the fit that has not seen it, and in {where}, where "
            f"they correlate with r = {number(r)}."
        )
        largest = max(cut)
        return to_svg(fig, name, f"{alt} Spikes of up to |z| = {number(largest, 1)} are cut off." if largest else alt)


def _z_by_run(x: NDArray[np.floating], bounds: NDArray[np.int_]) -> NDArray[np.floating]:
    return np.concatenate([_z(x[low:high]) for low, high in pairwise(bounds)])


def _z(x: NDArray[np.floating]) -> NDArray[np.floating]:
    spread = np.std(x)
    return (x - np.mean(x)) / (spread if spread > 0 else 1.0)


def _smoothed(side: NDArray[np.floating], bounds: NDArray[np.int_], t_r: float) -> NDArray[np.floating]:
    width = max(1, round(SMOOTHING / t_r))
    return np.concatenate([_running_mean(side[low:high], width) for low, high in pairwise(bounds)])


def _overview(
    ax: Axes, sides: Sequence[NDArray[np.floating]], bounds: NDArray[np.int_], labels: list[str], t_r: float
) -> None:
    step = max(1, round(8.0 / t_r))
    for number_, (low, high) in enumerate(pairwise(bounds)):
        minutes = np.arange(low, high) * t_r / 60
        for side, colour in zip(sides, (FILM, BRAIN), strict=True):
            ax.plot(minutes[::step], side[low:high:step], color=colour, linewidth=1)
        if low:
            ax.axvline(low * t_r / 60, color=FAINT, linewidth=1)
        middle = (low + high) / 2 * t_r / 60
        prefix = "run " if number_ == 0 or len(labels) <= 9 else ""
        ax.text(middle, 1.03, prefix + labels[number_], transform=ax.get_xaxis_transform(), ha="center", color=MUTED)
    ax.set_xlim(0, bounds[-1] * t_r / 60)


def _cut_spikes(ax: Axes, x: NDArray[np.floating], sides: Sequence[NDArray[np.floating]]) -> float:
    """Set symmetric limits that spikes do not widen, and mark the spikes; the largest one, or 0 where there is none."""
    size = np.abs(np.concatenate(list(sides)))
    largest, usual = float(size.max(initial=0.0)), float(np.quantile(size, 0.99))
    if largest <= SPIKE * usual or usual == 0:
        limit = 1.05 * largest or 1.0
        ax.set_ylim(-limit, limit)
        return 0.0
    limit = 1.2 * usual
    ax.set_ylim(-limit, limit)
    for side, colour in zip(sides, (FILM, BRAIN), strict=True):
        for place_ in _peaks_beyond(side, limit):
            up = side[place_] > 0
            ax.plot(
                [x[place_]], [0.93 * limit if up else -0.93 * limit], "^" if up else "v", color=colour, markersize=6,
                markeredgecolor="white", zorder=4,
            )  # fmt: skip
    ax.text(
        1, 0.02, f"triangles: cut off, up to |z| = {number(largest, 1)}", transform=ax.transAxes, ha="right",
        va="bottom", color=MUTED, fontsize=9.5, bbox={"facecolor": "white", "alpha": 0.8, "pad": 1.5, "linewidth": 0},
    )  # fmt: skip
    return largest


def _peaks_beyond(side: NDArray[np.floating], limit: float) -> list[int]:
    """Where each stretch beyond the limit is farthest from zero."""
    beyond = np.flatnonzero(np.abs(side) > limit)
    stretches = np.split(beyond, np.flatnonzero(np.diff(beyond) > 1) + 1)
    return [int(stretch[np.argmax(np.abs(side[stretch]))]) for stretch in stretches if stretch.size]


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
    said = "minutes, runs end to end; mean over 30 s; each run by the fit that has not seen it"
    ax.text(width - 12, 0.5, said, va="center_baseline", ha="right", color=MUTED)

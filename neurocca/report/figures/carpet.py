"""BOLD of all runs at a glance, with what moved beside it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurocca.report.figures.canvas import BRAIN, FAINT, FILM, INK, MUTED, house_style, new_figure, place, to_svg
from neurocca.report.wording import number

SHADES = 2.5
"""Standard deviations at which the carpet is black or white."""

DISPLACEMENT = 0.5
"""Millimetres between two volumes that are much (Power et al. 2012)."""


def carpet(quality: pd.DataFrame, *, runs: Sequence[Mapping[str, Any]], t_r: float, name: str, width: int = 900) -> str:
    """Framewise displacement, DVARS and a carpet of groups of columns over all runs.

    Parameters
    ----------
    quality : DataFrame
        One row per kept volume: censored, framewise_displacement, dvars, group_00, …
    runs : sequence of mappings
        ``Runs`` of the decomposition; Run and Kept are read.
    t_r : float
        Repetition time in seconds.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    bounds = np.cumsum([0, *(run["Kept"] for run in runs)]) * t_r / 60
    minutes = (np.arange(len(quality)) + 0.5) * t_r / 60
    moved = quality["framewise_displacement"].to_numpy(float)
    change = quality["dvars"].to_numpy(float)
    rows = quality.filter(regex="^group_").to_numpy(float).T
    is_known = bool(np.isfinite(moved).any())
    top = 84 if is_known else 20
    with house_style():
        fig = new_figure(width, top + 64 + 12 + 150 + 42)
        axes = []
        if is_known:
            axes.append(place(fig, 54, 20, width - 66, 56))
            _trace(axes[0], minutes, moved, FILM, "FD (mm)", DISPLACEMENT)
        axes.append(place(fig, 54, top, width - 66, 56))
        _trace(axes[-1], minutes, change, BRAIN, "DVARS", None)
        axes.append(place(fig, 54, top + 68, width - 66, 150))
        axes[-1].imshow(
            rows, cmap="gray", vmin=-SHADES, vmax=SHADES, aspect="auto", interpolation="none",
            extent=(0, bounds[-1], len(rows), 0),
        )  # fmt: skip
        axes[-1].set_yticks([])
        axes[-1].set_ylabel(f"{len(rows)} groups")
        axes[-1].set_xlabel("minutes, runs end to end")
        for ax in axes:
            _runs(ax, bounds, minutes[quality["censored"].to_numpy() > 0], t_r / 60)
        for ax in axes[:-1]:
            ax.set_xticklabels([])
        _labels(axes[0], bounds, [str(run["Run"]) for run in runs])
        return to_svg(fig, name, _alt(moved, change, int(quality["censored"].sum()), len(runs)))


def _trace(
    ax: Axes, minutes: NDArray[np.floating], values: NDArray[np.floating], colour: str, label: str, limit: float | None
) -> None:
    ax.plot(minutes, values, color=colour, linewidth=0.8)
    highest = float(np.nanmax(values, initial=0.0))
    ax.set_ylim(0, 1.08 * max(highest, limit or 0.0, 1e-6))
    if limit is not None:
        ax.axhline(limit, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
    ax.set_yticks([0, limit or float(f"{highest:.2g}")])
    ax.set_ylabel(label)


def _runs(ax: Axes, bounds: NDArray[np.floating], censored: NDArray[np.floating], length: float) -> None:
    """Borders of runs, and volumes that are left out."""
    for border in bounds[1:-1]:
        ax.axvline(border, color=INK, linewidth=0.8)
    for minute in censored:
        ax.axvspan(minute - length / 2, minute + length / 2, ymax=0.06, color=FILM, linewidth=0)
    ax.set_xlim(0, bounds[-1])
    ax.spines["bottom"].set_color(FAINT)


def _labels(ax: Axes, bounds: NDArray[np.floating], labels: Sequence[str]) -> None:
    for place_, ((low, high), label) in enumerate(zip(pairwise(bounds), labels, strict=True)):
        prefix = "run " if place_ == 0 or len(labels) <= 9 else ""
        ax.text(
            (low + high) / 2, 1.06, prefix + label, transform=ax.get_xaxis_transform(), ha="center", color=MUTED
        )  # fmt: skip


def _alt(moved: NDArray[np.floating], change: NDArray[np.floating], n_censored: int, n_runs: int) -> str:
    motion = (
        f"framewise displacement of up to {number(float(np.nanmax(moved)))} mm, above {DISPLACEMENT:g} mm in "
        f"{int(np.sum(moved > DISPLACEMENT))} volumes"
        if np.isfinite(moved).any()
        else "motion is not known"
    )
    return (
        f"Carpet of the cleaned BOLD of {n_runs} runs: {motion}; DVARS of up to {number(float(np.nanmax(change)))}, "
        f"median {number(float(np.nanmedian(change)))}; {n_censored} volumes left out."
    )

"""Is it more than chance? Nulls, and held-out correlations run by run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from neurocca.report.figures.canvas import BRAIN, FAINT, INK, MUTED, house_style, new_figure, place, rectangles, to_svg
from neurocca.report.wording import counted, is_known, number, p_value

HEIGHT = 206
"""Of figures that stand beside each other, in pixels."""


def null_histogram(
    null: NDArray[np.floating],
    observed: float,
    *,
    p: float | None,
    title: str,
    label: str,
    name: str,
    width: int = 290,
) -> str:
    """Histogram of a null distribution with the observed value.

    The axis reaches from the one to the other, wherever zero is: a null far from zero would be a sliver else.

    Parameters
    ----------
    null : array, shape (B,)
        Correlations under permutation, without the observed one.
    observed : float
    p : float or None
        Its p-value, as reported.
    title : str
        Which test it is.
    label : str
        What is correlated, for the axis.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    limit = float(np.quantile(null, 0.95))
    alt = (
        f"{title}. {label}: observed {number(observed)}; {len(null)} permutations lie between {number(null.min())} and "
        f"{number(null.max())}, 95 % of them below {number(limit)}; p = {p_value(p)}."
    )
    low, high = float(min(null.min(), observed)), float(max(null.max(), observed))
    span = high - low or 1.0
    with house_style():
        fig = new_figure(width, HEIGHT)
        ax = place(fig, 10, 42, width - 20, 96)
        ax.set_xlim(low - 0.06 * span, high + 0.06 * span)
        edges = np.linspace(null.min(), null.max() + 1e-9, max(8, min(28, int(55 * np.ptp(null) / span))))
        counts, edges = np.histogram(null, bins=edges)
        rectangles(ax, edges[:-1], 0, np.diff(edges), counts, FAINT, edge="white", linewidth=0.5)
        ax.set_ylim(0, counts.max() * 1.05)
        ax.axvline(limit, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
        ax.axvline(observed, color=BRAIN, linewidth=2.2)
        _label_above(ax, observed, f"observed {number(observed)}, p = {p_value(p)}")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(label)
        _title(fig, title)
        _null_key(fig.add_axes((0, 0, 1, 18 / HEIGHT)), len(null), width)
        return to_svg(fig, name, alt)


def _title(fig: Figure, text: str) -> None:
    fig.text(0.02, 1 - 3 / HEIGHT, text, va="top", fontweight="bold")


def _null_key(ax: Axes, n: int, width: int) -> None:
    """What is grey, and what dashed; x runs in pixels."""
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, 1)
    ax.plot([12, 22], [0.5, 0.5], color=FAINT, linewidth=8, solid_capstyle="butt")
    ax.text(27, 0.5, counted(n, "permutation"), va="center_baseline", color=MUTED, fontsize=9.5)
    ax.plot([152, 152], [0.1, 0.9], color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
    ax.text(158, 0.5, "95 % of them are below", va="center_baseline", color=MUTED, fontsize=9.5)


def _label_above(ax: Axes, x: float, text: str) -> None:
    """Write above the axes at x, leaning inwards where the border is near."""
    low, high = ax.get_xlim()
    share = (x - low) / (high - low)
    side = "right" if share > 0.75 else "left" if share < 0.25 else "center"
    anchor = min(1.0, share + 0.02) if side == "right" else max(0.0, share - 0.02) if side == "left" else share
    ax.text(anchor, 1.06, text, transform=ax.transAxes, ha=side, va="bottom", color=BRAIN, fontweight="bold")


def held_out_per_run(
    per_run: Mapping[str, float], mean: float, threshold: float | None, *, name: str, width: int = 300
) -> str:
    """Held-out correlation of every run, their mean, and the line below which 95 % of the null means lie.

    Parameters
    ----------
    per_run : mapping of run label to correlation
    mean : float
        Mean over runs.
    threshold : float or None
        95 % quantile of the mean under permutation.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    runs, values = list(per_run), np.array(list(per_run.values()), float)
    alt = f"Held-out correlation by left-out run: {_spelled(per_run)}; mean {number(mean)}" + (
        f"; 95 % of the null means lie below {number(threshold)}." if threshold is not None else "."
    )
    top = max(np.nanmax(values), mean, threshold or 0)
    low = min(np.nanmin(values), 0)
    with house_style():
        fig = new_figure(width, HEIGHT)
        ax = place(fig, 44, 26, width - 110, 112)
        ax.set_xlim(-0.7, len(runs) - 0.3)
        ax.set_ylim(low - 0.08 * (top - low), top + 0.1 * (top - low))
        ax.axhline(0, color=FAINT, linewidth=0.8)
        ax.axhline(mean, color=BRAIN, linewidth=1.6)
        ax.plot(range(len(runs)), values, "o", color=BRAIN, markersize=6, markeredgecolor="white")
        lines = [(mean, f"mean {number(mean)}", BRAIN)]
        if threshold is not None:
            ax.axhline(threshold, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
            lines.append((threshold, "95 % null", MUTED))
        _label_right(ax, lines)
        _run_ticks(ax, runs)
        ax.set_xlabel("left-out run")
        ax.set_ylabel("held-out r")
        _title(fig, "Held-out r, run by run")
        return to_svg(fig, name, alt)


def _spelled(per_run: Mapping[str, float]) -> str:
    return ", ".join(f"run {run} {number(value)}" for run, value in per_run.items())


def _run_ticks(ax: Axes, runs: Sequence[str]) -> None:
    """Ticks for all runs, or for some where they would touch."""
    step = 1 + (len(runs) - 1) // 12
    ax.set_xticks(range(0, len(runs), step), [str(run) for run in runs[::step]])
    ax.tick_params(axis="x", length=0)


def _label_right(ax: Axes, lines: Sequence[tuple[float, str, str]], height: float = 112, gap: float = 14) -> None:
    """Name horizontal lines at their right end, pushed apart where they would touch (pixels)."""
    low, high = ax.get_ylim()
    pixels = [(value - low) / (high - low) * height for value, *_ in lines]
    if len(pixels) == 2 and abs(pixels[0] - pixels[1]) < gap:
        middle, sign = sum(pixels) / 2, 1 if pixels[0] >= pixels[1] else -1
        pixels = [middle + sign * gap / 2, middle - sign * gap / 2]
    for pixel, (_, text, colour) in zip(pixels, lines, strict=True):
        ax.annotate(
            text, (1, pixel / height), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
            va="center", color=colour, annotation_clip=False,
        )  # fmt: skip


def held_out_overview(
    components: Sequence[Mapping[str, Any]], threshold: float | None, *, name: str, width: int = 420
) -> str:
    """All components at a glance: mean held-out correlation, single runs, in-sample correlation.

    Parameters
    ----------
    components : sequence of mappings
        ``Components`` of the decomposition.
    threshold : float or None
        95 % quantile of the mean held-out correlation under permutation.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    alt = "Mean held-out correlation of each component: " + ", ".join(
        f"{c['Name']} {number(c['HeldOutCorrelation'])}, in-sample {number(c['InSampleCorrelation'])}"
        for c in components
    )
    height = 40 * len(components)
    with house_style():
        fig = new_figure(width, height + 76)
        ax = place(fig, 64, 30, width - 80, height)
        for row, component in enumerate(components):
            _overview_row(ax, row, component)
        if threshold is not None:
            ax.axvline(threshold, color=MUTED, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        ax.set_ylim(len(components) - 0.5, -0.5)
        ax.set_yticks(range(len(components)), [str(c["Name"]) for c in components])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlim(right=max(ax.get_xlim()[1], 0.1))
        ax.set_xlabel("correlation r")
        _overview_key(fig.add_axes((0, 1 - 26 / (height + 76), 1, 26 / (height + 76))), width, threshold is not None)
        return to_svg(fig, name, alt)


def _overview_row(ax: Axes, row: int, component: Mapping[str, Any]) -> None:
    values = [v for v in component["HeldOutCorrelationPerRun"].values() if is_known(v)]
    ax.plot(values, [row] * len(values), "o", color=BRAIN, alpha=0.35, markersize=5, markeredgewidth=0)
    if is_known(component["HeldOutCorrelation"]):
        ax.plot([component["HeldOutCorrelation"]], [row], "o", color=BRAIN, markersize=9, markeredgecolor="white")
    ax.plot([component["InSampleCorrelation"]], [row], "D", color="white", markeredgecolor=INK, markersize=5.5)


def _overview_key(ax: Axes, width: int, has_null: bool) -> None:
    """Legend in one line; x runs in pixels."""
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, 1)
    ax.plot([8], [0.5], "o", color=BRAIN, markersize=9, markeredgecolor="white")
    ax.text(17, 0.5, "held-out, mean", va="center_baseline")
    ax.plot([124], [0.5], "o", color=BRAIN, alpha=0.35, markersize=5, markeredgewidth=0)
    ax.text(131, 0.5, "single runs", va="center_baseline")
    ax.plot([212], [0.5], "D", color="white", markeredgecolor=INK, markersize=5.5)
    ax.text(220, 0.5, "in-sample", va="center_baseline")
    if has_null:
        ax.plot([294, 294], [0.2, 0.8], color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
        ax.text(300, 0.5, "95 % of the null", va="center_baseline")

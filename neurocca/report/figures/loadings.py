"""What a component is about: loadings of film features and of parcels."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from neurocca.report.figures.canvas import (
    FAINT,
    INK,
    MUTED,
    dark_text_on,
    house_style,
    new_figure,
    place,
    shorten,
    signed_colour,
    signed_map_colour,
    to_svg,
)
from neurocca.report.wording import listing, number

ROW = 17
"""Height of a row in pixels."""


def feature_loadings(
    table: pd.DataFrame, component: str, *, t_r: float, name: str, width: int = 430, n_top: int = 20
) -> str:
    """Strongest features of a component, grouped by feature space: a cell per delay, or a bar where there are none.

    Parameters
    ----------
    table : DataFrame
        Columns space, feature, delay (volumes or empty) and the component.
    component : str
    t_r : float
        Repetition time in seconds.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    n_top : int
        Number of features shown, by largest absolute loading over delays.
    """
    grid = _strongest(table, component, n_top)
    rows = _rows(grid)
    peak = grid.to_numpy()[np.arange(len(grid)), grid.abs().fillna(0).to_numpy().argmax(axis=1)]
    alt = f"Feature loadings of {component}: " + ", ".join(
        f"{feature} {number(value)}" for (_, feature), value in zip(grid.index, peak, strict=True)
    )
    limit = float(np.nanmax(np.abs(grid.to_numpy()))) or 1.0
    height, delays = ROW * len(rows), grid.columns.notna().any()
    with house_style():
        fig = new_figure(width, height + 44)
        ax = place(fig, 150, 36 if delays else 8, width - 158, height)
        for row, (space, feature) in enumerate(rows):
            _row_label(ax, row, space, feature)
            if feature and delays:
                _cells(ax, row, grid.loc[(space, feature)].to_numpy(), limit)
            elif feature:
                ax.barh(row, grid.loc[(space, feature)].iloc[0], color=signed_colour(grid.loc[(space, feature)].iloc[0]))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_yticks([])
        if delays:
            _delay_axis(ax, grid.columns.to_numpy(float) * t_r)
        else:
            _bar_axis(ax, limit)
        return to_svg(fig, name, alt)


def _strongest(table: pd.DataFrame, component: str, n_top: int) -> pd.DataFrame:
    """Loadings, index (space, feature) strongest space and feature first, one column per delay in volumes."""
    delay = pd.to_numeric(table["delay"], errors="coerce")
    frame = pd.DataFrame(
        {
            "space": table["space"].astype(str),
            "feature": table["feature"].astype(str),
            "delay": delay.fillna(-1.0),
            "r": table[component].astype(float),
        }
    )
    grid = frame.pivot_table(index=["space", "feature"], columns="delay", values="r", aggfunc="first", sort=True)
    grid.columns = grid.columns.where(grid.columns >= 0)
    size = grid.abs().max(axis=1)
    kept = size.sort_values(ascending=False, kind="stable").index[:n_top]
    best = size.loc[kept].groupby(level="space").max()
    order = sorted(kept, key=lambda key: (-best[key[0]], key[0], -size[key], key[1]))
    return grid.loc[order]


def _rows(grid: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows to draw: a heading (space, "") above the features of each space."""
    rows: list[tuple[str, str]] = []
    for space, feature in grid.index:
        if not rows or rows[-1][0] != space:
            rows.append((space, ""))
        rows.append((space, feature))
    return rows


def _row_label(ax: Axes, row: int, space: str, feature: str) -> None:
    """Name left of the axes: the space in bold at the far left, features next to their cells."""
    if feature:
        ax.annotate(
            shorten(feature, 22), (0, row), xycoords=("axes fraction", "data"), xytext=(-6, 0),
            textcoords="offset points", ha="right", va="center_baseline", annotation_clip=False,
        )  # fmt: skip
    else:
        ax.annotate(
            shorten(space, 40), (0, row), xycoords=("axes fraction", "data"), xytext=(-146, 0), color=MUTED,
            textcoords="offset points", fontweight="bold", va="center_baseline", annotation_clip=False,
        )  # fmt: skip


def _cells(ax: Axes, row: int, values: NDArray[np.floating], limit: float) -> None:
    """One coloured cell per delay, with its number where there is room."""
    for column, value in enumerate(values):
        if not np.isfinite(value):
            continue
        colour = signed_map_colour(float(value), limit)
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=1))
        if len(values) <= 6:
            ink = INK if dark_text_on(colour) else "white"
            ax.text(column, row, number(float(value)), ha="center", va="center_baseline", color=ink, fontsize=9.5)


def _delay_axis(ax: Axes, seconds: NDArray[np.floating]) -> None:
    ax.set_xlim(-0.5, len(seconds) - 0.5)
    step = 1 + (len(seconds) - 1) // 8
    ax.set_xticks(range(0, len(seconds), step), [f"{s:g} s" for s in seconds[::step]])
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0, pad=1)
    ax.set_xlabel("brain later than film by", labelpad=3)
    ax.xaxis.set_label_position("top")
    ax.spines[:].set_visible(False)


def _bar_axis(ax: Axes, limit: float) -> None:
    ax.set_xlim(-1.08 * limit, 1.08 * limit)
    ax.axvline(0, color=MUTED, linewidth=0.8)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("loading (r)")


def parcel_loadings(table: pd.DataFrame, component: str, *, name: str, width: int = 490, n_top: int = 15) -> str:
    """Parcels with the largest positive and negative loadings, and the profile over all parcels.

    Parameters
    ----------
    table : DataFrame
        Columns parcel and the component.
    component : str
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    n_top : int
        Number of parcels named on either side of zero.
    """
    values = table[component].to_numpy(float)
    labels = table["parcel"].astype(str).to_numpy()
    order = np.argsort(values, kind="stable")
    up = [i for i in order[::-1][:n_top] if values[i] > 0]
    down = [i for i in order[:n_top] if values[i] < 0]
    alt = (
        f"Parcel loadings of {component}: largest in parcels {_named(labels, values, up)}; "
        f"smallest in {_named(labels, values, down)}; {len(values)} parcels in all."
    )
    limit, height = float(np.max(np.abs(values))) or 1.0, 14 * n_top
    half = (width - 20) / 2
    with house_style():
        fig = new_figure(width, height + 170)
        for left, chosen, title in ((0, up, "positive"), (half + 20, down, "negative")):
            ax = place(fig, left + 70, 22, half - 82, height)
            _ranked_bars(ax, [labels[i] for i in chosen], values[chosen], limit, n_top)
            ax.set_title(f"most {title}", loc="left", fontsize=10.5, color=signed_colour(1 if chosen is up else -1), pad=5)
        _profile(place(fig, 40, height + 62, width - 48, 66), values, limit)
        return to_svg(fig, name, alt)


def _named(labels: NDArray[np.str_], values: NDArray[np.floating], chosen: list[int]) -> str:
    return listing([f"{labels[i]} ({number(values[i])})" for i in chosen[:3]]) or "none"


def _ranked_bars(
    ax: Axes, labels: list[str], values: NDArray[np.floating], limit: float, n_rows: int
) -> None:
    ax.barh(range(len(values)), np.abs(values), height=0.72, color=[signed_colour(v) for v in values])
    ax.set_xlim(0, 1.3 * limit)
    ax.set_ylim(n_rows - 0.5, -0.5)
    ax.set_yticks(range(len(labels)), [shorten(label, 11) for label in labels])
    ax.tick_params(axis="y", length=0, pad=2)
    ax.xaxis.set_visible(False)
    ax.spines[:].set_visible(False)
    for row, value in enumerate(values):
        ax.text(abs(value) + 0.03 * limit, row, number(value), va="center_baseline", fontsize=9.5)
    if not len(values):
        ax.text(0, 0, "none", va="center_baseline", color=MUTED)


def _profile(ax: Axes, values: NDArray[np.floating], limit: float) -> None:
    """All parcels in the atlas's order."""
    x = np.arange(len(values))
    for sign in (1, -1):
        chosen = np.sign(values) == sign
        if chosen.any():
            ax.vlines(x[chosen], 0, values[chosen], color=signed_colour(sign), linewidth=max(0.6, 330 / len(values)))
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.set_xlim(-1, len(values))
    ax.set_ylim(-1.05 * limit, 1.05 * limit)
    ax.set_ylabel("loading")
    ax.set_xlabel(f"all {len(values)} parcels, in the order of the table")

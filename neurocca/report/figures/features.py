"""Which film features a component is about."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurocca.report.figures.canvas import (
    INK,
    MUTED,
    dark_text_on,
    house_style,
    new_figure,
    place,
    rectangles,
    shorten,
    signed_colour,
    signed_map_colour,
    to_svg,
)
from neurocca.report.wording import number

ROW, TALL_ROW = 17, 28
"""Height of a row in pixels: the least, and what it may grow to where there is room."""

_SCALE = 44
"""Height of the colour scale in pixels."""

_NAMES = 150
"""Width of the names in pixels."""


@dataclass(frozen=True)
class Strongest:
    """Features to draw, strongest space and feature first: names (f,), variants (v,), loadings (f, v), NaN if none."""

    names: list[tuple[str, str]]
    variants: list[str]
    loadings: NDArray[np.floating]

    @property
    def is_single(self) -> bool:
        """Whether every feature has one loading only."""
        return len(self.variants) == 1


def feature_loadings(
    table: pd.DataFrame,
    component: str,
    *,
    t_r: float,
    name: str,
    limit: float | None = None,
    width: int = 420,
    height: int = 0,
    n_top: int = 20,
) -> str:
    """Strongest features of a component by feature space: a cell per delay, or a bar where there is only one loading.

    Parameters
    ----------
    table : DataFrame
        Columns space, feature, delay (volumes, name of a basis function, or empty) and the component.
    component : str
    t_r : float
        Repetition time in seconds.
    name : str
        Prefix of the ids inside, unique on the page.
    limit : float, optional
        Loading at which colours and bars end, to be the same for figures that are compared; by default the largest of
        this one.
    width : int
        In pixels.
    height : int
        Pixels to fill, as far as rows can grow without looking empty.
    n_top : int
        Number of features shown, by largest absolute loading over delays.
    """
    shown = strongest(table, component, t_r, n_top)
    limit = limit or float(np.nanmax(np.abs(shown.loadings), initial=0)) or 1.0
    rows = _rows(shown.names)
    top, bottom = (4, 4) if shown.is_single else (44, _SCALE)
    tall = len(rows) * float(np.clip((height - top - bottom) / max(len(rows), 1), ROW, TALL_ROW))
    with house_style():
        fig = new_figure(width, tall + top + bottom)
        ax = place(fig, _NAMES, top, width - _NAMES - 8, tall)
        for row, (space, index) in enumerate(rows):
            _row_label(ax, row, space if index is None else shown.names[index][1], is_space=index is None)
        drawn = np.array([row for row, (_, index) in enumerate(rows) if index is not None], float)
        if shown.is_single:
            _bars(ax, drawn, shown.loadings[:, 0], limit)
        else:
            _cells(ax, drawn, shown.loadings, limit)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
        if shown.is_single:
            ax.set_xlim(-1.35 * limit, 1.35 * limit)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.xaxis.set_visible(False)
        else:
            _variant_axis(ax, shown.variants)
            _colour_scale(place(fig, _NAMES, top + tall + 12, width - _NAMES - 8, 8), limit)
        return to_svg(fig, name, _alt(component, shown))


def _colour_scale(ax: Axes, limit: float, steps: int = 41) -> None:
    """What the colours mean: from -limit to limit, as flat pieces, which stay sharp at any size."""
    edges = np.linspace(-limit, limit, steps + 1)
    colours = [signed_map_colour(middle, limit) for middle in (edges[:-1] + edges[1:]) / 2]
    rectangles(ax, edges[:-1], 0, np.diff(edges), 1, colours, edge=colours, linewidth=0.4)
    ax.set_xlim(-limit, limit)
    ax.set_ylim(0, 1)
    ax.set_yticks([])
    ax.set_xticks([-limit, 0, limit], [number(-limit), "loading (r)", number(limit)])
    ax.tick_params(length=0, pad=3)
    left, _, right = ax.get_xticklabels()
    left.set_horizontalalignment("left")
    right.set_horizontalalignment("right")
    ax.spines[:].set_visible(False)


def variant_labels(table: pd.DataFrame, t_r: float) -> list[str]:
    """How each row's delay reads: "4 s", the name of a basis function, or nothing for a plain response."""
    delays = pd.to_numeric(table["delay"], errors="coerce").to_numpy(float)
    return [
        f"{delay * t_r:g} s" if np.isfinite(delay) else "" if pd.isna(raw) else str(raw)
        for raw, delay in zip(table["delay"], delays, strict=True)
    ]


def strongest(table: pd.DataFrame, component: str, t_r: float, n_top: int) -> Strongest:
    """Features with the largest absolute loadings.

    Parameters
    ----------
    table, component, t_r, n_top
        As for `feature_loadings`.
    """
    labels = variant_labels(table, t_r)
    variants = list(dict.fromkeys(labels))
    rows = list(zip(table["space"].astype(str), table["feature"].astype(str), strict=True))
    names = list(dict.fromkeys(rows))
    grid = np.full((len(names), len(variants)), np.nan)
    position = {key: i for i, key in enumerate(names)}
    for key, label, value in zip(rows, labels, table[component], strict=True):
        grid[position[key], variants.index(label)] = value
    size = np.abs(np.nan_to_num(grid)).max(axis=1, initial=0)
    kept = np.argsort(-size, kind="stable")[:n_top]
    best = {space: max(size[i] for i in kept if names[i][0] == space) for space in {names[i][0] for i in kept}}
    order = sorted(kept, key=lambda i: (-best[names[i][0]], names[i][0], -size[i], names[i][1]))
    return Strongest([names[i] for i in order], [v or "response" for v in variants], grid[order])


def _alt(component: str, shown: Strongest) -> str:
    peak = np.abs(np.nan_to_num(shown.loadings)).argmax(axis=1)
    values = shown.loadings[np.arange(len(peak)), peak]
    pairs = zip(shown.names, values, strict=True)
    return f"Feature loadings of {component}: " + ", ".join(
        f"{feature} {number(float(r))}" for (_, feature), r in pairs
    )


def _rows(names: list[tuple[str, str]]) -> list[tuple[str, int | None]]:
    """Rows to draw: a heading (space, None) above the features (space, index) of each space."""
    rows: list[tuple[str, int | None]] = []
    for index, (space, _) in enumerate(names):
        if not rows or rows[-1][0] != space:
            rows.append((space, None))
        rows.append((space, index))
    return rows


def _row_label(ax: Axes, row: int, text: str, *, is_space: bool) -> None:
    """Name left of the axes: spaces in bold at the far left, features next to their cells."""
    ax.annotate(
        shorten(text, 40 if is_space else 22),
        (0, row),
        xycoords=("axes fraction", "data"),
        xytext=(4 - _NAMES if is_space else -6, 0),
        textcoords="offset points",
        ha="left" if is_space else "right",
        va="center_baseline",
        color=MUTED if is_space else INK,
        fontweight="bold" if is_space else "normal",
        annotation_clip=False,
    )


def _cells(ax: Axes, rows: NDArray[np.floating], loadings: NDArray[np.floating], limit: float) -> None:
    """One coloured cell per feature and delay, with its number where there is room."""
    features, columns = np.nonzero(np.isfinite(loadings))
    values = loadings[features, columns]
    colours = [signed_map_colour(float(value), limit) for value in values]
    rectangles(ax, columns - 0.5, rows[features] - 0.5, 1, 1, colours, edge="white")
    if loadings.shape[1] > 6:
        return
    for row, column, value, colour in zip(rows[features], columns, values, colours, strict=True):
        ink = INK if dark_text_on(colour) else "white"
        ax.text(float(column), row, number(float(value)), ha="center", va="center_baseline", color=ink, fontsize=9.5)


def _variant_axis(ax: Axes, variants: list[str]) -> None:
    ax.set_xlim(-0.5, len(variants) - 0.5)
    step = 1 + (len(variants) - 1) // 8
    ax.set_xticks(range(0, len(variants), step), variants[::step])
    ax.xaxis.tick_top()
    ax.tick_params(axis="x", length=0, pad=1)
    ax.set_xlabel("brain later than film by" if variants[0].endswith(" s") else "part of the response", labelpad=7)
    ax.xaxis.set_label_position("top")


def _bars(ax: Axes, rows: NDArray[np.floating], values: NDArray[np.floating], limit: float) -> None:
    """Bars from zero with their numbers at the ends."""
    rectangles(ax, 0, rows - 0.36, values, 0.72, [signed_colour(value) for value in values])
    for row, value in zip(rows, values, strict=True):
        side, sign = ("left", 1) if value >= 0 else ("right", -1)
        ax.text(value + 0.03 * sign * limit, row, number(value), ha=side, va="center_baseline", fontsize=9.5)

"""Which parcels a component is about."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurocca.report.figures.canvas import (
    FAINT,
    MUTED,
    house_style,
    new_figure,
    place,
    rectangles,
    shorten,
    signed_colour,
    to_svg,
)
from neurocca.report.wording import listing, number

ROW = 18
"""Height of a bar's row in pixels."""

POINTS = 1000
"""A profile is not drawn finer than this: surfaces have tens of thousands of vertices, and pages are to stay small."""


def parcel_loadings(
    table: pd.DataFrame, component: str, *, name: str, nouns: str = "parcels", width: int = 470, n_top: int = 10
) -> str:
    """Parcels, or vertices, with the largest positive and negative loadings, and the profile over all parcels.

    Parameters
    ----------
    table : DataFrame
        Columns parcel and the component.
    component : str
    name : str
        Prefix of the ids inside, unique on the page.
    nouns : str
        What the rows of the table are.
    width : int
        In pixels.
    n_top : int
        Number of parcels named on either side of zero.
    """
    values = table[component].to_numpy(float)
    labels = [str(parcel) for parcel in table["parcel"]]
    order = np.argsort(values, kind="stable")
    up = [int(i) for i in order[::-1][:n_top] if values[i] > 0]
    down = [int(i) for i in order[:n_top] if values[i] < 0]
    alt = (
        f"Loadings of {component}: largest in {nouns} {_named(labels, values, up)}; "
        f"smallest in {_named(labels, values, down)}; {len(values)} {nouns} in all."
    )
    limit, half = float(np.max(np.abs(values))) or 1.0, (width - 20) / 2
    height = ROW * max(len(up), len(down), 1)
    with house_style():
        fig = new_figure(width, height + 168)
        for left, chosen, sign in ((0.0, up, 1), (half + 20, down, -1)):
            ax = place(fig, left + 84, 22, half - 96, height)
            _ranked_bars(ax, [labels[i] for i in chosen], values[chosen], limit)
            ax.set_ylim(height / ROW - 0.5, -0.5)
            title = "most positive" if sign > 0 else "most negative"
            ax.set_title(title, loc="left", color=signed_colour(sign), pad=5)
        _profile(place(fig, 58, height + 54, width - 74, 74), values, limit, nouns)
        return to_svg(fig, name, alt)


def _named(labels: list[str], values: NDArray[np.floating], chosen: list[int]) -> str:
    return listing([f"{labels[i]} ({number(values[i])})" for i in chosen[:3]]) or "none"


def _ranked_bars(ax: Axes, labels: list[str], values: NDArray[np.floating], limit: float) -> None:
    rows = np.arange(len(values))
    rectangles(ax, 0, rows - 0.36, np.abs(values), 0.72, [signed_colour(v) for v in values])
    ax.set_xlim(0, 1.3 * limit)
    ax.set_yticks(range(len(labels)), [shorten(label, 11) for label in labels])
    ax.tick_params(axis="y", length=0, pad=2)
    ax.xaxis.set_visible(False)
    ax.spines[:].set_visible(False)
    for row, value in enumerate(values):
        ax.text(abs(value) + 0.03 * limit, row, number(value), va="center_baseline", fontsize=9.5)
    if not len(values):
        ax.text(0, 0, "none", va="center_baseline", color=MUTED)


def _profile(ax: Axes, values: NDArray[np.floating], limit: float, nouns: str) -> None:
    """All parcels in the table's order; of very many the largest ones of every pixel."""
    for sign in (1, -1):
        x = _outline(values, sign)
        # one path with gaps instead of a path per parcel: a tenth of the size
        stems = np.column_stack([np.zeros(len(x)), values[x], np.full(len(x), np.nan)]).ravel()
        width = max(0.6, min(6, 310 / len(values)))
        ax.plot(np.repeat(x, 3), stems, color=signed_colour(sign), linewidth=width, solid_capstyle="butt")
    ax.axhline(0, color=FAINT, linewidth=0.8)
    ax.set_xlim(-1, len(values))
    ax.set_ylim(-1.05 * limit, 1.05 * limit)
    ax.set_ylabel("loading")
    ax.set_xlabel(f"all {len(values)} {nouns}, in the order of the table")


def _outline(values: NDArray[np.floating], sign: int) -> NDArray[np.intp]:
    """Places of one sign that show: all, or the largest in each of POINTS stretches."""
    if len(values) <= POINTS:
        return np.flatnonzero(np.sign(values) == sign)
    stretches = np.array_split(sign * values, POINTS)
    starts = np.cumsum([0, *map(len, stretches)])[:-1]
    largest = starts + [int(np.argmax(stretch)) for stretch in stretches]
    return np.asarray(largest[sign * values[largest] > 0])

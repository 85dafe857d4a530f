"""How the shrinkage was chosen."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from neurocca.report.figures.canvas import (
    INK,
    POSITIVE,
    dark_text_on,
    house_style,
    new_figure,
    place,
    rectangles,
    to_svg,
)
from neurocca.report.wording import number


def shrinkage_curve(
    score: NDArray[np.floating],
    grid_features: Sequence[float],
    grid_bold: Sequence[float],
    *,
    chosen: tuple[float, float],
    name: str,
    width: int = 400,
) -> str:
    """Mean held-out r|r| for every pair of shrinkages, the chosen pair framed.

    Parameters
    ----------
    score : array, shape (len(grid_features), len(grid_bold))
        Mean over components and left-out runs.
    grid_features, grid_bold : sequence of float
        Shrinkages tried, 0 (CCA) to 1 (PLS).
    chosen : tuple of float
        Shrinkage of features and BOLD in the final fit.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    score = np.asarray(score, float)
    best, worst = float(np.nanmax(score)), float(np.nanmin(score))
    alt = (
        f"Mean held-out r|r| for {score.size} pairs of shrinkages, {number(worst, 3)} to {number(best, 3)}; "
        f"chosen: features {chosen[0]:g}, BOLD {chosen[1]:g}."
    )
    height = 33 * len(grid_features)
    with house_style():
        fig = new_figure(width, height + 46)
        ax = place(fig, 58, 4, width - 66, height)
        colours = mpl.colormaps["cividis"]((score - worst) / (best - worst if best > worst else 1.0))
        rows, columns = np.indices(score.shape).reshape(2, -1)
        rectangles(ax, columns - 0.5, rows - 0.5, 1, 1, colours.reshape(-1, 4), edge="white")
        for row, column in np.ndindex(score.shape):
            is_chosen = (grid_features[row], grid_bold[column]) == chosen
            ink = INK if dark_text_on(tuple(colours[row, column])) else "white"
            weight = "bold" if is_chosen else "normal"
            text = number(float(score[row, column]), 3)
            ax.text(column, row, text, ha="center", va="center_baseline", color=ink, fontweight=weight)
            if is_chosen:
                rectangles(ax, column - 0.47, row - 0.44, 0.94, 0.88, "none", edge=POSITIVE, linewidth=2.4)
        ax.set_xlim(-0.5, len(grid_bold) - 0.5)
        ax.set_ylim(len(grid_features) - 0.5, -0.5)
        ax.set_xticks(range(len(grid_bold)), [f"{s:g}" for s in grid_bold])
        ax.set_yticks(range(len(grid_features)), [f"{s:g}" for s in grid_features])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("shrinkage of BOLD")
        ax.set_ylabel("shrinkage of features")
        return to_svg(fig, name, alt)

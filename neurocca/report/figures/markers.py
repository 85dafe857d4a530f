"""Loadings of parcels whose places are known, on a glass brain."""

import numpy as np
from matplotlib.figure import Figure
from nilearn import plotting
from numpy.typing import NDArray

from neurocca.report.figures.brains import SCALE, colour_scale, png_uri
from neurocca.report.figures.canvas import PX, SIGNED_MAP, house_style

SMALLEST, LARGEST = 2.0, 60.0
"""Areas of markers of no loading, and of the largest."""


def parcel_markers(
    values: NDArray[np.floating], places: NDArray[np.floating], *, width: int = 470, height: int = 330
) -> str:
    """Every parcel as a disc, coloured by its loading and as large as that is, as a PNG data-URI.

    Limits are symmetric about zero; the largest loadings lie above the others.

    Parameters
    ----------
    values : array, shape (n,)
        Loadings.
    places : array, shape (n, 3)
        Millimetres of MNI space.
    width, height : int
        Size on the page in pixels.
    """
    order = np.argsort(np.abs(values), kind="stable")
    values, places = np.asarray(values, float)[order], np.asarray(places, float)[order]
    limit = float(np.max(np.abs(values), initial=0.0)) or 1.0
    sizes = SMALLEST + (LARGEST - SMALLEST) * np.abs(values) / limit
    with house_style():
        fig = Figure(figsize=(width / PX, height / PX), dpi=PX * SCALE, facecolor="white")
        for top, mode in ((0.5, "lr"), (0.0, "yz")):
            plotting.plot_markers(
                values, places, node_size=sizes, node_cmap=SIGNED_MAP, node_vmin=-limit, node_vmax=limit,
                display_mode=mode, figure=fig, axes=(0.0, top, 0.88, 0.5), colorbar=False,
                node_kwargs={"edgecolors": "#5b6470", "linewidths": 0.4},
            )  # fmt: skip
        colour_scale(fig, limit)
        return png_uri(fig)

"""Whether film and BOLD are aligned."""

from collections.abc import Sequence

import numpy as np

from neurocca.report.figures.canvas import BRAIN, FAINT, MUTED, house_style, new_figure, place, to_svg
from neurocca.report.wording import number

PLAUSIBLE = (0.0, 10.0)
"""Seconds by which a haemodynamic response follows what causes it, generously."""


def lag_curve(lags: Sequence[float], correlations: Sequence[float], *, name: str, width: int = 400) -> str:
    """Held-out correlation of the first component by the lag of BOLD behind the film.

    Parameters
    ----------
    lags : sequence of float
        Seconds, ascending.
    correlations : sequence of float
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    best = int(np.argmax(correlations))
    alt = (
        f"Held-out correlation by lags of {lags[0]:g} to {lags[-1]:g} s: largest, {number(correlations[best])}, "
        f"at {lags[best]:g} s."
    )
    with house_style():
        fig = new_figure(width, 150)
        ax = place(fig, 54, 8, width - 66, 96)
        ax.axvspan(*PLAUSIBLE, color=FAINT, alpha=0.4, linewidth=0)
        ax.axhline(0, color=MUTED, linewidth=0.8)
        ax.plot(lags, correlations, color=BRAIN, linewidth=1.6, marker="o", markersize=3.5, clip_on=False)
        ax.set_xlim(lags[0], lags[-1])
        ax.set_xlabel("BOLD after the film by (s)")
        ax.set_ylabel("held-out r")
        return to_svg(fig, name, alt)

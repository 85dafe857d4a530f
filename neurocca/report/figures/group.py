"""Several participants at a glance."""

from collections.abc import Sequence

import pandas as pd

from neurocca.report.figures.canvas import BRAIN, FAINT, MUTED, house_style, new_figure, place, to_svg
from neurocca.report.wording import ALPHA, number

ROW = 40
"""Height of a component's row in pixels."""


def participants_overview(matches: pd.DataFrame, components: Sequence[str], *, name: str, width: int = 420) -> str:
    """Held-out correlation of every participant, component by component; filled where it is beyond chance.

    Parameters
    ----------
    matches : DataFrame
        Columns participant, component, r_held_out, p_held_out.
    components : sequence of str
        In the order of the rows.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    means = matches.groupby("component")["r_held_out"].mean()
    alt = "Held-out correlation of each component, mean over participants and range: " + ", ".join(
        f"{c} {number(means[c])} ({number(own.min())} to {number(own.max())})"
        for c in components
        for own in [matches.loc[matches["component"] == c, "r_held_out"]]
    )
    height = ROW * len(components)
    with house_style():
        fig = new_figure(width, height + 76)
        ax = place(fig, 64, 30, width - 80, height)
        for row, component in enumerate(components):
            own = matches[matches["component"] == component]
            for found, face in ((True, BRAIN), (False, "white")):
                values = own.loc[(own["p_held_out"] < ALPHA) == found, "r_held_out"]
                ax.plot(values, [row] * len(values), "o", color=face, markeredgecolor=BRAIN, markersize=7, alpha=0.75)
            ax.plot([means[component]] * 2, [row - 0.3, row + 0.3], color=BRAIN, linewidth=2.2)
        ax.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        ax.set_ylim(len(components) - 0.5, -0.5)
        ax.set_yticks(range(len(components)), list(components))
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlim(right=max(ax.get_xlim()[1], 0.1))
        ax.set_xlabel("held-out r")
        key = fig.add_axes((0, 1 - 26 / (height + 76), 1, 26 / (height + 76)))
        key.set_axis_off()
        key.set_xlim(0, width)
        key.set_ylim(0, 1)
        key.plot([8], [0.5], "o", color=BRAIN, markersize=7, alpha=0.75)
        key.text(17, 0.5, "participant, p < .05", va="center_baseline")
        key.plot([148], [0.5], "o", color="white", markeredgecolor=BRAIN, markersize=7)
        key.text(157, 0.5, "not beyond chance", va="center_baseline", color=MUTED)
        key.plot([286, 286], [0.15, 0.85], color=BRAIN, linewidth=2.2)
        key.text(293, 0.5, "mean", va="center_baseline")
        return to_svg(fig, name, alt)

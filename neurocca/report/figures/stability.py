"""How far halves of the runs agree about each component."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from neurocca.report.figures.canvas import BRAIN, FAINT, FILM, MUTED, house_style, new_figure, place, to_svg
from neurocca.report.wording import number

SIDES = (("BOLD", BRAIN, -0.17), ("Film", FILM, 0.17))


def stability(components: Sequence[Mapping[str, Any]], *, name: str, width: int = 420) -> str:
    """Mean congruence of brain and film over splits, the middle 95 % of splits, and what rearranged films give.

    Parameters
    ----------
    components : sequence of mappings
        ``Stability`` of the decomposition: Name, and BOLD, BOLDChance, Film, FilmChance with Mean, Low and High.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    alt = "Congruence of halves of the runs: " + "; ".join(
        f"{c['Name']} brain {number(c['BOLD']['Mean'])} (chance {number(c['BOLDChance']['Mean'])}), "
        f"film {number(c['Film']['Mean'])} (chance {number(c['FilmChance']['Mean'])})"
        for c in components
    )
    height = 38 * len(components)
    with house_style():
        fig = new_figure(width, height + 72)
        ax = place(fig, 64, 26, width - 80, height)
        ax.axvline(0, color=MUTED, linewidth=0.8, zorder=0)
        for row, component in enumerate(components):
            for side, colour, offset in SIDES:
                _interval(ax, row + offset, component[side], component[f"{side}Chance"], colour)
        ax.set_xlim(right=1)
        ax.set_ylim(len(components) - 0.5, -0.5)
        ax.set_yticks(range(len(components)), [str(c["Name"]) for c in components])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("congruence between halves of the runs")
        _key(fig.add_axes((0, 1 - 24 / (height + 72), 1, 24 / (height + 72))), width)
        return to_svg(fig, name, alt)


def _interval(ax: Axes, row: float, found: Mapping[str, float], chance: Mapping[str, float], colour: str) -> None:
    ax.plot([chance["Low"], chance["High"]], [row, row], color=FAINT, linewidth=7, solid_capstyle="butt", zorder=1)
    ax.plot([chance["Mean"]] * 2, [row - 0.13, row + 0.13], color=MUTED, linewidth=1.2, zorder=2)
    ax.plot([found["Low"], found["High"]], [row, row], color=colour, linewidth=1.6, zorder=3)
    ax.plot([found["Mean"]], [row], "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)


def _key(ax: Axes, width: int) -> None:
    """Legend in one line; x runs in pixels."""
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, 1)
    for x, colour, text in ((76, BRAIN, "brain"), (150, FILM, "film")):
        ax.plot([x], [0.5], "o", color=colour, markersize=7, markeredgecolor="white")
        ax.text(x + 9, 0.5, text, va="center_baseline")
    ax.plot([208, 230], [0.5, 0.5], color=FAINT, linewidth=7, solid_capstyle="butt")
    ax.plot([219, 219], [0.3, 0.7], color=MUTED, linewidth=1.2)
    ax.text(236, 0.5, "rearranged films", va="center_baseline")

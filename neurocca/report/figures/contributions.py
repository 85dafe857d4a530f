"""What each feature space contributes to each component."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from neurocca.report.figures.canvas import FAINT, FILM, INK, MUTED, house_style, new_figure, place, shorten, to_svg
from neurocca.report.wording import number

ROW = 17
"""Height of a space's row in pixels."""


def contributions(components: Sequence[Mapping[str, Any]], *, name: str, width: int = 560) -> str:
    """Share of variance that each space explains alone, and the part of it that no other space does.

    Parameters
    ----------
    components : sequence of mappings
        ``Contributions`` of the decomposition: Name, All, and Spaces with Alone, Unique and UniqueStandardError.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    alt = "Share of variance (r|r|) in left-out runs: " + "; ".join(
        f"{c['Name']} all {number(c['All'], 3)}, "
        + ", ".join(
            f"{space} alone {number(v['Alone'], 3)}, unique {number(v['Unique'], 3)}"
            for space, v in c["Spaces"].items()
        )
        for c in components
    )
    rows = len(components[0]["Spaces"]) + 1
    height = ROW * rows * len(components)
    with house_style():
        fig = new_figure(width, height + 70)
        ax = place(fig, 190, 26, width - 206, height)
        ax.axvline(0, color=MUTED, linewidth=0.8, zorder=3)
        for i, component in enumerate(components):
            _group(ax, i * rows, component)
        ax.set_ylim(len(components) * rows - 1, -1)
        ax.set_yticks(
            [i * rows + j for i in range(len(components)) for j in range(rows - 1)],
            [shorten(space, 16) for c in components for space in c["Spaces"]],
        )
        ax.tick_params(axis="y", length=0, pad=3)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("share of variance in left-out runs, r|r|")
        _key(fig.add_axes((0, 1 - 24 / (height + 70), 1, 24 / (height + 70))), width)
        return to_svg(fig, name, alt)


def _group(ax: Axes, first: int, component: Mapping[str, Any]) -> None:
    spaces = list(component["Spaces"].values())
    last = first + len(spaces) - 1
    ax.plot([component["All"]] * 2, [first - 0.45, last + 0.45], color=INK, linewidth=1.4, zorder=4)
    for row, shares in enumerate(spaces, start=first):
        ax.barh(row, shares["Alone"], height=0.78, color=FILM, alpha=0.3)
        ax.barh(row, shares["Unique"], height=0.4, color=FILM)
        reach = [shares["Unique"] + sign * shares["UniqueStandardError"] for sign in (-1, 1)]
        ax.plot(reach, [row, row], color=INK, linewidth=1, zorder=4)
    middle = (first + last) / 2
    ax.annotate(
        component["Name"], (0, middle), xycoords=("axes fraction", "data"), xytext=(-186, 0),
        textcoords="offset points", va="center", fontweight="bold", annotation_clip=False,
    )  # fmt: skip
    if first:
        ax.axhline(first - 1, color=FAINT, linewidth=0.8)


def _key(ax: Axes, width: int) -> None:
    """Legend in one line; x runs in pixels."""
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(0, 1)
    for left, size, alpha, text in ((150, 0.56, 0.3, "the space alone"), (290, 0.3, 1.0, "beyond the others (± SE)")):
        ax.barh(0.5, 18, left=left, height=size, color=FILM, alpha=alpha)
        ax.text(left + 24, 0.5, text, va="center_baseline")
    ax.plot([468, 468], [0.15, 0.85], color=INK, linewidth=1.4)
    ax.text(474, 0.5, "all spaces", va="center_baseline")

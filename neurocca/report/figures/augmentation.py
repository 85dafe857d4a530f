"""How far augmentation carries a film's frames away from themselves, and what they look like on the way."""

import base64
import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from neurocca.report.figures.canvas import FAINT, FILM, MUTED, house_style, new_figure, place, shorten, to_svg
from neurocca.report.wording import listing

COLUMNS = 3

_LINE = 19
"""Height of a line of the key, in pixels, as all sizes here."""

_TOP, _PLOT, _TICKS, _BELOW = 26, 108, 20, 34
"""Heights of a panel's title, curves and tick labels, and of what is below its pictures."""

_LEFT, _RIGHT = 46, 10
"""Widths beside the curves."""

_SCALE = 2
"""Pixels of a picture per pixel on screen, for sharp displays and print."""

_STILL = "#e4eff0"
_LABELS: dict[str, tuple[str, dict[str, Any]]] = {
    "top5_lost": ("label lost from the first five", {"color": FILM, "linewidth": 1.8, "marker": "o", "markersize": 4}),
    "top1_lost": ("label no longer the first", {"color": FILM, "linewidth": 1.2, "linestyle": (0, (1.5, 1.5))}),
}


@dataclass(frozen=True)
class _Panel:
    """Where a panel is: left and top of its curves, and their width; ``thumb`` is (width, height) of a picture."""

    left: int
    top: int
    width: int
    thumb: tuple[int, int]


def augmentation_drift(
    table: pd.DataFrame,
    limits: pd.DataFrame,
    examples: Mapping[str, NDArray[np.uint8]],
    *,
    threshold: float,
    name: str,
    width: int = 1080,
) -> str:
    """A panel per kind: drift of each layer and labels lost by strength, above one frame at each strength.

    Panels are shaded up to where frames are still themselves. Strengths are spaced evenly, as the pictures are.

    Parameters
    ----------
    table, limits : DataFrame
        Of a `neurocca.features.augmentation_report.AugmentationReport`.
    examples : mapping of str to array, shape (strengths, H, W, 3), uint8
        By kind.
    threshold : float
        Of drift and of labels lost, at which frames stop being themselves.
    name : str
        Prefix of the ids inside, unique on the page.
    width : int
        In pixels.
    """
    strengths = table["strength"].unique()
    layers = _layer_styles(table)
    records = limits.to_dict("records")
    entries = _entries(table, layers)
    places = _flow([text for text, _ in entries], width)
    key = round(places[-1][1]) + _LINE
    panels = _layout(len(records), width, key, _thumb(examples, width, len(strengths)))
    height = panels[-1].top + _PLOT + _TICKS + panels[-1].thumb[1] + _BELOW - 6
    with house_style():
        fig = new_figure(width, height)
        _key(place(fig, 0, 0, width, key), entries, places)
        for panel, limit in zip(panels, records, strict=True):
            ax = place(fig, panel.left, panel.top, panel.width, _PLOT)
            _shade(ax, limit, strengths, threshold)
            _curves(ax, table[table["kind"] == limit["kind"]], layers)
            _axes(ax, limit, strengths, panel)
        svg = to_svg(fig, name, _alt(records))
    pictures = [_strip(examples[limit["kind"]], panel) for panel, limit in zip(panels, records, strict=True)]
    return svg.removesuffix("</svg>") + "\n".join(pictures) + "</svg>"


def _layer_styles(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """A line style per layer, darker and thicker the deeper it lies."""
    layers = table.loc[table["measure"] == "drift", "layer"].unique().tolist()
    depths = np.linspace(0.42, 0.95, len(layers)) if len(layers) > 1 else [0.8]
    colours = mpl.colormaps["YlGnBu"](depths)
    widths = np.linspace(1.4, 2.2, len(layers))
    return {
        layer: {"color": tuple(colour), "linewidth": float(width)}
        for layer, colour, width in zip(layers, colours, widths, strict=True)
    }


def _plot_width(width: int) -> int:
    return width // COLUMNS - _LEFT - _RIGHT


def _thumb(examples: Mapping[str, NDArray[np.uint8]], width: int, n: int) -> tuple[int, int]:
    """Width and height of a picture, so that n of them fit under the curves."""
    shape = next(iter(examples.values())).shape
    across = _plot_width(width) // n - 2
    return across, max(1, round(across * shape[1] / shape[2]))


def _layout(n: int, width: int, first: int, thumb: tuple[int, int]) -> list[_Panel]:
    height = _TOP + _PLOT + _TICKS + thumb[1] + _BELOW
    lefts = [i * (width // COLUMNS) + _LEFT for i in range(COLUMNS)]
    return [
        _Panel(lefts[i % COLUMNS], first + i // COLUMNS * height + _TOP, _plot_width(width), thumb) for i in range(n)
    ]


def _shade(ax: Axes, limit: Mapping[Hashable, Any], strengths: NDArray, threshold: float) -> None:
    last = len(strengths) - 1
    end = float(np.interp(limit["strength"], strengths, np.arange(last + 1))) if limit["limited_by"] else last + 0.5
    ax.axvspan(-0.5, end, color=_STILL, linewidth=0, zorder=0)
    ax.axhline(threshold, color=FAINT, linewidth=1, zorder=0.5)
    if limit["limited_by"]:
        ax.axvline(end, color=MUTED, linewidth=1, linestyle=(0, (3, 2)), zorder=1)


def _curves(ax: Axes, table: pd.DataFrame, layers: Mapping[str, dict[str, Any]]) -> None:
    for layer, style in layers.items():
        drift = table.loc[(table["layer"] == layer) & (table["measure"] == "drift"), "value"].to_numpy()
        ax.plot(range(len(drift)), drift, **style)
    for measure, (_, style) in _LABELS.items():
        lost = table.loc[table["measure"] == measure, "value"].to_numpy()
        ax.plot(range(len(lost)), lost, **style)
    ax.set_ylim(0, max(1.03, 1.02 * table.loc[table["measure"] != "identified", "value"].max()))


def _axes(ax: Axes, limit: Mapping[Hashable, Any], strengths: NDArray, panel: _Panel) -> None:
    ax.set_xlim(-0.5, len(strengths) - 0.5)
    ax.set_xticks(range(len(strengths)), [f"{s:g}" for s in strengths])
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.tick_params(length=3, pad=2)
    if panel.left == _LEFT:
        ax.set_ylabel("drift, share lost", labelpad=2)
    together = limit["kind"] == "together"
    ax.set_xlabel("strength, as a share of each kind's limit" if together else "strength", labelpad=panel.thumb[1] + 8)
    kind = "all kinds together" if together else str(limit["kind"]).replace("_", " ")
    ax.text(0, 1.07, kind, transform=ax.transAxes, fontweight="bold", va="bottom")
    still = f"up to {limit['amount']}" if limit["limited_by"] else "throughout"
    ax.text(1, 1.07, still, transform=ax.transAxes, ha="right", va="bottom", color=MUTED)


def _entries(table: pd.DataFrame, layers: Mapping[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """What the key names, and in which style it is drawn."""
    measures = table["measure"].unique()
    return [
        *((f"drift of {shorten(layer, 24)}", style) for layer, style in layers.items()),
        *((text, style) for measure, (text, style) in _LABELS.items() if measure in measures),
        ("half way to another frame, half of the labels", {"color": FAINT, "linewidth": 1}),
        ("frames are still themselves", {"color": _STILL, "linewidth": 12, "solid_capstyle": "butt"}),
    ]


def _flow(texts: Sequence[str], width: int) -> list[tuple[float, float]]:
    """Left end and middle of each entry of the key, in lines of that width."""
    places, x, y = [], 8.0, 12.0
    for text in texts:
        room = 48 + 6.9 * len(text)
        if x + room > width and x > 8:
            x, y = 8.0, y + _LINE
        places.append((x, y))
        x += room
    return places


def _key(ax: Axes, entries: list[tuple[str, dict[str, Any]]], places: list[tuple[float, float]]) -> None:
    """Legend; x and y run in pixels."""
    ax.set_axis_off()
    width, height = ax.get_window_extent().size
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    for (text, style), (x, y) in zip(entries, places, strict=True):
        ax.plot([x, x + 11, x + 22], [y, y, y], markevery=[1], **style)
        ax.text(x + 28, y, text, va="center_baseline")


def _strip(pictures: NDArray[np.uint8], panel: _Panel) -> str:
    """SVG image of pictures side by side under their ticks."""
    cell = panel.width / len(pictures)
    across, height = panel.thumb
    canvas = Image.new("RGB", (panel.width * _SCALE, height * _SCALE), "white")
    for i, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((across * _SCALE, height * _SCALE), Image.Resampling.LANCZOS)
        canvas.paste(small, (round(((i + 0.5) * cell - across / 2) * _SCALE), 0))
    buffer = io.BytesIO()
    canvas.save(buffer, format="JPEG", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<image x="{panel.left}" y="{panel.top + _PLOT + _TICKS}" width="{panel.width}" height="{height}" '
        f'href="data:image/jpeg;base64,{data}"/>'
    )


def _alt(records: list[dict[Hashable, Any]]) -> str:
    spelled = listing(
        [f"{r['kind']} {'up to ' + r['amount'] if r['limited_by'] else 'at every strength'}" for r in records]
    )
    return f"Drift of features and loss of labels by kind and strength. Frames are still themselves with {spelled}."

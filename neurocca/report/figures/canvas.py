"""From a matplotlib figure to SVG text that can live beside others on one page, byte-stable.

Figures are laid out in CSS pixels and shown at that size, so a font size of 10 is 10 px on screen. Text stays text
(small, selectable, searchable); it is laid out with DejaVu Sans, which is wider than what browsers put in its place,
so that nothing is cut off.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK = "#1b1f24"
MUTED = "#5b6470"
FAINT = "#c9ced6"
FILM = "#c26a00"
BRAIN = "#00626e"
POSITIVE = "#b2182b"
NEGATIVE = "#2166ac"
SIGNED_MAP = "RdBu_r"
"""Diverging and safe for colour-blind readers: blue below zero, white at zero, red above."""

_SIGNED = mpl.colormaps[SIGNED_MAP]  # each look-up is another copy, whose table is made anew

PX = 72
"""SVG units per inch in matplotlib, hence pixels per inch here."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.solid_joinstyle": "round",
    "text.parse_math": False,  # a feature may be called "a$b$"
    "axes.unicode_minus": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "neurocca",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_ROUNDED = frozenset({"d", "transform", "x", "y", "width", "height"})


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the report's style, whatever the user's matplotlibrc says, and leave no trace."""
    with style.context(["default", STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Empty figure of a size in pixels, outside pyplot."""
    fig = Figure(figsize=(width / PX, height / PX), dpi=PX)
    fig.patch.set_visible(False)
    return fig


def place(fig: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a position in pixels from the figure's upper left corner."""
    full_width, full_height = fig.get_size_inches() * PX
    low = 1 - (top + height) / full_height
    ax = fig.add_axes((left / full_width, low, width / full_width, height / full_height))
    ax.patch.set_visible(False)
    return ax


def rectangles(
    ax: Axes,
    left: ArrayLike,
    bottom: ArrayLike,
    width: ArrayLike,
    height: ArrayLike,
    fill: ArrayLike,
    *,
    edge: ArrayLike = "none",
    linewidth: float = 1.0,
) -> None:
    """Rectangles of one or of many colours as one artist: a patch each would take ten times as long to draw.

    The limits of the axes are left to the caller.

    Parameters
    ----------
    ax : Axes
    left, bottom, width, height : float or array, shape (n,)
        In data units.
    fill, edge : colour or sequence of n colours
    linewidth : float
        Of the edges, in pixels.
    """
    left, bottom, width, height = np.broadcast_arrays(*np.atleast_1d(left, bottom, width, height))
    right, top = left + width, bottom + height
    corners = np.stack([left, bottom, right, bottom, right, top, left, top], axis=1).reshape(-1, 4, 2)
    drawn = PolyCollection(list(corners), facecolors=fill, edgecolors=edge, linewidths=linewidth, joinstyle="miter")
    ax.add_collection(drawn, autolim=False)


def to_svg(fig: Figure, name: str, alt: str) -> str:
    """SVG element to put into an HTML page.

    Parameters
    ----------
    fig : Figure
    name : str
        Prefix of the ids inside; must be unique on the page.
    alt : str
        What the figure shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # the browser has glyphs that DejaVu Sans lacks; only the measured width is a guess
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        fig.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ET.fromstring(buffer.getvalue())
    _tidy(root)
    _rename_ids(root, re.sub(r"[^A-Za-z0-9_-]", "-", name))
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": width,
        "height": height,
        "role": "img",
        "aria-label": alt,
    }
    ET.register_namespace("", _SVG[1:-1])
    return ET.tostring(root, encoding="unicode")


def _tidy(root: ET.Element) -> None:
    """Drop style sheets, which would reach the whole page, and digits below a hundredth of a pixel."""
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag in (f"{_SVG}style", f"{_SVG}metadata")]:
            parent.remove(child)
        for key in _ROUNDED & parent.attrib.keys():
            parent.attrib[key] = re.sub(r"-?\d+\.\d+", _short, parent.attrib[key])
        if parent.attrib.get("transform", "").startswith("rotate(-0 "):
            del parent.attrib["transform"]
        if "style" in parent.attrib:  # the page's font takes its place
            parent.attrib["style"] = parent.attrib["style"].replace("font-family: 'DejaVu Sans'; ", "")
        if parent.tag != f"{_SVG}text" and parent.text and not parent.text.strip():
            parent.text = "\n"
        if parent.tail:
            parent.tail = "\n"


def _short(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rename_ids(root: ET.Element, prefix: str) -> None:
    """Make the ids that are referred to unique on the page, and drop the others."""
    targets: dict[str, str] = {}

    def new(old: str) -> str:
        return targets.setdefault(old, f"{prefix}-{len(targets)}")

    for element in root.iter():
        if _XLINK in element.attrib:
            link = element.attrib.pop(_XLINK)  # to a shape inside or, of a picture, its data
            element.attrib["href"] = "#" + new(link[1:]) if link.startswith("#") else link
        if "clip-path" in element.attrib:
            old = element.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            element.attrib["clip-path"] = f"url(#{new(old)})"
    for element in root.iter():
        old = element.attrib.pop("id", "")
        if old in targets:
            element.attrib["id"] = targets[old]


def signed_colour(value: float) -> str:
    """Colour of a bar: red above zero, blue below."""
    return POSITIVE if value >= 0 else NEGATIVE


def dark_text_on(rgba: tuple[float, float, float, float]) -> bool:
    """Whether dark text is the readable choice on a background colour."""
    red, green, blue = rgba[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue > 0.55


def shorten(text: str, width: int) -> str:
    """Text of at most ``width`` characters; the middle goes, because endings tell features apart."""
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1]}…{text[-tail:]}"


def signed_map_colour(value: float, limit: float) -> tuple[float, float, float, float]:
    """Colour of a value on the diverging map with limits -limit and +limit."""
    share = 0.5 + 0.5 * value / limit if limit > 0 else 0.5
    red, green, blue, alpha = _SIGNED(share)
    return red, green, blue, alpha

"""What was on screen at the moments that a component responds to."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurocca.report.figures.canvas import MUTED, NEGATIVE, POSITIVE, PX, house_style, new_figure, place

WIDTH = 900
"""Of the picture, in CSS pixels; it has twice as many."""

_GAP, _HEAD, _CAPTION = 8, 24, 22


def storyboard(rows: Sequence[tuple[str, Sequence[tuple[NDArray[np.uint8], str]]]], columns: int) -> bytes:
    """Frames in rows, each with a title, and a caption below each.

    Parameters
    ----------
    rows : sequence of (sign, frames)
        Sign is "high" or "low"; frames are pairs of an array of shape (height, width, 3) and a caption.
    columns : int
        Frames that fit in a row.

    Returns
    -------
    bytes
        JPEG; the same frames give the same bytes.
    """
    shown = [(sign, frames) for sign, frames in rows if frames]
    height, width = shown[0][1][0][0].shape[:2]
    tile = (WIDTH - (columns - 1) * _GAP) / columns
    tall = tile * height / width
    step = _HEAD + tall + _CAPTION + _GAP
    titles = {"high": ("Highest", POSITIVE), "low": ("Lowest", NEGATIVE)}
    with house_style():
        fig = new_figure(WIDTH, len(shown) * step - _GAP)
        fig.patch.set(visible=True, facecolor="white")
        for i, (sign, frames) in enumerate(shown):
            title, colour = titles[sign]
            header = place(fig, 0, i * step, WIDTH, _HEAD)
            header.set_axis_off()
            header.text(0, 0.5, title, transform=header.transAxes, va="center", color=colour, weight="bold", size=12.5)
            for j, (frame, caption) in enumerate(frames):
                ax = place(fig, j * (tile + _GAP), i * step + _HEAD, tile, tall)
                ax.imshow(frame, aspect="auto", interpolation="antialiased")
                ax.set(xticks=[], yticks=[])
                for spine in ax.spines.values():
                    spine.set(visible=True, color=colour, linewidth=1.5)
                ax.text(0.5, -4 / tall, caption, transform=ax.transAxes, ha="center", va="top", color=MUTED)
        buffer = io.BytesIO()
        fig.savefig(buffer, format="jpg", dpi=2 * PX, pil_kwargs={"quality": 80, "optimize": True})
    return buffer.getvalue()

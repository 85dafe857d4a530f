"""Bars around the picture, and the part that is left when they are cut off."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import UsageError
from neurocca.io.ffmpeg import decoding
from neurocca.io.framing import Crop
from neurocca.io.movie_header import MovieInfo, probe

_N_FRAMES = 300  # looked at, at most
_ENOUGH_KEY_FRAMES = 60
_LIGHTEST_BAR = 144  # of 255: bars are black or grey, margins of paper and sky are content
_NOISE = 10  # of 255: deviation from the bar's own grey that compression causes
_RINGING = 0.25  # the same beside the picture's edge, as a share of its contrast with the bar
_SMEAR = 16  # lines beside the picture's edge that it can reach: a block of most codecs
_STRAY = 0.02  # share of a line's pixels that may deviate more


def detect_crop(path: Path | str) -> Crop:
    """Part of a film's picture without the black or grey bars around it.

    A line at the edge belongs to a bar when it is of one even grey, the same as the outermost line and the same
    throughout, in every frame looked at: key frames, up to 300 of them, spread over the film. Encoders put them at
    cuts, so that a scene without bars is seen and keeps its picture whole. Frames of one colour tell nothing and are
    skipped. Where compression is strong, a line or two of a bar beside the picture may be left.

    Parameters
    ----------
    path : path
        A film.

    Returns
    -------
    (width, height, x, y)
        In pixels of the film as shown; the whole picture when there are no bars.

    Raises
    ------
    NoInputError, DataError
        As `neurocca.io.movie.probe` raises them.
    """
    info = probe(path)
    bars, n_frames = _bars(_frames(info, ["-skip_frame", "nokey"]), info.first.stored)
    if n_frames < _ENOUGH_KEY_FRAMES:
        bars, _ = _bars(_frames(info, []), info.first.stored)
    return _remainder(bars, info)


def parse_crop(text: str) -> Crop:
    """A crop as the command line has it.

    Raises
    ------
    UsageError
        When it is not W:H:X:Y in whole pixels.

    Examples
    --------
    >>> parse_crop("1280:546:0:87")
    (1280, 546, 0, 87)
    """
    match = re.fullmatch(r"(\d+):(\d+):(\d+):(\d+)", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise UsageError(f"crop {text!r}: expected auto, or width:height:x:y in pixels like 1280:546:0:87.")
    width, height, x, y = map(int, match.groups())
    return width, height, x, y


def _frames(info: MovieInfo, before: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
    """Frames spread over the film as Y'CbCr, each of shape (3, height, width), in the same array."""
    width, height = info.first.stored
    spread = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{info.duration / _N_FRAMES})'"
    options = ["-map", "0:V:0", "-fps_mode", "passthrough", "-vf", f"{spread},format=yuv444p", "-f", "rawvideo"]
    frame = np.empty((3, height, width), dtype=np.uint8)
    # a decoder that is kept from all but key frames complains of it
    with decoding(info.path, options, before, quiet=True) as pictures:
        while pictures.fill(frame):
            yield frame


def _bars(frames: Iterable[NDArray[np.uint8]], stored: tuple[int, int]) -> tuple[list[int], int]:
    """Lines of the bars at the top, bottom, left and right, and the number of frames."""
    width, height = stored
    bars = [_Bar(height), _Bar(height), _Bar(width), _Bar(width)]
    n_frames = 0
    for frame in frames:
        n_frames += 1
        light = frame[0].astype(np.int16)
        colour = np.abs(frame[1:].astype(np.int16) - 128).max(axis=0)
        for bar, *side in zip(bars, _sides(light), _sides(colour), strict=True):
            bar.look(*side)
    return [bar.depth for bar in bars], n_frames


def _sides(plane: NDArray[np.int16]) -> tuple[NDArray[np.int16], ...]:
    """The plane with its top, bottom, left and right edge as the first line."""
    return plane, plane[::-1], plane.T, plane.T[::-1]


class _Bar:
    """The bar at one side, as far as the frames seen so far allow it.

    ``_even`` lines are of an even grey in every frame. As compression smears the picture into the bar, lines next to
    them still belong to it that do not come near the picture's contrast: ``_faint`` lines from the edge.
    """

    def __init__(self, n_lines: int) -> None:
        self._even = self._faint = n_lines
        self._grey: float | None = None

    @property
    def depth(self) -> int:
        return min(self._faint, self._even + _SMEAR) if self._even else 0

    def look(self, light: NDArray[np.int16], colour: NDArray[np.int16]) -> None:
        """Take a frame into account; the arrays, of shape (lines, n), begin at the edge."""
        grey = float(np.median(light[0]))
        contrast = np.quantile(np.abs(light[::4, ::4] - grey), 0.95)
        if contrast <= _NOISE:
            return  # a frame of one colour tells nothing
        self._grey = grey if self._grey is None else self._grey
        if grey > _LIGHTEST_BAR or abs(grey - self._grey) > _NOISE:
            self._even = 0
        deviation = np.abs(light[: self._faint] - grey)
        uneven = np.maximum(deviation[: self._even], colour[: self._even]) > _NOISE
        self._even = _lines_before(uneven)
        self._faint = _lines_before(deviation > max(_NOISE, _RINGING * contrast))


def _lines_before(content: NDArray[np.bool_]) -> int:
    """Number of lines before the first that has more than stray pixels of content."""
    found = content.mean(axis=1) > _STRAY
    return int(found.argmax()) if found.any() else len(found)


def _remainder(bars: Sequence[int], info: MovieInfo) -> Crop:
    """What bars leave of the picture as shown, all of it where nothing would be left."""
    top, bottom, left, right = bars
    (width, height), (shown_width, shown_height) = info.first.stored, info.size
    if top + bottom >= height or left + right >= width:
        return shown_width, shown_height, 0, 0
    x, end = (round(column * shown_width / width) for column in (left, width - right))
    return max(1, end - x), height - top - bottom, x, top

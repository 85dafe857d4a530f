"""What a film looks like to the retina: light, contrast, colour, detail, change.

Nothing here knows of files: frames come as arrays. Colours are fractions of full scale, 0 to 1.

`studyforrest_measures` are the published per-frame measures of the studyforrest film, to be had from its segments in
full size. `FrameMeasures` has three of them in other units, from frames of any size, and one where it sees every frame:

===========  ============================================  ===================================================
published    unit                                          from `FrameMeasures`
===========  ============================================  ===================================================
brmean       8-bit grey levels, multiples of 1/4           255 · ``luminance``
brlr         grey levels, left minus right, whole numbers  510 · ``left_right``
brud         grey levels, upper minus lower                510 · ``up_down``
norm_diff    fraction of 144 bits                          ``perceptual_difference`` of frames taken 25 per second
===========  ============================================  ===================================================

Brightness differs by rounding and scaling only: the published differences are sums of two quadrants, hence 510, and
quadrant means are rounded to whole grey levels, which moves brmean by up to 0.5 and the differences by up to 2. The
perceptual difference is another measure at another rate: at 4 frames per second they lie 0.25 s apart and not 0.04 s,
and of means of frames (``window = "mean"``) it is another again. Bars that are no part of the picture have to be
cropped first.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

from neurocca.features.phash import hamming, perceptual_hash

FREQUENCY_BANDS = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64))
"""Octaves of spatial frequency, in cycles per picture height."""

FRAME_NAMES = (
    "luminance",
    "contrast",
    "left_right",
    "up_down",
    "motion",
    "saturation",
    "red_green",
    "blue_yellow",
    *(f"frequency_{low}_{high}" for low, high in FREQUENCY_BANDS),
    "perceptual_difference",
)
"""Columns of `FrameMeasures`."""

STUDYFORREST_NAMES = ("brmean", "brlr", "brud", "norm_diff")
"""Columns of `studyforrest_measures`."""

# perceived brightness weighs the squared channels (the HSP colour model; also what Pillow's users call "brightness")
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


class FrameMeasures:
    """Light, contrast, colour, detail and change of every frame, measured block by block.

    Blocks of any length give the same bytes as the whole film at once; all frames are of one size.

    Attributes
    ----------
    names : tuple of str, length 15
        ``luminance``: mean perceived luminance, √(.299 R² + .587 G² + .114 B²).
        ``contrast``: standard deviation of luminance over the frame.
        ``left_right``, ``up_down``: luminance of the left (upper) half minus that of the right (lower) half.
        ``motion``: mean absolute change of luminance since the frame before; 0 for the first frame.
        ``saturation``: mean of the largest minus the smallest channel. It is not divided by the largest, because
        that would turn the coding noise of dark scenes into vivid colour.
        ``red_green``, ``blue_yellow``: means of R - G and of B - (R + G) / 2.
        ``frequency_1_2`` … ``frequency_32_64``: root-mean-square of luminance in an octave of spatial frequency in
        all directions, in cycles per picture height, under a Hann window that fades out at the borders: a grating of
        amplitude a within the octave has a / √2. Zero where the frame has too few pixels for an octave (64 cycles
        need a height of 128).
        ``perceptual_difference``: fraction of the 144 bits of the perceptual hash that differ from the frame before
        (see `neurocca.features.phash`); 0 for the first frame.
        All are fractions of full scale.

    Examples
    --------
    >>> measures = FrameMeasures()
    >>> white, black = np.full((1, 2, 2, 3), 255, np.uint8), np.zeros((1, 2, 2, 3), np.uint8)
    >>> [float(measures.update(block)[0, measures.names.index("motion")]) for block in (white, black)]
    [0.0, 1.0]
    """

    names = FRAME_NAMES

    def __init__(self) -> None:
        self._count = 0
        self._light: NDArray[np.float32] | None = None
        self._hash: NDArray[np.bool_] | None = None
        self._spectrum: _Spectrum | None = None

    def update(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Measures of the next frames.

        Parameters
        ----------
        frames : array, shape (b, H, W, 3), uint8
            RGB, in order of time.

        Returns
        -------
        array, shape (b, 15)

        Raises
        ------
        ValueError
            When frames are not (H, W, 3) uint8 or have another size than the first.
        """
        rows = np.empty((len(frames), len(FRAME_NAMES)))
        for row, frame in zip(rows, frames, strict=True):  # one by one: a frame's planes stay in the processor's cache
            self._check(frame)
            row[:] = self._measure(frame)
            self._count += 1
        return rows

    def state(self) -> dict[str, NDArray]:
        """What the next block needs to know of the frames so far, to go on later with `restore`."""
        if self._light is None or self._hash is None:
            return {}
        return {"count": np.array(self._count), "light": self._light, "hash": self._hash}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on after the frames that gave a `state`."""
        self._count = int(state["count"]) if state else 0
        self._light = state["light"] if state else None
        self._hash = state["hash"] if state else None

    def _measure(self, frame: NDArray[np.uint8]) -> list[float]:
        light = perceived_luminance(frame)
        bits = perceptual_hash(frame[None])[0]
        if self._spectrum is None or self._spectrum.shape != light.shape:
            self._spectrum = _Spectrum(light.shape)
        motion = 0.0 if self._light is None else float(np.abs(light - self._light).mean())
        difference = 0.0 if self._hash is None else float(hamming(bits, self._hash))
        self._light, self._hash = light, bits
        return [*_light_measures(light), motion, *_colour_measures(frame), *self._spectrum(light), difference]

    def _check(self, frame: NDArray[np.uint8]) -> None:
        _check_frame(frame, self._count)
        if self._light is not None and frame.shape[:2] != self._light.shape:
            first = (*self._light.shape, 3)
            raise ValueError(f"frame {self._count} has shape {frame.shape}, but the first has {first}.")


def frame_measures(frames: Iterable[NDArray[np.uint8]]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Light, contrast, colour, detail and change of every frame of a film, holding two frames at a time.

    Parameters
    ----------
    frames : iterable of arrays, each of shape (H, W, 3), uint8
        RGB frames in order of time, all of one size.

    Returns
    -------
    data : array, shape (t, 15)
        One row per frame.
    names : tuple of str, length 15
        As in `FrameMeasures`.

    Raises
    ------
    ValueError
        When a frame is not (H, W, 3) uint8 or has another size than the first.
    """
    measures = FrameMeasures()
    rows = [measures.update(frame[None]) for frame in frames]
    return np.concatenate(rows) if rows else np.empty((0, len(FRAME_NAMES))), FRAME_NAMES


def perceived_luminance(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """√(.299 R² + .587 G² + .114 B²) as a fraction of full scale, shape (..., H, W) from (..., H, W, 3)."""
    squares = np.square(frames, dtype=np.float32)
    return np.sqrt(squares @ (_BRIGHTNESS / 255**2).astype(np.float32))


def studyforrest_measures(
    frames: Iterable[NDArray[np.uint8]], rows: tuple[int, int] = (90, 630)
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Brightness and change of frames in the units in which they are published for the studyforrest film.

    Made for the frames of the film's segments at their full size of 1280 x 720, 25 per second, so that a copy of the
    stimulus can be checked frame by frame. The 270 frames that two neighbouring segments show in full brightness, each
    in an encoding of its own, are published with differences of up to 0.75 in brmean, 2 in brlr and brud, and 6 bits in
    norm_diff: a good copy comes as close.

    Parameters
    ----------
    frames : iterable of arrays, each of shape (H, W, 3), uint8
        RGB.
    rows : (int, int)
        First row and row after the last that show the picture; the segments have grey bars above and below.

    Returns
    -------
    data : array, shape (t, 4)
    names : tuple of str
        ``brmean``: mean over the four quadrants of their mean perceived luminance, rounded to whole grey levels of 255.
        ``brlr``, ``brud``: sum of the two left (upper) quadrants minus that of the two right (lower) ones.
        ``norm_diff``: fraction of the perceptual hash's 144 bits that differ from the frame before; 0 for the first.

    Raises
    ------
    ValueError
        When a frame is not (H, W, 3) uint8 or has fewer rows.

    References
    ----------
    studyforrest-data-confoundsannotation, https://github.com/psychoinformatics-de/studyforrest-data-confoundsannotation
    """
    data, before = [], None
    for k, frame in enumerate(frames):
        _check_frame(frame, k)
        if not 0 <= rows[0] < rows[1] <= len(frame):
            raise ValueError(f"frame {k} has {len(frame)} rows: there are no rows {rows[0]} to {rows[1]} in it.")
        picture = frame[rows[0] : rows[1]]
        bits = perceptual_hash(picture[None])[0]
        data.append((*_quadrant_measures(picture), 0.0 if before is None else float(hamming(bits, before))))
        before = bits
    return np.array(data, dtype=np.float64).reshape(-1, len(STUDYFORREST_NAMES)), STUDYFORREST_NAMES


class _Spectrum:
    """Root-mean-square of a (H, W) luminance in octaves of spatial frequency, under a window."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        height, width = self.shape = shape
        down, across = (np.hanning(n + 2)[1:-1] for n in shape)
        self._window = np.outer(down, across).astype(np.float32)
        cycles_across = np.arange(width // 2 + 1) * (height / width)  # pixels are square
        frequency = np.hypot(np.fft.fftfreq(height, 1 / height)[:, None], cycles_across)
        edges = [low for low, _ in FREQUENCY_BANDS] + [FREQUENCY_BANDS[-1][1]]
        self._bands = np.digitize(frequency, edges).ravel()
        # the real transform leaves out the mirror images of all columns but the first and, for even widths, the last
        twice = np.full(width // 2 + 1, 2.0)
        twice[0] = 1.0
        if width % 2 == 0:
            twice[-1] = 1.0
        self._weights = (twice / (height * width * np.square(self._window, dtype=np.float64).sum())).astype(np.float32)

    def __call__(self, light: NDArray[np.float32]) -> list[float]:
        seen = light * self._window
        seen -= seen.sum() / self._window.sum() * self._window  # no mean luminance that would leak into low octaves
        spectrum = rfft2(seen)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) * self._weights
        total = np.bincount(self._bands, power.ravel(), minlength=len(FREQUENCY_BANDS) + 2)
        return np.sqrt(total[1:-1]).tolist()  # the first and the last hold what lies below and above the octaves


def _light_measures(light: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Luminance, contrast and the differences of halves of a (H, W) luminance; a middle line is in neither half."""
    height, width = light.shape
    h, w = height // 2, width // 2
    columns, rows = light.mean(axis=0, dtype=np.float64), light.mean(axis=1, dtype=np.float64)
    left_right = columns[:w].mean() - columns[width - w :].mean() if w else 0.0
    up_down = rows[:h].mean() - rows[height - h :].mean() if h else 0.0
    mean = rows.mean()
    contrast = np.sqrt(np.square(light - np.float32(mean)).mean())
    return float(mean), float(contrast), float(left_right), float(up_down)


def _colour_measures(frame: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Saturation and the two opponent means of a (H, W, 3) frame."""
    # whole planes: much faster than a reduction over an axis of length 3, and exact in whole numbers
    red, green, blue = planes = np.ascontiguousarray(np.moveaxis(frame, 2, 0))
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    scale = 255.0 * red.size
    r, g, b = planes.sum(axis=(1, 2), dtype=np.int64) / scale
    return float((largest - smallest).sum(dtype=np.int64) / scale), float(r - g), float(b - (r + g) / 2)


def _quadrant_measures(picture: NDArray[np.uint8]) -> tuple[float, float, float]:
    """brmean, brlr and brud of a (H, W, 3) picture."""
    light = 255 * perceived_luminance(picture)
    h, w = light.shape[0] // 2, light.shape[1] // 2
    quadrants = (light[:h, :w], light[:h, w:], light[h:, :w], light[h:, w:])
    upper_left, upper_right, lower_left, lower_right = (round(float(q.mean(dtype=np.float64))) for q in quadrants)
    return (
        (upper_left + upper_right + lower_left + lower_right) / 4,
        float(upper_left + lower_left - upper_right - lower_right),
        float(upper_left + upper_right - lower_left - lower_right),
    )


def _check_frame(frame: NDArray[np.uint8], k: int) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0 or frame.dtype != np.uint8:
        raise ValueError(f"frame {k} is {frame.dtype} of shape {frame.shape}: expected uint8 (height, width, 3).")

"""What a film looks and sounds like to the retina and the ear: light, colour, motion, loudness.

Nothing here knows of files: frames and sound come as arrays. Colours are fractions of full scale, 0 to 1.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRAME_NAMES = (
    "luminance",
    "contrast",
    "left_right",
    "up_down",
    "motion",
    "saturation",
    "red_green",
    "blue_yellow",
)
"""Columns of `frame_measures`."""

# perceived brightness weighs the squared channels (the HSP colour model; also what Pillow's users call "brightness")
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


def frame_measures(frames: Iterable[NDArray[np.uint8]]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Measure light, colour and motion of every frame, holding two frames at a time.

    Parameters
    ----------
    frames : iterable of arrays, each of shape (H, W, 3), uint8
        RGB frames in order of time, all of one size.

    Returns
    -------
    data : array, shape (t, 8)
        One row per frame; all measures are fractions of full scale.
    names : tuple of str, length 8
        ``luminance``: mean perceived luminance, √(.299 R² + .587 G² + .114 B²).
        ``contrast``: standard deviation of luminance over the frame.
        ``left_right``, ``up_down``: luminance of the left (upper) half minus that of the right (lower) half.
        ``motion``: mean absolute change of luminance since the frame before; 0 for the first frame.
        ``saturation``: mean of the largest minus the smallest channel. It is not divided by the largest, because
        that would turn the coding noise of dark scenes into vivid colour.
        ``red_green``, ``blue_yellow``: means of R - G and of B - (R + G) / 2.

    Raises
    ------
    ValueError
        When a frame is not (H, W, 3) uint8 or has another size than the first.

    Examples
    --------
    >>> import numpy as np
    >>> white, black = np.full((2, 2, 3), 255, np.uint8), np.zeros((2, 2, 3), np.uint8)
    >>> data, names = frame_measures([white, black])
    >>> data[:, names.index("motion")].round(3).tolist()
    [0.0, 1.0]
    """
    rows = []
    before: NDArray[np.float64] | None = None
    for frame in _checked(frames):
        rgb = frame / 255.0
        light = np.sqrt(np.square(rgb) @ _BRIGHTNESS)
        motion = 0.0 if before is None else float(np.abs(light - before).mean())
        rows.append((*_light_measures(light), motion, *_colour_measures(rgb)))
        before = light
    return np.array(rows, dtype=np.float64).reshape(-1, len(FRAME_NAMES)), FRAME_NAMES


def sound_measures(
    audio: ArrayLike, rate: float, period: float, n_samples: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Measure the loudness of every sample interval and, in stereo, the side that it comes from.

    Parameters
    ----------
    audio : array, shape (n,) or (n, channels)
        Sound pressure, as `loudness` takes it.
    rate : float
        Samples of sound per second.
    period : float
        Length of an interval in seconds.
    n_samples : int
        Number of intervals.

    Returns
    -------
    data : array, shape (n_samples, 1) or (n_samples, 2)
    names : tuple of str
        ``loudness``, and for two channels ``loudness_left_right``: the left channel's root-mean-square minus the
        right one's.
    """
    sound = np.asarray(audio)
    total = loudness(sound, rate, period, n_samples)
    if sound.ndim == 1 or sound.shape[1] != 2:
        return total[:, None], ("loudness",)
    left, right = (loudness(channel, rate, period, n_samples) for channel in sound.T)
    return np.column_stack([total, left - right]), ("loudness", "loudness_left_right")


def loudness(audio: ArrayLike, rate: float, period: float, n_samples: int) -> NDArray[np.float64]:
    """Root-mean-square of the sound in each interval [k · period, (k + 1) · period).

    It is an amplitude, not yet a loudness in decibel: energy adds up over an interval and its logarithm does not,
    so the logarithm is taken after averaging, further down the pipeline.

    Parameters
    ----------
    audio : array, shape (n,) or (n, channels)
        Sound pressure in any unit; channels are pooled.
    rate : float
        Samples of sound per second.
    period : float
        Length of an interval in seconds; at least one sample of sound.
    n_samples : int
        Number of intervals. Where the sound has ended there is silence, 0.

    Returns
    -------
    array, shape (n_samples,)
        Root-mean-square in the unit of ``audio``.

    Raises
    ------
    ValueError
        When an interval is shorter than a sample of sound, or the sound is not one- or two-dimensional.

    Examples
    --------
    >>> loudness([1, -1, 3, 3], rate=2, period=1, n_samples=3).tolist()
    [1.0, 3.0, 0.0]
    """
    sound = np.asarray(audio)
    if sound.ndim not in (1, 2):
        raise ValueError(f"sound must be (samples,) or (samples, channels), not {sound.shape}.")
    if not rate * period >= 1:
        raise ValueError(f"an interval of {period:g} s holds no sample of a sound at {rate:g} per second.")
    # a sample at second s belongs to the interval with s >= start; a hair of slack for k * period * rate in floats
    edges = np.ceil(np.arange(n_samples + 1) * (period * rate) - 1e-6).astype(int)
    starts = edges[:-1][edges[:-1] < len(sound)]
    stops = np.minimum(edges[1 : len(starts) + 1], len(sound))
    power = np.zeros(n_samples)
    for channel in np.atleast_2d(sound.T):  # a channel at a time: float64 squares of a long film are large
        if len(starts):
            power[: len(starts)] += np.add.reduceat(np.square(channel[: stops[-1]], dtype=np.float64), starts)
    power[: len(starts)] /= (stops - starts) * (1 if sound.ndim == 1 else sound.shape[1])
    return np.sqrt(power)


def _light_measures(light: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Luminance, contrast and the differences of halves of a (H, W) luminance; a middle line is in neither half."""
    height, width = light.shape
    h, w = height // 2, width // 2
    columns, rows = light.mean(axis=0), light.mean(axis=1)
    left_right = columns[:w].mean() - columns[width - w :].mean() if w else 0.0
    up_down = rows[:h].mean() - rows[height - h :].mean() if h else 0.0
    return float(light.mean()), float(light.std()), float(left_right), float(up_down)


def _colour_measures(rgb: NDArray[np.float64]) -> tuple[float, float, float]:
    """Saturation and the two opponent means of a (H, W, 3) frame."""
    r, g, b = rgb.mean(axis=(0, 1))
    # elementwise maxima of three planes: much faster than a reduction over an axis of length 3
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    return float((largest - smallest).mean()), float(r - g), float(b - (r + g) / 2)


def _checked(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Frames as they come, refused when they are not pictures of one size."""
    shape: tuple[int, ...] | None = None
    for k, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0 or frame.dtype != np.uint8:
            raise ValueError(f"frame {k} is {frame.dtype} of shape {frame.shape}: expected uint8 (height, width, 3).")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(f"frame {k} has shape {frame.shape}, but the first has {shape}.")
        yield frame

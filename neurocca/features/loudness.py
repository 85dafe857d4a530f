"""Root-mean-square of sound in each sample interval, and studyforrest's published measures of it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import UsageError

BORDER = 1e-6
"""Share of a sample by which an interval may begin after a sample and still hold it: multiples of a length in floats
come out a rounding error off."""


def channel_rms(sound: ArrayLike, rate: float, period: float, n_samples: int) -> NDArray[np.float64]:
    """Root-mean-square of each channel in each interval [k · period, (k + 1) · period).

    studyforrest's published measures are made of it, in intervals of 0.04 s at 48,000 samples per second: its ``rms``
    is the sum of both channels, its ``lrdiff`` the right one minus the left one. They were read with a reader that
    had taken 500 samples before, so that the row at second t holds the sound from t + 0.0104 s on.

    Parameters
    ----------
    sound : array, shape (n,) or (n, channels)
        Sound pressure in any unit.
    rate : float
        Samples of sound per second.
    period : float
        Length of an interval in seconds; at least one sample of sound.
    n_samples : int
        Number of intervals. An interval in which the sound ends is measured as far as there is sound; after that
        there is silence, 0.

    Returns
    -------
    array, shape (n_samples, channels)
        In the unit of ``sound``.

    Raises
    ------
    UsageError
        When an interval is shorter than a sample of sound, or the sound is not one- or two-dimensional.

    Examples
    --------
    >>> channel_rms([[1, 0], [-1, 0], [3, 2], [3, 2]], rate=2, period=1, n_samples=3).tolist()
    [[1.0, 0.0], [3.0, 2.0], [0.0, 0.0]]
    """
    sound = np.asarray(sound)
    if sound.ndim not in (1, 2):
        raise UsageError(f"sound must be (samples,) or (samples, channels), not {sound.shape}.")
    if not rate * period >= 1:
        raise UsageError(f"an interval of {period:g} s holds no sample of a sound at {rate:g} per second.")
    sound = sound[:, None] if sound.ndim == 1 else sound
    edges = interval_edges(np.arange(n_samples + 1), period * rate)
    starts = edges[:-1][edges[:-1] < len(sound)]
    stops = np.minimum(edges[1 : len(starts) + 1], len(sound))
    power = np.zeros((n_samples, sound.shape[1]))
    for j, channel in enumerate(sound.T):  # a channel at a time: float64 squares of a long film are large
        if len(starts):
            energy = np.add.reduceat(np.square(channel[: stops[-1]], dtype=np.float64), starts)
            power[: len(starts), j] = energy / (stops - starts)
    return np.sqrt(power)


def loudness(sound: ArrayLike, rate: float, period: float, n_samples: int) -> NDArray[np.float64]:
    """Root-mean-square of the sound in each interval, its channels pooled.

    It is an amplitude, not yet a loudness in decibel: energy adds up over an interval and its logarithm does not,
    so the logarithm is taken after averaging, further down the pipeline.

    Parameters
    ----------
    sound : array, shape (n,) or (n, channels)
        Sound pressure in any unit.
    rate, period, n_samples
        As in `channel_rms`.

    Returns
    -------
    array, shape (n_samples,)
        Root-mean-square in the unit of ``sound``.

    Examples
    --------
    >>> loudness([1, -1, 3, 3], rate=2, period=1, n_samples=3).tolist()
    [1.0, 3.0, 0.0]
    """
    return pooled(channel_rms(sound, rate, period, n_samples))


def pooled(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root-mean-square over all channels, shape (t,), from that of each, shape (t, channels)."""
    return np.sqrt(np.square(sides).mean(axis=1))


def interval_edges(rows: ArrayLike, length: float, offset: float = 0.0) -> NDArray[np.int64]:
    """First sample of each interval, when an interval is so many samples long and begins ``offset`` samples later.

    Examples
    --------
    >>> interval_edges([0, 1, 2, 3], 2.5).tolist()
    [0, 3, 5, 8]
    """
    # a sample belongs to the interval that has begun by then; a hair of slack for multiples of a length in floats
    return np.ceil(np.asarray(rows) * length + offset - BORDER).astype(np.int64)


def loudness_from_published(rms: ArrayLike, lrdiff: ArrayLike) -> NDArray[np.float64]:
    """Loudness and side of a sound, as `SoundMeasures` has them, from studyforrest's published measures; exact.

    Parameters
    ----------
    rms, lrdiff : arrays, shape (t,)
        Sum of the root-mean-squares of both channels, and right one minus left one (see `channel_rms`).

    Returns
    -------
    array, shape (t, 2)
        ``loudness`` and ``loudness_left_right``.

    Examples
    --------
    >>> loudness_from_published([0.8], [-0.8]).round(3).tolist()  # all of it comes from the left
    [[0.566, 0.8]]
    """
    total, right_minus_left = np.asarray(rms, dtype=float), np.asarray(lrdiff, dtype=float)
    sides = np.column_stack([total - right_minus_left, total + right_minus_left]) / 2
    return np.column_stack([pooled(sides), -right_minus_left])

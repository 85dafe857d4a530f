"""Single frames of a film."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.io.movie import iter_frames, n_samples, probe

RATE = 20.0
"""Frames per second among which the one on screen is found."""


def still(film: Path, seconds: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The frame on screen at a second, or the last one where the film has just ended.

    Parameters
    ----------
    film : Path
    seconds : float
        Since the first frame.
    size : (width, height)
        Pixels that it is scaled to.

    Returns
    -------
    array, shape (height, width, 3)
    """
    info = probe(film)
    index = min(round(seconds * RATE), n_samples(info.duration, RATE) - 1)
    return next(iter(iter_frames(film, RATE, size, start=index)))


def even_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Width and height of the same shape, in even numbers of pixels as encoders need them."""
    return width, max(2, 2 * round(width * size[1] / size[0] / 2))

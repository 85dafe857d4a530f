"""What the brain of the demo responds to: two courses of the film, taken from the films as they are on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.features.loudness import loudness as rms
from neurocca.features.lowlevel import FrameMeasures
from neurocca.io.movie import iter_batches, n_samples, probe
from neurocca.io.sound import read_audio
from neurocca.temporal.hrf import convolve_hrf

NETWORK, LAYER = "efficientnet-lite0", "blocks.6"
"""Where the course of the pictures is taken from: the last stage of the network."""

HRF = "glover"
"""Response that the films' courses are convolved with."""

_BATCH = 32
_SOUND_RATE = 16000


def loudness(film: Path, rate: float) -> NDArray[np.float64]:
    """Logarithm of the sound's root-mean-square, shape (t, 1), so many times a second."""
    total = n_samples(probe(film).duration, rate)
    return np.log(rms(read_audio(film, _SOUND_RATE), _SOUND_RATE, 1 / rate, total)[:, None] + 1e-4)


def motion(films: Sequence[Path], rate: float) -> list[NDArray[np.float64]]:
    """Mean change of luminance since the frame before, one array of shape (t, 1) per film."""
    courses = []
    for film in films:
        measures = FrameMeasures()
        rows = np.vstack([measures.update(frames) for frames in iter_batches(film, rate, _BATCH)])
        courses.append(rows[:, [measures.names.index("motion")]])
    return courses


def pictures(films: Sequence[Path], rate: float) -> list[NDArray[np.float64]]:
    """First principal component of the network's last stage over all films, one array of shape (t, 1) per film."""
    from neurocca.features.cnn import FrameEncoder
    from neurocca.io.weights import load_network

    network = load_network(NETWORK)
    encoder = FrameEncoder(network, [LAYER], batch_size=_BATCH)
    encoded = []
    for film in films:
        frames = iter_batches(
            film, rate, _BATCH, encoder.frame_size, fit="cover", resize=network.preprocessing.resize
        )  # fmt: skip
        encoded.append(np.vstack([features[LAYER] for features in encoder.stream(frames)]).astype(float))
    centre = np.concatenate(encoded).mean(axis=0)
    direction = np.linalg.svd(np.concatenate(encoded) - centre, full_matrices=False)[2][0]
    direction *= np.sign(direction[np.abs(direction).argmax()])
    return [((rows - centre) @ direction)[:, None] for rows in encoded]


def respond(courses: Sequence[NDArray], rate: float, volume_times: NDArray) -> NDArray[np.float64]:
    """Haemodynamic response to each course of one run of the film.

    Parameters
    ----------
    courses : sequence of array, each of shape (t, 1)
        One per component.
    rate : float
        Samples per second.
    volume_times : array, shape (n,)
        Middle of each volume, in seconds since the film began.

    Returns
    -------
    array, shape (n, c)
        In the courses' own units.
    """
    return np.hstack([convolve_hrf(c, np.arange(len(c)) / rate, volume_times, model=HRF) for c in courses])

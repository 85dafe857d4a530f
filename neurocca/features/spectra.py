"""Power of sound in bands: of its spectrum, and of the fluctuations of its envelope.

Powers are mean squares of a sound whose full scale is ±1.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.features.loudness import interval_edges

N_BANDS = 32
"""Mel bands of the spectrum."""

BAND_RANGE = (50.0, 8000.0)
"""Lowest and highest frequency of the mel bands, in Hz: the same for every sampling rate of the sound."""

MODULATION_EDGES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Borders, in Hz, of the bands in which the envelope's fluctuations are measured."""

FLOOR = 1e-8
"""Smallest power, as a fraction of full scale, that is told from silence: -80 dB."""


def decibel(power: ArrayLike) -> NDArray[np.float64]:
    """Power in dB, 1 being 0 dB; -80 dB is the least.

    Examples
    --------
    >>> decibel([1, 0.01, 0]).tolist()
    [0.0, -20.0, -80.0]
    """
    return 10 * np.log10(np.maximum(power, FLOOR))


def mel_weights(rate: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (32, bins) that turn |STFT|² into mean-square power, and the centres of the bands in Hz."""
    import librosa

    low, high = BAND_RANGE
    # norm=None: triangles of height 1, which add up to 1 between the first and the last centre
    triangles = librosa.filters.mel(
        sr=rate, n_fft=width, n_mels=N_BANDS, fmin=low, fmax=high, norm=None, dtype=np.float64
    )
    window = librosa.filters.get_window("hann", width)
    centres = librosa.mel_frequencies(N_BANDS + 2, fmin=low, fmax=high)[1:-1]
    return triangles * (2 / (width * np.square(window).sum())), centres


def mel_power(sound: NDArray[np.float32], weights: NDArray[np.float64], width: int, hop: int) -> NDArray[np.float64]:
    """Power in the mel bands of every Hann window that lies within a sound, averaged over channels.

    Parameters
    ----------
    sound : array, shape (n, channels)
    weights : array, shape (bands, width // 2 + 1)
        As `mel_weights` gives them.
    width, hop : int
        Samples in a window, and from one to the next.

    Returns
    -------
    array, shape (1 + (n - width) // hop, bands)
    """
    import librosa

    spectra = librosa.stft(sound.T, n_fft=width, hop_length=hop, window="hann", center=False)
    # |z|² without the root that np.abs takes; (channels, bins, windows), then channels pooled
    squares = (np.square(spectra.real) + np.square(spectra.imag)).mean(axis=0)
    return (weights @ squares.astype(np.float64)).T


def modulation_window(n_frames: float) -> NDArray[np.float64]:
    """Hann window of an even number of frames, whose middle frame is the interval's."""
    n = 2 * round(n_frames / 2)
    return np.square(np.sin(np.pi * np.arange(n) / n))


def modulation_power(envelope: NDArray, window: NDArray, frame_rate: float) -> NDArray[np.float64]:
    """Mean square of an envelope's fluctuations in each modulation band, shape (5,)."""
    n = len(window)
    # the envelope's mean is in the first two bins of a Hann window's spectrum, and in no band
    power = np.square(np.abs(np.fft.rfft(envelope * window))) * (2 / (n * np.square(window).sum()))
    bins = interval_edges(MODULATION_EDGES, n / frame_rate)
    return np.add.reduceat(power, bins)[:-1]

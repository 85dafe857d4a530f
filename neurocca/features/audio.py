"""What a film sounds like: loudness, spectrum, onsets and rhythm, from a stream of sound.

Nothing here knows of files: sound comes as arrays, full scale is ±1. Before the film and after the end of its sound
there is silence.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import DataError, UsageError
from neurocca.features.loudness import BORDER, interval_edges
from neurocca.features.spectra import (
    BAND_RANGE,
    MODULATION_EDGES,
    N_BANDS,
    decibel,
    mel_power,
    mel_weights,
    modulation_power,
    modulation_window,
)

MODULATION_WINDOW = 4.0
"""Seconds of sound, around the middle of an interval, that its modulation is measured over."""

_FRAMES_PER_SECOND = 100
_WINDOW = 0.03  # seconds that a spectrum's window covers at least; a power of two of sound samples
_BLOCK_FRAMES = 500


class SoundMeasures:
    """Loudness, mel spectrum, spectral flux and modulation of a stream of sound, one row per sample interval.

    Row j describes the interval [j · period, (j + 1) · period) in seconds. The sound may come in blocks of any size:
    it is analysed in blocks of five seconds that begin at fixed times, so that the rows are the same to the last bit
    however it was cut. A few seconds of sound are in memory, whatever the film's length.

    Spectra are those of Hann windows (of 32 ms at 16 kHz) every 10 ms. A spectrum stands for the middle of its
    window and belongs to the interval that holds that time.

    The columns, in this order:

    ``loudness``
        Root-mean-square of the interval, as `loudness` has it.
    ``loudness_left_right``
        Root-mean-square of the left channel minus that of the right one; only where there are two channels.
    ``mel_<centre>Hz``
        Power in 32 mel bands between 50 and 8000 Hz: mean over the interval and the channels, then in dB. A sine of
        full scale has -3 dB in all; less than -80 dB is silence. The bands overlap and add up to the power of the
        sound.
    ``spectral_flux``
        How fast bands become louder, in dB per second: the rise from one spectrum to the next (a fall counts 0),
        averaged over bands and over the interval. A rise belongs to the end of its window, because a sound's beginning
        shows as soon as the window reaches it; it is so never seen before it is heard, and within a window after.
    ``modulation_<low>-<high>Hz``
        Mean square of the fluctuations of the sound's envelope in five octaves from 0.5 to 16 Hz, in dB. The envelope
        is the root of the power in all bands every 10 ms. It is measured in a Hann window of four seconds (or as
        long as the interval, where that is longer) around the interval's middle, without its mean: syllables are in
        the bands around 4 Hz, phrases and slow beats below.

    Parameters
    ----------
    rate : int
        Samples of sound per second, at least 16,000.
    period : float
        Length of an interval in seconds, at least 0.01.
    n_channels : int
        Channels are pooled (their power is averaged), but for ``loudness_left_right``.

    Raises
    ------
    UsageError
        When the sound has too few samples per second for the bands, or the intervals are too short for a spectrum.

    Examples
    --------
    >>> import numpy as np
    >>> measures = SoundMeasures(rate=16000, period=0.5, n_channels=1)
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)[:, None]
    >>> rows = np.vstack([measures.update(tone), measures.finish(3)])
    >>> rows[:, measures.names.index("loudness")].round(3).tolist()
    [0.707, 0.707, 0.0]
    >>> measures.names[1 + rows[0, 1:33].argmax()]
    'mel_1041Hz'
    """

    def __init__(self, rate: int, period: float, n_channels: int) -> None:
        _check_settings(rate, period, n_channels)
        self.rate, self.period, self.n_channels = rate, period, n_channels
        self._hop = round(rate / _FRAMES_PER_SECOND)
        self._width = 2 ** math.ceil(math.log2(_WINDOW * rate))
        self._weights, centres = mel_weights(rate, self._width)
        self._window = modulation_window(max(MODULATION_WINDOW, period) * rate / self._hop)
        self.names = (
            "loudness",
            *(("loudness_left_right",) if n_channels == 2 else ()),
            *(f"mel_{centre:.0f}Hz" for centre in centres),
            "spectral_flux",
            *(f"modulation_{a:g}-{b:g}Hz" for a, b in itertools.pairwise(MODULATION_EDGES)),
        )
        # what is not analysed yet, from half a window before the next spectrum's middle on
        self._sound = np.zeros((self._width // 2, n_channels), dtype=np.float32)
        self._n_heard = 0
        self._n_frames = 0
        self._row = 0
        # spectra that rows to come need, the first of them being frame `_first`; energies from row `_row` on
        self._first = 0
        self._power = np.zeros((0, N_BANDS))
        self._rise = np.zeros(0)
        self._energy = np.zeros((0, n_channels))

    def update(self, sound: NDArray[np.float32]) -> NDArray[np.float64]:
        """Hear the next block.

        Parameters
        ----------
        sound : array, shape (n, channels)
            Sound pressure, full scale is ±1.

        Returns
        -------
        array, shape (m, f)
            Rows that this block completes; the last one ends about two seconds before the block does.

        Raises
        ------
        DataError
            When the block has another number of channels, or holds values that are not finite.
        """
        sound = np.asarray(sound, dtype=np.float32)
        if sound.ndim != 2 or sound.shape[1] != self.n_channels:
            raise DataError(f"a block of sound has shape {sound.shape}: expected (samples, {self.n_channels}).")
        if not np.isfinite(sound).all():
            second = (self._n_heard + np.argwhere(~np.isfinite(sound))[0, 0]) / self.rate
            raise DataError(f"the sound holds values that are not finite, the first at {second:.3f} s.")
        self._n_heard += len(sound)
        return self._analyse(sound)

    def finish(self, n_samples: int) -> NDArray[np.float64]:
        """Rows that are left when the sound has ended; where there is no sound any more there is silence.

        Parameters
        ----------
        n_samples : int
            Number of rows of the whole film. Where the sound outlasts the film, `update` may have given more.

        Returns
        -------
        array, shape (m, f)
        """
        silence = np.zeros((_BLOCK_FRAMES * self._hop, self.n_channels), dtype=np.float32)
        rows = [np.zeros((0, len(self.names)))]
        start = self._row
        while self._row < n_samples:
            rows.append(self._analyse(silence))
        return np.concatenate(rows)[: max(n_samples - start, 0)]

    def state(self) -> dict[str, NDArray]:
        """Everything that was heard and is not in a finished row yet, as arrays to be stored."""
        counts = np.array([self._n_heard, self._n_frames, self._row, self._first])
        # none of them is written into later
        arrays = {"sound": self._sound, "power": self._power, "rise": self._rise, "energy": self._energy}
        return {"counts": counts, **arrays}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from a `state` of measures with the same settings.

        Raises
        ------
        DataError
            When the state is that of a sound with another number of channels.
        """
        if state["sound"].shape[1] != self.n_channels:
            raise DataError(f"the state is of {state['sound'].shape[1]} channels, not {self.n_channels}.")
        self._n_heard, self._n_frames, self._row, self._first = (int(count) for count in state["counts"])
        self._sound, self._power = state["sound"], state["power"]
        self._rise, self._energy = state["rise"], state["energy"]

    def _analyse(self, sound: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows that are complete after so much more sound."""
        self._sound = np.concatenate([self._sound, sound])
        step = _BLOCK_FRAMES * self._hop
        rows = [np.zeros((0, len(self.names)))]
        while len(self._sound) >= step + self._width:
            self._add_spectra(self._sound[: step - self._hop + self._width])
            own = self._sound[self._width // 2 :][:step]
            self._add_energy(own, self._n_frames * self._hop)
            self._n_frames += _BLOCK_FRAMES
            self._sound = self._sound[step:]
            rows.append(self._take_rows())
        self._sound = self._sound.copy()  # lets the block go
        return np.concatenate(rows)

    def _add_spectra(self, sound: NDArray[np.float32]) -> None:
        """Band powers, and their rises in dB, of all windows in a piece of sound."""
        power = mel_power(sound, self._weights, self._width, self._hop)
        before = self._power[-1:] if self._n_frames else np.zeros((1, N_BANDS))
        rise = np.maximum(np.diff(decibel(np.concatenate([before, power])), axis=0), 0).mean(axis=1)
        self._power, self._rise = np.concatenate([self._power, power]), np.concatenate([self._rise, rise])

    def _add_energy(self, sound: NDArray[np.float32], start: int) -> None:
        """Sum of squares of each interval that begins in or before a piece of sound."""
        length = self.rate * self.period
        first = math.floor((start + BORDER) / length)
        last = math.floor((start + len(sound) - 1 + BORDER) / length)
        starts = np.maximum(interval_edges(np.arange(first, last + 1), length) - start, 0)
        missing = last + 1 - self._row - len(self._energy)
        self._energy = np.concatenate([self._energy, np.zeros((missing, self.n_channels))])
        self._energy[first - self._row :] += np.add.reduceat(np.square(sound, dtype=np.float64), starts, axis=0)

    def _take_rows(self) -> NDArray[np.float64]:
        """All rows whose spectra are there; what no later row needs is let go."""
        rows = []
        while self._last_frame(self._row) <= self._n_frames:
            rows.append(self._measure(self._row))
            self._row, self._energy = self._row + 1, self._energy[1:]
        # before the last one, from which the next rise is
        first = self._first_frame(self._row)
        self._power, self._rise = self._power[first - self._first :], self._rise[first - self._first :]
        self._first = first
        return np.array(rows).reshape(-1, len(self.names))

    def _measure(self, row: int) -> NDArray[np.float64]:
        start, stop = interval_edges([row, row + 1], self._row_frames) - self._first
        power = self._power[start:stop].mean(axis=0)
        modulation = modulation_power(self._envelope(self._modulation_start(row)), self._window, self.rate / self._hop)
        return np.concatenate([self._loudness(row), decibel(power), [self._flux(row)], decibel(modulation)])

    def _loudness(self, row: int) -> NDArray[np.float64]:
        start, stop = interval_edges([row, row + 1], self.rate * self.period)
        # an interval in which the sound ends is measured as far as there is sound
        power = self._energy[0] / max(min(stop, self._n_heard) - start, 1)
        left_right = [np.sqrt(power[0]) - np.sqrt(power[1])] if self.n_channels == 2 else []
        return np.array([np.sqrt(power.mean()), *left_right])

    def _flux(self, row: int) -> float:
        start, stop = self._rises(row)
        rises = self._rise[max(start, 0) - self._first : stop - self._first]  # none before the film
        return float(rises.sum() / (stop - start) * self.rate / self._hop)

    @property
    def _row_frames(self) -> float:
        """Spectra in an interval; not a whole number."""
        return self.period * self.rate / self._hop

    def _rises(self, row: int) -> tuple[int, int]:
        """Spectra whose windows end in an interval: half a window after their middles."""
        start, stop = interval_edges([row, row + 1], self._row_frames, -self._width / 2 / self._hop)
        return int(start), int(stop)

    def _modulation_start(self, row: int) -> int:
        """First spectrum of the modulation's window; negative at the film's beginning."""
        return round((row + 0.5) * self._row_frames) - len(self._window) // 2

    def _first_frame(self, row: int) -> int:
        """First spectrum that a row and those after it need."""
        return max(min(self._modulation_start(row), self._rises(row)[0]), 0)

    def _last_frame(self, row: int) -> int:
        """Number of spectra from the film's beginning that a row needs."""
        return max(self._modulation_start(row) + len(self._window), math.ceil((row + 1) * self._row_frames))

    def _envelope(self, start: int) -> NDArray[np.float64]:
        """Amplitude of the sound from one spectrum on, as long as the modulation's window."""
        stop = start + len(self._window)
        power = self._power[max(start, 0) - self._first : stop - self._first].sum(axis=1)
        return np.sqrt(np.concatenate([np.zeros(max(-start, 0)), power]))


def sound_measures(
    sound: ArrayLike, rate: int, period: float, n_samples: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """All of `SoundMeasures` for a sound that is in memory.

    Parameters
    ----------
    sound : array, shape (n, channels)
        Sound pressure, full scale is ±1.
    rate : int
        Samples of sound per second, at least 16,000.
    period : float
        Length of an interval in seconds.
    n_samples : int
        Number of intervals.

    Returns
    -------
    data : array, shape (n_samples, f)
    names : tuple of str, length f
    """
    sound = np.asarray(sound, dtype=np.float32)
    measures = SoundMeasures(rate, period, sound.shape[1])
    return np.concatenate([measures.update(sound), measures.finish(n_samples)])[:n_samples], measures.names


def _check_settings(rate: int, period: float, n_channels: int) -> None:
    if not rate >= 2 * BAND_RANGE[1]:
        raise UsageError(
            f"sound at {rate:g} samples per second cannot be measured up to {BAND_RANGE[1]:g} Hz: "
            f"at least {2 * BAND_RANGE[1]:g} are needed."
        )
    if not period * _FRAMES_PER_SECOND >= 1:
        raise UsageError(f"intervals of {period:g} s hold no spectrum: at most {_FRAMES_PER_SECOND} per second.")
    if n_channels < 1:
        raise UsageError("a sound without channels cannot be measured.")

"""Motion energy: how much moves, at which speed, in which direction, in detail of which size.

Pairs of Gabor filters in space and time, a quarter cycle apart, answer to a drifting grating; the sum of their squares
does not depend on its phase (Adelson & Bergen 1985). The filters are those of Nishimoto et al. (2011) as pymoten
computes them: envelopes of standard deviation 0.6 cycles in space, at most 0.3 picture heights, and of 0.2 s in time,
in a window of 2/3 s. Five things differ:

* Envelopes lie two standard deviations apart and reach the borders, so that no part of the picture goes unheard.
* Nothing answers to what is uniform, nor moving filters to what stands still: the mean that a Gabor has within its
  window is taken out, as a multiple of its envelope.
* The first tap of the window, which has no partner at the other end, is left out: a film played backwards gives exactly
  the opposite directions, and energy is centred on its frame.
* Before its first and after its last frame a film stands still, where pymoten sees black.
* Directions are the ones in which things move; pymoten 0.1.3 names the opposite ones.

References
----------
Adelson & Bergen (1985). Spatiotemporal energy models for the perception of motion. J Opt Soc Am A 2, 284-299.
Nishimoto et al. (2011). Reconstructing visual experiences from brain activity evoked by natural movies. Curr Biol 21,
1641-1646.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurocca.errors import DataError, UsageError
from neurocca.features.lowlevel import perceived_luminance

SPATIAL_FREQUENCIES = (2, 4, 8, 16)
"""Cycles per picture height."""

TEMPORAL_FREQUENCIES = (2, 4)
"""Cycles per second of what moves."""

ORIENTATIONS = (0, 45, 90, 135)
"""Degrees: gratings of orientation 0 are vertical stripes, which move to the right (0) or to the left (180)."""

_CYCLES = 0.6  # standard deviation of an envelope in cycles of its grating,
_LARGEST = 0.3  # and at most, in picture heights in space and in windows in time
_SPACING = 2.0  # from one envelope to the next, in standard deviations


class MotionMeasures:
    """Motion energy of each sample interval [k / rate, (k + 1) / rate), block by block.

    Blocks of any length give the same bytes as the whole film at once. The energy of a frame takes a third of a second
    of the frames that follow, so `update` returns the rows that are finished and `finish` the rest.

    Parameters
    ----------
    frame_rate : float
        Frames per second; frame n is on screen at n / frame_rate seconds.
    rate : float
        Samples per second; at most as many as frames.
    size : (int, int)
        Width and height of the frames in pixels; a height of 72 is enough.

    Attributes
    ----------
    names : tuple of str, length 83
        ``tf2_sf4_dir45``: gratings of 4 cycles per picture height that drift by 2 cycles per second, towards 45 degrees
        (0 is right, 90 up). ``tf0_sf4_dir45``: what stands still, by orientation. ``tf2_sf0``: luminance of large parts
        of the picture that comes and goes without a direction. ``total``: sum over all that moves in a direction.

        Energies are means over the picture and over the frames of the interval; a column is log(1 + energy). A grating
        all over the picture whose perceived luminance has an amplitude of a grey levels of 255 has an energy of about
        a² in its channel. Well above 1, equal ratios of contrast are equal steps; below is the noise of coding.

    Raises
    ------
    DataError
        When there are too few frames per second for the filters, or too few pixels.
    UsageError
        When there are fewer frames than samples.

    Examples
    --------
    >>> measures = MotionMeasures(frame_rate=24, rate=2, size=(64, 36))
    >>> grey = np.full((36, 36, 64, 3), 128, dtype=np.uint8)
    >>> rows = np.concatenate([measures.update(grey), measures.finish()])
    >>> rows.shape, float(rows.max().round(6))
    ((3, 83), 0.0)
    """

    names: tuple[str, ...] = (
        *(f"tf0_sf{sf}_dir{angle}" for sf in SPATIAL_FREQUENCIES for angle in ORIENTATIONS),
        *(f"tf{tf}_sf0" for tf in TEMPORAL_FREQUENCIES),
        *(
            f"tf{tf}_sf{sf}_dir{angle}"
            for tf in TEMPORAL_FREQUENCIES
            for sf in SPATIAL_FREQUENCIES
            for angle in (*ORIENTATIONS, *(180 + angle for angle in ORIENTATIONS))
        ),
        "total",
    )

    def __init__(self, frame_rate: float, rate: float, size: tuple[int, int]) -> None:
        _check_settings(frame_rate, rate, size)
        self._frame_rate, self._rate, self._size = frame_rate, rate, size
        self._banks = [SpatialFilters(frequency, size) for frequency in SPATIAL_FREQUENCIES]
        counts = [self._banks[0].n_positions] + [b.n_positions for b in self._banks for _ in ORIENTATIONS]
        self._counts = np.array(counts)
        self._taps = _stacked_taps(frame_rate)
        self._reach = self._taps.shape[1] // 2
        self._n_known = 0  # frames whose energy is known
        # spatial responses of the last frames, and energies of the interval that they lie in
        self._tail = np.empty((0, self._counts.sum()), dtype=np.complex64)
        self._pending = np.empty((0, len(self.names) - 1), dtype=np.float32)

    def update(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Take the next frames, and return the rows that they finish.

        Parameters
        ----------
        frames : array, shape (b, H, W, 3), uint8
            RGB, in order of time.

        Returns
        -------
        array, shape (m, 83)

        Raises
        ------
        ValueError
            When frames are not uint8 or have another size than was announced.
        """
        width, height = self._size
        if frames.shape[1:] != (height, width, 3) or frames.dtype != np.uint8:
            expected = f"expected uint8 (b, {height}, {width}, 3)"
            raise ValueError(f"frames are {frames.dtype} of shape {frames.shape}: {expected}.")
        if len(frames) == 0:
            return np.empty((0, len(self.names)))
        light = 255 * perceived_luminance(frames)
        envelopes, gratings = zip(*(bank(light) for bank in self._banks), strict=True)
        responses = np.concatenate([envelopes[0], *gratings], axis=1)
        if len(self._tail) == 0:
            self._tail = np.repeat(responses[:1], self._reach, axis=0)
        return self._advance(responses)

    def finish(self, n_samples: int | None = None) -> NDArray[np.float64]:
        """Return the rows that are left after the last frame, so that there are at most ``n_samples`` in all.

        The last row is that of the interval in which the last frame lies, complete or not.
        """
        if len(self._tail) == 0:
            return np.empty((0, len(self.names)))
        first = self._sample(self._n_known - len(self._pending))
        rows = self._advance(np.repeat(self._tail[-1:], self._reach, axis=0))
        rows = np.concatenate([rows, _columns(self._pending.mean(axis=0, keepdims=True))])
        return rows if n_samples is None else rows[: max(0, n_samples - first)]

    def state(self) -> dict[str, NDArray]:
        """What the next block needs to know of the frames so far, to go on later with `restore`."""
        return {"n_known": np.array(self._n_known), "tail": self._tail, "pending": self._pending}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on after the frames that gave a `state`."""
        self._n_known, self._tail, self._pending = int(state["n_known"]), state["tail"], state["pending"]

    def _advance(self, responses: NDArray[np.complex64]) -> NDArray[np.float64]:
        """Rows that further spatial responses finish."""
        responses = np.concatenate([self._tail, responses])
        self._tail = responses[-2 * self._reach :]
        if len(responses) <= 2 * self._reach:
            return np.empty((0, len(self.names)))
        first = self._n_known - len(self._pending)
        energies = np.concatenate([self._pending, self._energies(responses)])
        self._n_known = first + len(energies)
        samples = [self._sample(frame) for frame in range(first, self._n_known)]
        starts = np.r_[0, np.flatnonzero(np.diff(samples)) + 1]
        self._pending = energies[starts[-1] :]
        means = [energies[a:b].mean(axis=0) for a, b in pairwise(starts)]
        return _columns(np.array(means).reshape(-1, energies.shape[1]))

    def _energies(self, responses: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Energies (t, c) of all channels but the total from the spatial responses (t + 2 reach, p)."""
        windows = sliding_window_view(responses.view(np.float32), self._taps.shape[1], axis=0)
        # one product (taps, window) x (window, responses) per frame: the same arithmetic whatever the block's length
        filtered = np.matmul(self._taps, windows.swapaxes(1, 2)).view(np.complex64)
        still = self._mean_energy(filtered[:, 0])[:, 1:]
        flicker, moving = [], []
        for even, odd in zip(filtered[:, 1::2].swapaxes(0, 1), filtered[:, 2::2].swapaxes(0, 1), strict=True):
            along, against = self._mean_energy(even - 1j * odd), self._mean_energy(even + 1j * odd)
            flicker.append(along[:, :1])
            both = [a[:, 1:].reshape(len(a), -1, len(ORIENTATIONS)) for a in (along, against)]
            moving.append(np.concatenate(both, axis=2).reshape(len(still), -1))
        return np.concatenate([still, *flicker, *moving], axis=1)

    def _mean_energy(self, responses: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Squared amplitudes (t, filters) of the gratings behind responses (t, p), averaged over positions."""
        squares = np.square(responses.real) + np.square(responses.imag)
        starts = np.r_[0, np.cumsum(self._counts)[:-1]]
        return np.add.reduceat(squares, starts, axis=1) * (4 / self._counts).astype(np.float32)

    def _sample(self, frame: int) -> int:
        """Interval in which a frame comes on screen."""
        return int(frame * self._rate / self._frame_rate + 1e-6)


class SpatialFilters:
    """Complex Gabor filters of one spatial frequency, all orientations, in places that tile the picture.

    The real part is the even filter, the imaginary one the odd filter. Envelopes sum to 1, so that a grating of
    amplitude 1 gives a response of 1/2.

    Parameters
    ----------
    frequency : float
        Cycles per picture height.
    size : (int, int)
        Width and height of the frames in pixels.

    Attributes
    ----------
    envelope : float
        Standard deviation of the envelopes in picture heights.
    centres : (array, array)
        Of the envelopes, from the left and from the top, in picture heights.
    """

    def __init__(self, frequency: float, size: tuple[int, int]) -> None:
        self.frequency, self.envelope = frequency, min(_CYCLES / frequency, _LARGEST)
        aspect = size[0] / size[1]
        self.centres = _tiling(aspect, self.envelope), _tiling(1.0, self.envelope)
        extents = (aspect, 1.0)
        pixels = (np.linspace(0, extent, n) for extent, n in zip(extents, size, strict=True))
        offsets = [p - c[:, None] for p, c in zip(pixels, self.centres, strict=True)]
        gaussians = [np.exp(-np.square(offset / self.envelope) / 2) for offset in offsets]
        across, down = (g / g.sum(axis=1, keepdims=True) for g in gaussians)
        # a Gabor is the product of one along the columns and one along the rows: two small products for a large one
        self._envelopes = across.astype(np.complex64), down.astype(np.complex64)
        self._gabors = []
        for angle in np.radians(ORIENTATIONS):
            gabor_across = across * np.exp(-2j * np.pi * frequency * np.cos(angle) * offsets[0])
            gabor_down = down * np.exp(2j * np.pi * frequency * np.sin(angle) * offsets[1])
            means = np.outer(gabor_down.sum(axis=1), gabor_across.sum(axis=1))
            self._gabors.append(tuple(part.astype(np.complex64) for part in (gabor_across, gabor_down, means)))

    @property
    def n_positions(self) -> int:
        """Number of envelopes."""
        return len(self.centres[0]) * len(self.centres[1])

    def __call__(self, pictures: NDArray[np.float32]) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Responses to pictures (b, H, W): of the envelopes (b, n) and of the gratings (b, 4 n), position by position.

        Positions run from top to bottom and, within, from left to right; orientations are the outer loop.
        """
        envelopes = _separable(pictures, *self._envelopes)
        gratings = [_separable(pictures, a, d) - m * envelopes for a, d, m in self._gabors]
        return envelopes.reshape(len(pictures), -1), np.stack(gratings, axis=1).reshape(len(pictures), -1)


def temporal_filters(frame_rate: float) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Filters in time, centred on a frame.

    Parameters
    ----------
    frame_rate : float
        Frames per second.

    Returns
    -------
    still : array, shape (t,)
        Gaussian that sums to 1.
    moving : array, shape (2, t)
        A complex filter per temporal frequency, for lags from the first to the last frame of the window. It has no
        response to what stands still, and one of 1 to ``exp(2j * pi * frequency * seconds)``.
    """
    half = round(frame_rate / 3)
    lags = np.arange(1 - half, half)
    envelope = np.exp(-np.square(lags / (2 * half * _LARGEST)) / 2)
    still = envelope / envelope.sum()
    carriers = np.exp(2j * np.pi * np.outer(TEMPORAL_FREQUENCIES, lags) / frame_rate)
    gabors = still * carriers
    gabors -= gabors.sum(axis=1, keepdims=True) * still
    return still, gabors.conj() / np.sum(gabors.conj() * carriers, axis=1, keepdims=True)


def _stacked_taps(frame_rate: float) -> NDArray[np.float32]:
    """The still filter, then the real and the imaginary part of every moving one; shape (1 + 2 * 2, t)."""
    still, moving = temporal_filters(frame_rate)
    return np.vstack([still, *(part for tap in moving for part in (tap.real, tap.imag))]).astype(np.float32)


def _columns(energies: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compressed energies and their total, shape (m, 83) from (m, 82)."""
    n_directed = 2 * len(ORIENTATIONS) * len(SPATIAL_FREQUENCIES) * len(TEMPORAL_FREQUENCIES)
    total = energies[:, -n_directed:].sum(axis=1, keepdims=True)
    return np.asarray(np.log1p(np.hstack([energies, total])), dtype=np.float64)


def _separable(
    pictures: NDArray[np.float32], across: NDArray[np.complex64], down: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Products of pictures (b, H, W) with filters along columns (nx, W) and rows (ny, H): (b, ny, nx)."""
    # a real product with interleaved parts: half the work of a complex one
    weights = np.ascontiguousarray(across.T).view(np.float32)
    return np.matmul(down, np.matmul(pictures, weights).view(np.complex64))


def _tiling(extent: float, envelope: float) -> NDArray[np.float64]:
    """Evenly spaced centres over an extent in picture heights."""
    n = int(np.ceil(extent / (_SPACING * envelope) - 1e-9))
    return np.linspace(0.5, n - 0.5, n) * (extent / n)


def _check_settings(frame_rate: float, rate: float, size: tuple[int, int]) -> None:
    fastest, finest = max(TEMPORAL_FREQUENCIES), max(SPATIAL_FREQUENCIES)
    if not frame_rate > 2 * fastest:
        raise DataError(
            f"motion energy needs more than {2 * fastest} frames per second, for what moves by {fastest} cycles per "
            f"second: {frame_rate:g} are too few."
        )
    if not 0 < rate <= frame_rate:
        raise UsageError(
            f"motion energy cannot be sampled {rate:g} times per second where there are {frame_rate:g} frames in one."
        )
    if size[1] <= 2 * finest:
        raise DataError(
            f"motion energy needs more than {2 * finest} rows of pixels, for {finest} cycles per picture height: "
            f"{size[1]} are too few."
        )

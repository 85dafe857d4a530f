"""Which frames of a copy of a film are which frames of the film, by their perceptual hashes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from neurocca.features.phash import N_BITS, hamming

Hashes = NDArray[np.bool_]

TOLERANCE = 0.2
"""Fraction of differing bits up to which two frames are taken for one picture in two encodings."""

_CLEARLY = 0.02  # bits by which another offset must be better: shots that stand still fit at many
_WINDOW = 250  # frames that are looked for together
_FEW = 25  # pictures that a window must have to be looked for
_ENDS = (125, 62)  # frames at both ends that are also looked for alone: a window goes where most of it lies


@dataclass(frozen=True)
class FrameMatch:
    """A copy of a film beside the film.

    Parameters
    ----------
    pieces : tuple of (first frame, offset)
        From that frame of the copy on, its frame k is frame k - offset of the film. One piece, unless the copy lacks
        frames or has some too many.
    distances : array, shape (n,)
        For every frame of the film, the fraction of bits in which the copy's differs; NaN where the copy has none, and
        where the film shows a single grey.
    n_pictures : int
        Frames of the film that are not of a single grey.
    """

    pieces: tuple[tuple[int, int], ...]
    distances: NDArray[np.float64]
    n_pictures: int

    @property
    def met(self) -> float:
        """Fraction of the film's pictures that the copy shows, within `TOLERANCE`."""
        return float(np.sum(self.distances <= TOLERANCE) / self.n_pictures) if self.n_pictures else 0.0


def likeness(copy: Hashes, film: Hashes) -> tuple[float, int]:
    """How much of a film is in a copy, and the offset at which most of it is.

    The cross-correlation of all bits, less their means, at all offsets at once (fast Fourier transform); frames of a
    single grey, which fit everywhere, do not count.

    Parameters
    ----------
    copy, film : arrays of bool, shapes (m, 144) and (n, 144)
        Hashes of `neurocca.features.phash.perceptual_hash`, at the same frames per second.

    Returns
    -------
    likeness : float
        Its peak; of several films the copy is one of the film that has the most.
    offset : int
        Most frames k of the copy are frame k - offset of the film.
    """
    shown = _are_pictures(film)
    mean = film[shown].mean(axis=0) if shown.any() else np.zeros(N_BITS)
    n = next_fast_len(len(copy) + len(film) - 1, real=True)
    products = np.zeros(n // 2 + 1, dtype=complex)
    first, second = ((bits - mean) * _are_pictures(bits)[:, None] for bits in (copy, film))
    for a, b in zip(first.T, second.T, strict=True):  # bit by bit: all at once would take a gigabyte
        products += rfft(a, n) * np.conj(rfft(b, n))
    correlation = irfft(products, n)
    best = int(np.argmax(correlation))
    return float(correlation[best]), best if best < len(copy) else best - n


def match_frames(copy: Hashes, film: Hashes, offset: int) -> FrameMatch:
    """Find the frames of a copy in the film.

    The copy is followed in windows of 250 frames, each looked for in the whole film: a window stays at the offset of
    the one before unless it clearly fits better elsewhere. Where the offset changes is found to the frame, unless that
    is within 1.5 s of an end.

    Parameters
    ----------
    copy, film : arrays of bool, shapes (m, 144) and (n, 144)
        Hashes at the same frames per second.
    offset : int
        That of most frames, from `likeness`.
    """
    offsets = np.full(len(copy), offset)
    for start in range(0, len(copy), _WINDOW):
        stop = min(start + _WINDOW, len(copy))
        found = _best_offset(copy[start:stop], film, start, offset)
        offsets[start:stop] = found
        if found != offset and start:
            begin = start - _WINDOW
            offsets[begin:stop] = offset
            offsets[begin + _change(copy[begin:stop], film, begin, offset, found) : stop] = found
        offset = found
    _follow_ends(offsets, copy, film)
    places = np.arange(len(copy)) - offsets
    inside = np.flatnonzero((places >= 0) & (places < len(film)))
    distances = np.full(len(film), np.nan)
    distances[places[inside]] = hamming(copy[inside], film[places[inside]])
    is_picture = _are_pictures(film)
    distances[~is_picture] = np.nan
    first = np.flatnonzero(np.r_[True, np.diff(offsets) != 0])
    return FrameMatch(tuple((int(k), int(offsets[k])) for k in first), distances, int(is_picture.sum()))


def _follow_ends(offsets: NDArray[np.int_], copy: Hashes, film: Hashes) -> None:
    """Correct the offsets of the first and the last frames, which are few beside the rest of their window."""
    n = len(copy)
    for length in (size for size in _ENDS if size < n):
        inner = int(offsets[length])
        outer = _best_offset(copy[:length], film, 0, inner)
        if outer != inner and (offsets[:length] == inner).all():
            stop = min(2 * length, n)
            offsets[: _change(copy[:stop], film, 0, outer, inner)] = outer
        begin = n - length
        inner = int(offsets[begin - 1])
        outer = _best_offset(copy[begin:], film, begin, inner)
        if outer != inner and (offsets[begin:] == inner).all():
            start = max(0, begin - length)
            offsets[start + _change(copy[start:], film, start, inner, outer) :] = outer


def _are_pictures(hashes: Hashes) -> NDArray[np.bool_]:
    """Frames of a single grey set one bit, black ones none."""
    return np.sum(hashes, axis=1) > 1


def _best_offset(window: Hashes, film: Hashes, start: int, before: int) -> int:
    """Offset of a window that begins at frame ``start`` of the copy; ``before`` unless another is clearly better."""
    shown, there = _are_pictures(window), _are_pictures(film)
    if shown.sum() < _FEW:
        return before
    signs = ((2.0 * bits - 1) * pictures[:, None] for bits, pictures in ((window, shown), (film, there)))
    agreeing, n_frames = _diagonal_sums(*(s.astype(np.float32) for s in signs)) / N_BITS, _overlaps(shown, there)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(n_frames >= max(_FEW, shown.sum() // 2), (1 - agreeing / n_frames) / 2, np.inf)
    # entry j: the window's frame k beside frame k + j - (its length - 1) of the film
    zero = len(window) - 1 + start
    best = int(np.argmin(apart))
    stays = zero - before
    if apart[best] > TOLERANCE or (0 <= stays < len(apart) and apart[stays] <= apart[best] + _CLEARLY):
        return before
    return zero - best


def _diagonal_sums(window: NDArray[np.float32], film: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums over k of the products of window[k] and film[k + lag], for all lags at which they touch."""
    w, n = len(window), len(film)
    products = np.zeros((w, n + w), dtype=np.float32)
    np.matmul(window[::-1], film.T, out=products[:, :n])
    skewed = products.ravel()[: w * (n + w - 1)].reshape(w, n + w - 1)  # each row begins one later than the last
    return skewed.sum(axis=0, dtype=np.float64)


def _overlaps(window: NDArray[np.bool_], film: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.convolve(film.astype(float), window[::-1].astype(float))


def _change(part: Hashes, film: Hashes, start: int, before: int, after: int) -> int:
    """Frame of a part of the copy from which on the offset ``after`` fits, and until which ``before`` did."""

    def apart(offset: int) -> NDArray[np.float64]:
        places = np.arange(start, start + len(part)) - offset
        inside = (places >= 0) & (places < len(film))
        distances = np.full(len(part), 0.5)
        distances[inside] = hamming(part[inside], film[places[inside]])
        return distances

    return int(np.argmin(np.r_[0, np.cumsum(apart(before) - apart(after))]))

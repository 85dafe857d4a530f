"""Perceptual hashes: 144 bits that a frame keeps when it is encoded anew, and loses when the picture changes."""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

N_BITS = 144
"""Length of a hash: the 12 x 12 lowest frequencies of the frame."""

_SIDE = 12
_PIXELS = 48

# fixed-point arithmetic as in Pillow, which imagehash leaves the grey levels and the scaling to: whole numbers whose
# sums float64 holds exactly, so that hashes are the same bits on every machine
_GREY = np.array([19595, 38470, 7471], dtype=np.float32)  # sums stay below 2**24: exact in float32
_GREY_BITS = 16
_SCALING_BITS = 22


def perceptual_hash(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Perceptual hash of every frame.

    The frame is scaled to 48 x 48 grey pixels (Lanczos); a bit says whether one of the 12 x 12 lowest coefficients of
    their cosine transform lies above the median of the 144. Bit for bit this is ``phash(image, hash_size=12)`` of the
    ImageHash package, from which the published hashes of the studyforrest film come.

    Parameters
    ----------
    frames : array, shape (b, H, W, 3), uint8
        RGB.

    Returns
    -------
    array, shape (b, 144), bool
        72 bits are set in almost every picture; in one of a single grey only the first, in black none.

    References
    ----------
    Zauner (2010). Implementation and benchmarking of perceptual image hash functions. Master's thesis, Upper Austria
    University of Applied Sciences, Hagenberg.

    Examples
    --------
    >>> hash_to_hex(perceptual_hash(np.full((1, 90, 160, 3), 128, np.uint8)))
    ['800000000000000000000000000000000000']
    """
    hashes = np.empty((len(frames), N_BITS), dtype=bool)
    for k, frame in enumerate(frames):  # one by one: a frame's planes stay in the processor's cache
        small = _scaled(_grey_levels(frame))
        frequencies = dct(dct(small, axis=0), axis=1)[:_SIDE, :_SIDE].ravel()
        hashes[k] = frequencies > np.median(frequencies)
    return hashes


def hamming(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Fraction of bits in which hashes differ.

    Parameters
    ----------
    first, second : arrays of bool, shapes (..., 144)
        Hashes that broadcast.

    Returns
    -------
    array, shape (...)
        Whole multiples of 1/144 between 0 and 1; about a half for pictures that have nothing in common.

    Examples
    --------
    >>> hashes = hex_to_hash(["800000000000000000000000000000000000", "cccccc333333000cccccc333333333cccccc"])
    >>> print(f"{hamming(hashes[0], hashes[1]):.6f}")
    0.451389
    """
    return np.mean(np.not_equal(first, second), axis=-1)


def hash_to_hex(hashes: ArrayLike) -> list[str]:
    """Hashes of shape (b, 144) as text of 36 hexadecimal digits each, first bit first."""
    packed = np.packbits(np.asarray(hashes, dtype=bool), axis=-1)
    return [row.tobytes().hex() for row in packed]


def hex_to_hash(texts: Iterable[str]) -> NDArray[np.bool_]:
    """Hashes of shape (b, 144) from text of 36 hexadecimal digits each, as in published tables.

    Raises
    ------
    ValueError
        When a text is not 36 hexadecimal digits.
    """
    rows = []
    for k, text in enumerate(texts):
        if len(text) != N_BITS // 4 or not set(text) <= set("0123456789abcdefABCDEF"):
            raise ValueError(f"hash {k} is {text!r}: expected {N_BITS // 4} hexadecimal digits.")
        rows.append(list(bytes.fromhex(text)))
    return np.unpackbits(np.array(rows, dtype=np.uint8).reshape(-1, N_BITS // 8), axis=-1).astype(bool)


def _grey_levels(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Rounded luma of a (H, W, 3) frame, 0 to 255."""
    sums = frame.astype(np.float32) @ _GREY
    return np.floor(sums / np.float32(1 << _GREY_BITS) + np.float32(0.5)).astype(np.float64)


def _scaled(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) grey levels scaled to 48 x 48, rounded after each of the two directions."""
    height, width = grey.shape
    if width != _PIXELS:
        grey = _rounded(grey @ _lanczos(width).T)
    return grey if height == _PIXELS else _rounded(_lanczos(height) @ grey)


def _rounded(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.floor(sums / (1 << _SCALING_BITS) + 0.5), 0, 255)


@cache
def _lanczos(n: int) -> NDArray[np.float64]:
    """Weights that take n pixels to 48, in whole multiples of 2**-22; shape (48, n)."""
    scale = n / _PIXELS
    stretch = max(scale, 1.0)  # wider kernel when shrinking, so that it averages
    centres = (np.arange(_PIXELS) + 0.5) * scale
    offsets = (np.arange(n) + 0.5 - centres[:, None]) / stretch
    kernels = np.where(np.abs(offsets) < 3, np.sinc(offsets) * np.sinc(offsets / 3), 0.0)
    weights = kernels / kernels.sum(axis=1, keepdims=True)
    return np.trunc(weights * (1 << _SCALING_BITS) + np.copysign(0.5, weights))

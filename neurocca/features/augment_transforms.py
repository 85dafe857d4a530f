"""One picture made from another: what each kind of augmentation does at strength s, 0 < s ≤ 1.

Every function takes pictures of one shot as a uint8 tensor (b, 3, H, W), the strength and a generator, from which it
draws direction, place and noise once for all of them. Kinds of two directions take either with equal chance.
"""

import importlib
import math
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from neurocca.features.libraries import import_torchvision

LARGEST_ROTATION = 45.0
"""Degrees."""

LARGEST_SHEAR = 45.0
"""Degrees."""

LARGEST_ZOOM = 2.0
"""Factor of the picture's width and height, or one over it."""

LARGEST_SHIFT = 0.75
"""Share of the shorter side."""

SMALLEST_CROP = 0.1
"""Share of the picture's width and height."""

LARGEST_GAIN = 8.0
"""Factor of brightness or contrast, or one over it."""

LARGEST_HUE = 180.0
"""Degrees on the colour circle."""

LARGEST_BLUR = 1 / 32
"""Standard deviation as a share of the shorter side."""

LARGEST_NOISE = 32.0
"""Standard deviation in levels of 255."""


def rotation(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Turned about the middle by s · 45°, either way."""
    height, width = frames.shape[-2:]
    angle = _sign(rng) * s * LARGEST_ROTATION
    sin, less = abs(math.sin(math.radians(angle))), 1 - math.cos(math.radians(angle))
    return _affine(frames, _half(height * sin - width * less), _half(width * sin - height * less), angle=angle)


def shear(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Slanted by s · 45°, along the rows or the columns, either way."""
    height, width = frames.shape[-2:]
    angle, along_rows = _sign(rng) * s * LARGEST_SHEAR, rng.integers(2)
    room = abs(math.tan(math.radians(angle)))
    if along_rows:
        return _affine(frames, _half(height * room), 0, shear=[angle, 0.0])
    return _affine(frames, 0, _half(width * room), shear=[0.0, angle])


def scale(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Larger or smaller about the middle by the factor 2 ** s."""
    height, width = frames.shape[-2:]
    factor = LARGEST_ZOOM ** (_sign(rng) * s)
    if factor >= 1:
        return _window(frames, 1 / factor, 0.5, 0.5)
    h, w = math.ceil(height * factor), math.ceil(width * factor)
    small = _functional().resize(frames, [h, w], antialias=True)
    top, left = (height - h) // 2, (width - w) // 2
    return _mirrored(small, left, top, width - w - left, height - h - top)


def shift(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Moved by s · 75 % of the shorter side in any direction, by whole pixels, so that nothing is interpolated."""
    height, width = frames.shape[-2:]
    angle, distance = rng.uniform(0, 2 * np.pi), s * LARGEST_SHIFT * min(height, width)
    right, down = round(distance * math.cos(angle)), round(distance * math.sin(angle))
    padded = _mirrored(frames, max(right, 0), max(down, 0), max(-right, 0), max(-down, 0))
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + height, left : left + width]


def crop(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Window of 1 - 0.9 · s of width and height, anywhere, enlarged to the whole picture."""
    return _window(frames, 1 - (1 - SMALLEST_CROP) * s, *rng.random(2))


def flip(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Left and right exchanged, with probability s."""
    return _functional().horizontal_flip(frames) if rng.random() < s else frames


def brightness(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Levels times or divided by 8 ** s."""
    return _functional().adjust_brightness(frames, LARGEST_GAIN ** (_sign(rng) * s))


def contrast(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Differences from the picture's mean grey times or divided by 8 ** s."""
    return _functional().adjust_contrast(frames, LARGEST_GAIN ** (_sign(rng) * s))


def colour(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Saturation times 1 + s or 1 - s, and hue turned by s · 180° either way."""
    vivid = _functional().adjust_saturation(frames, 1 + _sign(rng) * s)
    return _functional().adjust_hue(vivid, _sign(rng) * s * LARGEST_HUE / 360)


def blur(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Blurred by a Gaussian of standard deviation s · 1/32 of the shorter side."""
    sigma = s * LARGEST_BLUR * min(frames.shape[-2:])
    size = 2 * math.ceil(3 * sigma) + 1
    # a row and a column: torchvision's square kernel costs size times as much
    for kernel in ([size, 1], [1, size]):
        frames = _functional().gaussian_blur(frames, kernel, [sigma, sigma])
    return frames


def pixel_noise(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Gaussian noise of standard deviation s · 32 of 255 levels, independent in every pixel, the same in R, G and B."""
    return _noisy(frames, s, rng, channels=1)


def colour_noise(frames: Tensor, s: float, rng: Generator) -> Tensor:
    """Gaussian noise of standard deviation s · 32 of 255 levels, independent in every pixel and in R, G and B."""
    return _noisy(frames, s, rng, channels=3)


def _functional() -> Any:
    return importlib.import_module(f"{import_torchvision().__name__}.transforms.v2.functional")


def _sign(rng: Generator) -> int:
    return 1 if rng.integers(2) else -1


def _half(room: float) -> int:
    """Pixels at either end of an axis that has to grow by so much."""
    return max(0, math.ceil(room / 2))


def _affine(frames: Tensor, x: int, y: int, *, angle: float = 0.0, shear: list[float] | None = None) -> Tensor:
    """Turned or slanted about the middle, with x and y mirrored pixels at the sides that come into sight."""
    height, width = frames.shape[-2:]
    functional = _functional()
    bilinear = functional.InterpolationMode.BILINEAR
    # one pixel more: half of an outermost pixel is interpolated with the nothing beyond it
    wide = _mirrored(frames, x + 1, y + 1, x + 1, y + 1)
    turned = functional.affine(wide, angle, [0, 0], 1.0, shear or [0.0, 0.0], bilinear)
    return turned[..., y + 1 : y + 1 + height, x + 1 : x + 1 + width]


def _mirrored(frames: Tensor, left: int, top: int, right: int, bottom: int) -> Tensor:
    """Pictures that go on beyond their borders as between mirrors."""
    rows, columns = _reflected(frames.shape[-2], top, bottom), _reflected(frames.shape[-1], left, right)
    return frames.index_select(-2, rows.to(frames.device)).index_select(-1, columns.to(frames.device))


def _reflected(n: int, before: int, after: int) -> Tensor:
    """Indices 0 to n - 1 and, before and after them, those seen in mirrors on the first and the last.

    torchvision's reflecting pad stops at one reflection, and takes several times as long on bytes.
    """
    period = max(1, 2 * n - 2)
    forth = torch.arange(-before, n + after) % period
    return torch.minimum(forth, period - forth) if n > 1 else torch.zeros_like(forth)


def _window(frames: Tensor, share: float, down: float, right: float) -> Tensor:
    """Share of each side, from ``down`` and ``right`` (0 to 1) of the free room on, enlarged to the whole."""
    height, width = frames.shape[-2:]
    h, w = max(1, round(share * height)), max(1, round(share * width))
    top, left = round(down * (height - h)), round(right * (width - w))
    return _functional().resized_crop(frames, top, left, h, w, [height, width], antialias=True)


def _noisy(frames: Tensor, s: float, rng: Generator, channels: int) -> Tensor:
    # one pattern for all frames of a shot: a fresh one per frame would be motion that the film does not have
    pattern = rng.standard_normal((channels, *frames.shape[-2:]), dtype=np.float32) * np.float32(s * LARGEST_NOISE)
    noisy = frames + torch.from_numpy(pattern).to(frames.device)
    return noisy.round_().clamp_(0, 255).to(torch.uint8)

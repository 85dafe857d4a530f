"""Many versions of a film's frames: cropped, turned, dimmed, grainy, and the same throughout a shot.

Strength runs from 0, where every frame stays bit for bit what it was, to 1, more than a network stands:

=============  ====================================================================================================
kind           at strength s
=============  ====================================================================================================
rotation       turned about the middle by s · 45°, either way
shear          slanted by s · 45°, along the rows or the columns, either way
scale          larger or smaller about the middle by the factor 2 ** s
shift          moved by s · 75 % of the shorter side, in any direction, by whole pixels
crop           a window of 1 - 0.9 · s of width and height, anywhere, enlarged to the whole frame
flip           left and right exchanged with probability s
brightness     levels times or divided by 8 ** s
contrast       differences from the frame's mean grey times or divided by 8 ** s
colour         saturation times 1 + s or 1 - s, and hue turned by s · 180° either way
blur           Gaussian of standard deviation s · 1/32 of the shorter side
pixel_noise    Gaussian, standard deviation s · 32 of 255 levels, one draw per pixel for R, G and B together
colour_noise   the same, one draw per pixel for each of R, G and B
=============  ====================================================================================================

Kinds are applied in this order. What geometry leaves bare is filled with the mirror image of the frame: a plain border
is an edge that no frame of the film has, and early layers see little else. One draw of direction, place and noise holds
for all frames of a shot: noise that changed from frame to frame would be motion that the film does not have. Draws are
keyed by seed, view, shot and kind, so that neither the blocks in which frames come nor the other kinds change them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import UsageError
from neurocca.features import augment_transforms as at
from neurocca.features.libraries import did_you_mean

Frames = TypeVar("Frames", NDArray[np.uint8], torch.Tensor)
Transform = Callable[[torch.Tensor, float, Generator], torch.Tensor]


class _Kind(NamedTuple):
    transform: Transform
    amount: Callable[[float], str]


# in the order in which they are applied: geometry, light, then what a camera adds.
# The position keys the draws of a kind: a new one goes to the end.
_KINDS = {
    "rotation": _Kind(at.rotation, lambda s: f"{s * at.LARGEST_ROTATION:.0f}°"),
    "shear": _Kind(at.shear, lambda s: f"{s * at.LARGEST_SHEAR:.0f}°"),
    "scale": _Kind(at.scale, lambda s: f"×{at.LARGEST_ZOOM**s:.2f}"),
    "shift": _Kind(at.shift, lambda s: f"{s * at.LARGEST_SHIFT:.0%} of the side"),
    "crop": _Kind(at.crop, lambda s: f"{(1 - at.SMALLEST_CROP) * s:.0%} cut off"),
    "flip": _Kind(at.flip, lambda s: f"{s:.0%} of shots"),
    "brightness": _Kind(at.brightness, lambda s: f"×{at.LARGEST_GAIN**s:.2f}"),
    "contrast": _Kind(at.contrast, lambda s: f"×{at.LARGEST_GAIN**s:.2f}"),
    "colour": _Kind(at.colour, lambda s: f"{s * at.LARGEST_HUE:.0f}°, ±{s:.0%}"),
    "blur": _Kind(at.blur, lambda s: f"{s * at.LARGEST_BLUR:.1%} of the side"),
    "pixel_noise": _Kind(at.pixel_noise, lambda s: f"{s * at.LARGEST_NOISE:.0f} levels"),
    "colour_noise": _Kind(at.colour_noise, lambda s: f"{s * at.LARGEST_NOISE:.0f} levels"),
}

_BLOCK = 8
"""Frames changed at once: so few stay in the cache, which halves the time."""

KINDS = tuple(_KINDS)
"""Names of the kinds, in the order in which they are applied."""

DEFAULT_STRENGTHS = {
    "rotation": 0.17,
    "shear": 0.14,
    "scale": 0.10,
    "shift": 0.10,
    "crop": 0.09,
    "flip": 0.20,
    "brightness": 0.08,
    "contrast": 0.14,
    "colour": 0.08,
    "blur": 0.06,
    "pixel_noise": 0.04,
    "colour_noise": 0.05,
}
"""Largest strengths that `Augmentation` uses where none are given: two thirds of what the film below stands.

On 120 frames of Big Buck Bunny, one per shot, stages 2, 4 and 6 and the classes of EfficientNet-Lite0 saw frames stop
being themselves, in the sense of `neurocca.features.augmentation_report`, at rotations by 36°, shears by 30°, zooms by
1.39, shifts by 35 % of the side, crops to 63 % of it, brightness times or divided by 2.1, contrast by 3.8, hue by 65°
with saturation by 36 %, blurs of 0.9 % of the side, and noise of 6 levels (pixels) and 7 (colours); mirror images stay
themselves. All kinds together stop at 32 % of these. With the defaults, two thirds of the way there, features go .27 to
.33 of the way to those of another frame, and a third of the frames have lost their label from the first five: they are
still nearer to themselves than to others, but they are not unharmed. Other films and networks stand more or less, which
an augmentation report measures.
"""


@dataclass(frozen=True)
class Augmentation:
    """Several kinds at once, each by an amount drawn anew for every shot and view.

    Parameters
    ----------
    kinds : sequence of str or mapping of str to float
        Of `KINDS`; a mapping gives each its own strength.
    strength : float, optional
        Largest strength of the kinds that have none of their own, 0 to 1; ``DEFAULT_STRENGTHS`` where not given. The
        amount of a shot is uniform between 0 and it.

    Raises
    ------
    UsageError
        When a kind does not exist or a strength is not between 0 and 1.

    Examples
    --------
    >>> frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    >>> augmentation = Augmentation(["rotation", "blur"], strength=0.2)
    >>> augmentation(frames, seed=0, shots=[0, 0, 1, 1]).shape
    (4, 32, 32, 3)
    >>> bool((Augmentation(strength=0)(frames, seed=0) == frames).all())
    True
    """

    kinds: Sequence[str] | Mapping[str, float] = KINDS
    strength: float | None = None

    def __post_init__(self) -> None:
        for kind, strength in self.strengths.items():
            _check(kind, strength)

    @property
    def strengths(self) -> dict[str, float]:
        """Largest strength of every kind used, in the order of application."""
        given = self.kinds if isinstance(self.kinds, Mapping) else dict.fromkeys(self.kinds, self.strength)
        unknown = [kind for kind in given if kind not in _KINDS]
        if unknown:
            _check(unknown[0], 0.0)
        return {
            kind: DEFAULT_STRENGTHS[kind] if (own := given[kind]) is None else own for kind in KINDS if kind in given
        }

    def __call__(self, frames: Frames, *, seed: int, view: int = 0, shots: ArrayLike | None = None) -> Frames:
        """Augmented copies of frames.

        Parameters
        ----------
        frames : array or tensor, shape (b, H, W, 3), uint8
            RGB.
        seed : int
        view : int
            Another number gives another version of the same shots.
        shots : array of int, shape (b,), optional
            Number of the shot that each frame belongs to, as `shot_numbers` gives them; without it, all are of one.
            For training on frames in random order, a number of its own for each.

        Returns
        -------
        array or tensor, shape (b, H, W, 3), uint8
            Of the kind of ``frames``, on its device.

        Raises
        ------
        ValueError
            When frames are not (b, H, W, 3) uint8, or there is not one shot number for each.
        """
        strengths = self.strengths

        def change(pictures: torch.Tensor, shot: int) -> torch.Tensor:
            for kind, strength in strengths.items():
                rng = _draws(seed, view, shot, kind)
                pictures = _apply(kind, pictures, strength * rng.random(), rng)
            return pictures

        return _shot_by_shot(frames, shots, change)


def augment(
    frames: Frames, kind: str, strength: float, *, seed: int, view: int = 0, shots: ArrayLike | None = None
) -> Frames:
    """Frames changed in one way and by exactly this strength: direction, place and noise are drawn, the amount is not.

    Parameters
    ----------
    frames : array or tensor, shape (b, H, W, 3), uint8
        RGB.
    kind : str
        Of `KINDS`.
    strength : float
        0 to 1.
    seed, view, shots
        As for `Augmentation`.

    Returns
    -------
    array or tensor, shape (b, H, W, 3), uint8

    Raises
    ------
    ValueError
        When a kind does not exist, a strength is not between 0 and 1, or frames and shots do not fit.
    """
    _check(kind, strength)
    return _shot_by_shot(
        frames, shots, lambda pictures, shot: _apply(kind, pictures, strength, _draws(seed, view, shot, kind))
    )


def amount(kind: str, strength: float) -> str:
    """A strength in the unit of its kind, as in "18°".

    Examples
    --------
    >>> amount("rotation", 0.4), amount("scale", 0.5)
    ('18°', '×1.41')
    """
    _check(kind, strength)
    return _KINDS[kind].amount(strength)


def shot_numbers(cuts: ArrayLike, n_frames: int, first_index: int = 0) -> NDArray[np.int_]:
    """Number of the shot that each frame of a block belongs to.

    Parameters
    ----------
    cuts : array of int, ascending
        Index in the film of the first frame of every shot; that of the very first may be left out.
    n_frames : int
        Length of the block.
    first_index : int
        Index in the film of the block's first frame.

    Returns
    -------
    array of int, shape (n_frames,)

    Examples
    --------
    >>> shot_numbers([3, 5], 4, first_index=2).tolist()
    [0, 1, 1, 2]
    """
    later = [cut for cut in np.asarray(cuts, dtype=int).tolist() if cut > 0]
    return np.searchsorted(later, np.arange(first_index, first_index + n_frames), side="right")


def _apply(kind: str, pictures: torch.Tensor, strength: float, rng: Generator) -> torch.Tensor:
    return _KINDS[kind].transform(pictures, strength, rng) if strength > 0 else pictures


def _draws(seed: int, view: int, shot: int, kind: str) -> Generator:
    return np.random.default_rng(SeedSequence(seed, spawn_key=(view, shot, KINDS.index(kind))))


def _shot_by_shot(
    frames: Frames, shots: ArrayLike | None, change: Callable[[torch.Tensor, int], torch.Tensor]
) -> Frames:
    """New frames from a function of pictures (b, 3, H, W) and the number of their shot."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype not in (np.uint8, torch.uint8):
        raise ValueError(f"frames are {frames.dtype} of shape {tuple(frames.shape)}: expected uint8 (b, H, W, 3).")
    numbers = _checked_shots(shots, len(frames))
    if isinstance(frames, torch.Tensor):
        return _changed(frames, numbers, change)
    # torch takes neither read-only arrays nor negative strides
    return _changed(torch.from_numpy(np.require(frames, requirements=["C", "W"])), numbers, change).numpy()


def _changed(
    frames: torch.Tensor, shots: NDArray[np.int_], change: Callable[[torch.Tensor, int], torch.Tensor]
) -> torch.Tensor:
    out = torch.empty_like(frames)
    for shot in np.unique(shots):
        for rows in torch.from_numpy(np.flatnonzero(shots == shot)).to(frames.device).split(_BLOCK):
            out[rows] = change(frames[rows].permute(0, 3, 1, 2), int(shot)).permute(0, 2, 3, 1)
    return out


def _checked_shots(shots: ArrayLike | None, n: int) -> NDArray[np.int_]:
    if shots is None:
        return np.zeros(n, dtype=int)
    numbers = np.asarray(shots)
    if numbers.shape != (n,) or numbers.dtype.kind not in "iu" or (n and numbers.min() < 0):
        raise ValueError(f"shots must be {n} whole numbers from 0 on, one per frame, not {shots!r:.80}.")
    return numbers


def _check(kind: str, strength: float) -> None:
    if kind not in _KINDS:
        raise UsageError(f"augmentation {kind!r} is none of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    if not 0 <= strength <= 1:
        raise UsageError(f"strength {strength:g} of {kind} is not between 0 and 1.")

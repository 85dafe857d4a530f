"""Shot cuts: the frames at which the picture is another one, not the same that moved, brightened or flashed.

The distance of two frames is the geometric mean of two distances that cuts have in common and little else has:

* of structure: 1 - correlation of the frames, averaged to 32 x 18 blocks of colour, where one frame is shifted by up to
  an eighth of the picture so as to match best. Camera movements keep it low, as do changes of brightness and contrast.
* of colours: the share of pixels that would have to change colour, in a histogram of 8 x 8 x 8 colours. What moves
  within the picture keeps it low.

A frame begins a shot when its distance from the frame before reaches `THRESHOLD`, is the largest of the four frames on
either side, and stands out from all of these but one by `MARGIN`, as it does not in a whip pan; and when none of the
four frames from it on looks like one of the four before it, as after a flash. So a shot of fewer than five frames is no
shot of its own. Dissolves and slow fades have no such frame and are not found; a cut to or from black is.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.design import FeatureSeries
from neurocca.errors import DataError
from neurocca.features.annotations import onset_regressor

THRESHOLD = 0.3
"""Smallest distance, from 0 to 1, of two frames with a cut between them."""

MARGIN = 0.25
"""By how much a cut's distance exceeds those around it."""

SHOT_NAMES = ("cut", "since_cut", "shot_length")
"""Columns of `shot_features`."""

_AROUND = 4  # frames on either side that a cut is compared with
_GRID = (18, 32)
_SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-4, 5)]
_NOISE = 3.0  # standard deviation, in grey levels, below which structure fades into noise
_SAME = 0.1  # distance below which shifting can change nothing


class _Look(NamedTuple):
    """What is kept of a frame: blocks of colour (18, 32, 3) and the histogram of colours (512,)."""

    blocks: NDArray[np.float32]
    colours: NDArray[np.float32]


class ShotCuts:
    """Cuts of a film, found while its frames come, block by block.

    All frames of the film are needed, at its own rate: between frames that lie further apart more moves. A small size
    will do: 128 x 72 pixels.

    Parameters
    ----------
    frame_rate : float
        Frames per second; frame n is on screen at n / frame_rate seconds.
    """

    def __init__(self, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._n_seen = 0
        self._looks: list[_Look] = []  # of the last frames,
        self._distances: list[float] = []  # and their distances from the frames before

    def update(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Take the next frames, and return the cuts that are certain now.

        Parameters
        ----------
        frames : array, shape (b, H, W, 3), uint8
            RGB, in order of time; at least 32 x 18 pixels.

        Returns
        -------
        array, shape (m,)
            Seconds at which the first frames of shots come on screen; the film's first frame is not among them.

        Raises
        ------
        ValueError
            When frames are not (H, W, 3) uint8.
        DataError
            When they are too small.
        """
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}: expected uint8 (b, height, width, 3)."
            )
        if frames.shape[1] < _GRID[0] or frames.shape[2] < _GRID[1]:
            raise DataError(
                f"frames of {frames.shape[2]} x {frames.shape[1]} pixels are too small to find cuts in: at least "
                f"{_GRID[1]} x {_GRID[0]} are needed."
            )
        cuts = []
        for frame in frames:
            look = _look(frame)
            self._distances.append(_distance(self._looks[-1], look) if self._looks else 0.0)
            self._looks.append(look)
            self._n_seen += 1
            # the frame in the middle has as many after it as it needs
            if self._n_seen > _AROUND and self._is_cut(len(self._looks) - 1 - _AROUND):
                cuts.append(self._n_seen - 1 - _AROUND)
            if len(self._looks) > 2 * _AROUND:
                del self._looks[0], self._distances[0]
        return np.array(cuts, dtype=np.float64) / self._frame_rate

    def finish(self) -> NDArray[np.float64]:
        """Return the cuts among the last frames, in seconds."""
        n_kept = len(self._looks)
        undecided = range(max(0, n_kept - _AROUND), n_kept)
        cuts = [self._n_seen - n_kept + k for k in undecided if self._is_cut(k)]
        return np.array(cuts, dtype=np.float64) / self._frame_rate

    def state(self) -> dict[str, NDArray]:
        """What the next block needs to know of the frames so far, to go on later with `restore`."""
        return {
            "n_seen": np.array(self._n_seen),
            "distances": np.array(self._distances),
            "blocks": np.array([look.blocks for look in self._looks], dtype=np.float32),
            "colours": np.array([look.colours for look in self._looks], dtype=np.float32),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on after the frames that gave a `state`."""
        self._n_seen = int(state["n_seen"])
        self._distances = state["distances"].tolist()
        self._looks = [_Look(*look) for look in zip(state["blocks"], state["colours"], strict=True)]

    def _is_cut(self, k: int) -> bool:
        """Whether the k-th of the frames kept begins a shot."""
        distance = self._distances[k]
        around = sorted(
            [*self._distances[max(0, k - _AROUND) : k], *self._distances[k + 1 : k + 1 + _AROUND], 0.0, 0.0]
        )
        if distance < THRESHOLD or distance < around[-1] or distance < around[-2] + MARGIN:
            return False
        before, after = self._looks[max(0, k - _AROUND) : k], self._looks[k : k + _AROUND]
        comes_back = [_distance(before[-1], look) for look in after] + [_distance(look, after[0]) for look in before]
        return min(comes_back) >= THRESHOLD


def shot_features(cuts: ArrayLike, rate: float, n_samples: int) -> FeatureSeries:
    """Regressors of a film's cuts.

    Parameters
    ----------
    cuts : array, shape (m,)
        Seconds at which shots begin, ascending, without the film's first.
    rate : float
        Samples per second.
    n_samples : int
        Number of sample intervals [k / rate, (k + 1) / rate); the film ends with the last.

    Returns
    -------
    FeatureSeries
        ``cut``: number of cuts in the interval. ``since_cut``: log(1 + s), s the mean over the interval of the seconds
        since the last cut, or since the film began. ``shot_length``: log(1 + s), s the mean over the interval of the
        seconds that the shot on screen lasts in all. The logarithm, taken of the mean, keeps one long shot from
        outweighing all others.

    Examples
    --------
    >>> series = shot_features([2.0], rate=1, n_samples=4)
    >>> series.data[:, 0].tolist(), np.expm1(series.data[:, 1:]).round(6).tolist()
    ([0.0, 0.0, 1.0, 0.0], [[0.5, 2.0], [1.5, 2.0], [0.5, 2.0], [1.5, 2.0]])
    """
    end = n_samples / rate
    onsets = np.asarray(cuts, dtype=np.float64)
    starts = np.r_[0.0, onsets[(onsets > 0) & (onsets < end)]]
    lengths = np.diff(np.r_[starts, end])
    borders = np.arange(n_samples + 1) / rate
    shot = np.maximum(np.searchsorted(starts, borders, side="right") - 1, 0)
    elapsed = borders - starts[shot]
    # integrals from the film's beginning to each border: means over intervals are their differences
    squares = np.r_[0.0, np.cumsum(np.square(lengths))][shot]
    since_cut = np.diff(squares / 2 + np.square(elapsed) / 2) * rate
    shot_length = np.diff(squares + elapsed * lengths[shot]) * rate
    data = np.column_stack([onset_regressor(onsets, rate, end), np.log1p(since_cut), np.log1p(shot_length)])
    return FeatureSeries(data, borders[:-1], SHOT_NAMES)


def _look(frame: NDArray[np.uint8]) -> _Look:
    height, width, _ = frame.shape
    rows, columns = (np.linspace(0, n, m + 1).astype(int) for n, m in zip((height, width), _GRID, strict=True))
    sums = np.add.reduceat(np.add.reduceat(frame, rows[:-1], axis=0, dtype=np.float32), columns[:-1], axis=1)
    blocks = sums / np.outer(np.diff(rows), np.diff(columns))[..., None]
    coarse = frame >> 5
    index = (coarse[..., 0].astype(np.intp) << 6) + (coarse[..., 1].astype(np.intp) << 3) + coarse[..., 2]
    colours = np.bincount(index.ravel(), minlength=512) / index.size
    return _Look(blocks.astype(np.float32), colours.astype(np.float32))


def _distance(first: _Look, second: _Look) -> float:
    """Geometric mean of the distances of structure and of colours, 0 to 1."""
    colours = float(np.abs(first.colours - second.colours).sum()) / 2
    at_rest = np.sqrt(_structure(first.blocks, second.blocks) * colours)
    if at_rest < _SAME:
        return float(at_rest)
    height, width = _GRID
    shifted = []
    for down, right in _SHIFTS:
        there = first.blocks[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
        here = second.blocks[max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)]
        shifted.append(_structure(there, here))
    return float(np.sqrt(min(shifted) * colours))


def _structure(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """1 - correlation of two blocked pictures (h, w, 3), 0 to 1; flat pictures are alike."""
    a = first - first.mean(axis=(0, 1))
    b = second - second.mean(axis=(0, 1))
    floor = _NOISE**2 * a.size
    shared, own = np.vdot(a, b), (np.vdot(a, a) + floor) * (np.vdot(b, b) + floor)
    return float(np.clip(1 - (shared + floor) / np.sqrt(own), 0, 1))

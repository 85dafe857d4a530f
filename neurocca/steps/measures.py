"""Measures of frames, all in the form that a pass works with."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neurocca.features.lowlevel import FrameMeasures
from neurocca.features.motion import MotionMeasures
from neurocca.features.shots import SHOT_NAMES, ShotCuts, shot_features


class Measures(Protocol):
    """Measures of consecutive frames, whose rows may come later than the frames that they are of."""

    names: tuple[str, ...]

    def update(self, frames: NDArray[np.uint8]) -> NDArray:
        """Rows that these frames complete."""

    def finish(self, n_samples: int) -> NDArray:
        """The rest, where there are so many rows in all."""

    def state(self) -> dict[str, NDArray]:
        """Everything that rows to come depend on."""

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from a state."""


MakeMeasures = Callable[[float, float, tuple[int, int]], Measures]
"""From frames per second, samples per second, and width and height of the frames."""


class LowLevel:
    """Light, contrast, colour and detail: every frame has its row at once."""

    def __init__(self) -> None:
        self._measures = FrameMeasures()
        self.names = self._measures.names
        self.update, self.state, self.restore = self._measures.update, self._measures.state, self._measures.restore

    def finish(self, n_samples: int) -> NDArray:
        """Nothing is left."""
        return np.zeros((0, len(self.names)))


class Motion:
    """Motion energy."""

    def __init__(self, frame_rate: float, rate: float, size: tuple[int, int]) -> None:
        self._measures = MotionMeasures(frame_rate, rate, size)
        self.names = self._measures.names
        self.update, self.state, self.restore = self._measures.update, self._measures.state, self._measures.restore

    def finish(self, n_samples: int) -> NDArray:
        """Rows of the last frames."""
        return self._measures.finish(n_samples)


class Shots:
    """Shots: how long they are is known when the film has ended."""

    names: tuple[str, ...] = SHOT_NAMES

    def __init__(self, frame_rate: float, rate: float) -> None:
        self._finder, self._rate = ShotCuts(frame_rate), rate
        self._cuts = np.zeros(0)

    def update(self, frames: NDArray[np.uint8]) -> NDArray:
        """Look for cuts; rows come at the end."""
        self._cuts = np.concatenate([self._cuts, self._finder.update(frames)])
        return np.zeros((0, len(self.names)))

    def cuts(self) -> NDArray[np.float64]:
        """Seconds at which shots begin, when all frames have come."""
        return np.concatenate([self._cuts, self._finder.finish()])

    def finish(self, n_samples: int) -> NDArray:
        """All rows."""
        return shot_features(self.cuts(), self._rate, n_samples).data

    def state(self) -> dict[str, NDArray]:
        """The cuts found, and the finder's own state."""
        return {"cuts": self._cuts, **self._finder.state()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from a state."""
        self._cuts = state["cuts"]
        self._finder.restore(state)

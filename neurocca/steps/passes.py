"""Passes over a film: frames or sound in, rows of one or several feature spaces out, saved block by block."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurocca.config import FeaturesConfig
from neurocca.errors import DataError
from neurocca.io.framing import Crop
from neurocca.io.movie import MovieInfo, iter_batches, n_samples
from neurocca.io.parts import Parts
from neurocca.steps.measures import MakeMeasures, Measures

Done = Callable[[int], object]

BLOCK = 512
"""Frames after which work is saved."""

LOWLEVEL_WIDTH = 320
"""Widest frame, in pixels, that the low-level measures are taken from: films of any resolution become comparable."""

SMALL_WIDTH = 128
"""Widest frame where all frames of a film are looked at, for motion and cuts."""

SOUND_RATE = 16000
"""Samples of sound per second that its measures are taken from."""

STATE = "state:"
"""What the names of arrays begin with that are no rows, but needed to go on after a block."""


@dataclass(frozen=True)
class Film:
    """A film, the run that it was shown in, and the part of its picture that is used (None: all of it)."""

    run: str
    path: Path
    sha256: str
    info: MovieInfo
    crop: Crop | None = None

    def size(self, widest: int) -> tuple[int, int]:
        """Width and height of the picture, scaled down to so many pixels' width where it is wider."""
        width, height = self.crop[:2] if self.crop else self.info.size
        return (width, height) if width <= widest else (widest, max(1, round(height * widest / width)))


@dataclass(frozen=True)
class About:
    """What a finished pass says of itself.

    Parameters
    ----------
    names : dict of tuple of str
        Feature names by space.
    n_rows : int
    details : dict
        What else belongs into the record: the engine, for one.
    """

    names: dict[str, tuple[str, ...]]
    n_rows: int
    details: dict[str, Any] = field(default_factory=dict)


class FilmPass(Protocol):
    """A pass. The settings of a space are all that its numbers depend on beside the film."""

    @property
    def config(self) -> FeaturesConfig:
        """The configuration."""

    @property
    def name(self) -> str:
        """Name for progress and messages."""

    @property
    def spaces(self) -> tuple[str, ...]:
        """Spaces whose rows it gives."""

    def settings(self, film: Film, space: str) -> dict[str, Any]:
        """Settings of one of its spaces, as JSON has them."""

    def total(self, film: Film) -> int:
        """Number of frames, or whatever else is counted, in all."""

    def check(self, film: Film) -> None:
        """Raise DataError where a film cannot be measured, if that can be told beforehand."""

    def run(self, film: Film, parts: Parts, done: Done) -> About:
        """Save the blocks that ``parts`` does not hold yet, each space's rows under its name."""


@dataclass(frozen=True)
class MeasurePass:
    """Measures without a network: light and colour, motion, shots.

    Parameters
    ----------
    space : str
    make : callable
        From (frames per second, samples per second, width and height) to the measures.
    config : FeaturesConfig
    widest : int
        Pixels to which wider frames are scaled.
    every_frame : bool
        Whether the film is decoded at its own rate, not at that of the samples.
    """

    space: str
    make: MakeMeasures
    config: FeaturesConfig
    widest: int
    every_frame: bool = False

    @property
    def name(self) -> str:
        """Name of the space."""
        return self.space

    @property
    def spaces(self) -> tuple[str, ...]:
        """The one space."""
        return (self.space,)

    def settings(self, film: Film, space: str) -> dict[str, Any]:
        """Sampling and size."""
        window = {} if self.every_frame else {"window": self.config.window}
        return {"rate": self.config.rate, **window, "crop": listed(film.crop), "size": list(film.size(self.widest))}

    def total(self, film: Film) -> int:
        """Frames decoded."""
        return n_samples(film.info.duration, self._frame_rate(film))

    def check(self, film: Film) -> None:
        """See FilmPass."""
        try:
            self.make(self._frame_rate(film), self.config.rate, film.size(self.widest))
        except DataError as error:
            raise DataError(f"film {film.path}: {error}") from error

    def run(self, film: Film, parts: Parts, done: Done) -> About:
        """See FilmPass."""
        rate, size = self._frame_rate(film), film.size(self.widest)
        measures = self.make(rate, self.config.rate, size)
        block, index = block_size(self.config.batch_size), len(parts)
        n_rows = sum(map(len, parts.array(self.space)))
        if index:
            last = parts.load(index - 1)
            measures.restore({k.removeprefix(STATE): v for k, v in last.items() if k.startswith(STATE)})
        # beyond the end where all blocks were saved and only the word that they were is lacking: then none comes
        n_frames, total = index * block, n_samples(film.info.duration, self.config.rate)
        done(min(n_frames, self.total(film)))
        window = "frame" if self.every_frame else self.config.window
        batches = iter_batches(film.path, rate, block, size, crop=film.crop, window=window, start=n_frames)
        for k, frames in enumerate(batches, index):
            rows = measures.update(frames)
            n_frames += len(frames)
            if n_frames >= self.total(film):
                lacking = math.ceil(total / self.config.rate * rate - 1e-6) - n_frames
                rows = np.vstack([rows, _last_rows(measures, frames[-1:], lacking, total)])[: total - n_rows]
            state = {STATE + key: value for key, value in measures.state().items()}
            parts.save(k, {self.space: rows, **state})
            n_rows += len(rows)
            done(len(frames))
        return About({self.space: measures.names}, n_rows)

    def _frame_rate(self, film: Film) -> float:
        return film.info.fps or self.config.rate if self.every_frame else self.config.rate


@dataclass(frozen=True)
class SoundPass:
    """Measures of the sound track, one row per sample of the pictures."""

    config: FeaturesConfig
    name: str = "audio"
    spaces: tuple[str, ...] = ("audio",)

    def settings(self, film: Film, space: str) -> dict[str, Any]:
        """Sampling."""
        return {"rate": self.config.rate, "sound_rate": SOUND_RATE}

    def total(self, film: Film) -> int:
        """Seconds of sound."""
        return math.ceil(film.info.duration)

    def check(self, film: Film) -> None:
        """See FilmPass."""

    def run(self, film: Film, parts: Parts, done: Done) -> About:
        """See FilmPass; there is one block, as all of it takes seconds."""
        from neurocca.features.audio import SoundMeasures
        from neurocca.io.sound import iter_audio

        total = n_samples(film.info.duration, self.config.rate)
        measures, rows = None, []
        for sound in iter_audio(film.path, SOUND_RATE, 10 * SOUND_RATE):
            measures = measures or SoundMeasures(SOUND_RATE, 1 / self.config.rate, sound.shape[1])
            rows.append(measures.update(sound))
            done(round(len(sound) / SOUND_RATE))
        measures = measures or SoundMeasures(SOUND_RATE, 1 / self.config.rate, 1)
        parts.save(0, {"audio": np.vstack([*rows, measures.finish(total)])[:total]})
        return About({"audio": measures.names}, total)


def _last_rows(measures: Measures, frame: NDArray[np.uint8], lacking: int, n_rows: int) -> NDArray:
    """Rows that are left when the film ends: where the rate of its frames varies, the last one can stay on for more."""
    still = [measures.update(np.repeat(frame, lacking, axis=0))] if lacking > 0 else []
    return np.vstack([*still, measures.finish(n_rows)])


def block_size(batch_size: int) -> int:
    """Frames after which work is saved: whole batches, so that a call that goes on makes the same ones."""
    return batch_size * math.ceil(BLOCK / batch_size)


def listed(crop: Crop | None) -> list[int] | None:
    """A crop as JSON has it."""
    return None if crop is None else list(crop)

"""Films: their pictures as arrays, at evenly spaced times.

Time 0 is the first picture. Pictures come from an ffmpeg child that brings them to the rate and size asked for before
they reach Python, which took less processor time than MoviePy's, PyAV's and OpenCV's readers when they were measured
side by side; MoviePy writes films (`neurocca.io.movie_writing`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Literal

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from neurocca.errors import DataError, UsageError
from neurocca.features.prefetch import prefetched
from neurocca.io.ffmpeg import Output, decoding, decoding_pictures
from neurocca.io.framing import Crop, Framing, exact_rate
from neurocca.io.movie_header import MovieInfo, first_picture, n_samples, probe

__all__ = ["Crop", "MovieInfo", "iter_batches", "iter_frames", "n_samples", "probe"]

_FINE_TICK = Fraction(1, 1000)
_RUN_UP = 10.0  # seconds of pictures decoded before the first that is wanted, when decoding begins in the middle
_UNREADABLE_END = 1.0  # seconds at the end of a film for which its last readable picture may stand

Fill = Callable[[NDArray[np.uint8]], None]


@dataclass(frozen=True)
class _Plan:
    """Samples start … stop - 1 at ``rate``, made by ffmpeg's ``filters``, each of ``shape`` (height, width, 3)."""

    info: MovieInfo
    rate: Fraction
    window: str
    filters: Sequence[str]
    shape: tuple[int, int, int]
    start: int
    stop: int
    threads: int | None


def iter_frames(
    path: Path | str,
    rate: float,
    size: tuple[int, int] | None = None,
    *,
    crop: Crop | None = None,
    window: Literal["frame", "mean"] = "frame",
    fit: Literal["stretch", "cover"] = "stretch",
    resize: int | None = None,
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
    start: int = 0,
    threads: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Decode a film at evenly spaced times, one frame in memory at a time.

    Sample k belongs to the interval from k/rate to (k + 1)/rate seconds after the first picture began. There are
    ``n_samples(probe(path).duration, rate)`` of them.

    Parameters
    ----------
    path : path
        Any film that ffmpeg reads.
    rate : float
        Samples per second; above the film's own rate frames repeat.
    size : (width, height), optional
        Pixels to scale to; the size as shown by default.
    crop : (width, height, x, y), optional
        Part of the picture that is used, in pixels of the film as shown, before it is scaled.
    window : {"frame", "mean"}
        Sample k is the frame on screen when its interval begins, or the mean of the frames on screen during it,
        weighted by their time on screen and rounded. Where the container counts in ticks of a millisecond or less, a
        frame that begins half a tick late is on time: Matroska rounds the times of most frame rates to milliseconds.
    fit : {"stretch", "cover"}
        Scale to exactly ``size``, or scale the short side to ``resize`` pixels and cut the centre out, as networks'
        own preprocessing does.
    resize : int, optional
        Only for "cover".
    interpolation : {"bicubic", "bilinear"}
        With a kernel that grows as the picture shrinks (antialiased).
    start : int
        First sample that is given; from there on frames are the same, bit by bit, as from the beginning.
    threads : int, optional
        Threads of the decoder; as many as there are cores by default.

    Returns
    -------
    iterator of array, shape (height, width, 3), uint8
        RGB in full range, by the film's own colour matrix. High dynamic range is not mapped to a smaller one.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a film, holds no complete interval, or ends long before the time that its header gives; while
        frames are taken, when it cannot be decoded to its end.
    UsageError
        When ``crop`` reaches outside the picture, or another argument cannot be used.
    """
    framing = Framing(size, crop, fit, resize, interpolation)
    return _frames(_plan(path, rate, framing, window, start, threads))


def iter_batches(
    path: Path | str,
    rate: float,
    batch_size: int,
    size: tuple[int, int] | None = None,
    *,
    crop: Crop | None = None,
    window: Literal["frame", "mean"] = "frame",
    fit: Literal["stretch", "cover"] = "stretch",
    resize: int | None = None,
    interpolation: Literal["bicubic", "bilinear"] = "bicubic",
    start: int = 0,
    threads: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Decode a film in batches; a thread decodes up to two of them ahead.

    Parameters
    ----------
    path, rate, size, crop, window, fit, resize, interpolation, start
        As `iter_frames` takes them.
    batch_size : int
        Frames in an array; the last one may have fewer.
    threads : int, optional
        Threads of the decoder; by default one fewer than there are cores, which the other work needs.

    Returns
    -------
    iterator of array, shape (n, height, width, 3), uint8
        Every one is an array of its own.

    Raises
    ------
    NoInputError, DataError, UsageError
        As `iter_frames` raises them.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size={batch_size} must be at least 1.")
    framing = Framing(size, crop, fit, resize, interpolation)
    plan = _plan(path, rate, framing, window, start, threads or max(1, cpu_count() - 1))
    return prefetched(_batches(plan, batch_size), lambda batch: batch, ahead=2)


def _plan(path: Path | str, rate: float, framing: Framing, window: str, start: int, threads: int | None) -> _Plan:
    if window not in ("frame", "mean"):
        raise UsageError(f"window={window!r} must be 'frame' or 'mean'.")
    if start < 0:
        raise UsageError(f"start={start} must not be negative.")
    exact = exact_rate(rate)
    info = probe(path)
    filters, (width, height) = framing.filters(info)
    stop = n_samples(info.duration, rate)
    if stop == 0:
        raise DataError(f"film {info.path}: lasts {info.duration:.3g} s, less than one sample at {rate:g} per second.")
    return _Plan(info, exact, window, filters, (height, width, 3), start, stop, threads)


def _frames(plan: _Plan) -> Iterator[NDArray[np.uint8]]:
    with _decoder(plan) as fill:
        for _ in range(plan.start, plan.stop):
            frame = np.empty(plan.shape, dtype=np.uint8)
            fill(frame)
            yield frame


def _batches(plan: _Plan, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    with _decoder(plan) as fill:
        for first in range(plan.start, plan.stop, batch_size):
            batch = np.empty((min(batch_size, plan.stop - first), *plan.shape), dtype=np.uint8)
            for frame in batch:
                fill(frame)
            yield batch


@contextmanager
def _decoder(plan: _Plan) -> Iterator[Fill]:
    """Function that fills an array with the next sample."""
    if plan.start >= plan.stop:
        yield lambda frame: None
        return
    before = [] if plan.threads is None else ["-threads", str(plan.threads), "-filter_threads", str(plan.threads)]
    before += _seek(plan.info, plan.start / plan.rate)
    options = ["-map", "0:V:0", "-fps_mode", "passthrough", "-f", "rawvideo"]
    if plan.window == "mean":
        options += ["-vf", ",".join(plan.filters)]
        with decoding_pictures(plan.info.path, options, before) as (pictures, ticks):
            yield _Means(plan, pictures, ticks).fill
    else:
        options += ["-vf", ",".join([*_sampling(plan), *plan.filters])]
        with decoding(plan.info.path, options, before) as pictures:
            yield _OnScreen(plan, pictures).fill


def _sampling(plan: _Plan) -> list[str]:
    """Filters that let the frames on screen at k/rate through.

    ffmpeg's ``fps`` filter would by default take the frame that is nearest in time, half a sample late; rounding up is
    exact. Counted from 0 also when decoding begins in the middle, so that times are rounded in the same way: what the
    filter repeats for the time before never gets further.
    """
    first = plan.info.first
    early = 1 if first.tick <= _FINE_TICK else 0
    clock = [f"settb={first.tick / 2}", f"setpts=PTS-({2 * first.ticks + early})"]  # in half ticks
    return [*clock, f"fps={plan.rate}:round=up:start_time=0", f"trim=start_frame={plan.start}"]


def _seek(info: MovieInfo, seconds: Fraction) -> list[str]:
    """Options that begin decoding in the middle, so early that all from that second on is as from the beginning.

    A picture is whole when decoding begins at a key frame before it. Films without real key frames build the picture up
    in stripes over seconds, and where frames are rare an index may point to one that comes too late: so the first
    picture that is decoded must lie a run-up before the time that is wanted.
    """
    first = info.first
    back = _RUN_UP
    while info.seekable and (target := float(seconds) - back) > 0:
        # "accurate" would drop the frame that is on screen at the target
        options = ["-noaccurate_seek", "-ss", f"{target:.6f}"]
        found, _ = first_picture(info.path, options)
        if found is not None and (found.ticks - first.ticks) * first.tick <= seconds - Fraction(_RUN_UP):
            return options
        back *= 2
    return []


class _OnScreen:
    """Samples as ffmpeg gives them."""

    def __init__(self, plan: _Plan, pictures: Output) -> None:
        self._plan, self._pictures = plan, pictures
        self._index = plan.start
        self._last: NDArray[np.uint8] | None = None

    def fill(self, frame: NDArray[np.uint8]) -> None:
        """Next sample."""
        if not self._pictures.fill(frame):
            left = (self._plan.stop - self._index) / self._plan.rate
            if self._last is None or left > _UNREADABLE_END:
                raise _unreadable(self._plan, self._index / self._plan.rate)
            frame[:] = self._last
        self._last = frame
        self._index += 1


class _Means:
    """Means over intervals, from all frames and their times."""

    def __init__(self, plan: _Plan, pictures: Output, ticks: IO[str]) -> None:
        self._plan, self._pictures, self._ticks = plan, pictures, ticks
        self._index = plan.start
        self._frame, self._next = np.empty(plan.shape, np.uint8), np.empty(plan.shape, np.uint8)
        self._sum, self._part = np.empty(plan.shape, np.float32), np.empty(plan.shape, np.float32)
        self._begin = Fraction(0)
        self._end: Fraction | float = Fraction(0)
        self._advance()
        self._advance()

    def fill(self, frame: NDArray[np.uint8]) -> None:
        """Next sample."""
        begin, end = self._index / self._plan.rate, (self._index + 1) / self._plan.rate
        self._sum[:] = 0
        while self._end <= begin:
            self._advance()
        while True:
            share = (min(self._end, end) - max(self._begin, begin)) * self._plan.rate
            np.multiply(self._frame, np.float32(share), out=self._part)
            self._sum += self._part
            if self._end >= end:
                break
            self._advance()
        np.rint(self._sum, out=self._sum)
        frame[:] = self._sum
        self._index += 1

    def _advance(self) -> None:
        self._frame, self._next = self._next, self._frame
        self._begin = Fraction(self._end)
        info = self._plan.info
        if self._pictures.fill(self._next):
            self._end = (int(self._ticks.readline()) - info.first.ticks) * info.first.tick
        elif info.last_begins - self._begin > _UNREADABLE_END:
            raise _unreadable(self._plan, self._begin)
        else:
            self._end = math.inf


def _unreadable(plan: _Plan, seconds: Fraction) -> DataError:
    return DataError(
        f"film {plan.info.path}: cannot be decoded beyond {float(seconds):.1f} s of {plan.info.duration:.1f} s; is it "
        "damaged?"
    )

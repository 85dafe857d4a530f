"""When the film began: from the log of a player that notes the time of every frame."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.timeseries import read_table

log = logging.getLogger(__name__)

FRAME_COLUMNS = ("onset", "frameidx")

LONGEST_STALL = 1.0
"""Seconds by which a frame may be late or early: players catch up after a stall, and another film does not fit."""


@dataclass(frozen=True)
class FrameLog:
    """What a line through the frames' times says.

    Parameters
    ----------
    onset : float
        Seconds from the first volume to the film's first frame.
    rate : float
        Frames per second.
    n_frames : int
        Frames that were shown.
    jitter : float
        Median distance of a frame from the line, in seconds.
    n_late : int
        Frames that are more than a second away from it.
    """

    onset: float
    rate: float
    n_frames: int
    jitter: float
    n_late: int


def is_frame_log(table: pd.DataFrame) -> bool:
    """Whether a table of events has a row per frame: studyforrest's ``events.tsv`` do."""
    return all(name in table for name in FRAME_COLUMNS) and len(table) > 1


def read_frame_log(path: Path) -> FrameLog:
    """Onset and frame rate of a film from the log of its frames.

    The line goes through medians, so that stalls and the rows after the last frame, whose times and durations are often
    wrong, do not count. Frames are counted from 1.

    Parameters
    ----------
    path : Path
        Tab-separated, with columns onset (seconds since the first volume), frameidx and, if any, duration.

    Raises
    ------
    NoInputError, DataError
        When the file cannot be read, or frames are too few, not in order of time, overlap, or lie on no line. The
        message names the file and the line.
    """
    table = read_table(path, required=FRAME_COLUMNS)
    onset, frame = (_numbers(path, table, name) for name in FRAME_COLUMNS)
    if len(onset) < 10:
        raise DataError(f"{path}: {len(onset)} frames are too few to tell when the film began: 10 are the least.")
    for name, values in (("onset", onset), ("frameidx", frame)):
        check_ascending(path, name, values)
    slope = _slope(frame, onset)
    if "duration" in table:
        _check_overlap(path, onset, _numbers(path, table, "duration", missing=True), slope)
    intercept = float(np.median(onset - slope * (frame - 1)))
    distance = np.abs(onset - intercept - slope * (frame - 1))
    n_late = int(np.sum(distance > LONGEST_STALL))
    if n_late > 0.01 * len(onset) + 2:
        raise DataError(
            f"{path}: {n_late} of {len(onset)} frames are more than {LONGEST_STALL:g} s away from a steady rate of "
            f"{1 / slope:.3f} frames per second: the film was stopped, or this is no log of frames."
        )
    return FrameLog(intercept, 1 / slope, len(onset), float(np.median(distance)), n_late)


def film_onset(path: Path) -> float:
    """Seconds from the first volume to the film, where a log of frames says it.

    Raises
    ------
    NoInputError, DataError
        As `read_frame_log`.
    """
    if not is_frame_log(read_table(path)):
        log.warning("%s: no log of frames: the film is taken to begin with the first volume.", path)
        return 0.0
    return read_frame_log(path).onset


def check_events(path: Path, table: pd.DataFrame) -> None:
    """Refuse events of one film that are not in order of time, or begin before the one before them has ended.

    Parameters
    ----------
    path : Path
        For the message.
    table : DataFrame
        With columns onset and duration, in seconds; some rows of the file, whose numbers are the index.

    Raises
    ------
    DataError
        The message names the file and the line.
    """
    onset, duration = _numbers(path, table, "onset"), _numbers(path, table, "duration", missing=True)
    lines = table.index.to_numpy() + 2
    check_ascending(path, "onset", onset, lines)
    _check_overlap(path, onset, duration, 0.0, lines)


def check_ascending(path: Path, name: str, values: NDArray, lines: NDArray | None = None) -> None:
    """Refuse a column that does not ascend, with the first line that breaks the order."""
    wrong = np.flatnonzero(np.diff(values) <= 0)
    if len(wrong):
        row = int(wrong[0])
        line = row + 3 if lines is None else lines[row + 1]
        raise DataError(
            f"{path}: {name} does not ascend: {values[row + 1]:g} on line {line} comes after {values[row]:g}."
        )


def _check_overlap(
    path: Path, onset: NDArray, duration: NDArray, tolerance: float, lines: NDArray | None = None
) -> None:
    ends = onset[:-1] + np.nan_to_num(duration[:-1])  # the last row's duration is often what came after the film
    wrong = np.flatnonzero(ends > onset[1:] + tolerance + 1e-6)
    if len(wrong):
        row = int(wrong[0])
        line = row + 2 if lines is None else lines[row]
        raise DataError(
            f"{path}: events overlap: the one on line {line} ends at {ends[row]:g} s, and the next one begins at "
            f"{onset[row + 1]:g} s."
        )


def _slope(x: NDArray, y: NDArray) -> float:
    """Median slope between samples half of the series apart."""
    half = len(x) // 2
    return float(np.median((y[half:] - y[: len(y) - half]) / (x[half:] - x[: len(x) - half])))


def _numbers(path: Path, table: pd.DataFrame, name: str, *, missing: bool = False) -> NDArray[np.float64]:
    if table[name].dtype.kind not in "iuf":
        raise DataError(f"{path}: column {name!r} holds values that are not numbers.")
    values = table[name].to_numpy(dtype=float)
    bad = np.flatnonzero(np.isinf(values) if missing else ~np.isfinite(values))
    if len(bad):
        raise DataError(f"{path}: column {name!r} is missing or infinite on line {table.index[bad[0]] + 2}.")
    return values

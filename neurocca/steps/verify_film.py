"""Is a film the one that was shown? A user's own copy of the studyforrest film beside its published frames."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from numpy.typing import NDArray

from neurocca import studyforrest
from neurocca.errors import DataError
from neurocca.features.frame_offsets import FrameMatch, likeness, match_frames
from neurocca.features.phash import N_BITS, perceptual_hash
from neurocca.io.frame_hashes import PublishedFrames, read_published_frames
from neurocca.io.movie import Crop, iter_batches, n_samples, probe
from neurocca.io.stimuli import run_of
from neurocca.steps.pool import processes
from neurocca.steps.terminal import progress_bar, without_bars

log = logging.getLogger(__name__)

ENOUGH = 0.98
"""Fraction of the published pictures that a copy must show."""

_BATCH = 32
_BARRED, _BARE = 1280 / 720, 1280 / 546  # shapes of the segments, with their grey bars and without
_PUBLISHED_SIZE = (1280, 720)
_DRIFT = 4  # pieces: more are not cuts


@dataclass(frozen=True)
class _Hashed:
    """Frames of a film at 25 per second: perceptual hashes, and checksums where the film has the published size."""

    perceptual: NDArray[np.bool_]
    md5: list[str] | None


def verify_films(
    films: Sequence[Path], folder: Path, *, runs: Sequence[str] = (), n_jobs: int = 1
) -> tuple[pd.DataFrame, list[str]]:
    """Compare films with the published hashes of their frames.

    Parameters
    ----------
    films : sequence of Path
        Segments, with their grey bars (16:9) or without, in any size and encoding.
    folder : Path
        As `read_published_frames` takes it.
    runs : sequence of str
        Run label of each film; told from its name by default.
    n_jobs : int
        Films at the same time; -1 is one for each core.

    Returns
    -------
    table : DataFrame
        A row per film: the run that it shows, its frames, the offset of most of them in frames (positive: the film
        shows a picture later than published), the published pictures that it shows and the frames that are the same
        bit for bit, in percent.
    faults : list of str
        One line for whatever makes a film unfit to stand for the published one.

    Raises
    ------
    NoInputError
        When a film or the hashes are not there.
    DataError
        When a film cannot be read, or has another shape.
    """
    published = read_published_frames(folder)
    crops = [_picture(film) for film in films]  # before any hour of work
    labels = list(runs) or [run_of(film) for film in films]
    rows, faults = [], []
    for film, label, hashed in zip(films, labels, _hashed(films, crops, n_jobs), strict=True):
        row, found = _compare(film, label, hashed, published)
        rows.append(row)
        faults += found
    return pd.DataFrame(rows), faults


def _picture(film: Path) -> Crop:
    """Rows 90 to 630 of 720, which published hashes are of, in a film of its own size."""
    width, height = probe(film).size
    shape = width / height
    if abs(shape / _BARRED - 1) < 0.02:
        first, last = 90 / 720, 630 / 720
    elif abs(shape / _BARE - 1) < 0.02:
        first, last = 3 / 546, 543 / 546
    else:
        raise DataError(f"film {film}: {width} x {height} is neither 16:9 nor, without grey bars, 1280:546.")
    top, bottom = round(first * height), round(last * height)
    return width, bottom - top, 0, top


def _hashed(films: Sequence[Path], crops: Sequence[Crop], n_jobs: int) -> list[_Hashed]:
    n_jobs = min(effective_n_jobs(n_jobs), len(films))
    if n_jobs == 1:
        return [_hash(film, crop) for film, crop in zip(films, crops, strict=True)]
    with progress_bar(len(films), "films", "film") as done, processes(n_jobs) as pool:
        found = []
        for one in pool.map(_hash_quietly, films, crops):
            found.append(one)
            done(1)
    return found


def _hash_quietly(film: Path, crop: Crop) -> _Hashed:
    with without_bars():
        return _hash(film, crop)


def _hash(film: Path, crop: Crop) -> _Hashed:
    info = probe(film)
    exact = info.size == _PUBLISHED_SIZE
    n = n_samples(info.duration, studyforrest.FPS)
    perceptual, md5 = np.empty((n, N_BITS), dtype=bool), list[str]()
    with progress_bar(n, film.name, "frame") as done:
        start = 0
        for batch in iter_batches(film, studyforrest.FPS, _BATCH, crop=crop):
            perceptual[start : start + len(batch)] = perceptual_hash(batch)
            if exact:
                md5 += [hashlib.md5(frame, usedforsecurity=False).hexdigest() for frame in batch]
            start += len(batch)
            done(len(batch))
    return _Hashed(perceptual, md5 if exact else None)


def _compare(
    film: Path, label: str, hashed: _Hashed, published: Mapping[str, PublishedFrames]
) -> tuple[dict[str, object], list[str]]:
    fits = {run: likeness(hashed.perceptual, frames.perceptual) for run, frames in published.items()}
    run = max(fits, key=lambda key: fits[key][0])
    frames = published[run]
    match = match_frames(hashed.perceptual, frames.perceptual, fits[run][1])
    offset = _common(match, len(hashed.perceptual))
    row: dict[str, object] = {
        "film": film.name,
        "run": run,
        "frames": len(hashed.perceptual),
        "published": len(frames.perceptual),
        "offset": f"{offset:+d}" if offset else "0",
        "pictures": f"{100 * match.met:.1f} %",
        "bit for bit": _identical(hashed.md5, frames.md5, offset),
    }
    if match.met == 0:
        row |= {"run": "none", "offset": "", "pictures": "0.0 %", "bit for bit": ""}
        return row, [f"{film.name}: shows none of the published pictures."]
    faults = _faults(match)
    if label != run:
        faults.insert(0, f"shows run {run}, and stands for run {label}")
    if offset:
        late = "late" if offset > 0 else "early"
        log.warning("%s: %.2f s %s; features of it are, too", film.name, abs(offset) / studyforrest.FPS, late)
    return row, [f"{film.name}: {fault}." for fault in faults]


def _common(match: FrameMatch, n_frames: int) -> int:
    """Offset of most frames."""
    starts = [first for first, _ in match.pieces] + [n_frames]
    longest = max(range(len(match.pieces)), key=lambda k: starts[k + 1] - starts[k])
    return match.pieces[longest][1]


def _faults(match: FrameMatch) -> list[str]:
    faults = []
    if match.met < ENOUGH:
        absent = np.isnan(match.distances)
        faults.append(
            f"shows {100 * match.met:.1f} % of the run's pictures ({int(np.sum(~absent))} of its {len(absent)} frames "
            "are compared)"
        )
    if len(match.pieces) > _DRIFT:
        (_, first), (_, last) = match.pieces[0], match.pieces[-1]
        faults.append(f"drifts, from {first:+d} frames to {last:+d} (is it at {studyforrest.FPS} frames per second?)")
    else:
        for (_, before), (at, after) in pairwise(match.pieces):
            change = "lacks" if after < before else "has"
            more = "" if after < before else " too many"
            faults.append(f"{change} {abs(after - before)} frames{more} at {at / studyforrest.FPS:.2f} s")
    return faults


def _identical(md5: list[str] | None, published: list[str] | None, offset: int) -> str:
    """Percentage of frames that are decoded to the published bytes; they depend on the decoder too."""
    if md5 is None or published is None:
        return "n/a"
    same = sum(a == b for a, b in zip(md5[max(0, offset) :], published[max(0, -offset) :], strict=False))
    return f"{100 * same / len(published):.1f} %"

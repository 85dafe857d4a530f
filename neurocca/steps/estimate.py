"""Roughly how much memory and time an analysis will take, from the headers of its files."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurocca.config import Config, FitConfig
from neurocca.io.annex import is_unfetched
from neurocca.io.images import load_image
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore

# measured: 3,599 volumes of 120,000 voxels took 3,757 MiB, and 2,129 MiB with --low-mem (docs/benchmarks.md)
_BASE = 300 * 2**20
_USUAL, _LOW = 2.2, 1.2  # times the cleaned data in single precision
_PER_SECOND = 1e7  # entries of cross-products that one core rearranges and decomposes, 3,543 volumes of 273 parcels
_PER_EPOCH = 7e-5  # seconds per volume of a network's training, 3,543 volumes
_PER_LANDMARK = 2e-9  # seconds per volume and landmark², of a kernel's fit
_FIXED = 15.0  # seconds: imports, cross-validation, report
_BYTES_PER_SECOND = 3e7  # of BOLD, read and cleaned


@dataclass(frozen=True)
class Estimate:
    """Bytes of memory in the usual way and with ``--low-mem``, seconds on one core; right to a factor of two or so."""

    memory: int
    low_memory: int
    seconds: float


def estimate(recording: Recording, config: Config, features: Path | None = None) -> Estimate:
    """Estimate for one participant.

    Parameters
    ----------
    recording : Recording
    config : Config
    features : Path, optional
        Feature store; without it, 100 features are assumed.
    """
    volumes, columns = _shape(recording, atlas=bool(config.align.atlas))
    p = _n_features(recording, config, features)
    folds = len(recording.runs)
    data = 4 * volumes * columns
    products = config.inference.n_permutations * folds * p * min(volumes, columns)
    seconds = _FIXED + data / _BYTES_PER_SECOND + products / _PER_SECOND
    seconds += _training(config.fit, config.inference.n_permutations, folds, volumes)
    return Estimate(int(_BASE + _USUAL * data), int(_BASE + _LOW * data), seconds)


def _training(fit: FitConfig, n_permutations: int, folds: int, volumes: int) -> float:
    """Seconds that estimators without algebra take besides."""
    halves = 80  # two of each split, and of a rearranged film
    if fit.estimator == "deep":
        return (n_permutations * (folds + 1) + halves) * fit.epochs * volumes * _PER_EPOCH
    if fit.estimator == "kernel":
        return ((folds + 1) * folds * len(fit.shrinkage_x) + halves) * volumes * fit.n_landmarks**2 * _PER_LANDMARK
    return 0.0


def _shape(recording: Recording, *, atlas: bool) -> tuple[int, int]:
    """Volumes of all runs, and columns, told from headers and the sizes of files."""
    sizes = [sum(path.stat().st_size for path in run.bold if not is_unfetched(path)) for run in recording.runs]
    if recording.kind != "voxels":
        # text takes some ten characters for a number; dense files four bytes
        per_number = 10 if recording.kind == "parcels" else 4
        columns = {"parcels": 400, "surface": 20_000, "grayordinates": 91_282}[recording.kind]
        return math.ceil(sum(sizes) / per_number / columns), columns
    shapes = [load_image(run.bold[0]).shape for run in recording.runs if not is_unfetched(run.bold[0])]
    volumes = sum(shape[3] for shape in shapes if len(shape) == 4)
    if atlas or not shapes:
        return volumes, 400
    masks = [path for path in recording.masks if not is_unfetched(path)]
    if masks:
        return volumes, int(np.count_nonzero(np.asanyarray(load_image(masks[0]).dataobj)))
    return volumes, math.prod(shapes[0][:3]) // 3


def _n_features(recording: Recording, config: Config, features: Path | None) -> int:
    if features is None:
        return 100
    with FeatureStore(features) as store:
        spaces = config.align.spaces or store.spaces
        run = recording.runs[0].label
        columns = sum(
            store.shape(space, run)[1] for space in spaces if space in store.spaces and run in store.runs(space)
        )
    return columns * (len(config.align.delays) if config.align.response == "delays" else 1)

"""From files to one design: read the runs of a subject, align them, stack them."""

import functools
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.config import AlignConfig, Config, FitConfig
from neurocca.design import Design, stack_runs
from neurocca.errors import DataError, UsageError
from neurocca.inference.schemes import CircularShift, Scheme
from neurocca.io.brains import Brain, open_brain
from neurocca.io.centroids import read_centroids
from neurocca.io.cleaned import KeptRuns, RunCache
from neurocca.io.files import sha256
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.io.timeseries import read_kernel
from neurocca.steps.inputs import Digest
from neurocca.steps.kept_runs import HeldRuns, RunKeeper, WideRuns
from neurocca.steps.lag import N_COLUMNS, LagCurve, design_lag
from neurocca.steps.matching import chosen_spaces, read_features
from neurocca.steps.one_run import align_run, cut_of
from neurocca.steps.seen import check_unseen
from neurocca.temporal.align import aligned_names
from neurocca.temporal.nuisance import constant_columns

if TYPE_CHECKING:
    from neurocca.io.atlas import Atlas

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assembled:
    """A design and what became of the data on the way.

    Parameters
    ----------
    design : Design
    columns : list of (space, feature, variant), one per column of X
        The variant is the delay in volumes or the basis function; empty for a plain response.
    qc : list of dict, one per run
    dropped_features, dropped_responses : list of str
        Columns that are constant, or not finite, in some run.
    brain : Brain
        Where the columns of Y lie.
    responses : tuple of str
        Names of the columns of BOLD.
    lag : LagCurve, optional
        Whether film and BOLD are aligned.
    wide : WideRuns, optional
        The columns of BOLD, where the design holds coordinates in their place.
    label_atlas : Atlas, optional
        Names the peaks of voxelwise maps.
    quality : DataFrame
        One row per volume, as `neurocca.steps.quality.quality_table` makes them.
    """

    design: Design
    columns: list[tuple[str, str, str]]
    qc: list[dict[str, Any]]
    brain: Brain
    responses: tuple[str, ...] = ()
    dropped_features: list[str] = field(default_factory=list)
    dropped_responses: list[str] = field(default_factory=list)
    lag: LagCurve | None = None
    wide: WideRuns | None = None
    label_atlas: "Atlas | None" = None
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)


def assemble(
    recording: Recording,
    store: FeatureStore,
    config: Config,
    *,
    cache: RunCache | None = None,
    low_memory: bool = False,
    digest: Digest = sha256,
) -> Assembled:
    """Design of one subject.

    Where columns of BOLD outnumber volumes and all have the same variance, the design holds coordinates of the volumes
    in their place: all that is fitted and tested is the same, in a fraction of the time.

    Parameters
    ----------
    recording : Recording
    store : FeatureStore
    config : Config
    cache : RunCache, optional
        Where cleaned runs are kept, and taken from where they are made of the same.
    low_memory : bool
        Have one run in memory at a time; takes a cache.
    digest : callable
        Digest of a file's content.

    Raises
    ------
    DataError, UsageError
        The message names the file or run.
    """
    align = config.align
    if 0 < align.high_pass < 4 * recording.t_r:
        raise UsageError(
            f"align.high_pass={align.high_pass} s would take more than half of the variance of any series: at least "
            f"{4 * recording.t_r:g} s, four volumes, or 0."
        )
    if low_memory and align.standardize_bold != "zscore":
        # columns are scaled over the training runs: only where all have the same variance can that be left out
        raise UsageError(f"--low-mem takes align.standardize_bold='zscore', not {align.standardize_bold!r}.")
    features = read_features(store, recording, align)
    spaces = chosen_spaces(store, align)
    check_unseen(store, spaces, [run.label for run in recording.runs])
    names = [(spaces[i], feature, variant) for i, feature, variant in aligned_names(features[0], align)]
    atlas, label_atlas = _atlas(align.atlas), _atlas(align.label_atlas)
    brain = open_brain(
        [run.bold for run in recording.runs],
        recording.masks,
        atlas,
        region=Path(align.mask) if align.mask else None,
        min_coverage=align.min_coverage,
        smoothing=align.smoothing_fwhm,
    )
    if label_atlas is not None and brain.kind != "voxels":
        raise UsageError(
            f"--label-atlas {align.label_atlas}: names peaks of voxelwise maps, and these are {brain.kind}."
        )
    keeper = RunKeeper(recording, align, atlas, cache, functools.cache(digest))
    kernel = read_kernel(Path(align.kernel)) if align.response == "kernel" else None
    X, cleaned, qc, volumes = [], [], [], []
    for run, series in zip(recording.runs, features, strict=True):
        # a function of its own: what it needs on the way is gone before the next run is read
        x, y, quality, seen = align_run(brain, run, series, recording.t_r, align, kernel, store.path.name, keeper)
        X.append(x)
        cleaned.append(replace(y, data=y.data[:, :0].copy()) if low_memory else y)
        qc.append(quality)
        volumes.append(seen)
        del y
    usable = np.all([y.usable for y in cleaned], axis=0)
    dropped = [*brain.dropped, *(label for label, keep in zip(brain.labels, usable, strict=True) if not keep)]
    if not usable.any():
        bare = [run.label for run, y in zip(recording.runs, cleaned, strict=True) if not y.usable.any()]
        where = f"run {', '.join(bare)}" if bare else "some run"
        raise DataError(f"sub-{recording.subject}: every column of the BOLD data is constant or missing in {where}.")
    varying = ~constant_columns(np.vstack(X))
    columns = [c for c, keep in zip(names, varying, strict=True) if keep]
    dropped_features = [":".join(filter(None, c)) for c, keep in zip(names, varying, strict=True) if not keep]
    if not varying.any():
        raise DataError(f"features {store.path}: every feature is constant.")
    kept = [y.kept for y in cleaned]
    sizes = [len(x) for x in X]
    runs: KeptRuns | HeldRuns
    if low_memory:
        runs = KeptRuns([keeper.path(run, cut_of(run, align)) for run in recording.runs], usable)
    else:
        runs = HeldRuns(_together([cleaned.pop(0).data for _ in qc], usable), usable)
    joined, wide = _responses(WideRuns(runs, sum(sizes)), align)
    Y = np.split(joined, np.cumsum(sizes)[:-1])
    responses = tuple(label for label, keep in zip(brain.labels, usable, strict=True) if keep)
    design = stack_runs(
        [x[:, varying] for x in X],
        Y,
        [run.label for run in recording.runs],
        x_names=[":".join(filter(None, c)) for c in columns],
        y_names=responses if wide is None else (),
        kept=kept,
        copy=False,
    )
    narrowed = brain if usable.all() else brain.narrowed(usable)
    thinned = design if wide is None else replace(design, Y=wide.thinned(N_COLUMNS))
    lag = design_lag(features, thinned, recording, align, [run["Reference"] for run in qc])
    _check_centroids(align.centroids, brain, responses)
    together = pd.concat(volumes, ignore_index=True)
    return Assembled(
        design, columns, qc, narrowed, responses, dropped_features, dropped, lag, wide, label_atlas, together
    )


def _check_centroids(table: str, brain: Brain, responses: tuple[str, ...]) -> None:
    """Refuse a table of places that does not go with the columns of BOLD, before anything is computed."""
    if table and brain.kind != "parcels":
        raise UsageError(f"align.centroids={table!r}: says where parcels lie, and these are {brain.kind}.")
    if table:
        read_centroids(Path(table), responses)


def _together(runs: list[NDArray], usable: NDArray[np.bool_]) -> NDArray:
    """Usable columns of all runs as rows of one array; each run is given up when it has been moved.

    Two copies of a subject's voxels would not fit where one does.
    """
    sizes = list(map(len, runs))
    together = np.empty((sum(sizes), int(usable.sum())), dtype=runs[0].dtype)
    columns = np.flatnonzero(usable)
    for part in np.split(together, np.cumsum(sizes)[:-1]):
        # with mode "raise", numpy would fill a buffer of the part's size first
        np.take(runs.pop(0), columns, axis=1, out=part, mode="clip")
    return together


def _responses(runs: WideRuns, align: AlignConfig) -> tuple[NDArray, WideRuns | None]:
    """BOLD of the design; coordinates, and what they stand for, where columns are many and of the same variance."""
    if runs.is_wide and align.standardize_bold == "zscore":
        return runs.coordinates(), runs
    return runs.all_columns(), None


def _atlas(source: str) -> "Atlas | None":
    if not source:
        return None
    from neurocca.io.atlas import read_atlas

    return read_atlas(source)


def check_design(design: Design, fit: FitConfig, scheme: Scheme, t_r: float) -> None:
    """Refuse what cannot be fitted or tested, before anything is computed.

    Parameters
    ----------
    design : Design
    fit : FitConfig
    scheme : Scheme
        How runs will be rearranged.
    t_r : float
        Seconds per volume.
    """
    (_, p), q = design.X.shape, design.Y.shape[1]
    if fit.n_components > min(p, q):
        raise UsageError(
            f"n_components={fit.n_components} exceeds the narrower view: there are {p} features and {q} responses."
        )
    check_runs(len(design.run_labels), fit)
    if not isinstance(scheme, CircularShift):
        return
    least = scheme.guard(t_r)
    for label in design.run_labels:
        n = int(np.sum(design.runs == label))
        if n < 2 * least:
            raise UsageError(
                f"run {label} has {n} volumes: shifts of inference.min_shift={scheme.min_shift:g} s ({least} volumes) "
                f"or more in both directions take at least {2 * least} volumes."
            )


def check_runs(n_runs: int, fit: FitConfig) -> None:
    """Refuse fewer runs than can be left out."""
    is_chosen = len(fit.shrinkage_x) * len(fit.shrinkage_y) > 1
    if n_runs < (3 if is_chosen else 2):
        raise DataError(
            f"{n_runs} run{'s' * (n_runs != 1)}: leaving one out, and another to choose the shrinkage, takes at least "
            "3; with one value each in fit.shrinkage_x and fit.shrinkage_y there is nothing to choose, and 2 will do."
        )

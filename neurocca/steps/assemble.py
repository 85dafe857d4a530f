"""From files to one design: read the runs of a subject, align them, stack them."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.config import AlignConfig, Config
from neurocca.design import Design, FeatureSeries, stack_runs
from neurocca.errors import DataError, UsageError
from neurocca.inference.schemes import CircularShift, Scheme
from neurocca.io.recording import Recording, RunFiles, run_key
from neurocca.io.store import FeatureStore
from neurocca.io.timeseries import read_parcels, read_table
from neurocca.temporal.align import align_bold, align_features, aligned_names
from neurocca.temporal.clean import clean
from neurocca.temporal.nuisance import constant_columns

log = logging.getLogger(__name__)

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


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
        Constant columns.
    mask : image or None
        Mask of the voxels that are the columns of Y, where the data are volumes.
    """

    design: Design
    columns: list[tuple[str, str, str]]
    qc: list[dict[str, Any]]
    dropped_features: list[str] = field(default_factory=list)
    dropped_responses: list[str] = field(default_factory=list)
    mask: Any = None


def read_features(store: FeatureStore, recording: Recording, config: AlignConfig) -> list[list[FeatureSeries]]:
    """Feature series of every run of a recording, one per space.

    Raises
    ------
    UsageError
        When an asked space is not in the store.
    DataError
        When runs and features do not go together.
    """
    spaces = list(config.spaces) or store.spaces
    for space in spaces:
        if space not in store.spaces:
            raise UsageError(f"features {store.path}: no space {space!r}; there are {', '.join(store.spaces)}.")
        featured, recorded = set(store.runs(space)), {run.label for run in recording.runs}
        if missing := sorted(recorded - featured, key=run_key):
            raise DataError(
                f"features {store.path}: space {space!r} has no features for run {', '.join(missing)} of "
                f"sub-{recording.subject} (it has runs {', '.join(store.runs(space))})."
            )
        if missing := sorted(featured - recorded, key=run_key):
            raise DataError(
                f"sub-{recording.subject} has no BOLD for run {', '.join(missing)}, for which {store.path} has "
                f"features in space {space!r}."
            )
    series = [[store.read(space, run.label) for space in spaces] for run in recording.runs]
    for run, of_run in zip(recording.runs, series, strict=True):
        for space, this, first in zip(spaces, of_run, series[0], strict=True):
            if this.names != first.names:
                raise DataError(
                    f"features {store.path}: space {space!r} has other features in run {run.label} "
                    f"({', '.join(this.names[:5])}…) than in run {recording.runs[0].label} "
                    f"({', '.join(first.names[:5])}…)."
                )
    return series


def assemble(recording: Recording, store: FeatureStore, config: Config) -> Assembled:
    """Design of one subject.

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
    features = read_features(store, recording, align)
    spaces = list(align.spaces) or store.spaces
    names = [(spaces[i], feature, variant) for i, feature, variant in aligned_names(features[0], align)]
    bold, labels, mask = _read_bold(recording)
    kept = ~np.any([constant_columns(run) for run in bold], axis=0)
    dropped = [label for label, keep in zip(labels, kept, strict=True) if not keep]
    if not kept.any():
        raise DataError(f"sub-{recording.subject}: every column of the BOLD data is constant in some run.")
    X, Y, qc = [], [], []
    for run, series, data in zip(recording.runs, features, bold, strict=True):
        cut = (align.trim[0], align.trim[1]) if align.trim else run.cut
        confounds = _read_confounds(run, len(data))
        if align.response == "delays" and max(align.delays) >= len(data):
            raise UsageError(f"align.delays={list(align.delays)} reach beyond run {run.label} of {len(data)} volumes.")
        try:
            x = align_features(series, len(data), recording.t_r, align, onset=run.onset, cut=cut)
            y = align_bold(data[:, kept], recording.t_r, align, confounds=confounds, cut=cut)
        except ValueError as error:
            raise DataError(f"{run.bold} with {store.path.name}, run {run.label}: {error}") from error
        X.append(x)
        Y.append(y)
        qc.append(_quality(run, data[:, kept], y, cut, confounds, series, recording.t_r, align.high_pass))
    varying = ~constant_columns(np.vstack(X))
    columns = [c for c, keep in zip(names, varying, strict=True) if keep]
    dropped_features = [":".join(filter(None, c)) for c, keep in zip(names, varying, strict=True) if not keep]
    if not varying.any():
        raise DataError(f"features {store.path}: every feature is constant.")
    design = stack_runs(
        [x[:, varying] for x in X],
        Y,
        [run.label for run in recording.runs],
        x_names=[":".join(filter(None, c)) for c in columns],
        y_names=[label for label, keep in zip(labels, kept, strict=True) if keep],
    )
    return Assembled(design, columns, qc, dropped_features, dropped, mask if kept.all() else _shrink(mask, kept))


def _read_bold(recording: Recording) -> tuple[list[NDArray], list[str], Any]:
    if recording.kind == "voxels":
        return _read_voxels(recording)
    runs, labels = [], []
    for run in recording.runs:
        data, names = read_parcels(run.bold)
        if run.n_volumes is not None and len(data) != run.n_volumes:
            raise DataError(f"{run.bold}: {len(data)} volumes, expected {run.n_volumes} (truncated?).")
        runs.append(data)
        labels.append(names)
    for run, names in zip(recording.runs, labels, strict=True):
        if names != labels[0]:
            repeated = [name for name, count in Counter(names).items() if count > 1]
            raise DataError(
                f"{run.bold}: its {len(names)} parcels are not the {len(labels[0])} of run {recording.runs[0].label}"
                f"{': ' + ', '.join(repeated) + ' repeats' if repeated else ''}."
            )
    return runs, list(labels[0]), None


def _read_voxels(recording: Recording) -> tuple[list[NDArray], list[str], Any]:
    from neurocca.io.volumes import intersect_masks, read_volumes, shared_mask

    bold = [run.bold for run in recording.runs]
    mask = intersect_masks(recording.masks) if recording.masks else shared_mask(bold)
    runs = [read_volumes(path, mask) for path in bold]
    return runs, [f"voxel_{j}" for j in range(runs[0].shape[1])], mask


def _shrink(mask: Any, kept: NDArray) -> Any:
    if mask is None:
        return None
    from neurocca.io.volumes import narrow_mask

    return narrow_mask(mask, kept)


def _read_confounds(run: RunFiles, n_volumes: int) -> NDArray | None:
    if run.confounds is None:
        return None
    table = read_table(run.confounds, required=MOTION)
    words = [name for name in MOTION if table[name].dtype.kind not in "iuf"]
    if words:
        raise DataError(f"{run.confounds}: column {words[0]!r} holds values that are not numbers.")
    if len(table) != n_volumes:
        raise DataError(f"{run.confounds}: {len(table)} rows for {n_volumes} volumes.")
    motion = table[list(MOTION)].to_numpy(dtype=float)
    if not np.isfinite(motion).all():
        raise DataError(f"{run.confounds}: motion parameters hold NaN or infinity.")
    return motion


def _quality(
    run: RunFiles,
    raw: NDArray,
    cleaned: NDArray,
    cut: tuple[int, int],
    confounds: NDArray | None,
    series: list[FeatureSeries],
    t_r: float,
    high_pass: float,
) -> dict[str, Any]:
    # lag-1 products of unit-variance columns
    autocorrelation = np.median(np.mean(cleaned[1:] * cleaned[:-1], axis=0))
    left = clean(raw, t_r, high_pass, confounds).var(axis=0) / raw.var(axis=0)
    return {
        "Run": run.label,
        "Volumes": len(raw),
        "FirstKept": cut[0],
        "Kept": len(cleaned),
        "Confounds": 0 if confounds is None else confounds.shape[1],
        "VarianceRemoved": round(float(1 - np.mean(left)), 4),
        "Autocorrelation": round(float(autocorrelation), 4),
        "MaxAbsZ": round(float(np.abs(cleaned).max()), 3),
        "FilmSeconds": round(min(s.duration for s in series), 3),
    }


def check_design(design: Design, n_components: int, scheme: Scheme, t_r: float) -> None:
    """Refuse what cannot be fitted or tested, before anything is computed.

    Parameters
    ----------
    design : Design
    n_components : int
    scheme : Scheme
        How runs will be rearranged.
    t_r : float
        Seconds per volume.
    """
    (_, p), q = design.X.shape, design.Y.shape[1]
    if n_components > min(p, q):
        raise UsageError(
            f"n_components={n_components} exceeds the narrower view: there are {p} features and {q} responses."
        )
    if len(design.run_labels) < 3:
        raise DataError(
            f"{len(design.run_labels)} runs: leaving one out, and another to choose the shrinkage, takes at least 3."
        )
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

"""One run of a subject: its film and its BOLD, read, cleaned and brought together in time, and how that went."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.config import AlignConfig
from neurocca.design import FeatureSeries
from neurocca.errors import DataError, UsageError
from neurocca.io.brains import Brain
from neurocca.io.confounds import Confounds, read_confounds, read_displacement
from neurocca.io.recording import RunFiles
from neurocca.steps.kept_runs import RunKeeper
from neurocca.steps.quality import quality_table, temporal_snr
from neurocca.temporal.align import align_features, bold_nuisance
from neurocca.temporal.clean import Cleaned, clean_run
from neurocca.temporal.timing import reference_time


def align_run(
    brain: Brain,
    run: RunFiles,
    series: list[FeatureSeries],
    t_r: float,
    align: AlignConfig,
    kernel: NDArray | None,
    store: str,
    keeper: RunKeeper,
) -> tuple[NDArray[np.float64], Cleaned, dict[str, Any], pd.DataFrame]:
    """Features and BOLD of one run as they are stacked, what became of them, and the quality of every volume."""
    cut = cut_of(run, align)
    earlier = keeper.kept(run, cut)
    data = np.empty((earlier.n_volumes, 0), dtype=np.float32) if earlier else _read(brain, run)
    n_volumes = len(data)
    confounds = confounds_of(run, n_volumes, align)
    if align.response == "delays" and max(align.delays) >= n_volumes:
        raise UsageError(f"align.delays={list(align.delays)} reach beyond run {run.label} of {n_volumes} volumes.")
    try:
        values, kept = (confounds.values, confounds.kept) if confounds else (None, None)
        basis, rows = bold_nuisance(n_volumes, t_r, align, values, kept)
        reference = _reference(run, t_r, align)
        x = align_features(
            series,
            n_volumes,
            t_r,
            align,
            onset=run.onset,
            cut=cut,
            reference=reference,
            kernel=kernel,
            nuisance=(basis, rows),
        )
        if earlier:
            y = earlier.cleaned
        else:
            y = clean_run(data, basis, kept=rows, scale=align.standardize_bold, cut=cut, overwrite=True)
    except ValueError as error:
        raise DataError(f"{run.bold[0]} with {store}, run {run.label}: {error}") from error
    if not earlier:
        keeper.keep(run, cut, y, n_volumes)
    quality = _quality(run, n_volumes, y, cut, basis.shape[1], confounds, series)
    moved = None if run.confounds is None else read_displacement(run.confounds)
    volumes = quality_table(run.label, y, None if moved is None else moved[cut[0] : n_volumes - cut[1]])
    quality |= {"Reference": reference, "TemporalSNR": temporal_snr(y), **_motion(volumes)}
    quality["Cuts"] = _cuts(series, run.onset, n_volumes * t_r)
    return x, y, quality, volumes


def _cuts(series: list[FeatureSeries], onset: float, duration: float) -> list[float]:
    """Seconds into the run of the film's cuts, where a feature says so."""
    for one in series:
        if "cut" in one.names:
            times = one.times[one.data[:, one.names.index("cut")] > 0] + onset
            return [round(float(at), 2) for at in times if 0 <= at < duration]
    return []


def _motion(volumes: pd.DataFrame) -> dict[str, float | None]:
    """Mean and largest framewise displacement in mm; None where it is not known."""
    moved = volumes["framewise_displacement"].to_numpy()
    known = bool(np.isfinite(moved).all())
    return {
        "MeanDisplacement": round(float(moved.mean()), 4) if known else None,
        "MaxDisplacement": round(float(moved.max()), 4) if known else None,
    }


def _read(brain: Brain, run: RunFiles) -> NDArray[np.float32]:
    # sums over rows depend in their last digits on how an array lies in memory: as it comes back from a file
    data = np.ascontiguousarray(brain.read(run.bold))
    if run.n_volumes is not None and len(data) != run.n_volumes:
        raise DataError(f"{run.bold[0]}: {len(data)} volumes, expected {run.n_volumes} (truncated?).")
    return data


def cut_of(run: RunFiles, align: AlignConfig) -> tuple[int, int]:
    """Volumes to cut off the start and the end: as the configuration says, else as the dataset's own rule does."""
    return (align.trim[0], align.trim[1]) if align.trim else run.cut


def _reference(run: RunFiles, t_r: float, config: AlignConfig) -> float:
    """Seconds into a volume that it stands for: as its sidecar says, else as the configuration does."""
    said: dict[str, Any] = {"SliceTiming": list(run.slice_timing)} if run.slice_timing else {}
    if run.start_time is not None:
        said = {"StartTime": run.start_time}
    return round(reference_time(t_r, said, config.slice_reference), 6)


def confounds_of(run: RunFiles, n_volumes: int, config: AlignConfig) -> Confounds | None:
    """Confounds of one run as the configuration asks for them; None where it has no table."""
    if run.confounds is None:
        return None
    return read_confounds(
        run.confounds,
        config.confounds,
        n_volumes=n_volumes,
        fd_threshold=config.fd_threshold,
        dvars_threshold=config.dvars_threshold,
    )


def _quality(
    run: RunFiles,
    n_volumes: int,
    cleaned: Cleaned,
    cut: tuple[int, int],
    n_removed: int,
    confounds: Confounds | None,
    series: list[FeatureSeries],
) -> dict[str, Any]:
    y = cleaned.data if cleaned.usable.all() else cleaned.data[:, cleaned.usable]
    square = np.einsum("ij,ij->j", y, y)
    lagged = np.einsum("ij,ij->j", y[1:], y[:-1]) / square
    largest = np.maximum(y.max(axis=0), -y.min(axis=0)) * (cleaned.kept.sum() / square) ** 0.5
    is_any = y.shape[1] > 0
    return {
        "Run": run.label,
        "Volumes": n_volumes,
        "FirstKept": cut[0],
        "Kept": len(y),
        "Censored": int((~cleaned.kept).sum()),
        "Confounds": 0 if confounds is None else len(confounds.names),
        "DegreesOfFreedomRemoved": n_removed,
        "ConstantColumns": int(cleaned.constant.sum()),
        "MissingColumns": int(cleaned.missing.sum()),
        "Coverage": round(float(cleaned.usable.mean()), 4),
        "VarianceRemoved": round(float(cleaned.removed[cleaned.usable].mean()), 4) if is_any else 0.0,
        "Autocorrelation": round(float(np.median(lagged)), 4) if is_any else 0.0,
        "MaxAbsZ": round(float(largest.max()), 3) if is_any else 0.0,
        "FilmSeconds": round(min(s.duration for s in series), 3),
    }

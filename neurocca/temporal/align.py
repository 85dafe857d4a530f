"""From feature series and raw BOLD of one run to rows that can be stacked."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurocca.config import AlignConfig
from neurocca.design import FeatureSeries
from neurocca.temporal.clean import check_kept, clean_run, standardize
from neurocca.temporal.delays import delay
from neurocca.temporal.hrf import convolve_hrf, convolve_kernel
from neurocca.temporal.nuisance import nuisance_basis, residuals
from neurocca.temporal.periodic import periodic_filter
from neurocca.temporal.timing import bin_means, trim

HRF_BIN = 0.1
"""Features are convolved at 10 Hz, or at their own rate where that is lower."""

LOG_OFFSET = 1e-4


def align_features(
    series: Sequence[FeatureSeries],
    n_volumes: int,
    t_r: float,
    config: AlignConfig,
    *,
    onset: float = 0.0,
    cut: tuple[int, int] = (0, 0),
    reference: float | None = None,
    kernel: NDArray | None = None,
    nuisance: tuple[NDArray, NDArray] | None = None,
) -> NDArray[np.float64]:
    """Features of one run at the volumes' times, delayed or convolved, trimmed, filtered and scaled.

    Parameters
    ----------
    series : sequence of FeatureSeries
        One per feature space.
    n_volumes : int
    t_r : float
        Seconds.
    config : AlignConfig
    onset : float
        Seconds from the first volume to the start of the film.
    cut : pair of int
        Volumes to cut off the start and the end.
    reference : float, optional
        Seconds into a volume that it stands for, as a sidecar says; ``config.slice_reference`` by default.
    kernel : array, shape (m,), optional
        The response every ``config.kernel_step`` seconds, for response "kernel".
    nuisance : (basis, kept), optional
        Of the run's BOLD, see `bold_nuisance`: for partial CCA.

    Returns
    -------
    array, shape (n_volumes - cut, p)
        Columns in the order of ``aligned_names``. All volumes have a row, also those whose BOLD is censored.

    Raises
    ------
    ValueError
        When the film ends more than one volume before the volumes that are kept, or outlasts the run by more than
        ``max_excess``; when a kernel or nuisance variables are asked for and missing.
    """
    if config.partial and nuisance is None:
        raise ValueError("align.partial takes the nuisance variables of the run's BOLD.")
    for space in series:
        _check_duration(space, n_volumes * t_r, t_r * (1 + cut[1]), onset, config.max_excess)
    seconds = config.slice_reference * t_r if reference is None else reference
    response = np.hstack([_respond(space, n_volumes, t_r, config, onset, seconds, kernel) for space in series])
    if config.partial and nuisance is not None:
        rows = trim(residuals(response, *nuisance), *cut)
    else:
        # after trimming: the rows that a test rotates are those that the filter is periodic over
        high_pass = config.high_pass if config.drift == "cosine" else 0.0
        rows = periodic_filter(trim(response, *cut), t_r, high_pass, config.low_pass)
    return standardize(rows) if config.standardize == "run" else rows - rows.mean(axis=0)


def bold_nuisance(
    n_volumes: int, t_r: float, config: AlignConfig, confounds: NDArray | None = None, kept: NDArray | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What leaves the BOLD of one run.

    Parameters
    ----------
    n_volumes : int
    t_r : float
        Seconds.
    config : AlignConfig
    confounds : array, shape (n_volumes, c), optional
    kept : array of bool, shape (n_volumes,), optional
        Volumes that are not censored; all by default.

    Returns
    -------
    basis : array, shape (n_volumes, r)
    kept : array of bool, shape (n_volumes,)

    Raises
    ------
    ValueError
        When confounds do not fit, or leave no degrees of freedom.
    """
    rows = check_kept(kept, n_volumes)
    basis = nuisance_basis(
        n_volumes,
        t_r,
        drift=config.drift,
        high_pass=config.high_pass,
        low_pass=config.low_pass,
        confounds=confounds,
        kept=rows,
    )
    return basis, rows


def align_bold(
    bold: NDArray,
    t_r: float,
    config: AlignConfig,
    *,
    confounds: NDArray | None = None,
    kept: NDArray[np.bool_] | None = None,
    cut: tuple[int, int] = (0, 0),
) -> NDArray[np.floating]:
    """BOLD of one run without drift and confounds, scaled and trimmed.

    `neurocca.temporal.clean.clean_run` does the same in place, and says what became of the columns.

    Parameters
    ----------
    bold : array, shape (n_volumes, q)
    t_r : float
        Seconds.
    config : AlignConfig
    confounds : array, shape (n_volumes, c), optional
    kept : array of bool, shape (n_volumes,), optional
        Volumes that are not censored; all by default. Others are 0 in the result.
    cut : pair of int
        Volumes to cut off the start and the end.

    Returns
    -------
    array, shape (n_volumes - cut, q)
    """
    basis, rows = bold_nuisance(len(bold), t_r, config, confounds, kept)
    return clean_run(bold, basis, kept=rows, scale=config.standardize_bold, cut=cut).data


def aligned_names(series: Sequence[FeatureSeries], config: AlignConfig) -> list[tuple[int, str, str]]:
    """Space index, feature name and delay or basis function of every column of ``align_features``."""
    if config.response == "delays":
        variants = [str(d) for d in config.delays]
    else:
        variants = _basis_names(config.hrf) if config.response == "hrf" else [""]
    return [(i, name, variant) for i, space in enumerate(series) for variant in variants for name in space.names]


def _respond(
    series: FeatureSeries,
    n_volumes: int,
    t_r: float,
    config: AlignConfig,
    onset: float,
    reference: float,
    kernel: NDArray | None,
) -> NDArray:
    if config.response in ("delays", "none"):
        binned, _ = film_bins(series, n_volumes, t_r, config, onset=onset, reference=reference)
        relative = binned - binned[:1]  # exactly zero where a feature is constant
        centred = relative - relative.mean(axis=0)
        return delay(centred, config.delays) if config.response == "delays" else centred
    binned, edges = film_bins(
        series, n_volumes, t_r, config, onset=onset, reference=reference, per_volume=bins_per_volume(series, t_r)
    )
    volume_times = np.arange(n_volumes) * t_r + reference
    if config.response == "hrf":
        return convolve_hrf(binned, edges[:-1], volume_times, config.hrf)
    if kernel is None:
        raise ValueError("align.response='kernel' takes a kernel.")
    return convolve_kernel(binned, edges[:-1], volume_times, kernel, config.kernel_step)


def bins_per_volume(series: FeatureSeries, t_r: float) -> int:
    """Bins of one volume in which a series is convolved: of HRF_BIN, or of its own period where that is longer."""
    return max(1, round(t_r / max(HRF_BIN, series.period)))


def film_bins(
    series: FeatureSeries,
    n_volumes: int,
    t_r: float,
    config: AlignConfig,
    *,
    onset: float,
    reference: float,
    per_volume: int = 1,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Features of one run in the bins that responses are made of.

    Parameters
    ----------
    series : FeatureSeries
    n_volumes : int
    t_r : float
        Seconds.
    config : AlignConfig
    onset : float
        Seconds from the first volume to the start of the film.
    reference : float
        Seconds into a volume that it stands for.
    per_volume : int
        Bins of one volume; for responses "delays" and "none" always one, around what the volume stands for.

    Returns
    -------
    means : array, shape (b, f)
        Logarithms for the features that the configuration names.
    edges : array, shape (b + 1,)
        Borders of the bins in seconds since the first volume.
    """
    whole = config.response in ("delays", "none")
    width, first = (t_r, reference - t_r / 2) if whole else (t_r / per_volume, 0.0)
    n_bins = n_volumes if whole else n_volumes * per_volume
    binned = _take_log(bin_means(series, width, n_bins, onset - first), series.names, config.log)
    return binned, first + np.arange(n_bins + 1) * width


def _take_log(data: NDArray, names: Sequence[str], log: Sequence[str]) -> NDArray:
    """Logarithm of the named columns, after averaging: the energy of a bin is the mean energy of its samples."""
    for j, name in enumerate(names):
        if name in log:
            data[:, j] = np.log(np.maximum(data[:, j], 0) + LOG_OFFSET)
    return data


def _basis_names(model: str) -> list[str]:
    return ["", *model.split(" + ")[1:]]


def _check_duration(series: FeatureSeries, run: float, missing: float, onset: float, max_excess: float) -> None:
    """Refuse features that end more than ``missing`` seconds before a run, or outlast it by more than the excess."""
    end = series.duration + onset
    if end < run - missing:
        raise ValueError(f"features end at {end:.1f} s, but the run's volumes end at {run:.1f} s.")
    if end > run + max_excess:
        raise ValueError(
            f"features end at {end:.1f} s, but the run's volumes end at {run:.1f} s: more than "
            f"align.max_excess={max_excess:g} s apart. Is this the film of another run?"
        )

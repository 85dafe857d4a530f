"""From feature series and raw BOLD of one run to rows that can be stacked."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurocca.config import AlignConfig
from neurocca.design import FeatureSeries
from neurocca.temporal.clean import clean, standardize
from neurocca.temporal.delays import delay
from neurocca.temporal.hrf import convolve_hrf
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
) -> NDArray[np.float64]:
    """Features of one run at the volumes' times, filtered, delayed or convolved, trimmed and scaled.

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

    Returns
    -------
    array, shape (n_volumes - cut, p)
        Columns in the order of ``aligned_names``.

    Raises
    ------
    ValueError
        When the film ends more than one volume before the run, or outlasts it by more than ``max_excess``.
    """
    for space in series:
        _check_duration(space, n_volumes * t_r, t_r, onset, config.max_excess)
    responses = [_respond(space, n_volumes, t_r, config, onset) for space in series]
    rows = trim(np.hstack(responses), *cut)
    return standardize(rows) if config.standardize == "run" else rows - rows.mean(axis=0)


def align_bold(
    bold: NDArray, t_r: float, config: AlignConfig, *, confounds: NDArray | None = None, cut: tuple[int, int] = (0, 0)
) -> NDArray[np.float64]:
    """BOLD of one run without drift and confounds, in units of its own standard deviation, trimmed.

    Parameters
    ----------
    bold : array, shape (n_volumes, q)
    t_r : float
        Seconds.
    config : AlignConfig
    confounds : array, shape (n_volumes, c), optional
    cut : pair of int
        Volumes to cut off the start and the end.

    Returns
    -------
    array, shape (n_volumes - cut, q)
    """
    return standardize(trim(standardize(clean(bold, t_r, config.high_pass, confounds)), *cut))


def aligned_names(series: Sequence[FeatureSeries], config: AlignConfig) -> list[tuple[int, str, str]]:
    """Space index, feature name and delay or basis function of every column of ``align_features``."""
    variants = [str(d) for d in config.delays] if config.response == "delays" else _basis_names(config.hrf)
    return [(i, name, variant) for i, space in enumerate(series) for variant in variants for name in space.names]


def _respond(series: FeatureSeries, n_volumes: int, t_r: float, config: AlignConfig, onset: float) -> NDArray:
    if config.response == "delays":
        binned = _take_log(bin_means(series, t_r, n_volumes, onset), series.names, config.log)
        return delay(_filter(binned, t_r, config), config.delays)
    per_volume = max(1, round(t_r / max(HRF_BIN, series.period)))
    width = t_r / per_volume
    binned = _take_log(bin_means(series, width, n_volumes * per_volume, onset), series.names, config.log)
    # a volume stands for its middle: slices are acquired over the whole repetition time
    middles = (np.arange(n_volumes) + 0.5) * t_r
    response = convolve_hrf(binned, np.arange(len(binned)) * width, middles, config.hrf)
    return _filter(response, t_r, config)


def _filter(data: NDArray, t_r: float, config: AlignConfig) -> NDArray:
    filtered = clean(data, t_r, config.high_pass)
    return standardize(filtered) if config.standardize == "run" else filtered


def _take_log(data: NDArray, names: Sequence[str], log: Sequence[str]) -> NDArray:
    """Logarithm of the named columns, after averaging: the energy of a bin is the mean energy of its samples."""
    for j, name in enumerate(names):
        if name in log:
            data[:, j] = np.log(np.maximum(data[:, j], 0) + LOG_OFFSET)
    return data


def _basis_names(model: str) -> list[str]:
    return ["", *model.split(" + ")[1:]]


def _check_duration(series: FeatureSeries, run: float, t_r: float, onset: float, max_excess: float) -> None:
    end = series.duration + onset
    if end < run - t_r:
        raise ValueError(f"features end at {end:.1f} s, but the run's volumes end at {run:.1f} s.")
    if end > run + max_excess:
        raise ValueError(
            f"features end at {end:.1f} s, but the run's volumes end at {run:.1f} s: more than "
            f"align.max_excess={max_excess:g} s apart. Is this the film of another run?"
        )

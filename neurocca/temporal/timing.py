"""When samples and volumes are, and which of them are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.design import FeatureSeries

# onsets are decimal multiples of the frame time in binary floating point: a sample that begins at a border may
# come out a rounding error before it
_BORDER = 1e-6


def bin_means(series: FeatureSeries, width: float, n_bins: int, onset: float = 0.0) -> NDArray[np.float64]:
    """Mean of the samples that begin within each of ``n_bins`` bins of equal width.

    Bin v covers [v width, (v + 1) width) in seconds since the first volume. A bin without samples takes the one that
    is on screen when it begins; before the film that is its first sample, after it its last.

    The mean is the low-pass filter of the down-sampling: it halves the power (-3 dB) at 0.443 / width Hz, which is
    0.22 Hz for volumes of 2 s, and is zero at 1 / width.

    Parameters
    ----------
    series : FeatureSeries
        Times in seconds since the film began.
    width : float
        Seconds; the repetition time for one bin per volume.
    n_bins : int
    onset : float
        Seconds from the first volume to the film's first sample.

    Returns
    -------
    array, shape (n_bins, f)
    """
    times = series.times + onset
    edges = np.searchsorted(times + _BORDER, np.arange(n_bins + 1) * width)
    # relative to the first sample, so that a constant feature stays one to the last digit
    relative = series.data.astype(float) - series.data[0]
    sums = np.concatenate([np.zeros((1, relative.shape[1])), np.cumsum(relative, axis=0)])
    counts = np.diff(edges)
    means = np.diff(sums[edges], axis=0) / np.maximum(counts, 1)[:, None]
    empty = counts == 0
    means[empty] = relative[np.clip(edges[:-1][empty] - 1, 0, len(times) - 1)]
    return means + series.data[0]


def reference_time(t_r: float, sidecar: Mapping[str, Any], fraction: float = 0.5) -> float:
    """Seconds into a volume that its values stand for.

    Parameters
    ----------
    t_r : float
        Seconds.
    sidecar : mapping
        What the sidecar of the BOLD file says. ``StartTime`` is what a slice-timing correction has brought all slices
        to; else slices lie between the first and the last of ``SliceTiming``.
    fraction : float
        Of the repetition time, where the sidecar says neither.

    Raises
    ------
    ValueError
        When the sidecar's times are no numbers of seconds within the repetition time.

    Examples
    --------
    >>> reference_time(2.0, {"SliceTimingCorrected": True, "StartTime": 0.957})
    0.957
    >>> reference_time(2.0, {"SliceTiming": [0.0, 0.5, 1.0, 1.5]})
    0.75
    >>> reference_time(2.0, {})
    1.0
    """
    times: Any = [sidecar["StartTime"]] if "StartTime" in sidecar else sidecar.get("SliceTiming") or [fraction * t_r]
    try:
        found = np.asarray(times, dtype=float).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError(f"StartTime or SliceTiming must be seconds, not {times!r}.") from error
    if not np.all((found >= 0) & (found <= t_r)):
        raise ValueError(
            f"StartTime or SliceTiming reach from {found.min():g} to {found.max():g}: seconds between 0 and the "
            f"repetition time of {t_r:g} s are expected."
        )
    return float(found.min() + found.max()) / 2


def trim(array: NDArray, start: int, end: int) -> NDArray:
    """Rows of one run without ``start`` volumes at its beginning and ``end`` at its end.

    Raises
    ------
    ValueError
        When fewer than three volumes would be left.
    """
    if start + end > len(array) - 3:
        raise ValueError(f"cutting {start} + {end} volumes leaves nothing of a run of {len(array)}.")
    return array[start : len(array) - end]


def lagged_correlation(x: NDArray, y: NDArray, lags: Sequence[int]) -> NDArray[np.float64]:
    """Correlation of two series of one run, one of them delayed.

    Parameters
    ----------
    x, y : arrays, shape (n,)
    lags : sequence of int
        In samples; at a positive lag y comes after x.

    Returns
    -------
    array, shape (len(lags),)
        Over the samples that overlap.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(50)
    >>> lagged_correlation(x, np.roll(x, 2), [0, 2]).round(2)
    array([0.19, 1.  ])
    """
    n = len(x)
    pairs = [(x[max(-lag, 0) : n - max(lag, 0)], y[max(lag, 0) : n - max(-lag, 0)]) for lag in lags]
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])

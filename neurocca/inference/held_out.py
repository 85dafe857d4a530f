"""Canonical correlations on runs that the fit has not seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from neurocca.design import run_bounds
from neurocca.inference.result import HeldOutResult, max_statistic_pvalues
from neurocca.inference.schemes import circular_lags


def held_out_test(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    runs: ArrayLike,
    min_shift: int = 10,
    n_permutations: int = 1000,
    rng: int | Generator = 0,
    progress: Callable[[int], object] | None = None,
) -> HeldOutResult:
    """Leave one run out at a time, correlate its variates, and test the mean against circular shifts.

    The null rotates the left-out run's variates of one view in time. Models stay as fitted, so any estimator with
    ``transform(X, y)`` can be tested. An estimator that chooses something by cross-validation (one with a ``cv``
    parameter) gets the training runs' labels as ``groups`` and chooses on the training runs alone.

    Parameters
    ----------
    estimator : scikit-learn estimator with ``fit(X, y)`` and ``transform(X, y)``
        Cloned for every left-out run.
    X, y : arrays, shapes (n, p) and (n, q)
    runs : array, shape (n,)
        Run label of each volume; at least two runs.
    min_shift : int
        Shortest shift in volumes.
    n_permutations : int
    rng : int or Generator
    progress : callable, optional
        Called with 1 after every left-out run.

    Returns
    -------
    HeldOutResult

    Raises
    ------
    ValueError
        When there are fewer than two runs or a run is too short to be shifted.
    """
    X, y, runs = np.asarray(X), np.asarray(y), np.asarray(runs)
    bounds = run_bounds(runs, len(X))
    if len(bounds) < 2:
        raise ValueError("leaving a run out takes at least two runs, and there is one.")
    lengths = [stop - start for start, stop in bounds]
    lags = circular_lags(lengths, n_permutations, min_shift=min_shift, rng=rng)
    estimators, tables = [], []
    for start, stop in bounds:
        train = np.r_[0:start, stop : len(X)]
        fitted = _fit(clone(estimator), X[train], y[train], runs[train])
        estimators.append(fitted)
        tables.append(shifted_correlations(*fitted.transform(X[start:stop], y[start:stop])))
        if progress is not None:
            progress(1)
    per_run = np.array([table[0] for table in tables])
    null = np.mean([table[lag] for table, lag in zip(tables, lags.T, strict=True)], axis=0)
    mean = per_run.mean(axis=0)
    labels = [runs[start].item() for start, _ in bounds]
    return HeldOutResult(mean, null, max_statistic_pvalues(mean, null), lags, per_run, labels, estimators)


def shifted_correlations(U: NDArray, V: NDArray) -> NDArray:
    """Correlation of paired columns for every circular lag of one of them, by the fast Fourier transform.

    Parameters
    ----------
    U, V : arrays, shape (n, k)

    Returns
    -------
    array, shape (n, k)
        Row l is the correlation after U was rotated by l rows; 0 where a column is constant.
    """
    (n, _), centred = U.shape, [a - a.mean(axis=0) for a in (U, V)]
    norms = [np.linalg.norm(a, axis=0) for a in centred]
    norm = norms[0] * norms[1]
    cross = np.fft.irfft(np.conj(np.fft.rfft(centred[0], axis=0)) * np.fft.rfft(centred[1], axis=0), n, axis=0)
    return cross / np.where(norm > 0, norm, np.inf)


def _fit(estimator: Any, X: NDArray, y: NDArray, groups: NDArray) -> Any:
    if "cv" in estimator.get_params():
        return estimator.fit(X, y, groups=groups)
    return estimator.fit(X, y)

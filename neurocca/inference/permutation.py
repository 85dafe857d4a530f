"""In-sample permutation test of canonical correlations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from neurocca.design import run_bounds
from neurocca.inference.parallel import over_permutations
from neurocca.inference.result import PermutationResult, max_statistic_pvalues
from neurocca.inference.schemes import circular_lags, rotation_order


def permutation_test(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    runs: ArrayLike,
    min_shift: int = 10,
    n_permutations: int = 1000,
    rng: int | Generator = 0,
    n_jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> PermutationResult:
    """Test canonical correlations against circular shifts of one view inside runs.

    Permuting rows does not change a view's covariance, so both views are whitened once and a permutation costs
    one product U'PV. The shrinkage stays as it was fitted. Where it was chosen on the same samples the test may be
    somewhat liberal (``benchmarks/error_rates.py``: .063 of 300 pairs of independent AR(1) series at α = .05): then
    the held-out test is the one to trust.

    Parameters
    ----------
    estimator : object with ``whitened(X, y)`` and ``n_components``
        For example a LinearCCA, or a fitted LinearCCACV.
    X, y : arrays, shapes (n, p) and (n, q)
    runs : array, shape (n,)
        Run label of each volume.
    min_shift : int
        Shortest shift in volumes. Choose it longer than the haemodynamic response (about 20 s).
    n_permutations : int
    rng : int or Generator
    n_jobs : int
        Parallel jobs; the result does not depend on it.
    progress : callable, optional
        Called with the number of permutations done since the last call.

    Returns
    -------
    PermutationResult

    Raises
    ------
    ValueError
        When runs are too short to be shifted, or labels do not fit the samples.

    References
    ----------
    Winkler et al. (2020), Permutation inference for canonical correlation analysis, NeuroImage 220:117065.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((200, 1))
    >>> X, Y = Z + rng.standard_normal((200, 3)), Z + rng.standard_normal((200, 4))
    >>> test = permutation_test(LinearCCA(2), X, Y, runs=np.repeat([1, 2], 100), n_permutations=99)
    >>> test.pvalues
    array([0.01, 0.99])
    """
    U, V = estimator.whitened(X, y)
    lengths = [stop - start for start, stop in run_bounds(runs, len(U))]
    k = min(estimator.n_components or min(U.shape[1], V.shape[1]), U.shape[1], V.shape[1])
    lags = circular_lags(lengths, n_permutations, min_shift=min_shift, rng=rng)
    if U.shape[1] > V.shape[1]:  # rotating the narrower view moves less memory; the statistic is symmetric
        U, V = V, U
    nulls = over_permutations(partial(_rotated_statistic, U, V, lengths, k), lags, n_jobs, progress)
    observed = _statistic(U.T @ V, k)
    return PermutationResult(observed, nulls, max_statistic_pvalues(observed, nulls), lags)


def _rotated_statistic(U: NDArray, V: NDArray, lengths: list[int], k: int, lags: NDArray) -> NDArray:
    return _statistic(U[rotation_order(lengths, lags)].T @ V, k)


def _statistic(T: NDArray, k: int) -> NDArray:
    """First k singular values of a matrix that is not taller than wide, from its smaller Gram matrix."""
    return np.sqrt(np.clip(np.linalg.eigvalsh(T @ T.T)[::-1][:k], 0, None))

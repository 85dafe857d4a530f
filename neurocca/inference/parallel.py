"""Permutations in chunks, over processes or not, with the same result."""

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

CHUNK = 50
"""Permutations per task: a few tenths of a second, and the unit of progress."""


def over_permutations(
    statistic: Callable[[NDArray], NDArray], lags: NDArray, n_jobs: int, progress: Callable[[int], object] | None
) -> NDArray[np.float64]:
    """Statistic of every permutation, in their order.

    Parameters
    ----------
    statistic : callable
        Takes the lags of one permutation, shape (R,), and gives one value per component, shape (k,).
    lags : array, shape (B, R)
    n_jobs : int
    progress : callable, optional
        Called with the number of permutations done since the last call.

    Returns
    -------
    array, shape (B, k)
    """
    tasks = (delayed(_chunk)(statistic, lags[i : i + CHUNK]) for i in range(0, len(lags), CHUNK))
    done = []
    for values in Parallel(n_jobs=n_jobs, return_as="generator")(tasks):
        done.append(values)
        if progress is not None:
            progress(len(values))
    return np.concatenate(done)


def _chunk(statistic: Callable[[NDArray], NDArray], lags: NDArray) -> NDArray:
    # products this small gain nothing from threads, and their number would change the last digits
    with threadpool_limits(1):
        return np.array([statistic(lag) for lag in lags])

"""Rearrangements of one view that destroy its relation to the other but keep its own autocorrelation.

All act inside runs. Shuffling the rows of a time series would destroy the autocorrelation too and make almost any
two series look related, so the default is to rotate each run in time by its own random lag.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def allowed_lags(n_volumes: int, min_shift: int) -> NDArray[np.int64]:
    """Circular lags of a run, in volumes, that are at least ``min_shift`` away from no shift in both directions.

    Raises
    ------
    ValueError
        When the run is too short to have any.
    """
    if min_shift < 1:
        raise ValueError(f"min_shift={min_shift} must be at least one volume.")
    lags = np.arange(min_shift, n_volumes - min_shift + 1)
    if len(lags) == 0:
        raise ValueError(
            f"a run of {n_volumes} volumes has no circular shift of at least {min_shift} volumes in both directions: "
            f"at least {2 * min_shift} volumes are needed."
        )
    return lags


def circular_lags(
    run_lengths: Sequence[int], n_permutations: int, *, min_shift: int, rng: int | Generator
) -> NDArray[np.int64]:
    """Circular lag of every run for every permutation: random, or all there are when that is not more than asked.

    Parameters
    ----------
    run_lengths : sequence of int, length R
        Volumes of each run.
    n_permutations : int
    min_shift : int
        Shortest shift in volumes.
    rng : int or Generator
        Each permutation draws from a stream of its own, so that the first B of many are the B of few.

    Returns
    -------
    array, shape (B, R)
        B is n_permutations, or the number of distinct arrangements when that is smaller.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations} must be at least 1.")
    choices = [allowed_lags(n, min_shift) for n in run_lengths]
    if n_arrangements(run_lengths, min_shift) <= n_permutations:
        return np.array(list(product(*choices)), dtype=np.int64)
    streams = np.random.default_rng(rng).spawn(n_permutations)
    return np.array([[stream.choice(lags) for lags in choices] for stream in streams], dtype=np.int64)


def n_arrangements(run_lengths: Sequence[int], min_shift: int) -> int:
    """Number of distinct circular shifts; p-values cannot be finer than one over it."""
    count = 1
    for n in run_lengths:
        count *= len(allowed_lags(n, min_shift))
    return count


def rotation_order(run_lengths: Sequence[int], lags: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Row order that rotates each run by its lag: row t of a run takes the place of row t + lag.

    Parameters
    ----------
    run_lengths : sequence of int, length R
    lags : sequence of int, length R
        In volumes.

    Returns
    -------
    array, shape (Σ run_lengths,)
    """
    starts = np.cumsum([0, *run_lengths[:-1]])
    return np.concatenate(
        [start + (np.arange(n) - lag) % n for start, n, lag in zip(starts, run_lengths, lags, strict=True)]
    )

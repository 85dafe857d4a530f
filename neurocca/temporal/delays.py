"""Delayed copies of features, the finite impulse response way of modelling the haemodynamic lag."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def delay(data: NDArray, delays: Sequence[int]) -> NDArray:
    """Features once per delay, side by side.

    Parameters
    ----------
    data : array, shape (n, f)
        Features of one run at the volumes' times, with mean zero: what lies before the run is taken to be zero.
    delays : sequence of int
        Delays in volumes.

    Returns
    -------
    array, shape (n, f * len(delays))
        All features at the first delay, then all at the second, …

    Examples
    --------
    >>> delay(np.array([[1.0], [2.0], [3.0]]), [0, 1])
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    n, f = data.shape
    out = np.zeros((n, f * len(delays)), dtype=data.dtype)
    for i, d in enumerate(delays):
        if d < n:
            out[d:, i * f : (i + 1) * f] = data[: n - d]
    return out

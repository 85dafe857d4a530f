"""Fewer columns for the many of a wide view: its samples in coordinates of the space that they span.

CCA, shrinkage and all that is tested see of a view's columns only the products of samples, X X', as long as columns are
not scaled one by one. Coordinates have the same products. Samples span no more dimensions than there are of them,
however many voxels there are, and the products add up over blocks of columns, so that a block at a time is in memory.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk


def coordinates(blocks: Iterable[NDArray], n_samples: int) -> NDArray[np.float64]:
    """Coordinates of samples, from the columns of a view, some of them at a time.

    Parameters
    ----------
    blocks : iterable of arrays, each of shape (n, m)
        All columns, a block after the other.
    n_samples : int
        n.

    Returns
    -------
    array, shape (n, r)
        C with C C' = X X'; r is the rank of X. Every column is a mixture of all principal axes: tests that look at the
        autocorrelation of some columns find that of the view.

    Raises
    ------
    ValueError
        When all values are 0.

    Notes
    -----
    Takes some five arrays of shape (n, n), in double precision.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((5, 100))
    >>> C = coordinates([X[:, :60], X[:, 60:]], 5)
    >>> C.shape, bool(np.allclose(C @ C.T, X @ X.T))
    ((5, 5), True)
    """
    gram = np.zeros((n_samples, n_samples), order="F")
    for block in blocks:
        # the transpose of an array in row order is one in column order, which BLAS takes without a copy
        rows = np.ascontiguousarray(block, dtype=np.float64).T
        gram = dsyrk(1.0, rows, beta=1.0, c=gram, trans=1, lower=1, overwrite_c=1)
    values, axes = eigh(gram, lower=True, overwrite_a=True, check_finite=False)
    real = values > values[-1] * n_samples * np.finfo(np.float64).eps
    if not values[-1] > 0:
        raise ValueError("every column of a view is 0.")
    # fixed signs, without which the first column would hold the sum of all axes and the others less and less
    signs = np.random.default_rng(0).choice([-1.0, 1.0], int(real.sum()))
    return np.ascontiguousarray(dct(axes[:, real] * (signs * np.sqrt(values[real])), axis=1, norm="ortho"))

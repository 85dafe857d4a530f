"""The factorisation that CCA and its inference share."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh


def top_singular_triplets(T: NDArray, k: int) -> tuple[NDArray, NDArray, NDArray]:
    """First k singular values and vectors, through the Gram matrix of the smaller side.

    Much cheaper than a full decomposition when k is small. Squaring costs half of the digits of singular values far
    below the first; canonical correlations worth looking at are not that small.

    Parameters
    ----------
    T : array, shape (m, n)
    k : int
        At most min(m, n).

    Returns
    -------
    left : array, shape (m, k)
    values : array, shape (k,)
        Descending.
    right : array, shape (n, k)
        Zero where the singular value is.
    """
    if T.shape[0] > T.shape[1]:
        right, values, left = top_singular_triplets(T.T, k)
        return left, values, right
    m = T.shape[0]
    squares, left = eigh(T @ T.T, subset_by_index=(m - k, m - 1), check_finite=False)
    values, left = np.sqrt(np.clip(squares[::-1], 0, None)), left[:, ::-1]
    right = T.T @ left
    return left, values, right / np.where(values > 0, values, np.inf)

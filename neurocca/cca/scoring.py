"""What a fitted component is worth and how it reads."""

import numpy as np
from numpy.typing import NDArray


def paired_correlations(U: NDArray, V: NDArray) -> NDArray:
    """Correlation of each column of one array with the same column of the other.

    Parameters
    ----------
    U, V : arrays, shape (n, k)

    Returns
    -------
    array, shape (k,)
        0 where a column is constant.
    """
    return np.clip(np.sum(_unit_columns(U) * _unit_columns(V), axis=0), -1, 1)


def loadings(X: NDArray, variates: NDArray) -> NDArray:
    """Structure coefficients: correlation of every column of a view with every variate.

    Weights are for predicting, loadings are for reading: correlated features share a loading where their weights
    may cancel.

    Parameters
    ----------
    X : array, shape (n, p)
    variates : array, shape (n, k)

    Returns
    -------
    array, shape (p, k)
        0 where a column is constant.
    """
    return np.clip(_unit_columns(X).T @ _unit_columns(variates), -1, 1)


def _unit_columns(X: NDArray) -> NDArray:
    centred = X - X.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    # a constant column leaves rounding noise behind, which must not be blown up to a correlation
    negligible = norm <= np.finfo(centred.dtype).eps * len(X) * np.abs(X).max(axis=0, initial=0)
    return centred / np.where(negligible, np.inf, norm)

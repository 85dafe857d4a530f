"""Drift and confounds out, scale in; one run at a time."""

import numpy as np
from numpy.typing import NDArray


def cosine_drift(n_volumes: int, t_r: float, high_pass: float) -> NDArray[np.float64]:
    """Orthonormal cosines with periods longer than ``high_pass`` seconds, and a constant.

    The discrete cosine set of SPM: all half-cycles up to 2 n TR / cutoff.

    Parameters
    ----------
    n_volumes : int
    t_r : float
        Seconds.
    high_pass : float
        Cutoff period in seconds; 0 gives the constant alone.

    Returns
    -------
    array, shape (n_volumes, 1 + number of cosines)
    """
    order = int(np.floor(2 * n_volumes * t_r / high_pass)) if high_pass > 0 else 0
    order = min(order, n_volumes - 1)
    phases = np.outer(np.arange(n_volumes) + 0.5, np.arange(order + 1)) * np.pi / n_volumes
    cosines = np.cos(phases)
    return cosines / np.linalg.norm(cosines, axis=0)


def clean(data: NDArray, t_r: float, high_pass: float, confounds: NDArray | None = None) -> NDArray[np.float64]:
    """What drift and confounds do not explain of the columns of one run.

    Both are removed in one regression: filtering and regressing one after the other would bring back what the
    first step removed (Lindquist et al. 2019, doi:10.1002/hbm.24528).

    Parameters
    ----------
    data : array, shape (n, q)
    t_r : float
        Repetition time in seconds.
    high_pass : float
        Cutoff period in seconds; 0 removes the mean alone.
    confounds : array, shape (n, c), optional

    Returns
    -------
    array, shape (n, q)
        With mean zero.
    """
    drift = cosine_drift(len(data), t_r, high_pass)
    basis = drift if confounds is None else _orthonormal(np.column_stack([drift, confounds]))
    # rounding noise of what was constant must not be mistaken for a signal by a later division
    return np.where(constant_columns(data), 0.0, data - basis @ (basis.T @ data))


def standardize(data: NDArray) -> NDArray[np.float64]:
    """Columns of one run with mean zero and unit variance; constant columns become zero.

    Parameters
    ----------
    data : array, shape (n, q)
    """
    centred = data - data.mean(axis=0)
    sd = centred.std(axis=0)
    constant = sd <= len(data) * np.finfo(float).eps * np.abs(data).max(axis=0, initial=0)
    return centred / np.where(constant, np.inf, sd)


def constant_columns(data: NDArray) -> NDArray[np.bool_]:
    """Columns that hold one value only, shape (q,)."""
    return np.all(data == data[:1], axis=0)


def _orthonormal(columns: NDArray) -> NDArray[np.float64]:
    """Basis of the span of columns, which may depend on each other or differ in scale."""
    scaled = columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
    U, s, _ = np.linalg.svd(scaled, full_matrices=False)
    return U[:, s > s[0] * max(columns.shape) * np.finfo(float).eps]

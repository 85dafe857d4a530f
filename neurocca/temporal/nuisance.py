"""Everything that one regression takes out of a run: drift, fast fluctuations, confounds."""

import numpy as np
from numpy.typing import NDArray


def nuisance_basis(
    n_volumes: int,
    t_r: float,
    *,
    drift: str = "cosine",
    high_pass: float = 128.0,
    low_pass: float = 0.0,
    confounds: NDArray | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Basis of drift, fast fluctuations and confounds, which is orthonormal over the volumes that are kept.

    Parameters
    ----------
    n_volumes : int
    t_r : float
        Seconds.
    drift : str
        "cosine", or "polynomial:K" for polynomials up to order K in place of the high-pass filter.
    high_pass : float
        Longest period in seconds that "cosine" leaves in; 0 takes out the mean alone.
    low_pass : float
        Shortest period in seconds that is left in; 0 leaves all.
    confounds : array, shape (n, c), optional
        Values of censored volumes are never read.
    kept : array of bool, shape (n,), optional
        Volumes that are not censored; all by default.

    Returns
    -------
    array, shape (n, r)
        Censored volumes have a row as well: what the fit to the others says of them.

    Raises
    ------
    ValueError
        When confounds are not finite or of another length, or fewer than three degrees of freedom are left.
    """
    rows = np.ones(n_volumes, dtype=bool) if kept is None else kept
    columns = [_drift(n_volumes, t_r, drift, high_pass), cosines_above(n_volumes, t_r, low_pass)]
    if confounds is not None:
        columns.append(_checked(confounds, rows))
    if len(columns) == 2 and rows.all() and drift == "cosine":
        basis = np.hstack(columns)  # orthonormal as they are
    else:
        basis = _orthonormal(np.hstack(columns), rows)
    free = int(rows.sum()) - basis.shape[1]
    if free < 3:
        raise ValueError(
            f"drift, filter and confounds take {basis.shape[1]} degrees of freedom of {int(rows.sum())} volumes "
            f"(of {n_volumes}): nothing is left. Use fewer confounds, a milder filter or a higher threshold."
        )
    return basis


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
    return _cosines(n_volumes, np.arange(min(order, n_volumes - 1) + 1))


def cosines_above(n_volumes: int, t_r: float, low_pass: float) -> NDArray[np.float64]:
    """Orthonormal cosines with periods shorter than ``low_pass`` seconds: what a low-pass filter takes out.

    Parameters
    ----------
    n_volumes : int
    t_r, low_pass : float
        Seconds; 0 gives no column.

    Returns
    -------
    array, shape (n_volumes, number of cosines)
    """
    first = int(np.floor(2 * n_volumes * t_r / low_pass)) + 1 if low_pass > 0 else n_volumes
    return _cosines(n_volumes, np.arange(min(max(first, 1), n_volumes), n_volumes))


def polynomial_drift(n_volumes: int, order: int) -> NDArray[np.float64]:
    """Legendre polynomials of time up to an order, shape (n_volumes, order + 1)."""
    return np.asarray(np.polynomial.legendre.legvander(np.linspace(-1, 1, n_volumes), order), dtype=np.float64)


def residuals(data: NDArray, basis: NDArray, kept: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Columns without what a basis explains of the volumes that are kept; all volumes have a row.

    Parameters
    ----------
    data : array, shape (n, p)
    basis : array, shape (n, r)
        From `nuisance_basis`.
    kept : array of bool, shape (n,), optional

    Returns
    -------
    array, shape (n, p)
    """
    inside = basis if kept is None else np.where(kept[:, None], basis, 0.0)
    # rounding noise of what was constant must not be mistaken for a signal by a later division
    return np.where(constant_columns(data), 0.0, data - basis @ (inside.T @ data))


def constant_columns(data: NDArray) -> NDArray[np.bool_]:
    """Columns that hold one value only, shape (q,)."""
    return np.all(data == data[:1], axis=0)


def _drift(n: int, t_r: float, drift: str, high_pass: float) -> NDArray[np.float64]:
    if drift == "cosine":
        return cosine_drift(n, t_r, high_pass)
    return polynomial_drift(n, int(drift.removeprefix("polynomial:")))


def _cosines(n: int, orders: NDArray) -> NDArray[np.float64]:
    cosines = np.cos(np.outer(np.arange(n) + 0.5, orders) * np.pi / n)
    return cosines / np.linalg.norm(cosines, axis=0)


def _checked(confounds: NDArray, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    if confounds.ndim != 2 or len(confounds) != len(rows):
        raise ValueError(f"confounds of shape {confounds.shape} for {len(rows)} volumes: one row per volume is needed.")
    inside = confounds[rows]
    if not np.isfinite(inside).all():
        row, column = np.argwhere(~np.isfinite(confounds) & rows[:, None])[0]
        raise ValueError(f"confounds are NaN or infinite in volume {row}, column {column}.")
    centred = np.where(rows[:, None], confounds, 0.0) - inside.mean(axis=0)
    return np.where(np.all(inside == inside[:1], axis=0), 0.0, centred)


def _orthonormal(columns: NDArray, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Basis of the span of columns, which may depend on each other or differ in scale; orthonormal over some rows."""
    inside = columns[rows]
    scale = np.maximum(np.linalg.norm(inside, axis=0), np.finfo(float).tiny)
    _, s, Vt = np.linalg.svd(inside / scale, full_matrices=False)
    real = s > s[0] * max(columns.shape) * np.finfo(float).eps
    return (columns / scale) @ (Vt[real].T / s[real])

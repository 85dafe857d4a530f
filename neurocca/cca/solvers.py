"""Canonical correlation analysis as functions on arrays.

Whiten each view once, take one singular value decomposition of the cross-product of the whitened bases:
everything else in neurocca is built on these two steps.

Arrays may be of any library that follows the array API standard (numpy, torch, …); what comes in decides what
goes out.

References
----------
Hotelling (1936), Relations between two sets of variates, Biometrika 28:321-377.
Vinod (1976), Canonical ridge and econometrics of joint production, Journal of Econometrics 4:147-166.
"""

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

Array = Any


@dataclass(frozen=True)
class CCASolution:
    """Canonical weights and what they attain.

    Parameters
    ----------
    singular_values : array, shape (k,)
        Singular values of the whitened cross-covariance, descending: the maximised a' Sxy b. Without shrinkage
        they are the canonical correlations; with shrinkage they are covariances in the shrunk metric, which may
        exceed 1, because shrinkage takes variance off the strongest axes.
    x_weights : array, shape (p, k)
    y_weights : array, shape (q, k)
    """

    singular_values: Array
    x_weights: Array
    y_weights: Array


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues and eigenvectors of a view's covariance, without its null space.

    Parameters
    ----------
    values : array, shape (r,)
        Variances along the principal axes, descending, all above the rank tolerance.
    axes : array, shape (p, r)
        Principal axes, orthonormal columns.
    mean_variance : float
        Trace of the covariance divided by p; the target of the shrinkage.
    """

    values: Array
    axes: Array
    mean_variance: Any

    def whitening(self, shrinkage: float) -> Array:
        """Matrix W, shape (p, r), with W' S W = I for the shrunk covariance S on the span of the data."""
        xp = array_namespace(self.values)
        return self.axes / xp.sqrt((1 - shrinkage) * self.values + shrinkage * self.mean_variance)


def spectrum(X: Array) -> Spectrum:
    """Principal axes of a centred view, by the singular value decomposition of the data.

    Works on the data, not on their covariance, so that the rank is told from rounding errors at the data's own
    precision.

    Parameters
    ----------
    X : array, shape (n, p)
        Centred columns.
    """
    xp = array_namespace(X)
    _, s, axes_t = xp.linalg.svd(X, full_matrices=False)
    return _spectrum_above_tolerance(s**2 / (X.shape[0] - 1), axes_t.T, X.shape)


def covariance_spectrum(S: Array, n_samples: int) -> Spectrum:
    """Principal axes from a covariance matrix, shape (p, p), that was estimated from ``n_samples`` samples."""
    xp = array_namespace(S)
    values, axes = xp.linalg.eigh(S)
    mean_variance = xp.sum(values) / S.shape[0]
    _check_varies(mean_variance)
    values, axes = xp.flip(values), xp.flip(axes, axis=1)
    rank = _rank(values, max(S.shape[0], n_samples) * xp.finfo(S.dtype).eps)
    return Spectrum(values[:rank], axes[:, :rank], mean_variance)


def whiten(X: Array, shrinkage: float = 0.0) -> tuple[Array, Array]:
    """Whitened basis of a centred view.

    The covariance S = X'X/(n-1) is shrunk to (1-λ) S + λ (tr S / p) I, which does not depend on the units of
    the view. For λ > 0 and n ≥ p this takes one Cholesky factor; otherwise one singular value decomposition of
    the data, of cost n p min(n, p), which also finds the rank.

    Parameters
    ----------
    X : array, shape (n, p)
        Centred columns.
    shrinkage : float in [0, 1]
        λ; 0 = CCA, 1 = PLS.

    Returns
    -------
    basis : array, shape (n, r)
        X W / sqrt(n-1), so that U'V of two bases is the whitened cross-covariance. r is p, or the rank.
    weights : array, shape (p, r)
        W with W' S W = I on the span of the data.
    """
    xp = array_namespace(X)
    n, p = X.shape
    if shrinkage > 0 and n >= p:
        S = X.T @ X / (n - 1)
        _check_varies(xp.linalg.trace(S))
        target = shrinkage * xp.linalg.trace(S) / p * xp.eye(p, dtype=X.dtype, device=X.device)
        L = xp.linalg.cholesky((1 - shrinkage) * S + target)
        W = xp.linalg.solve(L.T, xp.eye(p, dtype=X.dtype, device=X.device))
    else:
        W = spectrum(X).whitening(shrinkage)
    return X @ W / (n - 1) ** 0.5, W


def solve_cca(
    X: Array, Y: Array, n_components: int | None = None, shrinkage: tuple[float, float] = (0.0, 0.0)
) -> CCASolution:
    """Canonical weights of two centred views.

    Maximises a' Sxy b under a' Sx a = b' Sy b = 1, with shrunk covariances, one component after the other.

    Parameters
    ----------
    X : array, shape (n, p)
        First view, centred.
    Y : array, shape (n, q)
        Second view, centred.
    n_components : int, optional
        Number of components, at most the smaller of the two ranks, which is the default.
    shrinkage : pair of float in [0, 1]
        One value per view.

    Returns
    -------
    CCASolution

    Raises
    ------
    ValueError
        When ``n_components`` exceeds the rank of a view.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((500, 1))
    >>> X, Y = Z + rng.standard_normal((500, 3)), Z + rng.standard_normal((500, 4))
    >>> solve_cca(X - X.mean(0), Y - Y.mean(0), 2).singular_values.round(2)
    array([0.78, 0.09])
    """
    U, Wx = whiten(X, shrinkage[0])
    V, Wy = whiten(Y, shrinkage[1])
    return solve_whitened(U.T @ V, Wx, Wy, n_components)


def solve_whitened(T: Array, Wx: Array, Wy: Array, n_components: int | None = None) -> CCASolution:
    """Canonical weights from the whitened cross-covariance.

    Parameters
    ----------
    T : array, shape (rx, ry)
        Wx' Sxy Wy.
    Wx, Wy : arrays, shapes (p, rx) and (q, ry)
        Whitening matrices.
    n_components : int, optional
    """
    xp = array_namespace(T)
    n_components = min(T.shape) if n_components is None else n_components
    if n_components > min(T.shape):
        raise ValueError(
            f"n_components={n_components} exceeds the rank of the narrower view: the ranks are {T.shape[0]} "
            f"and {T.shape[1]}."
        )
    A, s, Bt = xp.linalg.svd(T, full_matrices=False)
    x_weights, y_weights = Wx @ A[:, :n_components], Wy @ Bt[:n_components, :].T
    # the sign of a component is free: its largest feature weight is made positive, so that maps show what rises
    # with the feature and equal inputs give equal bytes
    largest = xp.argmax(xp.abs(x_weights), axis=0, keepdims=True)
    sign = xp.sign(xp.take_along_axis(x_weights, largest, axis=0))
    return CCASolution(s[:n_components], x_weights * sign, y_weights * sign)


def _spectrum_above_tolerance(values: Array, axes: Array, shape: tuple[int, int]) -> Spectrum:
    xp = array_namespace(values)
    mean_variance = xp.sum(values) / shape[1]
    _check_varies(mean_variance)
    # singular values are the square roots, hence the squared tolerance
    rank = _rank(values, (max(shape) * xp.finfo(values.dtype).eps) ** 2)
    return Spectrum(values[:rank], axes[:, :rank], mean_variance)


def _check_varies(variance: Array) -> None:
    if not float(variance) > 0:
        raise ValueError("every column of a view is constant over the samples of a fit.")


def _rank(values: Array, relative_tolerance: float) -> int:
    """Number of descending eigenvalues above the tolerance; at least one, so that shapes stay whole."""
    xp = array_namespace(values)
    above = int(xp.sum(xp.astype(values > relative_tolerance * values[0], xp.int64)))
    return max(above, 1)

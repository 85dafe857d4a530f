"""Linear canonical correlation analysis, from CCA over ridge to PLS."""

from numbers import Integral
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from neurocca.cca.scoring import loadings, paired_correlations
from neurocca.cca.solvers import solve_cca, whiten


class LinearCCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Linear canonical correlation analysis with shrinkage.

    Finds weights a, b that maximise a' Sxy b subject to a' Sx a = b' Sy b = 1, where each view's covariance S is
    shrunk to (1-λ) S + λ (tr S / p) I. λ = 0 is CCA, λ = 1 is PLS, in between is canonical ridge in a form that
    does not depend on units.

    Parameters
    ----------
    n_components : int, optional
        Number of components; None gives as many as the smaller rank of the two views.
    shrinkage : float or pair of float in [0, 1]
        λ of both views, or one for each.
    scale : bool
        Divide every column by its standard deviation over the samples seen in ``fit``.

    Attributes
    ----------
    correlations_ : array, shape (k,)
        In-sample correlations of paired variates. Components come in the order of the objective a' Sxy b, which is
        that of the correlations for λ = 0.
    x_weights_, y_weights_ : arrays, shapes (p, k) and (q, k)
        Weights for the columns as they come in (centred).
    x_loadings_, y_loadings_ : arrays, shapes (p, k) and (q, k)
        Correlations of each column with its own view's variates.
    x_mean_, y_mean_ : arrays, shapes (p,) and (q,)

    References
    ----------
    Hotelling (1936), doi:10.1093/biomet/28.3-4.321. Vinod (1976), doi:10.1016/0304-4076(76)90010-5.

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> X, y = load_linnerud(return_X_y=True)
    >>> LinearCCA().fit(X, y).correlations_.round(6)
    array([0.795608, 0.200556, 0.07257 ])
    """

    def __init__(
        self, n_components: int | None = None, *, shrinkage: float | tuple[float, float] = 0.0, scale: bool = False
    ) -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.scale = scale

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit on samples X, shape (n, p), and y, shape (n, q)."""
        data, responses = self._validate(X, y)
        self._check_n_components(data, responses)
        return self._fit_checked(data, responses, check_shrinkage(self.shrinkage))

    def transform(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray | tuple[NDArray, NDArray]:
        """Variates of new samples: shape (n, k), or the pair of both views' variates when y is given."""
        check_is_fitted(self)
        data: NDArray = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        x_variates = (data - self.x_mean_) @ self.x_weights_
        if y is None:
            return x_variates
        Y = _two_dimensional(y, data.dtype)
        if Y.shape[1] != len(self.y_mean_) or len(Y) != len(data):
            raise ValueError(f"y has shape {Y.shape}, but ({len(data)}, {len(self.y_mean_)}) is expected.")
        return x_variates, (Y - self.y_mean_) @ self.y_weights_

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Mean over components of the correlation between paired variates."""
        return float(np.mean(paired_correlations(*self.transform(X, y))))

    def whitening(self, X: ArrayLike, y: ArrayLike) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
        """Means and whitening matrices of both views: ``(X - mean) @ W`` has the identity as (shrunk) covariance.

        They depend on each view alone. Rearranging the rows of a view leaves them as they are, which is what
        permutation tests are built on.

        Returns
        -------
        ((x_mean, Wx), (y_mean, Wy)) : arrays, shapes (p,), (p, rx) and (q,), (q, ry)
        """
        maps = []
        for view, shrinkage in zip(self._validate(X, y), self._whitening_shrinkage(), strict=True):
            centred, mean, scale = learn_columns(view, self.scale)
            maps.append((mean, whiten(centred / scale, shrinkage)[1] / scale[:, None]))
        return maps[0], maps[1]

    def whitened(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        """Whitened bases of both views; the singular values of their cross-product are what CCA maximises.

        Returns
        -------
        U, V : arrays, shapes (n, rx) and (n, ry)
        """
        views = self._validate(X, y)
        U, V = ((view - mean) @ W for view, (mean, W) in zip(views, self.whitening(*views), strict=True))
        return U / np.sqrt(len(U) - 1), V / np.sqrt(len(V) - 1)

    def _whitening_shrinkage(self) -> tuple[float, float]:
        return check_shrinkage(self.shrinkage)

    @property
    def _n_features_out(self) -> int:
        return self.x_weights_.shape[1]

    def _validate(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        data, responses = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        return data, _two_dimensional(responses, data.dtype)

    def _check_n_components(self, X: NDArray, Y: NDArray) -> int:
        limit = min(len(X) - 1, X.shape[1], Y.shape[1])
        if self.n_components is None:
            return limit
        if not isinstance(self.n_components, Integral):
            raise TypeError(f"n_components={self.n_components!r} must be a whole number or None.")
        if not 1 <= self.n_components <= limit:
            raise ValueError(
                f"n_components={self.n_components} must be between 1 and {limit}: X has {X.shape[1]} features, y has "
                f"{Y.shape[1]}, and there are {len(X)} samples."
            )
        return int(self.n_components)

    def _fit_checked(self, X: NDArray, Y: NDArray, shrinkage: tuple[float, float]) -> Self:
        Xc, self.x_mean_, x_scale = learn_columns(X, self.scale)
        Yc, self.y_mean_, y_scale = learn_columns(Y, self.scale)
        Xc, Yc = Xc / x_scale, Yc / y_scale
        solution = solve_cca(Xc, Yc, self.n_components, shrinkage)
        U, V = Xc @ solution.x_weights, Yc @ solution.y_weights
        self.correlations_ = paired_correlations(U, V)
        self.x_loadings_, self.y_loadings_ = loadings(Xc, U), loadings(Yc, V)
        self.x_weights_ = solution.x_weights / x_scale[:, None]
        self.y_weights_ = solution.y_weights / y_scale[:, None]
        return self

    def __sklearn_tags__(self):  # type: ignore[no-untyped-def]
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def check_shrinkage(shrinkage: float | tuple[float, float]) -> tuple[float, float]:
    """One value per view, each checked to lie in [0, 1]."""
    pair = tuple(np.broadcast_to(np.asarray(shrinkage, dtype=float), 2).tolist())
    if not all(0 <= value <= 1 for value in pair):
        raise ValueError(f"shrinkage={shrinkage} must be between 0 (CCA) and 1 (PLS), one value or one per view.")
    return pair


def _two_dimensional(y: ArrayLike, dtype: np.dtype) -> NDArray:
    Y = check_array(y, ensure_2d=False, dtype=dtype)
    return Y[:, None] if Y.ndim == 1 else Y


def learn_columns(X: NDArray, scale: bool) -> tuple[NDArray, NDArray, NDArray]:
    """Centred columns (n, p), their means (p,) and the scale (p,) to divide them by: standard deviations, or ones.

    A constant column has scale 1 and stays zero.
    """
    mean = X.mean(axis=0)
    centred = X - mean
    ones = np.ones_like(mean)
    if not scale:
        return centred, mean, ones
    sd = centred.std(axis=0)
    # the mean of a constant column is off by rounding, which is not variance
    constant = sd <= len(X) * np.finfo(X.dtype).eps * np.abs(mean)
    return centred, mean, np.where(constant, ones, sd)

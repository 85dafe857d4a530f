"""Kernel canonical correlation analysis, exact and on landmarks."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from array_api_compat import is_numpy_array
from numpy.typing import NDArray
from sklearn.preprocessing import KernelCenterer
from sklearn.utils.validation import check_is_fitted

from neurocca.cca.base import TwoViewModel
from neurocca.cca.factors import Dual
from neurocca.cca.kernels import (
    Kernel,
    KernelSpec,
    ViewKernel,
    check_gamma,
    check_precomputed,
    kernels_of_spaces,
    landmark_features,
    one_per_view,
)
from neurocca.cca.scoring import loadings, paired_correlations, regression
from neurocca.cca.solvers import signs, solve_dual, solve_views, whiten
from neurocca.cca.spaces import Spaces, check_shrinkage, space_columns
from neurocca.cca.validation import check_n_components, check_views, nothing_left_behind
from neurocca.cca.views import View

Pair = tuple[NDArray, NDArray]


class KernelCCA(TwoViewModel):
    """Kernel canonical correlation analysis with shrinkage.

    Finds functions f, g in the feature spaces of two kernels that maximise cov(f(x), g(y)) while their shrunk variances
    are 1: `LinearCCA` on what the kernels' features are. With centred kernel matrices K and G = K / (n-1) this is the
    dual problem in coefficients of the samples, f = Σ α_i k(·, x_i), solved by one Cholesky factor of (1-λ) G + μ I
    per view. λ must not be 0 for kernels that can tell all samples apart: any two views would correlate perfectly.

    Parameters
    ----------
    n_components : int, optional
        Number of components; None gives as many as there can be, which takes a full decomposition.
    kernel : str, callable, dict or pair of these
        A name that `sklearn.metrics.pairwise.pairwise_kernels` knows, a callable of two samples, "precomputed", or,
        for a view with feature spaces, a dict with one for each; a pair gives each view its own. linear, cosine, rbf,
        laplacian, sigmoid and poly see columns whose training means are subtracted, so that a shift changes nothing.
        A precomputed kernel of y cannot be cross-validated by scikit-learn, which takes rows of y only.
    gamma : "scale" or float, or pair
        Of the kernels rbf, laplacian, poly and sigmoid. "scale" is 1 / (p · mean variance of the columns), so that
        units do not matter (for laplacian the standard deviation takes the place of the variance).
    degree, coef0 : int, float
        Of the kernels poly and sigmoid.
    kernel_params : dict, optional
        Arguments of other kernels (such as the gamma of chi2) and of callables.
    shrinkage : float or pair of float in [0, 1]
        λ of both views, or one for each: μ = λ tr G / d, where d is the number of columns for linear kernels; for
        others n - 1, which the samples span, or with landmarks the number of their features.
    x_spaces, y_spaces : dict, optional
        Feature spaces of a view: name → slice, column numbers, mask or column names. Each has a kernel of its own,
        scaled to the same total variance, and their weighted sum is the view's kernel.
    space_weights : dict, optional
        Weight of each feature space by name; 1 for those that are not named.
    n_landmarks : int, optional
        Number of training samples, drawn at random, whose kernel functions span the solution (Nyström). None is
        exact, at a cost of n² memory and n³ operations.
    random_state : int
        Seed of the draw.

    Attributes
    ----------
    correlations_ : array, shape (k,)
        In-sample correlations of paired variates, in the order of the objective.
    x_weights_, y_weights_ : arrays, shape (n, k)
        Coefficients of the training samples (with landmarks: of the landmark features).
    x_loadings_, y_loadings_ : arrays, shapes (p, k) and (q, k), or None
        Correlations of each column with its own view's variates; None for a precomputed kernel.
    x_patterns_, y_patterns_ : arrays, shapes (k, p) and (k, q), or None
        Pre-images by regression: what a unit of each variate means in its own view's columns.
    y_from_x_, x_from_y_ : arrays, shapes (k, q) and (k, p), or None
        Regression of one view's columns on the other view's variates.
    x_mean_, y_mean_ : arrays, shapes (p,) and (q,)

    References
    ----------
    Hardoon, Szedmak & Shawe-Taylor (2004), doi:10.1162/0899766042321814. Bach & Jordan (2002), Kernel independent
    component analysis, Journal of Machine Learning Research 3:1-48.

    Examples
    --------
    A relation that no straight line shows:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((300, 1))
    >>> y = x**2 + 0.1 * rng.standard_normal((300, 1))
    >>> KernelCCA(1).fit(x[:200], y[:200]).score(x[200:], y[200:]) > 0.9
    True
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        kernel: Kernel | Mapping[str, Kernel] | tuple = "rbf",
        gamma: float | str | tuple = "scale",
        degree: int = 3,
        coef0: float = 1.0,
        kernel_params: Mapping[str, Any] | None = None,
        shrinkage: float | tuple[float, float] = 0.1,
        x_spaces: Spaces | None = None,
        y_spaces: Spaces | None = None,
        space_weights: Mapping[str, float] | None = None,
        n_landmarks: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.shrinkage = shrinkage
        self.x_spaces = x_spaces
        self.y_spaces = y_spaces
        self.space_weights = space_weights
        self.n_landmarks = n_landmarks
        self.random_state = random_state

    @nothing_left_behind
    def fit(self, X: Any, y: Any) -> Self:
        """Fit on samples X, shape (n, p), and y, shape (n, q), or on precomputed kernels, shape (n, n)."""
        views, specs, shrinkage = self._check(X, y, fitting=True)
        n = len(views[0])
        found = [_KernelMap.fit(spec, view, self._landmarks(n)) for spec, view in zip(specs, views, strict=True)]
        (x_map, K), (y_map, L) = found
        limit = min(n - 1, *(m.n_features for m in (x_map, y_map)))
        check_n_components(self.n_components, limit, f"there are {n} samples and {limit} dimensions")
        if self.n_landmarks is None:
            _, a, b = solve_dual(_dual(specs[0], K, shrinkage[0]), _dual(specs[1], L, shrinkage[1]), self.n_components)
            a, b = a - a.mean(axis=0), b - b.mean(axis=0)  # which they are but for rounding
        else:  # there are no more landmarks than samples: both views are narrow
            solved = solve_views(View.of(K), View.of(L), self.n_components, shrinkage)
            a, b = solved.x, solved.y
        return self._describe(views, (x_map, y_map), ((K - x_map.centre) @ a, (L - y_map.centre) @ b), (a, b))

    def whitened(self, X: Any, y: Any) -> tuple[NDArray, NDArray]:
        """Whitened bases of both views; the singular values of their cross-product are what CCA maximises.

        Returns
        -------
        U, V : arrays, shapes (n, rx) and (n, ry)
        """
        views, specs, shrinkage = self._check(X, y, fitting=False)
        landmarks, bases = self._landmarks(len(views[0])), []
        for view, spec, lam in zip(views, specs, shrinkage, strict=True):
            fitted, K = _KernelMap.fit(spec, view, landmarks)
            if landmarks is None:
                bases.append(_dual(spec, K, lam).basis())
            else:
                bases.append(whiten(K - fitted.centre, lam)[0])
        return bases[0], bases[1]

    def predict(self, X: Any) -> NDArray:
        """What the first view says about the second, shape (n, q), by regression on the first view's variates."""
        self._check_columns("y_from_x_", "y")
        return super().predict(X)

    def predict_x(self, y: Any) -> NDArray:
        """What the second view says about the first, shape (n, p), by regression on the second view's variates."""
        self._check_columns("x_from_y_", "X")
        return super().predict_x(y)

    def _check(
        self, X: Any, y: Any, *, fitting: bool
    ) -> tuple[tuple[NDArray, NDArray], list[KernelSpec], tuple[float, float]]:
        checked = self if fitting else copy(self)
        data, Y = check_views(checked, X, y)
        if not is_numpy_array(data):
            raise TypeError(f"KernelCCA takes numpy arrays, not {type(data).__name__}: kernels come from scikit-learn.")
        lam = check_shrinkage(self.shrinkage)
        if not all(isinstance(one, float) for one in lam):
            raise ValueError("KernelCCA has one shrinkage per view; weigh feature spaces by space_weights.")
        specs = checked._specs((data.shape[1], Y.shape[1]))
        for name, view, spec in zip(("X", "y"), (data, Y), specs, strict=True):
            if not spec.is_precomputed and not View.of(view).variances().any():
                raise ValueError(f"{name}: every column of a view is constant over the samples of a fit.")
        return (data, Y), specs, (float(lam[0]), float(lam[1]))  # type: ignore[arg-type]

    def _specs(self, n_columns: tuple[int, int]) -> list[KernelSpec]:
        kernels, gammas = one_per_view(self.kernel, "kernel"), one_per_view(self.gamma, "gamma")
        names = getattr(self, "feature_names_in_", None), getattr(self, "y_names_in_", None)
        specs, known = [], set()
        for i, spaces in enumerate((self.x_spaces, self.y_spaces)):
            named = {"gamma": check_gamma(gammas[i]), "degree": self.degree, "coef0": self.coef0}
            columns = {"": np.arange(n_columns[i])} if spaces is None else space_columns(spaces, n_columns[i], names[i])
            weights = {name: float((self.space_weights or {}).get(name, 1.0)) for name in columns}
            specs.append(
                KernelSpec(kernels_of_spaces(kernels[i], columns), columns, weights, named, self.kernel_params or {})
            )
            known |= set(columns)
        if not all(weight >= 0 for weight in (self.space_weights or {}).values()):
            raise ValueError(f"space_weights={self.space_weights} must not be negative.")
        unknown = sorted(set(self.space_weights or {}) - known)
        if unknown:
            raise ValueError(f"space_weights names {unknown[0]!r}, which is no feature space.")
        return specs

    def _landmarks(self, n: int) -> NDArray | None:
        """Sorted rows of the landmarks; None for all rows."""
        if self.n_landmarks is None:
            return None
        if not 1 < self.n_landmarks <= n:
            raise ValueError(f"n_landmarks={self.n_landmarks} must be between 2 and {n}, the number of samples.")
        return np.sort(np.random.default_rng(self.random_state).choice(n, self.n_landmarks, replace=False))

    def _describe(self, views: Pair, maps: tuple["_KernelMap", "_KernelMap"], variates: Pair, weights: Pair) -> Self:
        has_columns = [not m.spec.is_precomputed for m in maps]
        loads = [loadings(view, U) if has else None for view, U, has in zip(views, variates, has_columns, strict=True)]
        own = signs(loads[0] if loads[0] is not None else variates[0])
        for i, (which, view) in enumerate(zip("xy", views, strict=True)):
            mean = view.mean(axis=0) if has_columns[i] else np.zeros_like(view[0])
            U, V = ((variate * own).astype(view.dtype) for variate in (variates[i], variates[1 - i]))
            setattr(self, f"{which}_mean_", mean)
            setattr(self, f"{which}_weights_", (weights[i] * own).astype(view.dtype))
            setattr(self, f"{which}_loadings_", None if loads[i] is None else (loads[i] * own).astype(view.dtype))
            setattr(self, f"{which}_patterns_", regression(view, U, mean) if has_columns[i] else None)
            setattr(self, f"{which}_from_{'yx'[i]}_", regression(view, V, mean) if has_columns[i] else None)
            setattr(self, f"{which}_map_", maps[i].arrays())
        self.correlations_ = paired_correlations(*variates).astype(views[0].dtype)
        return self

    def _variates(self, view: NDArray, which: Literal["x", "y"]) -> NDArray:
        spec = self._specs((self.x_mean_.shape[0], self.y_mean_.shape[0]))["xy".index(which)]
        weights = getattr(self, f"{which}_weights_")
        fitted = _KernelMap.of(spec, getattr(self, f"{which}_map_"))
        return (fitted(view) @ weights).astype(view.dtype, copy=False)

    def _check_columns(self, attribute: str, which: str) -> None:
        check_is_fitted(self)
        if getattr(self, attribute) is None:
            raise ValueError(f"the kernel of {which} was precomputed: it has no columns that could be predicted.")

    def __sklearn_tags__(self):  # type: ignore[no-untyped-def]
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = one_per_view(self.kernel, "kernel")[0] == "precomputed"
        return tags


@dataclass(frozen=True)
class _KernelMap:
    """From samples to the columns that weights act on: centred kernel values, or centred landmark features."""

    spec: KernelSpec
    kernel: ViewKernel
    centre: NDArray
    features: NDArray | None

    @classmethod
    def fit(cls, spec: KernelSpec, X: NDArray, landmarks: NDArray | None) -> tuple["_KernelMap", NDArray]:
        """Map of a view, and its training samples mapped, (n, n) or (n, r), before centring."""
        if spec.is_precomputed:
            check_precomputed(X, landmarks)
            kernel, K, features = ViewKernel(spec, X[:0], X[0], {}), X, None
        else:
            kernel, K = ViewKernel.of(spec, X, X if landmarks is None else X[landmarks])
            features = None if landmarks is None else landmark_features(K)
            K = K if features is None else kernel(X) @ features
        return cls(spec, kernel, K.mean(axis=0), features), K

    @property
    def n_features(self) -> int:
        return len(self.centre)

    def arrays(self) -> dict[str, Any]:
        """All that is learned, as arrays and numbers that can be stored."""
        kernel = {"points": self.kernel.points, "mean": self.kernel.mean, "gammas": self.kernel.gammas}
        return kernel | {"scales": self.kernel.scales, "centre": self.centre, "features": self.features}

    @classmethod
    def of(cls, spec: KernelSpec, arrays: dict[str, Any]) -> "_KernelMap":
        """The map that has these arrays."""
        kernel = ViewKernel(spec, arrays["points"], arrays["mean"], arrays["gammas"], arrays["scales"])
        return cls(spec, kernel, arrays["centre"], arrays["features"])

    def __call__(self, X: NDArray) -> NDArray:
        K = self.kernel(X)
        return (K if self.features is None else K @ self.features) - self.centre


def _dual(spec: KernelSpec, K: NDArray, shrinkage: float) -> Dual:
    gram = KernelCenterer().fit_transform(K.astype(np.float64))
    gram /= len(K) - 1
    n_columns = sum(map(len, spec.columns.values())) if spec.is_linear else len(K) - 1
    return Dual(gram, shrinkage, n_columns, float(np.finfo(K.dtype).eps))

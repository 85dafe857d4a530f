"""Linear CCA that chooses its shrinkage on the training runs."""

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut, check_cv
from sklearn.utils.validation import check_is_fitted

from neurocca.cca.linear import LinearCCA, check_shrinkage, learn_columns
from neurocca.cca.scoring import paired_correlations
from neurocca.cca.solvers import Spectrum, covariance_spectrum, spectrum
from neurocca.linalg import top_singular_triplets


class LinearCCACV(LinearCCA):
    """LinearCCA whose shrinkage is chosen by cross-validation.

    Chooses the pair of shrinkages whose variates share most variance on the left-out samples, then fits on all
    samples: the same as ``GridSearchCV(LinearCCA(...), ...)`` with that score, but with one eigendecomposition per
    view and fold for the whole grid.

    The score is the mean over components of r |r|. The mean of r itself would let a fit that smears two strong
    components over five weak ones win over one that finds them.

    Parameters
    ----------
    n_components : int, optional
        Number of components; None gives as many as the smaller rank of the two views.
    shrinkage_x, shrinkage_y : sequence of float in [0, 1]
        Candidates for each view.
    scale : bool
        Divide every column by its standard deviation over the training samples.
    cv : int, splitter or iterable, optional
        None leaves one group out where groups are given to ``fit``, and makes five folds otherwise.

    Attributes
    ----------
    shrinkage_ : pair of float
        The chosen shrinkages.
    cv_scores_ : array, shape (n_folds, n_shrinkage_x, n_shrinkage_y)
        Mean r |r| of paired variates on the left-out samples.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((90, 1))
    >>> X, Y = Z + rng.standard_normal((90, 5)), Z + rng.standard_normal((90, 60))
    >>> cca = LinearCCACV(n_components=1).fit(X, Y, groups=np.repeat([1, 2, 3], 30))
    >>> cca.shrinkage_[1] >= 0.1
    True
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        shrinkage_x: Sequence[float] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0),
        shrinkage_y: Sequence[float] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0),
        scale: bool = False,
        cv: int | BaseCrossValidator | None = None,
    ) -> None:
        self.n_components = n_components
        self.shrinkage_x = shrinkage_x
        self.shrinkage_y = shrinkage_y
        self.scale = scale
        self.cv = cv

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose the shrinkage and fit on samples X, shape (n, p), and y, shape (n, q), in groups, shape (n,)."""
        data, Y = self._validate(X, y)
        k = self._check_n_components(data, Y)
        if not (len(self.shrinkage_x) and len(self.shrinkage_y)):
            raise ValueError("shrinkage_x and shrinkage_y must each hold at least one value.")
        grid = [check_shrinkage((sx, sy)) for sx in self.shrinkage_x for sy in self.shrinkage_y]
        folds = [self._fold_scores(data[a], Y[a], data[b], Y[b], k) for a, b in self._splits(data, Y, groups)]
        self.cv_scores_ = np.array(folds)
        self.shrinkage_ = grid[int(np.argmax(self.cv_scores_.mean(axis=0)))]
        return self._fit_checked(data, Y, self.shrinkage_)

    def _whitening_shrinkage(self) -> tuple[float, float]:
        check_is_fitted(self)
        return self.shrinkage_

    def _splits(self, X: NDArray, Y: NDArray, groups: ArrayLike | None) -> Iterator[tuple[NDArray, NDArray]]:
        cv = LeaveOneGroupOut() if self.cv is None and groups is not None else check_cv(self.cv)
        return cv.split(X, Y, groups)

    def _fold_scores(self, X: NDArray, Y: NDArray, X_left: NDArray, Y_left: NDArray, k: int) -> NDArray:
        """Score of every pair of shrinkages, shape (n_shrinkage_x, n_shrinkage_y)."""
        Xc, x_mean, x_scale = learn_columns(X, self.scale)
        Yc, y_mean, y_scale = learn_columns(Y, self.scale)
        Xc, Yc = Xc / x_scale, Yc / y_scale
        Sx, Sy = _spectrum(Xc), _spectrum(Yc)
        core = (Xc @ Sx.axes).T @ (Yc @ Sy.axes) / (len(X) - 1)
        # along the principal axes every shrinkage is a mere scaling, so that no fit of the grid touches the data
        X_left = ((X_left - x_mean) / x_scale) @ Sx.axes
        Y_left = ((Y_left - y_mean) / y_scale) @ Sy.axes
        scores = np.empty((len(self.shrinkage_x), len(self.shrinkage_y)))
        for i, sx in enumerate(self.shrinkage_x):
            dx = _inverse_sd(Sx, sx)
            for j, sy in enumerate(self.shrinkage_y):
                dy = _inverse_sd(Sy, sy)
                A, _, B = top_singular_triplets(dx[:, None] * core * dy, min(k, *core.shape))
                r = paired_correlations(X_left @ (dx[:, None] * A), Y_left @ (dy[:, None] * B))
                scores[i, j] = np.sum(r * np.abs(r)) / k
        return scores


def _spectrum(centred: NDArray) -> Spectrum:
    n, p = centred.shape
    if n < p:
        return spectrum(centred)
    return covariance_spectrum(centred.T @ centred / (n - 1), n)


def _inverse_sd(S: Spectrum, shrinkage: float) -> NDArray:
    return 1 / np.sqrt((1 - shrinkage) * S.values + shrinkage * S.mean_variance)

"""Linear CCA that chooses its shrinkage on the training runs."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut, check_cv
from sklearn.utils.validation import check_is_fitted

from neurocca.cca.folds import FoldView, fold_data, grid_scores
from neurocca.cca.linear_base import LinearModel
from neurocca.cca.principal import Share, check_n_pca
from neurocca.cca.spaces import Shrinkage, Spaces, check_shrinkage
from neurocca.cca.validation import check_views, nothing_left_behind
from neurocca.cca.views import View

Array = Any


class LinearCCACV(LinearModel):
    """LinearCCA whose shrinkage is chosen by cross-validation.

    Chooses the pair of shrinkages whose variates share most variance on the left-out samples, then fits on all
    samples: the same as ``GridSearchCV(LinearCCA(...), ...)`` with that score, but with one factorisation per view,
    fold and shrinkage, and products of the narrower view's size for a pair.

    The score is the mean over components of r |r|. The mean of r itself would let a fit that smears two strong
    components over five weak ones win over one that finds them.

    Parameters
    ----------
    n_components : int, optional
        Number of components; None gives as many as the smaller rank of the two views.
    shrinkage_x, shrinkage_y : sequence of float in [0, 1]
        Candidates for each view.
    scale, n_pca, x_spaces, y_spaces, y_columns
        As in `LinearCCA`. A view with feature spaces may have candidates with one shrinkage per space.
    cv : int, splitter or iterable, optional
        None leaves one group out where groups are given to ``fit``, and makes five folds otherwise.

    Attributes
    ----------
    shrinkage_ : pair of float
        The chosen shrinkages.
    cv_scores_ : array, shape (n_folds, n_shrinkage_x, n_shrinkage_y)
        Mean r |r| of paired variates on the left-out samples; no fold where there is one pair and one group.

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
        shrinkage_x: Sequence[Shrinkage] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0),
        shrinkage_y: Sequence[Shrinkage] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0),
        scale: bool = False,
        n_pca: Share | tuple[Share, Share] = None,
        x_spaces: Spaces | None = None,
        y_spaces: Spaces | None = None,
        y_columns: int | None = None,
        cv: int | BaseCrossValidator | None = None,
    ) -> None:
        self.n_components = n_components
        self.shrinkage_x = shrinkage_x
        self.shrinkage_y = shrinkage_y
        self.scale = scale
        self.n_pca = n_pca
        self.x_spaces = x_spaces
        self.y_spaces = y_spaces
        self.y_columns = y_columns
        self.cv = cv

    @nothing_left_behind
    def fit(self, X: Any, y: Any, groups: ArrayLike | None = None) -> Self:
        """Choose the shrinkage and fit on samples X, shape (n, p), and y, shape (n, q), in groups, shape (n,)."""
        data, Y = check_views(self, X, y)
        k = self._check_n_components(data, Y)
        if not (len(self.shrinkage_x) and len(self.shrinkage_y)):
            raise ValueError("shrinkage_x and shrinkage_y must each hold at least one value.")
        grid = [check_shrinkage((sx, sy)) for sx in self.shrinkage_x for sy in self.shrinkage_y]
        shape = (-1, len(self.shrinkage_x), len(self.shrinkage_y))
        # with one pair there is nothing to choose, and one group cannot be left out of itself
        alone = len(grid) == 1 and self.cv is None and groups is not None and len(np.unique(groups)) == 1
        splits = () if alone else self._splits(data, Y, groups)
        scores = np.reshape([self._fold_scores(data, Y, train, left, k) for train, left in splits], shape)
        chosen = grid[0] if alone else grid[int(np.argmax(scores.mean(axis=0)))]
        self._fit_data(data, Y, chosen)
        self.cv_scores_, self.shrinkage_ = scores, chosen
        return self

    def _whitening_shrinkage(self) -> tuple[Shrinkage, Shrinkage]:
        check_is_fitted(self)
        return self.shrinkage_

    def _splits(self, X: Array, Y: Array, groups: ArrayLike | None) -> Iterator[tuple[NDArray, NDArray]]:
        cv = LeaveOneGroupOut() if self.cv is None and groups is not None else check_cv(self.cv)
        return cv.split(np.empty((X.shape[0], 0)), np.empty(X.shape[0]), groups)

    def _fold_scores(self, X: Array, Y: Array, train: NDArray, left: NDArray, k: int) -> NDArray:
        """Score of every pair of shrinkages on the left-out samples, shape (n_shrinkage_x, n_shrinkage_y)."""
        if len(left) < 2 or len(train) < 2:
            raise ValueError(f"a fold has {len(train)} samples to fit and {len(left)} to score: 2 are the least.")
        x = self._fold_views(0, View.of(X[train, :]), X[left, :], self.shrinkage_x)
        y = self._fold_views(1, View.of(Y[train, :]), Y[left, :], self.shrinkage_y)
        if x[0].data.size > y[0].data.size:
            return grid_scores(y, x, k).T
        return grid_scores(x, y, k)

    def _fold_views(self, which: int, train: View, left: Array, candidates: Sequence[Shrinkage]) -> list[FoldView]:
        """The view for every candidate; those that scale the columns alike share their products."""
        n_pca, variances = check_n_pca(self.n_pca)[which], train.variances()
        plain, views = None, []
        for candidate in candidates:
            columns = self._column_map(which, variances, candidate)
            if not isinstance(candidate, int | float):  # one shrinkage per space is a scale of its own
                views.append(FoldView(fold_data(train, left, columns.scale, n_pca), columns.shrinkage))
                continue
            plain = plain or fold_data(train, left, columns.scale, n_pca)
            views.append(FoldView(plain, columns.shrinkage))
        return views

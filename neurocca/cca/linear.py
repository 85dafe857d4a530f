"""Linear canonical correlation analysis, from CCA over ridge to PLS."""

from typing import Any, Self

from neurocca.cca.linear_base import LinearModel
from neurocca.cca.moments import Moments
from neurocca.cca.principal import Share
from neurocca.cca.spaces import Shrinkage, Spaces, check_shrinkage
from neurocca.cca.validation import check_n_components, check_views, nothing_left_behind


class LinearCCA(LinearModel):
    """Linear canonical correlation analysis with shrinkage.

    Finds weights a, b that maximise a' Sxy b subject to a' Sx a = b' Sy b = 1, where each view's covariance S is
    shrunk to (1-λ) S + λ (tr S / p) I. λ = 0 is CCA, λ = 1 is PLS, in between is canonical ridge in a form that
    does not depend on units. Views with fewer columns than samples are solved by their covariances, wider ones by
    the products of their samples.

    Parameters
    ----------
    n_components : int, optional
        Number of components; None gives as many as the smaller rank of the two views.
    shrinkage : float or pair
        λ of both views, or one for each, in [0, 1]. A view with feature spaces may have one for each of them: a
        dict, or a sequence in their order (banded ridge).
    scale : bool
        Divide every column by its standard deviation over the samples seen in ``fit``.
    n_pca : int, float in (0, 1), None, or pair
        Keep the first principal axes of a view before CCA: their number, or the share of variance that they have
        to explain at least. Shrinkage then acts on what is kept. Weights are those of the original columns.
    x_spaces, y_spaces : dict, optional
        Feature spaces of a view: name → slice, column numbers, mask or column names. Every space is scaled to the
        same total variance.
    y_columns : int, optional
        y holds coordinates of so many columns, as `neurocca.cca.coordinates.coordinates` gives them. The shrinkage is
        that of the columns, whose variances must be equal where ``scale`` is asked for: coordinates are not scaled.

    Attributes
    ----------
    correlations_ : array, shape (k,)
        In-sample correlations of paired variates. Components come in the order of the objective a' Sxy b, which is
        that of the correlations for λ = 0.
    x_weights_, y_weights_ : arrays, shapes (p, k) and (q, k)
        Weights for the columns as they come in (centred).
    x_loadings_, y_loadings_ : arrays, shapes (p, k) and (q, k)
        Correlations of each column with its own view's variates. The largest of X is positive in every component.
    x_mean_, y_mean_ : arrays, shapes (p,) and (q,)
    y_from_x_, x_from_y_ : arrays, shapes (k, q) and (k, p)
        Regression of one view's columns on the other view's variates, for ``predict`` and ``predict_x``.

    References
    ----------
    Hotelling (1936), doi:10.1093/biomet/28.3-4.321. Vinod (1976), doi:10.1016/0304-4076(76)90010-5.

    Examples
    --------
    >>> from sklearn.datasets import load_linnerud
    >>> X, y = load_linnerud(return_X_y=True)
    >>> LinearCCA().fit(X, y).correlations_.round(6)
    array([0.795608, 0.200556, 0.07257 ])

    Two feature spaces, the second of which is trusted less:

    >>> spaces = {"strength": [0, 1], "jumps": [2]}
    >>> LinearCCA(1, x_spaces=spaces, shrinkage=({"strength": 0.1, "jumps": 0.9}, 0.1)).fit(X, y).score(X, y)
    0.53...
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        shrinkage: float | tuple[Shrinkage, Shrinkage] = 0.0,
        scale: bool = False,
        n_pca: Share | tuple[Share, Share] = None,
        x_spaces: Spaces | None = None,
        y_spaces: Spaces | None = None,
        y_columns: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.scale = scale
        self.n_pca = n_pca
        self.x_spaces = x_spaces
        self.y_spaces = y_spaces
        self.y_columns = y_columns

    @nothing_left_behind
    def fit(self, X: Any, y: Any) -> Self:
        """Fit on samples X, shape (n, p), and y, shape (n, q)."""
        data, Y = check_views(self, X, y)
        shrinkage = check_shrinkage(self.shrinkage)
        self._check_n_components(data, Y)
        self._moments = self._fit_data(data, Y, shrinkage)
        return self

    @nothing_left_behind
    def partial_fit(self, X: Any, y: Any) -> Self:
        """Add the samples of another run, X of shape (n, p) and y of shape (n, q), to those seen before.

        Goes on from ``fit``, too, unless a view was wider than long. The covariances add up, so that the result is
        that of ``fit`` on all runs stacked (each run's means remain part of the data; centre runs before if they are
        not to count). Memory is a few times that of the covariances, (p+q)² numbers, however many runs there are.
        """
        before: Moments | None = getattr(self, "_moments", None)
        if before is None and hasattr(self, "x_weights_"):
            raise ValueError(
                "partial_fit cannot go on from this fit, whose covariances were not kept (a view was wide, or the "
                "model was loaded from a file): begin with partial_fit on a clone."
            )
        n_columns = None if before is None else (before.x_mean.shape[0], before.y_mean.shape[0])
        data, Y = check_views(self, X, y, min_samples=2 if before is None else 1, n_columns=n_columns)
        check_n_components(
            self.n_components, min(data.shape[1], Y.shape[1]), f"X has {data.shape[1]} features, y has {Y.shape[1]}"
        )
        moments = Moments.of(data, Y, double=True)
        moments = moments if before is None else before + moments
        self._fit_moments(moments, check_shrinkage(self.shrinkage))
        self._moments = moments
        return self

    def _whitening_shrinkage(self) -> tuple[Shrinkage, Shrinkage]:
        return check_shrinkage(self.shrinkage)

"""What the linear estimators share: from two views and a shrinkage to weights, loadings and whitened bases."""

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from array_api_compat import array_namespace

from neurocca.cca.base import TwoViewModel
from neurocca.cca.factors import Primal
from neurocca.cca.moments import Moments
from neurocca.cca.principal import Share, check_n_pca, covariance_axes, principal_axes
from neurocca.cca.scoring import paired_correlations
from neurocca.cca.solvers import signs, solve_primal, solve_views, view_whitening
from neurocca.cca.spaces import Shrinkage, Spaces, column_scale, rotated_shrinkage, space_columns
from neurocca.cca.validation import check_n_components, check_views
from neurocca.cca.views import View

Array = Any
Pair = tuple[Array, Array]


class ColumnMap(NamedTuple):
    """What is done to a view's columns before the solver sees them."""

    scale: Array | None
    shrinkage: float
    gain: float = 1.0
    """What variates are multiplied by, where the shrunk covariance of the solver is not that of the columns."""

    def unmap(self, W: Array, axes: Array | None) -> Array:
        """Weights for the original columns, shape (p, k), from weights for what the solver saw."""
        W = W if axes is None else axes @ W
        W = W if self.gain == 1 else W * self.gain
        return W if self.scale is None else W / self.scale[:, None]


class LinearModel(TwoViewModel):
    """A linear estimator with the parameters of `LinearCCA`, which a subclass fits."""

    n_components: int | None
    scale: bool
    n_pca: Share | tuple[Share, Share]
    x_spaces: Spaces | None
    y_spaces: Spaces | None
    y_columns: int | None

    def whitening(self, X: Any, y: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Means and whitening matrices of both views: ``(X - mean) @ W`` has the identity as (shrunk) covariance.

        They depend on each view alone. Rearranging the rows of a view leaves them as they are, which is what
        permutation tests are built on.

        Returns
        -------
        ((x_mean, Wx), (y_mean, Wy)) : arrays, shapes (p,), (p, rx) and (q,), (q, ry)
        """
        checked = copy(self)  # looking at other data is no fit, and their names are those of this call only
        return checked._whitening(check_views(checked, X, y))

    def _whitening(self, arrays: Pair) -> tuple[Pair, Pair]:
        views = [View.of(view) for view in arrays]
        maps = self._column_maps([view.variances() for view in views], self._whitening_shrinkage())
        found = []
        for view, columns, n_pca in zip(views, maps, check_n_pca(self.n_pca), strict=True):
            scaled = View(view.data, view.mean, columns.scale)
            axes = principal_axes(scaled, n_pca)
            kept = scaled if axes is None else View.of(scaled.times(axes))
            found.append((view.mean, columns.unmap(view_whitening(kept, columns.shrinkage), axes)))
        return found[0], found[1]

    def whitened(self, X: Any, y: Any) -> tuple[Array, Array]:
        """Whitened bases of both views; the singular values of their cross-product are what CCA maximises.

        Returns
        -------
        U, V : arrays, shapes (n, rx) and (n, ry)
        """
        checked = copy(self)
        views = check_views(checked, X, y)
        U, V = ((view - mean) @ W for view, (mean, W) in zip(views, checked._whitening(views), strict=True))
        return U / (U.shape[0] - 1) ** 0.5, V / (V.shape[0] - 1) ** 0.5

    @abstractmethod
    def _whitening_shrinkage(self) -> tuple[Shrinkage, Shrinkage]:
        """Shrinkage of both views, given or chosen."""

    def _variates(self, view: Array, which: Literal["x", "y"]) -> Array:
        mean, weights = (self.x_mean_, self.x_weights_) if which == "x" else (self.y_mean_, self.y_weights_)
        return View(view, mean).times(weights)

    def _check_n_components(self, X: Array, Y: Array) -> int:
        (n, p), q = X.shape, Y.shape[1]
        kept = [size for size in check_n_pca(self.n_pca) if isinstance(size, int)]
        sizes = f"X has {p} features, y has {q}, and there are {n} samples"
        return check_n_components(self.n_components, min(n - 1, p, q, *kept), sizes)

    def _fit_data(self, X: Array, Y: Array, shrinkage: tuple[Shrinkage, Shrinkage]) -> Moments | None:
        """Fit by covariances, which come back, or, when a view is wider than long, by products of samples."""
        if max(X.shape[1], Y.shape[1]) > X.shape[0]:
            self._fit_views(View.of(X), View.of(Y), shrinkage)
            return None
        moments = Moments.of(X, Y)
        self._fit_moments(moments, shrinkage, (X, Y))
        return moments

    def _fit_moments(
        self, m: Moments, shrinkage: tuple[Shrinkage, Shrinkage], data: tuple[Array, Array] | None = None
    ) -> Self:
        """Fit from covariances; the data, where there are some, tell a deficient rank more surely."""
        x, y = self._column_maps(m.variances(), shrinkage)
        Sxx, Sxy, Syy = m.covariances(x.scale, y.scale)
        n_pca = check_n_pca(self.n_pca)
        axes = [covariance_axes(S, size, m.n) for S, size in zip((Sxx, Syy), n_pca, strict=True)]
        if axes[0] is not None:
            Sxx, Sxy = axes[0].T @ Sxx @ axes[0], axes[0].T @ Sxy
        if axes[1] is not None:
            Syy, Sxy = axes[1].T @ Syy @ axes[1], Sxy @ axes[1]
        means = (m.x_mean, m.y_mean)
        views = [
            None if data is None or axes[i] is not None else View(data[i], means[i], columns.scale)
            for i, columns in enumerate((x, y))
        ]
        fx, fy = Primal(Sxx, x.shrinkage, m.n, views[0]), Primal(Syy, y.shrinkage, m.n, views[1])
        _, a, b = solve_primal(fx, fy, Sxy, self.n_components)
        a, b = x.unmap(a, axes[0]), y.unmap(b, axes[1])
        if data is None or (fx.squares_well and fy.squares_well):
            return self._keep(means, (a, b), *m.described(a, b))
        x_view, y_view = View(data[0], means[0]), View(data[1], means[1])
        U, V = x_view.times(a), y_view.times(b)
        (x_loadings, x_from_y, _), (y_loadings, y_from_x, _) = x_view.described(U, V), y_view.described(V, U)
        described = paired_correlations(U, V), (x_loadings, y_loadings), (y_from_x, x_from_y)
        return self._keep(means, (a, b), *described)

    def _fit_views(self, x: View, y: View, shrinkage: tuple[Shrinkage, Shrinkage]) -> Self:
        """Fit from the data themselves, of which at least one view is wide."""
        scales = self.scale or self.x_spaces is not None or self.y_spaces is not None
        # variances take a pass over the data; a constant view is found on the way in any case
        variances = [view.variances() if scales else view.mean * 0 + 1 for view in (x, y)]
        maps = self._column_maps(variances, shrinkage)
        scaled = [View(view.data, view.mean, c.scale) for view, c in zip((x, y), maps, strict=True)]
        axes = [principal_axes(view, size) for view, size in zip(scaled, check_n_pca(self.n_pca), strict=True)]
        kept = [view if Z is None else View.of(view.times(Z)) for view, Z in zip(scaled, axes, strict=True)]
        solved = solve_views(kept[0], kept[1], self.n_components, (maps[0].shrinkage, maps[1].shrinkage))
        U, V = solved.x_variates * maps[0].gain, solved.y_variates * maps[1].gain
        found = []
        for view, inner, columns, Z, own, other, solution in (
            (x, kept[0], maps[0], axes[0], U, V, solved.x),
            (y, kept[1], maps[1], axes[1], V, U, solved.y),
        ):
            if inner.is_wide:
                loading, across, products = view.described(own, other, solution)
                # X' over the scale times the coefficients are weights for scaled columns
                products = products if columns.scale is None else products / columns.scale[:, None]
                found.append((columns.unmap(products, None), loading, across))
            else:
                loading, across, _ = view.described(own, other)
                found.append((columns.unmap(solution, Z), loading, across))
        (a, x_loadings, x_from_y), (b, y_loadings, y_from_x) = found
        correlations = paired_correlations(U, V)
        return self._keep((x.mean, y.mean), (a, b), correlations, (x_loadings, y_loadings), (y_from_x, x_from_y))

    def _keep(self, means: Pair, weights: Pair, correlations: Array, loads: Pair, across: Pair) -> Self:
        # the sign of a component is free; loadings, unlike weights, do not depend on units
        sign = signs(loads[0])
        self.x_mean_, self.y_mean_ = means
        self.x_weights_, self.y_weights_ = (w * sign for w in weights)
        self.x_loadings_, self.y_loadings_ = (loading * sign for loading in loads)
        self.y_from_x_, self.x_from_y_ = (coefficients * sign[:, None] for coefficients in across)
        self.correlations_ = correlations
        return self

    def _column_maps(
        self, variances: Sequence[Array], shrinkage: tuple[Shrinkage, Shrinkage]
    ) -> tuple[ColumnMap, ColumnMap]:
        return self._column_map(0, variances[0], shrinkage[0]), self._column_map(1, variances[1], shrinkage[1])

    def _column_map(self, which: int, variances: Array, shrinkage: Shrinkage) -> ColumnMap:
        name, spaces, names = (
            ("X", self.x_spaces, getattr(self, "feature_names_in_", None)),
            ("y", self.y_spaces, getattr(self, "y_names_in_", None)),
        )[which]
        if not bool(array_namespace(variances).any(variances > 0)):
            raise ValueError(f"{name}: every column of a view is constant over the samples of a fit.")
        if which == 1 and self.y_columns is not None:
            return ColumnMap(
                None, *rotated_shrinkage(variances.shape[0], self._checked_y_columns(variances.shape[0]), shrinkage)
            )
        columns = None if spaces is None else space_columns(spaces, variances.shape[0], names)
        return ColumnMap(*column_scale(variances, self.scale, columns, shrinkage))

    def _checked_y_columns(self, n_coordinates: int) -> int:
        if self.y_spaces is not None or check_n_pca(self.n_pca)[1] is not None:
            raise ValueError("y_columns: coordinates of y go with neither y_spaces nor n_pca, which take its columns.")
        n_columns = self.y_columns
        if isinstance(n_columns, bool) or not isinstance(n_columns, int | np.integer) or n_columns < n_coordinates:
            raise ValueError(
                f"y_columns={n_columns!r} must be a number of columns that the {n_coordinates} of y can stand for."
            )
        return int(n_columns)

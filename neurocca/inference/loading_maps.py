"""Which voxels go with a component, where there are too many of them to be in memory: a test of cross-loadings.

The test is `loading_test` of the columns of y. What is tested is how columns correlate with the film's variates. These
come first, n k numbers of every permutation, and then all columns of BOLD are looked at once, block by block, with one
matrix product per block.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.bases import whitened_bases
from neurocca.inference.censoring import prepared
from neurocca.inference.checks import check_n_components, check_separable, n_dimensions, warn_of_scheme
from neurocca.inference.loading_null import stepwise_axes, unit_columns
from neurocca.inference.loadings import corrected_pvalues, threshold_of
from neurocca.inference.parallel import Progress, over_permutations
from neurocca.inference.plan import Plan, plan_permutations
from neurocca.inference.run_products import MovedProducts, TabledProducts, run_products
from neurocca.inference.schemes import Lengths, Scheme, starts
from neurocca.linalg import reciprocal, top_singular_triplets

Blocks = Callable[[], Iterable[NDArray]]
AT_ONCE = 512
"""Variates that a block of columns is multiplied by at once."""


@dataclass(frozen=True)
class LoadingMaps:
    """Cross-loadings of the columns of y, and how probable chance makes them.

    Parameters
    ----------
    loadings : array, shape (q, k)
        Correlations with the variates of X; 0 where a column is constant.
    pvalues : array, shape (q, k)
        Corrected over columns and components, as `LoadingResult.y_pvalues` are.
    null : array, shape (B, k)
        Largest absolute loading over the columns in every permutation, with the components before taken out.
    scheme : str
    is_exhaustive : bool
        Whether the permutations are all there are.
    """

    loadings: NDArray[np.floating]
    pvalues: NDArray[np.floating]
    null: NDArray[np.floating]
    scheme: str
    is_exhaustive: bool

    def threshold(self, alpha: float = 0.05) -> float:
        """Absolute loading above which p ≤ alpha, if earlier components have one; infinite if no p can be."""
        return threshold_of(self.null, alpha)


def loading_map_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    columns: Blocks | None = None,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    n_permutations: int = 1000,
    n_components: int | None = None,
    kept: ArrayLike | None = None,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
    max_memory: int = 2**31,
    progress: Progress = None,
) -> LoadingMaps:
    """Test cross-loadings of the columns of y, corrected by the maximum statistic over columns and components.

    Memory beside the views is 4 n k bytes per permutation and a block of columns.

    Parameters
    ----------
    estimator : object with ``whitened(X, y)``
    X, y : arrays, shapes (n, p) and (n, q)
        X is the view that is rearranged; means of runs are taken out of both.
    columns : callable, optional
        Gives the columns that y holds coordinates of (`neurocca.cca.coordinates`), block by block, arrays of shape
        (n, m); the columns of y by default. The callable is called once.
    runs, t_r, scheme, n_permutations, n_components, n_jobs, progress
        As in `loading_test`.
    kept : array of bool, shape (n,), optional
        Samples whose y counts, as in `permutation_test`.
    rng : int, Generator or SeedSequence
    max_memory : int
        Bytes for the table of lagged products of circular shifts.

    Returns
    -------
    LoadingMaps

    Raises
    ------
    ValueError, TypeError
        As `loading_test`.

    Warns
    -----
    InferenceWarning
        Where the scheme is known not to hold its level on such data, or p-values are coarse.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((200, 1))
    >>> X, Y = Z + rng.standard_normal((200, 3)), rng.standard_normal((200, 4))
    >>> Y[:, :2] += Z
    >>> loading_map_test(LinearCCA(1), X, Y, n_permutations=99).pvalues[:, 0] <= 0.05
    array([ True,  True, False, False])
    """
    bases = whitened_bases(estimator, X, y, runs=runs, scheme=scheme, kept=kept)
    U, V, lengths = bases.U, bases.V, bases.lengths
    check_separable(U, V, bases.n_free)
    k = check_n_components(n_components, estimator, U, V)
    plan = plan_permutations(bases.scheme, lengths, n_permutations, t_r=t_r, rng=rng)
    warn_of_scheme(plan, bases.views, n_dimensions(U) + n_dimensions(V), k)
    A, _, B = top_singular_triplets(U.T @ V, k)
    observed = _film_variates(U, A)
    observed = observed * _signs(np.asarray(bases.views[0]), observed)
    null = _NullVariates(plan.scheme.prepare(U, lengths), run_products(U, V, plan, max_memory), (A, B), plan)
    found = over_permutations(null, len(plan), n_jobs=n_jobs, progress=progress)
    blocks = (
        # of coordinates the censored samples are known, of the columns that they stand for not yet
        unit_columns(_without_run_means(np.asarray(prepared(X, block, kept, runs)[0], dtype=float), lengths))
        for block in ([bases.views[1]] if columns is None else columns())
    )
    variates = found.reshape(len(plan), k, len(U))
    loadings, maxima = maps_and_maxima(
        blocks, observed, variates, lambda rows: plan.scheme.prepare(rows, lengths), n_jobs
    )
    return LoadingMaps(
        loadings, corrected_pvalues(loadings, maxima), maxima, plan.scheme.name, plan.is_exhaustive
    )  # fmt: skip


def maps_and_maxima(
    blocks: Iterable[NDArray],
    observed: NDArray,
    null: NDArray[np.float32],
    prepare: Callable[[NDArray], NDArray],
    n_jobs: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Products of all columns with the observed variates, and the largest absolute ones with those of permutations.

    Parameters
    ----------
    blocks : iterable of array, shapes (n, m)
        Columns whose products with variates are correlations.
    observed : array, shape (n, k)
    null : array, shape (B, k, n')
    prepare : callable
        Makes n' rows of the n of a block, as the null has them.
    n_jobs : int

    Returns
    -------
    loadings : array, shape (q, k)
    maxima : array, shape (B, k)
    """
    variates = null.reshape(-1, null.shape[-1])
    loads, largest = [], np.zeros(len(variates), dtype=np.float32)
    for rows in blocks:
        loads.append(np.clip(rows.T @ observed, -1.0, 1.0).astype(np.float32))
        moved = np.asarray(prepare(rows), dtype=np.float32)
        part = over_permutations(_Largest(variates, moved), len(variates), quantum=AT_ONCE, n_jobs=n_jobs)
        np.maximum(largest, part[:, 0], out=largest)
    return np.concatenate(loads), largest.reshape(null.shape[:2])


@dataclass(frozen=True)
class _NullVariates:
    """The film's variates in permutations, component by component of length 1: one row of k n numbers each."""

    moving: NDArray
    products: MovedProducts | TabledProducts
    axes: tuple[NDArray, NDArray]
    plan: Plan

    def __call__(self, start: int, stop: int) -> NDArray[np.float32]:
        return np.stack([self._row(i) for i in range(start, stop)])

    def _row(self, i: int) -> NDArray[np.float32]:
        axes, _ = stepwise_axes(self.products(i, i + 1)[0].sum(axis=0), *self.axes)
        # an orthonormal transform of rows, as which the scheme moves them, leaves the length as it is
        moved = self.plan.scheme.move(_film_variates(self.moving, axes), self.plan[i], self.plan.lengths)
        return np.ascontiguousarray(moved.T, dtype=np.float32).ravel()


@dataclass(frozen=True)
class _Largest:
    """Largest absolute product of some rows with the columns of a block, shape (stop - start, 1)."""

    rows: NDArray[np.float32]
    block: NDArray[np.float32]

    def __call__(self, start: int, stop: int) -> NDArray[np.float32]:
        parts = [slice(i, min(i + AT_ONCE, stop)) for i in range(start, stop, AT_ONCE)]
        found = [np.abs(self.rows[part] @ self.block).max(axis=1, keepdims=True) for part in parts]
        return np.minimum(np.concatenate(found), 1)


def _film_variates(basis: NDArray, axes: NDArray) -> NDArray:
    variates = basis @ axes
    return variates * reciprocal(np.linalg.norm(variates, axis=0))


def _signs(X: NDArray, variates: NDArray) -> NDArray:
    """Signs of a fit, which make the largest loading of X in a component positive."""
    own = unit_columns(X).T @ variates
    return np.where(own[np.argmax(np.abs(own), axis=0), np.arange(own.shape[1])] < 0, -1.0, 1.0)


def _without_run_means(rows: NDArray, lengths: Lengths) -> NDArray:
    means = [np.broadcast_to(rows[a : a + n].mean(axis=0), (n, rows.shape[1])) for a, n in starts(lengths)]
    return rows - np.concatenate(means)

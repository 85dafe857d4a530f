"""Which columns a component can be read from: a permutation test of its loadings.

A permutation rearranges one view inside runs, solves CCA again and computes loadings again. Which null is right for a
component depends on those before it. They took their part of both views away, often the part of largest variance, and
chance fits what is left much better than the whole: PLS on views with one strong component found unrelated columns in
its second one in 68 % of cases at 5 %, when all components of permutations made up the null. So

- component k faces the first component of permutations that leave out the observed components before it, as in the
  step-down test of canonical correlations (Winkler et al. 2020);
- all loadings of a view are corrected by the largest absolute loading over columns *and* steps;
- a component counts for no more than those before it: a p-value is at least the smallest of each earlier component.
  After one that is noise the axes left out are those that noise happened to have, and the next null is too narrow.

References
----------
Westfall & Young (1993), Resampling-based multiple testing, Wiley.
Winkler, Renaud, Smith & Nichols (2020), Permutation inference for canonical correlation analysis, NeuroImage
220:117065, doi:10.1016/j.neuroimage.2020.117065.
"""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from array_api_compat import array_namespace
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from neurocca.inference.checks import check_n_components, check_rows, check_separable, n_dimensions, warn_of_scheme
from neurocca.inference.loading_null import Kind, NullLoadings, observed_loadings, unit_columns
from neurocca.inference.options import is_number, shown
from neurocca.inference.parallel import CheckpointLike, Progress, over_permutations
from neurocca.inference.plan import Plan, plan_permutations, run_lengths
from neurocca.inference.result import max_statistic_pvalues
from neurocca.inference.schemes import Scheme
from neurocca.linalg import top_singular_triplets

Array = Any


@dataclass(frozen=True)
class LoadingResult:
    """Loadings of both views and how probable chance makes them.

    Parameters
    ----------
    x_loadings, y_loadings : arrays, shapes (p, k) and (q, k)
        Correlations of a view's columns with the variates; 0 where a column is constant.
    x_null, y_null : arrays, shape (B, k)
        Largest absolute loading over the columns of a view in every permutation, with the components before taken out.
    x_pvalues, y_pvalues : arrays, shapes (p, k) and (q, k)
        Corrected over the view's columns and over components: (1 + #{max null ≥ |loading|}) / (1 + B), and not below
        the smallest of an earlier component.
    x_pvalues_uncorrected, y_pvalues_uncorrected : arrays, shapes (p, k) and (q, k)
        Of each loading by itself, against the same column's at the same step. Not to be read after the first component
        in which nothing is found.
    kind, scheme : str
    is_exhaustive : bool
        Whether the permutations are all there are.
    """

    x_loadings: NDArray[np.floating]
    y_loadings: NDArray[np.floating]
    x_null: NDArray[np.floating]
    y_null: NDArray[np.floating]
    x_pvalues: NDArray[np.floating]
    y_pvalues: NDArray[np.floating]
    x_pvalues_uncorrected: NDArray[np.floating]
    y_pvalues_uncorrected: NDArray[np.floating]
    kind: str
    scheme: str
    is_exhaustive: bool

    @property
    def x_pvalues_fdr(self) -> NDArray[np.floating]:
        """Adjusted for the false discovery rate among the columns of X, each component by itself, shape (p, k)."""
        return false_discovery_control(self.x_pvalues_uncorrected, axis=0)

    @property
    def y_pvalues_fdr(self) -> NDArray[np.floating]:
        """Adjusted for the false discovery rate among the columns of y, each component by itself, shape (q, k)."""
        return false_discovery_control(self.y_pvalues_uncorrected, axis=0)

    def x_threshold(self, alpha: float = 0.05) -> float:
        """Absolute loading of X above which p ≤ alpha, if earlier components have one; infinite if no p can be."""
        return threshold_of(self.x_null, alpha)

    def y_threshold(self, alpha: float = 0.05) -> float:
        """Absolute loading of y above which p ≤ alpha, if earlier components have one; infinite if no p can be."""
        return threshold_of(self.y_null, alpha)


def loading_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    n_permutations: int = 1000,
    n_components: int | None = None,
    kind: Kind = "cross",
    rng: int | Generator = 0,
    n_jobs: int = 1,
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
) -> LoadingResult:
    """Test every column's loadings, corrected by the maximum statistic over columns and components.

    Both views are whitened once; a permutation costs one product of the bases and one with the columns. Whether a
    component is there at all is what `permutation_test` and `held_out_test` say: ask that first.

    Parameters
    ----------
    estimator : object with ``whitened(X, y)``
        For example a LinearCCA, a KernelCCA, or a fitted LinearCCACV.
    X, y : arrays, shapes (n, p) and (n, q)
        X is the view that is rearranged. Means of runs stay in: take them out first where they differ.
    runs : array, shape (n,), optional
        Run label of each sample; one run by default.
    t_r : float
        Seconds per sample.
    scheme : str or Scheme
        As in `permutation_test`, of those that move rows inside runs.
    n_permutations : int
        Where there are not as many arrangements, all of them are used.
    n_components : int, optional
        By default those of the estimator, or all. All of them enter the correction: fewer test more sharply.
    kind : {"cross", "own"}
        cross: with the *other* view's variates, so that a voxel's loading is its correlation with a combination of
        features. own: with the variates of the same view. An own loading says how a column relates to a
        direction in its own view, and is large for any direction where columns correlate or are few: its null is
        close to 1 and hardly anything is ever found. Without shrinkage it is the cross-loading over the canonical
        correlation, the same map; with shrinkage a column that has nothing to do with the other view has own
        loadings if it correlates with columns that do. To mark significance in a map of own loadings take the
        p-values of the cross-loadings.
    rng : int or Generator
    n_jobs : int
        Parallel jobs, on any joblib backend; the result does not depend on it.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        A test that was interrupted goes on from there.

    Returns
    -------
    LoadingResult

    Raises
    ------
    ValueError
        When runs are too short for the scheme, views do not fit each other or hold values that are not finite, there
        are fewer components than asked for, or so many columns are left unregularised that every null correlation
        would be 1.
    TypeError
        When the estimator has no ``whitened(X, y)``.

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
    >>> loading_test(LinearCCA(1), X, Y, n_permutations=99).y_pvalues[:, 0] <= 0.05
    array([ True,  True, False, False])
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind={kind!r} is none of {', '.join(get_args(Kind))}.")
    if not hasattr(estimator, "whitened"):
        raise TypeError(f"{type(estimator).__name__} has no whitened(X, y); held_out_test takes any estimator.")
    views = check_rows(X, y)
    # as it came: a data frame's names may say which columns belong to which space
    U, V = estimator.whitened(X, y)
    check_separable(U, V, U.shape[0] - 1)
    k = check_n_components(n_components, estimator, U, V)
    plan = plan_permutations(scheme, run_lengths(runs, U.shape[0]), n_permutations, t_r=t_r, rng=rng)
    warn_of_scheme(plan, views, n_dimensions(U) + n_dimensions(V), k)
    x_columns, y_columns = (unit_columns(array_namespace(U).astype(view, U.dtype, copy=False)) for view in views)
    A, _, B = top_singular_triplets(U.T @ V, k)
    observed = observed_loadings((U, V), (x_columns, y_columns), (A, B), kind)
    null = NullLoadings((U, V), (x_columns, y_columns), (A, B), plan, kind, observed)
    found = over_permutations(
        null, len(plan), n_jobs=n_jobs, progress=progress, checkpoint=checkpoint,
        key=(U, V, x_columns, y_columns, k, kind, plan),
    )  # fmt: skip
    return _result(observed, found, plan, kind)


def _result(observed: tuple[NDArray, NDArray], found: NDArray[np.uint8], plan: Plan, kind: Kind) -> LoadingResult:
    x, y = observed
    k = x.shape[1]
    maxima = np.ascontiguousarray(found[:, : 16 * k]).view(np.float64)
    x_null, y_null = maxima[:, :k], maxima[:, k:]
    counts = np.zeros(x.size + y.size, dtype=int)
    for bits in found[:, 16 * k :]:
        counts += np.unpackbits(bits, count=len(counts))
    each = (1 + counts) / (1 + len(found))
    return LoadingResult(
        x_loadings=x,
        y_loadings=y,
        x_null=x_null,
        y_null=y_null,
        x_pvalues=corrected_pvalues(x, x_null),
        y_pvalues=corrected_pvalues(y, y_null),
        x_pvalues_uncorrected=each[: x.size].reshape(x.shape),
        y_pvalues_uncorrected=each[x.size :].reshape(y.shape),
        kind=kind,
        scheme=plan.scheme.name,
        is_exhaustive=plan.is_exhaustive,
    )


def corrected_pvalues(loads: NDArray, null: NDArray) -> NDArray[np.floating]:
    """p-values, shape (q, k), of loadings by the largest ones of permutations, shape (B, k); see `LoadingResult`."""
    each = np.stack([max_statistic_pvalues(np.abs(component), null) for component in loads.T], axis=1)
    # once a component has no loading to show, the observed axes of the next step are noise that was picked
    before = np.maximum.accumulate(np.r_[0.0, each.min(axis=0)[:-1]])
    return np.maximum(each, before)


def threshold_of(null: NDArray, alpha: float) -> float:
    """Absolute loading above which p ≤ alpha, from the largest ones of permutations, shape (B, k)."""
    if not (is_number(alpha) and 0 < alpha < 1):
        raise ValueError(f"alpha={shown(alpha)} must be between 0 and 1.")
    # p = (1 + m) / (1 + B) with m permutations at or above
    m = int(np.floor(alpha * (1 + len(null)) + 1e-9)) - 1
    return float(np.sort(null.max(axis=1))[::-1][m]) if m >= 0 else float("inf")

"""Held-out correlations of rearranged views: by fitting every fold again, or by algebra.

Where every fold fits whole runs and leaves whole runs out, its whitening is computed once, and a permutation costs sums
of the runs' cross-products and the decomposition of one small matrix per fold.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurocca.inference.fits import fit_rows, take_rows, with_names
from neurocca.inference.folds import Bounds, Fold, run_sizes, whole_runs
from neurocca.inference.matching import Matched, match, matched_correlations
from neurocca.inference.plan import Plan
from neurocca.inference.run_products import run_products
from neurocca.inference.whitened_folds import LeftOut, View, WhitenedFit

BATCH_BYTES = 2**23
"""Cross-products of the permutations of a batch; fixed, so that a permutation always has the same neighbours."""


@dataclass(frozen=True)
class RefittedNull:
    """Mean held-out correlations of permutations, by fitting every fold and the reference again; for any estimator.

    Parameters
    ----------
    models : list of estimators, one per fold
    reference : estimator
    X, y : arrays or data frames, shapes (n, p) and (n, q)
    groups : array, shape (n,)
    folds : list of Fold
    n_components : int
    plan : Plan
    factors : array, shape (folds,)
        What the folds' correlations are multiplied by, to make up for samples in which y is missing.
    keep_variates : bool
        Append the film's left-out variates, as `weighted_variates` gives them.
    """

    models: list[Any]
    reference: Any
    X: Any
    y: Any
    groups: NDArray
    folds: list[Fold]
    n_components: int
    plan: Plan
    factors: NDArray
    keep_variates: bool = False
    batch: int = 1
    way: str = "refitted"

    def __call__(self, start: int, stop: int) -> NDArray:
        """Statistics of permutations from ``start`` to ``stop``: shape (stop - start, k), or (…, k + k n)."""
        return np.stack([self._one(i) for i in range(start, stop)])

    def _one(self, i: int) -> NDArray:
        X = with_names(self.plan.scheme.apply(np.asarray(self.X), self.plan[i], self.plan.lengths), self.X)
        reference = fit_rows(self.reference, X, self.y, self.groups, np.arange(len(X)))
        models = (
            fit_rows(model, X, self.y, self.groups, fold.train)
            for model, fold in zip(self.models, self.folds, strict=True)
        )
        matched = matched_correlations(models, reference, X, self.y, self.folds)
        found = (matched.correlations * self.factors[:, None]).mean(axis=0)
        # a component that is not found in this permutation correlates with nothing
        missing = max(0, self.n_components - len(found))
        statistics = np.pad(found[: self.n_components], (0, missing))
        if not self.keep_variates:
            return statistics
        variates = weighted_variates(matched, self.folds, self.factors, len(X))[: self.n_components]
        return np.concatenate([statistics, np.pad(variates, ((0, missing), (0, 0))).ravel()])


def weighted_variates(matched: Matched, folds: list[Fold], factors: NDArray, n: int) -> NDArray:
    """The film's left-out variates, shape (k, n), whose products with columns are means of correlations over folds.

    Columns must be centred and of length 1 in the left-out samples of every fold.
    """
    found = np.zeros((n, matched.correlations.shape[1]))
    for fold, variates, factor in zip(folds, matched.X_variates, factors, strict=True):
        found[fold.test] = variates * factor / len(folds)
    return found.T


@dataclass
class WhitenedNull:
    """Mean held-out correlations of permutations by algebra, for estimators with ``whitening(X, y)``.

    Parameters
    ----------
    models : list of fitted estimators, one per fold
    reference : fitted estimator
    X, y : arrays or data frames, shapes (n, p) and (n, q)
    folds : list of Fold
        Of whole runs.
    bounds : list of pairs of int
    n_components : int
    plan : Plan
    max_memory : int
        Bytes that a table of lagged products may take.
    factors : array, shape (folds,)
        What the folds' correlations are multiplied by, to make up for samples in which y is missing.
    """

    models: list[Any]
    reference: Any
    X: Any
    y: Any
    folds: list[Fold]
    bounds: Bounds
    n_components: int
    plan: Plan
    max_memory: int
    factors: NDArray
    batch: int = field(init=False)
    way: str = field(init=False)

    def __post_init__(self) -> None:
        x, y = (View.of(np.asarray(view), self.bounds) for view in (self.X, self.y))
        lengths = run_sizes(self.bounds)
        rows = [np.arange(len(self.X)), *(fold.train for fold in self.folds)]
        self._fits = [
            WhitenedFit.of(
                model.whitening(take_rows(self.X, train), take_rows(self.y, train)), x, y, self._runs(train), lengths
            )
            for model, train in zip([self.reference, *self.models], rows, strict=True)
        ]
        self._left = [LeftOut.of(x, y, self._runs(fold.test), self.bounds) for fold in self.folds]
        self._cross = run_products(x.inside, y.inside, self.plan, self.max_memory)
        self.way = type(self._cross).__name__  # which decides on last digits
        self.batch = max(1, BATCH_BYTES // (8 * len(lengths) * x.R.shape[0] * y.R.shape[0]))
        # models and data are not needed any more, and would travel to other processes
        del self.models, self.reference, self.X, self.y

    def __call__(self, start: int, stop: int) -> NDArray:
        """Statistics of permutations from ``start``, a multiple of the batch, to ``stop``: shape (stop - start, k)."""
        return np.concatenate([self._some(i, min(i + self.batch, stop)) for i in range(start, stop, self.batch)])

    def _some(self, start: int, stop: int) -> NDArray:
        cross, k = self._cross(start, stop), self.n_components
        total = cross.sum(axis=1)
        a0, b0 = (_unit_rows(w) for w in self._fits[0].weights(cross, total, k))
        r = np.zeros((stop - start, k))
        for fit, left, factor in zip(self._fits[1:], self._left, self.factors, strict=True):
            a, b = (_unit_rows(w) for w in fit.weights(cross, total, k))
            similarity = (a @ a0.swapaxes(1, 2) + b @ b0.swapaxes(1, 2)) / 2
            order = np.array([match(s)[0] for s in similarity])
            r += factor * np.take_along_axis(left.correlations(cross, a, b), order, axis=1)
        return r / len(self._left)

    def _runs(self, rows: NDArray) -> NDArray[np.intp]:
        runs = whole_runs(rows, self.bounds)
        if runs is None:
            raise ValueError("a fold takes a part of a run: its whitening changes when the run is rearranged.")
        return runs


def _unit_rows(weights: NDArray) -> NDArray:
    norm = np.linalg.norm(weights, axis=-1, keepdims=True)
    return weights / np.where(norm > 0, norm, 1.0)

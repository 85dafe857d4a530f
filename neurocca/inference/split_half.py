"""Whether halves of the runs, fitted by themselves, show the same components.

Leave-one-run-out fits share most of their samples, and agree for that reason too. Halves share none. Of noise, too,
components agree somewhat: maps lie in the few directions in which the brain varies most, and components are matched to
those of the fit to all runs, which has seen both halves. So the same is done with rearranged films, one arrangement for
each split: what agreement is worth is how far it is above that of chance.

References
----------
Strother, Anderson, Hansen, Kjems, Kustra, Sidtis, Frutiger, Muley, LaConte & Rottenberg (2002), The quantitative
evaluation of functional neuroimaging experiments: the NPAIRS data analysis framework, NeuroImage 15:747-771,
doi:10.1006/nimg.2001.1034.
Tucker (1951), A method for synthesis of factor analysis studies, Personnel Research Section Report 984.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.bootstrap import rotation_to
from neurocca.inference.censoring import prepared
from neurocca.inference.checks import check_rows
from neurocca.inference.options import whole_number
from neurocca.inference.parallel import Progress, over_permutations
from neurocca.inference.plan import Plan, child_seed, labelled_bounds, plan_permutations, seed_sequence
from neurocca.inference.resampling import Fit
from neurocca.inference.schemes import Scheme

Pair = tuple[NDArray, NDArray]


@dataclass(frozen=True)
class SplitHalf:
    """Congruence of components between halves of the runs.

    Parameters
    ----------
    x, y : arrays, shape (splits, k)
        Tucker's coefficient of the loadings of both halves, -1 to 1, of the features and of the brain.
    x_chance, y_chance : arrays, shape (splits, k)
        The same with rearranged rows of X.
    n_possible : int
        Number of different splits there are.
    """

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    x_chance: NDArray[np.floating]
    y_chance: NDArray[np.floating]
    n_possible: int


def split_half(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    runs: ArrayLike,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    n_splits: int = 20,
    coordinates: bool = False,
    kept: ArrayLike | None = None,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
    progress: Progress = None,
) -> SplitHalf:
    """Fit halves of the runs, and compare their loadings component by component.

    Parameters
    ----------
    estimator : scikit-learn estimator with ``fit(X, y)`` and ``transform(X, y)``
        Cloned for every half. Whatever it has chosen on all runs, such as a shrinkage, it is given here: halves are
        compared for the components, not for choices.
    X, y : arrays, shapes (n, p) and (n, q)
    runs : array, shape (n,)
        Run label of each sample; of an odd number the second half has one run more.
    t_r : float
        Seconds per sample.
    scheme : str or Scheme
        How rows of X are rearranged for chance.
    n_splits : int
        Random different splits; all of them where there are not more.
    coordinates : bool
        Whether y holds coordinates (`neurocca.cca.coordinates`): the brain's loadings are then covariances in these,
        whose congruence is that of the columns' loadings.
    kept : array of bool, shape (n,), optional
        Samples whose y counts, as in `permutation_test`.
    rng : int, Generator or SeedSequence
    n_jobs : int
        The result does not depend on it.
    progress : callable or bool, optional

    Returns
    -------
    SplitHalf

    Raises
    ------
    ValueError
        When there is one run only, or views do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((400, 1))
    >>> X, Y = Z + rng.standard_normal((400, 3)), rng.standard_normal((400, 20))
    >>> Y[:, :10] += Z
    >>> found = split_half(LinearCCA(2, shrinkage=0.1), X, Y, runs=np.repeat([1, 2, 3, 4], 100))
    >>> found.n_possible, (found.y.mean(axis=0) > 0.9).tolist()
    (3, [True, False])
    """
    y, _ = prepared(X, y, kept, runs)
    views = check_rows(X, y)
    bounds = labelled_bounds(runs, len(views[0]))
    halves, n_possible = _halves(len(bounds), whole_number(n_splits, "n_splits"), seed_sequence(rng))
    lengths = [b - a for a, b in bounds]
    plan = plan_permutations(scheme, lengths, len(halves), t_r=t_r, rng=child_seed(seed_sequence(rng), 1))
    rows = [np.arange(a, b) for a, b in bounds]
    splits = _Splits(
        estimator, views, coordinates, [tuple(np.concatenate([rows[i] for i in h]) for h in pair) for pair in halves]
    )
    observed = over_permutations(
        _Observed(splits, splits.loadings(*views)), len(halves), n_jobs=n_jobs, progress=progress
    )
    chance = over_permutations(_Chance(splits, plan), len(halves), n_jobs=n_jobs, progress=progress)
    k = observed.shape[1] // 2
    return SplitHalf(observed[:, :k], observed[:, k:], chance[:, :k], chance[:, k:], n_possible)


def _halves(n_runs: int, n_splits: int, seed: SeedSequence) -> tuple[list[tuple[list[int], list[int]]], int]:
    """Pairs of halves, none twice, and how many pairs there are."""
    if n_runs < 2:
        raise ValueError("there is one run only: halves take at least two.")
    size, every = n_runs // 2, list(range(n_runs))
    n_possible = comb(n_runs, size) // (2 if n_runs % 2 == 0 else 1)
    stream, chosen = np.random.default_rng(child_seed(seed, 0)), dict[tuple[int, ...], None]()
    if n_possible <= n_splits:
        first = [half for half in combinations(every, size) if n_runs % 2 or 0 in half]
        chosen = dict.fromkeys(first)
    while len(chosen) < min(n_splits, n_possible):
        half = tuple(sorted(stream.permutation(n_runs)[:size].tolist()))
        # of an even number of runs a half and its complement are one split
        chosen[half if n_runs % 2 or 0 in half else tuple(sorted(set(every) - set(half)))] = None
    return [(list(half), sorted(set(every) - set(half))) for half in chosen], n_possible


@dataclass(frozen=True)
class _Splits:
    estimator: Any
    views: Pair
    coordinates: bool
    halves: list[tuple[NDArray, ...]]

    def loadings(self, X: NDArray, y: NDArray) -> Pair:
        """Loadings of both views, shapes (p, k) and (q, k), of a fit to these rows."""
        fit = Fit.of(self.estimator, X, y, None, "own")
        if not self.coordinates:
            return fit.loadings
        return fit.loadings[0], (y - y.mean(axis=0)).T @ fit.variates[1]

    def congruence(self, i: int, X: NDArray, reference: Pair) -> NDArray:
        """Of one split, shape (2 k,): features, then brain."""
        matched = []
        for half in self.halves[i]:
            found = self.loadings(X[half], self.views[1][half])
            R = rotation_to(reference, found, "signs")
            matched.append([_unit(a @ R) for a in found])
        return np.concatenate([np.sum(a * b, axis=0) for a, b in zip(*matched, strict=True)])


@dataclass(frozen=True)
class _Observed:
    splits: _Splits
    reference: Pair

    def __call__(self, start: int, stop: int) -> NDArray:
        return np.stack([self.splits.congruence(i, self.splits.views[0], self.reference) for i in range(start, stop)])


@dataclass(frozen=True)
class _Chance:
    splits: _Splits
    plan: Plan

    def __call__(self, start: int, stop: int) -> NDArray:
        return np.stack([self._row(i) for i in range(start, stop)])

    def _row(self, i: int) -> NDArray:
        X, y = self.splits.views
        # of fewer arrangements than splits the first come again
        moved = self.plan.scheme.apply(X, self.plan[i % len(self.plan)], self.plan.lengths)
        return self.splits.congruence(i, moved, self.splits.loadings(moved, y))


def _unit(columns: NDArray) -> NDArray:
    norm = np.linalg.norm(columns, axis=0)
    return columns / np.where(norm > 0, norm, 1)

"""Simulated studies: two autocorrelated views with known canonical correlations, tested and replicated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from scipy.signal import lfilter

from neurocca.inference.checks import FEW_EFFECTIVE
from neurocca.inference.options import is_number, shown, whole_number
from neurocca.inference.parallel import over_permutations
from neurocca.inference.plan import check_t_r, child_seed, plan_permutations
from neurocca.inference.products import products_of
from neurocca.inference.result import permutation_pvalues
from neurocca.inference.schemes import BlockPermute, CircularShift, Lengths, Scheme
from neurocca.inference.stepdown import Statistic, StepDown

MAX_MEMORY = 2**28
"""Bytes for the table of lagged products of one study."""


@dataclass(frozen=True)
class Study:
    """What a study is like, whatever its length.

    Parameters
    ----------
    n_features, n_responses : int
    r : tuple of float
        Canonical correlations in the population, descending; the others are 0.
    autocorrelation : float
        Of all columns, at lag 1.
    n_runs : int
    t_r : float
        Seconds per sample.
    n_components : int
    scheme : Scheme
    statistic : {"wilks", "root", "sum_of_squares"}
    n_permutations : int
    seed : SeedSequence
    """

    n_features: int
    n_responses: int
    r: tuple[float, ...]
    autocorrelation: float
    n_runs: int
    t_r: float
    n_components: int
    scheme: Scheme
    statistic: Statistic
    n_permutations: int
    seed: SeedSequence

    def __post_init__(self) -> None:
        for name in ("n_features", "n_responses", "n_runs", "n_components", "n_permutations"):
            whole_number(getattr(self, name), name)
        check_t_r(self.t_r)
        if not (is_number(self.autocorrelation) and 0 <= self.autocorrelation < 1):
            raise ValueError(f"autocorrelation={shown(self.autocorrelation)} must be from 0 to below 1.")
        narrow, r = min(self.n_features, self.n_responses), self.r
        if not 1 <= len(r) <= narrow or not all(0 <= one < 1 for one in r) or list(r) != sorted(r)[::-1]:
            raise ValueError(f"r={r} must be 1 to {narrow} descending correlations, each from 0 to below 1.")
        if self.n_components > narrow:
            raise ValueError(f"n_components={self.n_components} must be between 1 and {narrow}, of the narrower view.")

    def shortest(self, alpha: float) -> int:
        """Samples below which a p-value cannot reach alpha, or the test is known not to hold its level."""
        least = int(np.ceil(1 / alpha))
        if isinstance(self.scheme, CircularShift):
            least += 2 * self.scheme.guard(self.t_r)
        elif isinstance(self.scheme, BlockPermute):
            least = max(least, int(np.ceil(6 * self.scheme.length / self.t_r)))
        square = self.autocorrelation**2
        worth = self.n_runs * int(np.ceil(FEW_EFFECTIVE * (1 + square) / (1 - square)))
        return max(self.n_features + self.n_responses + self.n_runs, self.n_runs * least, worth)

    def simulate(self, n_samples: int, n_simulations: int, n_jobs: int = 1) -> tuple[NDArray, NDArray, NDArray]:
        """p-values, in-sample and held-out correlations, each of shape (n_simulations, n_components).

        Studies of different lengths have the same noise as far as it goes.

        Raises
        ------
        ValueError
            When every in-sample correlation would be 1.
        """
        p, q, n_free = self.n_features, self.n_responses, n_samples - self.n_runs
        if p + q > n_free:
            raise ValueError(
                f"{p} features and {q} responses fill the {max(n_free, 0)} dimensions that {n_samples} samples in "
                f"{self.n_runs} runs leave: every in-sample correlation is 1 without regularisation. At least "
                f"{p + q + self.n_runs} samples are needed, or fewer columns."
            )
        lengths = tuple(len(run) for run in np.array_split(np.arange(n_samples), self.n_runs))
        found = over_permutations(partial(_rows, self._one, lengths), n_simulations, n_jobs=n_jobs, prefer="processes")
        pvalues, in_sample, held_out = np.split(found, 3, axis=1)
        return pvalues, in_sample, held_out

    def _one(self, lengths: Lengths, i: int) -> NDArray[np.float64]:
        own, new, order = child_seed(self.seed, i).spawn(3)
        # whitened bases and triangles: view = basis @ triangle; the narrower view is the one that moves
        views = sorted(self.views(own, lengths), key=lambda view: view.shape[1])
        (U, R_x), (V, R_y) = (np.linalg.qr(view) for view in views)
        step = StepDown.of(U, V, self.n_components, self.statistic)
        A, B = (axes[:, ::-1][:, : self.n_components] for axes in (step.rotation, step.axes))
        fresh = sorted(self.views(new, lengths), key=lambda view: view.shape[1])
        variates = [x @ scipy.linalg.solve_triangular(R, a) for x, R, a in zip(fresh, (R_x, R_y), (A, B), strict=True)]
        return np.concatenate([self._pvalues(U, V, step, lengths, order), step.correlations, _cosines(*variates)])

    def _pvalues(
        self, U: NDArray, V: NDArray, step: StepDown, lengths: Lengths, order: SeedSequence
    ) -> NDArray[np.float64]:
        plan = plan_permutations(self.scheme, lengths, self.n_permutations, t_r=self.t_r, rng=order)
        null = products_of(U, V, step, plan, MAX_MEMORY)(0, len(plan))[:, 1:]
        return np.maximum.accumulate(permutation_pvalues(step.observed(U, V), null))

    def views(self, seed: SeedSequence, lengths: Lengths) -> list[NDArray[np.float64]]:
        """Two views with these canonical correlations, centred run by run: shapes (n, p) and (n, q)."""
        streams = [np.random.default_rng(child) for child in seed.spawn(2)]
        widths, k, r = (self.n_features, self.n_responses), len(self.r), np.array(self.r)
        parts = []
        for n in lengths:
            X, Y = (ar1(stream, n, m, self.autocorrelation) for stream, m in zip(streams, widths, strict=True))
            Y[:, :k] = r * X[:, :k] + np.sqrt(1 - r**2) * Y[:, :k]
            parts.append((X - X.mean(axis=0), Y - Y.mean(axis=0)))
        return [np.concatenate(view) for view in zip(*parts, strict=True)]


def ar1(stream: Generator, n: int, columns: int, autocorrelation: float) -> NDArray[np.float64]:
    """Stationary first-order autoregressive series of unit variance, shape (n, columns)."""
    noise = stream.standard_normal((n, columns))
    noise[1:] *= np.sqrt(1 - autocorrelation**2)
    return lfilter([1.0], [1.0, -autocorrelation], noise, axis=0)


def _rows(one: Callable[[Lengths, int], NDArray], lengths: Lengths, start: int, stop: int) -> NDArray[np.float64]:
    return np.stack([one(lengths, i) for i in range(start, stop)])


def _cosines(U: NDArray, V: NDArray) -> NDArray[np.float64]:
    return np.sum(U * V, axis=0) / (np.linalg.norm(U, axis=0) * np.linalg.norm(V, axis=0))

"""How much film is enough? Power of the in-sample test, and what in-sample correlations are worth, by simulation.

Whatever autocorrelated samples are worth is in the simulation. As a plausibility check: the correlation of two
first-order autoregressive series varies as much as that of n (1 - φ²) / (1 + φ²) independent samples.

References
----------
Bartlett (1946), On the theoretical specification and sampling properties of autocorrelated time-series, Supplement to
the Journal of the Royal Statistical Society 8:27-41, doi:10.2307/2983611. Helmer et al. (2024), On the stability of
canonical correlation analysis and partial least squares with application to brain-behavior associations,
Communications Biology 7:217, doi:10.1038/s42003-024-05869-4.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

from neurocca.inference.options import is_number, shown, whole_number
from neurocca.inference.plan import seed_sequence
from neurocca.inference.schemes import Scheme, as_scheme
from neurocca.inference.stepdown import Statistic
from neurocca.inference.study import Study

ENOUGH = 0.8
"""Power below which data are called too few, by custom."""
GRID = 1.1
"""Ratio of neighbouring amounts of data that are tried."""
STRIDE = 7
"""Steps of the grid that about double the data."""
MAX_SAMPLES = 100_000
"""Where the search for enough data ends: 28 hours at one second."""


@dataclass(frozen=True)
class PowerResult:
    """What a study of this size would find.

    Parameters
    ----------
    power : array, shape (k,)
        Share of simulated studies that call each component significant.
    standard_error : array, shape (k,)
        Of these shares, from the number of simulations; not 0 where all or none of them did.
    in_sample, held_out : array, shape (k,)
        Mean correlation of each component in the samples that it was fitted to, and in as many new ones.
    r : tuple of float
        Canonical correlations in the population.
    n_samples, n_features, n_responses : int
    t_r, alpha : float
    """

    power: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    in_sample: NDArray[np.float64]
    held_out: NDArray[np.float64]
    r: tuple[float, ...]
    n_samples: int
    n_features: int
    n_responses: int
    t_r: float
    alpha: float

    @property
    def gap(self) -> NDArray[np.float64]:
        """What is lost on the way from in-sample to held-out correlations, shape (k,)."""
        return self.in_sample - self.held_out

    @property
    def minutes(self) -> float:
        """Length of the data."""
        return self.n_samples * self.t_r / 60

    @property
    def is_enough(self) -> bool:
        """Whether what is there is found in four of five studies and keeps half of its correlation on new data."""
        there = slice(np.count_nonzero(self.r))
        return bool(np.all((self.power >= ENOUGH)[there]) and np.all((self.gap <= self.in_sample / 2)[there]))

    @property
    def verdict(self) -> str:
        """In plain words."""
        sentences = [self._sentence(i) for i in range(len(self.power))]
        if any(self.r):
            sentences[-1] += f": {'enough' if self.is_enough else 'too few'} data."
        return f"With {self.n_samples} samples ({self.minutes:.1f} min) of {self.n_features} features and " + (
            f"{self.n_responses} responses the test " + "; ".join(sentences)
        )

    def __str__(self) -> str:
        return self.verdict

    def _sentence(self, i: int) -> str:
        share = f"in {self.power[i]:.0%} of studies (± {self.standard_error[i]:.0%})"
        fits = f"in-sample r would be {self.in_sample[i]:.2f} and held-out r {self.held_out[i]:.2f}"
        if i >= len(self.r) or self.r[i] == 0:
            return f"finds component {i + 1}, which is none, {share}; its {fits}"
        return f"finds a correlation of {self.r[i]:.2g} {share}; {fits}"


@dataclass(frozen=True)
class MinutesNeeded:
    """The smallest amount of data that reaches a power.

    Parameters
    ----------
    n_samples : int
    minutes : float
    tried : dict from int to float
        Power at every number of samples that was simulated, in ascending order.
    at : PowerResult
        Of ``n_samples``.
    """

    n_samples: int
    minutes: float
    tried: dict[int, float]
    at: PowerResult


def power(
    n_samples: int,
    n_features: int,
    n_responses: int,
    r: float | Sequence[float],
    *,
    autocorrelation: float = 0.8,
    n_runs: int = 1,
    t_r: float = 1.0,
    n_components: int = 1,
    scheme: str | Scheme = "circular_shift",
    statistic: Statistic = "wilks",
    n_simulations: int = 200,
    n_permutations: int = 199,
    alpha: float = 0.05,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
) -> PowerResult:
    """Simulate studies and count how many find the components that are there.

    Both views are Gaussian first-order autoregressive series, centred run by run and whitened without regularisation;
    the test is the step-down one of `permutation_test`. Canonical correlations do not depend on how columns are mixed,
    so that nothing needs to be known of features and responses but how many of them there are after they were reduced
    to principal components. Shrinkage, or a spectrum that falls fast, leaves fewer in effect. With r = 0 the power is
    the share of false positives, which may be above the level where samples are few.

    Parameters
    ----------
    n_samples, n_features, n_responses : int
    r : float or sequence of float
        Canonical correlations in the population, descending; the others are 0.
    autocorrelation : float
        Of all columns, at lag 1. With 2 s per volume BOLD has about 0.8.
    n_runs : int
        Runs of equal length.
    t_r : float
        Seconds per sample.
    n_components : int
        Components that are tested, at most as many as the narrower view has columns.
    scheme : str or Scheme
    statistic : {"wilks", "root", "sum_of_squares"}
    n_simulations, n_permutations : int
        Simulated studies, and permutations in each.
    alpha : float
        Level of the test, corrected for components by closure.
    rng : int, Generator or SeedSequence
        Studies of one seed and different lengths share their noise.
    n_jobs : int
        The result does not depend on it.

    Returns
    -------
    PowerResult

    Raises
    ------
    ValueError
        When features and responses together fill the samples, so that every in-sample correlation is 1, so few
        permutations have no p-value of alpha or below, or a number is out of its range.

    Examples
    --------
    >>> print(power(200, 5, 5, 0.5, n_simulations=20, n_permutations=39))
    With 200 samples (3.3 min) of 5 features and 5 responses the test finds a correlation of 0.5 in ...
    """
    study = Study(
        n_features, n_responses, _descending(r), autocorrelation, n_runs, t_r, n_components, as_scheme(scheme),
        statistic, n_permutations, seed_sequence(rng),
    )  # fmt: skip
    _check_numbers(alpha, n_permutations, n_simulations)
    n_samples = whole_number(n_samples, "n_samples")
    return _result(study, n_samples, n_simulations, alpha, n_jobs)


def minutes_needed(
    r: float | Sequence[float],
    n_features: int,
    n_responses: int,
    *,
    power: float = ENOUGH,
    autocorrelation: float = 0.8,
    n_runs: int = 1,
    t_r: float = 2.0,
    scheme: str | Scheme = "circular_shift",
    statistic: Statistic = "wilks",
    n_simulations: int = 200,
    n_permutations: int = 199,
    alpha: float = 0.05,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
) -> MinutesNeeded:
    """Find the smallest amount of data with which a study of this kind finds what is there.

    Doubles the data until the power is reached, then halves the interval on a grid of 10 % steps, all with the same
    noise. Begins at 30 independent samples' worth, as the test does not hold its level below.

    Parameters
    ----------
    r : float or sequence of float
        Canonical correlations in the population, descending, above 0. All of them are to be found.
    n_features, n_responses : int
    power : float
        To be reached for every component in r.
    autocorrelation, n_runs, t_r, scheme, statistic, n_simulations, n_permutations, alpha, rng, n_jobs
        As in `power`.

    Returns
    -------
    MinutesNeeded

    Raises
    ------
    ValueError
        When `MAX_SAMPLES` samples are not enough, or a number is out of its range.

    Examples
    --------
    >>> needed = minutes_needed(0.6, 3, 3, n_simulations=20, n_permutations=39)
    >>> needed.minutes < 10, needed.at.power >= 0.8
    (True, array([ True]))
    """
    if not (is_number(power) and 0 < power < 1):
        raise ValueError(f"power={shown(power)} must be between 0 and 1.")
    wanted = _descending(r)
    if min(wanted) == 0:
        raise ValueError("a correlation of 0 is never found, whatever the data.")
    study = Study(
        n_features, n_responses, wanted, autocorrelation, n_runs, t_r, len(wanted), as_scheme(scheme), statistic,
        n_permutations, seed_sequence(rng),
    )  # fmt: skip
    _check_numbers(alpha, n_permutations, n_simulations)
    start = study.shortest(alpha)
    results: dict[int, PowerResult] = {}

    def reached(step: int) -> bool:
        n = round(start * GRID**step)
        if n > MAX_SAMPLES:
            raise ValueError(
                f"{max(results, default=0)} samples have a power of {min(results[max(results)].power):.0%} for r="
                f"{min(wanted):g}, and more than {MAX_SAMPLES} are not tried."
            )
        results[n] = _result(study, n, n_simulations, alpha, n_jobs)
        return bool(results[n].power.min() >= power)

    n = round(start * GRID ** _first(reached))
    tried = {m: float(results[m].power.min()) for m in sorted(results)}
    return MinutesNeeded(n, results[n].minutes, tried, results[n])


def _first(reached: Callable[[int], bool]) -> int:
    """First step at which something that stays true is true."""
    low, high = -1, 0
    while not reached(high):
        low, high = high, high + STRIDE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _descending(r: float | Sequence[float]) -> tuple[float, ...]:
    found = np.asarray(r)
    if found.ndim > 1 or not found.size or found.dtype.kind not in "fiu":
        raise ValueError(f"r={r!r} must be a correlation, or a sequence of them.")
    return tuple(np.atleast_1d(found).astype(float).tolist())


def _check_numbers(alpha: float, n_permutations: int, n_simulations: int) -> None:
    whole_number(n_simulations, "n_simulations")
    if not (is_number(alpha) and 0 < alpha < 1):
        raise ValueError(f"alpha={shown(alpha)} must be between 0 and 1.")
    if 1 / (1 + n_permutations) > alpha * (1 + 1e-9):
        raise ValueError(
            f"with n_permutations={n_permutations} no p-value can be below {1 / (1 + n_permutations):.2g}, and "
            f"alpha={alpha}: at least {math.ceil(1 / alpha - 1e-9) - 1} permutations are needed."
        )


def _result(study: Study, n_samples: int, n_simulations: int, alpha: float, n_jobs: int) -> PowerResult:
    pvalues, in_sample, held_out = study.simulate(n_samples, n_simulations, n_jobs)
    found = np.sum(pvalues <= alpha * (1 + 1e-9), axis=0)
    # two successes and two failures added: all or none of the studies is no certainty
    share = (found + 2) / (n_simulations + 4)
    return PowerResult(
        power=found / n_simulations,
        standard_error=np.sqrt(share * (1 - share) / (n_simulations + 4)),
        in_sample=in_sample.mean(axis=0),
        held_out=held_out.mean(axis=0),
        r=study.r,
        n_samples=n_samples,
        n_features=study.n_features,
        n_responses=study.n_responses,
        t_r=study.t_r,
        alpha=alpha,
    )

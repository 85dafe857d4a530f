"""Censored samples: laws, the algebra against fits in full time, and error rates."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.base import BaseEstimator

from neurocca import KernelCCA, LinearCCA, held_out_test, permutation_test
from neurocca.inference.checks import InferenceWarning
from tests.conftest import ar1


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        yield


def bursts(rng: np.random.Generator, n: int, share: float = 0.15, length: int = 5) -> np.ndarray:
    """Which of n samples are kept, where a share is censored in bursts."""
    kept = np.ones(n, dtype=bool)
    while kept.mean() > 1 - share:
        start = rng.integers(0, n - length)
        kept[start : start + length] = False
    return kept


def views(seed: int, runs=(90, 80, 100), p=3, q=5, phi=0.6, strength=0.0):
    rng = np.random.default_rng([seed, 31])
    X, Y = (np.concatenate([ar1(rng, n, m, phi) for n in runs]) for m in (p, q))
    Y[:, 0] += strength * X[:, 0]
    return X, Y, np.repeat(np.arange(len(runs)), runs), np.concatenate([bursts(rng, n) for n in runs])


class Refitted(BaseEstimator):
    """LinearCCA without its whitening, so that the test fits it in every permutation."""

    def __init__(self, n_components=1):
        self.n_components = n_components

    def fit(self, X, y):
        self.cca_ = LinearCCA(self.n_components).fit(X, y)
        return self

    def transform(self, X, y):
        return self.cca_.transform(X, y)


@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize", "block_permute"])
def test_where_nothing_is_censored_nothing_changes(scheme):
    X, Y, runs, _ = views(0)
    shared = {"runs": runs, "scheme": scheme, "n_permutations": 19, "t_r": 2.0}
    everything = np.ones(len(X), dtype=bool)
    for test, fields in ((permutation_test, ("correlations", "observed", "null", "largest")),
                         (held_out_test, ("correlations", "mean", "null"))):  # fmt: skip
        plain, masked = (test(LinearCCA(2), X, Y, **shared, **more) for more in ({}, {"kept": everything}))
        for name in fields:
            assert getattr(plain, name).tobytes() == getattr(masked, name).tobytes()


@pytest.mark.parametrize("test", [permutation_test, held_out_test])
def test_what_censored_samples_hold_does_not_matter(test):
    X, Y, runs, kept = views(1)
    shared = {"runs": runs, "n_permutations": 19, "t_r": 2.0, "kept": kept}
    artefacts, gaps = Y.copy(), Y + 7.0
    artefacts[~kept] *= 1e4
    gaps[~kept] = np.nan
    a, b = (test(LinearCCA(2), X, data, **shared) for data in (artefacts, gaps))
    c = test(LinearCCA(2), X, pd.DataFrame(gaps), **shared)
    for other in (b, c):
        np.testing.assert_allclose(a.correlations, other.correlations, atol=1e-9)
        np.testing.assert_allclose(a.null, other.null, atol=1e-9)


def test_the_statistic_is_the_covariance_over_kept_samples(rng):
    X, Y, runs, kept = views(2)
    x, y = X[:, :1], Y[:, :1]
    found = permutation_test(LinearCCA(1), x, y, runs=runs, n_permutations=9, statistic="root", kept=kept)
    x_all = np.concatenate([x[runs == r] - x[runs == r].mean() for r in range(3)])[:, 0]
    y_kept = np.concatenate([y[(runs == r) & kept] - y[(runs == r) & kept].mean() for r in range(3)])[:, 0]
    expected = abs(np.mean(x_all[kept] * y_kept)) / (x_all.std() * np.sqrt(np.mean(y_kept**2)))
    assert found.correlations[0] == pytest.approx(expected, rel=1e-9)
    assert found.observed[0] == pytest.approx(expected, rel=1e-9)


def test_algebra_of_held_out_folds_agrees_with_fitting_them():
    X, Y, runs, kept = views(3, strength=0.4)
    shared = {"runs": runs, "n_permutations": 9, "kept": kept}
    algebra, fitted = (held_out_test(estimator, X, Y, **shared) for estimator in (LinearCCA(1), Refitted(1)))
    np.testing.assert_allclose(algebra.correlations, fitted.correlations, atol=1e-10)
    np.testing.assert_allclose(algebra.null, fitted.null, atol=1e-8)


def test_correlations_are_not_smaller_for_the_gaps():
    """Without the factor they would be too small by the square root of the share that is kept: 8 %."""
    ratios = []
    for seed in range(10):
        X, Y, runs, kept = views(seed, strength=1.0)
        whole, gaps = (held_out_test(LinearCCA(1), X, Y, runs=runs, n_permutations=1, kept=k) for k in (None, kept))
        ratios.append(gaps.mean[0] / whole.mean[0])
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("phi", [0.5, 0.85])
@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize"])
def test_independent_views_are_rarely_called_related(scheme, phi):
    n_simulations, in_sample, held_out = 40, 0, 0
    for seed in range(n_simulations):
        X, Y, runs, kept = views(seed, phi=phi)
        Y[~kept] += 100.0
        shared = {"runs": runs, "scheme": scheme, "n_permutations": 39, "rng": seed, "kept": kept}
        in_sample += permutation_test(LinearCCA(1), X, Y, **shared).pvalues_stepdown[0] <= 0.05
        held_out += held_out_test(LinearCCA(1), X, Y, **shared).pvalues[0] <= 0.05
    bound = binom.ppf(0.999, n_simulations, 0.05)
    assert in_sample <= bound
    assert held_out <= bound


def test_what_is_shared_is_found_beside_gaps():
    found = 0
    for seed in range(10):
        X, Y, runs, kept = views(seed, strength=0.6)
        found += held_out_test(LinearCCA(1), X, Y, runs=runs, n_permutations=39, kept=kept).pvalues[0] <= 0.05
    assert found >= 9


def test_masks_that_cannot_be_used_are_refused():
    X, Y, runs, kept = views(4)
    for test in (permutation_test, held_out_test):
        with pytest.raises(ValueError, match="kept must be 270 truth values"):
            test(LinearCCA(1), X, Y, runs=runs, kept=kept.astype(float))
        with pytest.raises(ValueError, match="run 2 in order keeps 2 of 80 samples"):
            test(LinearCCA(1), X, Y, runs=runs, kept=np.where(runs == 1, np.arange(270) < 92, True))
        with pytest.raises(ValueError, match="kernel matrices"):
            test(KernelCCA(1, kernel="precomputed"), X @ X.T, Y @ Y.T, runs=runs, kept=kept)
    with pytest.raises(ValueError, match="censored samples do not go with nuisance variables"):
        permutation_test(LinearCCA(1), X, Y, runs=runs, scheme="prewhiten", kept=kept)
    with pytest.raises(ValueError, match="not whitened bases"):
        permutation_test(X, Y, runs=runs, kept=kept)

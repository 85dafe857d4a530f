"""Error rates and power of the in-sample test, on few simulations; benchmarks/calibration.py has them on many."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom

from neurocca import LinearCCA, permutation_test
from neurocca.inference.checks import InferenceWarning
from tests.conftest import ar1

N = 150
BOUND = binom.ppf(0.999, N, 0.05) / N


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        yield


def rate(scheme, phi, runs, *, p=4, q=6, strength=0.0, n=N):
    labels, rejected = np.repeat(np.arange(len(runs)), runs), 0
    for seed in range(n):
        rng = np.random.default_rng([seed, 11])
        X, Y = (np.concatenate([ar1(rng, length, m, phi) for length in runs]) for m in (p, q))
        Y[:, 0] += strength * X[:, 0]
        test = permutation_test(LinearCCA(1), X, Y, runs=labels, scheme=scheme, n_permutations=59, rng=seed)
        rejected += test.pvalues_stepdown[0] <= 0.05
    return rejected / n


@pytest.mark.parametrize("runs", [(300,), (200, 200)], ids=["one run", "two runs"])
@pytest.mark.parametrize("phi", [0.0, 0.8])
@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize", "prewhiten"])
def test_independent_series_are_rarely_called_related(scheme, phi, runs):
    assert rate(scheme, phi, runs) <= BOUND


def test_shuffled_rows_of_time_series_are_the_warning_example():
    assert rate("row_shuffle", 0.8, (300,), n=20) > 0.8
    assert rate("row_shuffle", 0.0, (100,)) <= BOUND


@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize", "prewhiten"])
def test_what_is_shared_is_found(scheme):
    assert rate(scheme, 0.6, (200, 200), strength=0.5, n=20) >= 0.9


@pytest.mark.parametrize(("scheme", "phi"), [("row_shuffle", 0.0), ("circular_shift", 0.7)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_components_after_the_only_real_one_are_rarely_called_real(scheme, phi, shrinkage):
    first, second, naive = 0, 0, 0
    for seed in range(N):
        rng = np.random.default_rng([seed, 12])
        n = 100 if phi == 0 else 400
        X, Y = ar1(rng, n, 6, phi), ar1(rng, n, 8, phi)
        Y[:, 0] += 3 * X[:, 0]
        U, V = LinearCCA(2, shrinkage=shrinkage).whitened(X, Y)
        test = permutation_test(U, V, scheme=scheme, n_permutations=59, rng=seed, n_components=2)
        first += test.pvalues_stepdown[0] <= 0.05
        second += test.pvalues_stepdown[1] <= 0.05
        if scheme == "row_shuffle" and shrinkage == 0:
            nulls = [np.linalg.svd(U[rng.permutation(n)].T @ V, compute_uv=False)[1] for _ in range(59)]
            naive += 1 + np.sum(np.array(nulls) >= test.correlations[1]) <= 3
    assert first == N
    assert second / N <= BOUND
    if scheme == "row_shuffle" and shrinkage == 0:
        assert naive / N > 0.15, "without the problem this test shows nothing"

"""Prewhitening: restricted likelihood against its definition, recovered filters, and error rates."""

import warnings

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.optimize import minimize_scalar
from scipy.signal import lfilter
from scipy.stats import binom
from statsmodels.tsa.ar_model import AutoReg

from neurocca import LinearCCA, Prewhiten, permutation_test
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.prewhiten import filtered
from tests.conftest import ar1


def ar_process(rng, a, n, columns):
    return lfilter([1.0], a, rng.standard_normal((n + 300, columns)), axis=0)[300:]


def test_the_filter_turns_a_process_into_its_innovations():
    rng = np.random.default_rng(0)
    a, noise = np.array([1, -1.2, 0.5]), rng.standard_normal((80, 3))
    series = lfilter([1.0], a, noise, axis=0)
    np.testing.assert_allclose(filtered(series, a, (50, 30))[:48], noise[2:50], atol=1e-10)
    assert filtered(series, a, (50, 30)).shape == (76, 3)
    np.testing.assert_allclose(filtered(series, a, (50, 30))[48:], noise[52:], atol=1e-10)


def test_the_filter_and_its_order_are_found_again():
    rng = np.random.default_rng(1)
    a = np.array([1, -1.2, 0.5])
    Y = np.concatenate([ar_process(rng, a, n, 12) * np.arange(1, 13) + n for n in (400, 300)])
    found = Prewhiten().fit(Y, np.zeros((700, 0)), (400, 300))
    np.testing.assert_allclose(found, a, atol=0.05)
    assert Prewhiten().fit(rng.standard_normal((700, 12)), np.zeros((700, 0)), (400, 300)).tolist() == [1]


def test_without_nuisance_it_is_close_to_conditional_least_squares():
    rng = np.random.default_rng(2)
    y = ar_process(rng, np.array([1, -0.6, -0.2]), 2000, 1)
    expected = AutoReg(y[:, 0], 2).fit().params[1:]
    found = Prewhiten(order=2).fit(y, np.zeros((2000, 0)), (2000,))
    np.testing.assert_allclose(-found[1:], expected, atol=0.01)


def test_it_maximises_the_restricted_likelihood():
    """Of an AR(1) with nuisance variables and a mean, by the dense covariance matrix and another optimiser."""
    rng = np.random.default_rng(3)
    n, r = 600, 80  # the first sample, which is lost, matters little
    y, Z = ar1(rng, n, 1, 0.8), rng.standard_normal((n, r))

    def deviance(phi):
        V = toeplitz(phi ** np.arange(n)) / (1 - phi**2)
        D = np.column_stack([np.ones(n), Z])
        W = np.linalg.inv(V)
        information = D.T @ W @ D
        rss = y.T @ (W - W @ D @ np.linalg.solve(information, D.T @ W)) @ y
        return np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1] + (n - r - 1) * np.log(rss[0, 0])

    exact = minimize_scalar(deviance, bounds=(0, 0.99), method="bounded").x
    found = Prewhiten(order=1).fit(y, Z, (n,))
    assert -found[1] == pytest.approx(exact, abs=0.006)


def test_many_nuisance_variables_do_not_bias_the_filter():
    found, plain = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        Y, Z = ar1(rng, 300, 5, 0.9), ar1(rng, 300, 60, 0.3)
        found.append(-Prewhiten(order=1).fit(Y, Z, (150, 150))[1])
        left = Y - Z @ np.linalg.lstsq(Z, Y)[0]
        plain.append(-Prewhiten(order=1).fit(left, Z[:, :0], (150, 150))[1])
    assert np.mean(found) == pytest.approx(0.9, abs=0.012)
    assert np.mean(plain) < 0.86, "without the bias this test shows nothing"


def test_drift_and_unit_roots_are_bounded():
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.standard_normal((300, 4)), axis=0)
    drift = np.linspace(-1, 1, 300)[:, None] ** np.arange(1, 4)
    for Z in (drift, drift[:, :0]):
        a = Prewhiten().fit(walk, Z, (300,))
        assert np.isfinite(a).all()
        assert abs(a.sum()) < 0.1


def false_positives(n, noise, scheme, nuisance=0, phi_z=0.3):
    rejected = 0
    for seed in range(n):
        rng = np.random.default_rng([seed, 6])
        X, Y = (np.hstack([ar1(rng, 300, 1, phi) for phi in noise(columns)]) for columns in (4, 6))
        Z = ar1(rng, 300, nuisance, phi_z)
        X, Y = X + Z @ rng.standard_normal((nuisance, 4)), Y + Z @ rng.standard_normal((nuisance, 6))
        test = permutation_test(
            LinearCCA(1), X, Y, runs=np.repeat([1, 2], 150), scheme=scheme, n_permutations=59, rng=seed,
            nuisance=Z if nuisance else None,
        )  # fmt: skip
        rejected += test.pvalues_stepdown[0] <= 0.05
    return rejected / n


def constant(phi):
    return lambda columns: [phi] * columns


@pytest.mark.parametrize(
    ("noise", "scheme", "nuisance", "phi_z"),
    [
        (constant(0.9), Prewhiten(), 0, 0),
        (constant(0.9), Prewhiten(order=1), 30, 0.3),
        (constant(0.8), Prewhiten(order=2), 15, 0.98),
        (lambda m: np.linspace(0.2, 0.9, m), Prewhiten(order=1, per_column=True), 5, 0.8),
    ],
    ids=["none", "whiter nuisance", "smoother nuisance", "filters of columns"],
)
def test_independent_series_are_rarely_called_related(noise, scheme, nuisance, phi_z):
    n = 120
    assert false_positives(n, noise, scheme, nuisance, phi_z) <= binom.ppf(0.999, n, 0.05) / n


def test_the_same_rows_without_the_filter_are_called_related():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        assert false_positives(20, constant(0.9), "row_shuffle", 5) > 0.8


def test_a_shared_component_is_found_beside_nuisance():
    rng = np.random.default_rng(7)
    X, Y, Z = ar1(rng, 300, 4, 0.8), ar1(rng, 300, 6, 0.8), ar1(rng, 300, 10, 0.5)
    Y[:, 0] += 0.7 * X[:, 0]
    X, Y = X + Z @ rng.standard_normal((10, 4)), Y + Z @ rng.standard_normal((10, 6))
    for scheme in (Prewhiten(), Prewhiten(per_column=True)):
        test = permutation_test(LinearCCA(2), X, Y, scheme=scheme, nuisance=Z, n_permutations=99)
        assert test.scheme == "prewhiten"
        assert test.pvalues_stepdown[0] == 0.01
        assert test.correlations[0] == pytest.approx(0.57, abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda Y: Prewhiten(order=5).fit(Y, Y[:, :0], (90, 10)), "runs of 10 samples .* order 5"),
        (lambda Y: Prewhiten(order=1).fit(Y, np.eye(100)[:, :95], (100,)), "rank 95 .* order 1: 3 degrees"),
        (lambda Y: Prewhiten(order=1).fit(0 * Y, Y[:, :0], (100,)), "every column is constant"),
        (lambda Y: Prewhiten(order=-1), "order=-1"),
        (lambda Y: Prewhiten(max_order=2.5), "max_order=2.5"),
    ],
)
def test_what_cannot_be_filtered_is_refused_with_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0).standard_normal((100, 3)))

"""Definitions down to the last sample, lag and degree of freedom of the in-sample test and its prewhitening."""

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag, toeplitz
from scipy.optimize import minimize_scalar
from scipy.signal import lfilter

from neurocca import LinearCCA, Prewhiten, permutation_test
from neurocca.inference import checks
from neurocca.inference.bases import whitened_bases
from neurocca.inference.checks import InferenceWarning, check_separable, warn_of_scheme
from neurocca.inference.plan import plan_permutations
from neurocca.inference.prewhiten import _fit_order, _LaggedProducts, filtered
from neurocca.inference.result import max_statistic_pvalues, permutation_pvalues
from neurocca.inference.schemes import CircularShift, PhaseRandomize, RowShuffle
from tests.conftest import ar1

quiet = pytest.mark.filterwarnings("ignore::neurocca.inference.checks.InferenceWarning")
ROWS = {"scheme": "row_shuffle", "n_permutations": 9}
WHITE = {"scheme": Prewhiten(order=1), "n_permutations": 9}
PARTIAL = ROWS | {"nuisance": np.random.default_rng(5).standard_normal((200, 2))}


class Handed:
    """Keeps the views that it is handed, and whitens nothing."""

    n_components = 1

    def whitened(self, X, y):
        self.X, self.y = X, y
        return X, y


def orthonormal(n: int, *columns: int, runs: int = 1) -> list[np.ndarray]:
    """Bases without means of runs, each of n / runs samples."""
    views = (np.random.default_rng(m).standard_normal((runs, n // runs, m)) for m in columns)
    return [np.linalg.qr((view - view.mean(axis=1, keepdims=True)).reshape(n, -1))[0] for view in views]


def residuals(view: np.ndarray, Z: np.ndarray) -> np.ndarray:
    return view - Z @ np.linalg.lstsq(Z, view)[0]


def means(*lengths: int) -> np.ndarray:
    return block_diag(*(np.ones((n, 1)) for n in lengths))


def nothing(Y: np.ndarray) -> np.ndarray:
    return Y[:, :0]


def test_shifts_of_a_guard_in_decimals_are_those_of_exact_arithmetic():
    assert CircularShift(0.3).guard(0.1) == 3
    assert CircularShift(4.2).guard(0.7) == 6  # 4.2 / 0.7 is more than 6
    assert CircularShift(4.21).guard(0.7) == 7


def test_every_run_has_random_phases_of_its_own_all_around_the_circle():
    lengths = (40, 41)
    plan = plan_permutations(PhaseRandomize(), lengths, 2000)
    phases = np.exp(1j * np.array([plan[i] for i in range(2000)]))  # 19 of the first run and 20 of the second
    for power in (1, 2):
        assert abs((phases**power).mean(axis=0)).max() < 0.1
    between = phases[:, :19].T @ phases[:, 19:].conj() / 2000
    assert abs(between).max() < 0.1
    X = np.random.default_rng(0).standard_normal((81, 2))
    moved = PhaseRandomize().apply(X, plan[0], lengths)
    for rows, turned in ((slice(0, 40), phases[0, :19]), (slice(40, 81), phases[0, 19:])):
        before, after = (np.fft.rfft(view[rows], axis=0)[1 : len(turned) + 1] for view in (X, moved))
        np.testing.assert_allclose(after, before * turned[:, None], atol=1e-10)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_the_maximum_may_be_in_any_column(column):
    null = np.zeros((3, 3))
    null[:, column] = [0.1, 0.3, 0.5]
    np.testing.assert_allclose(max_statistic_pvalues(np.array([0.4, 0.2]), null), [0.5, 0.75])


def test_what_single_precision_cannot_tell_apart_is_a_tie():
    observed, null = np.array([0.5]), np.array([[0.5 - 1e-6], [0.4]])
    eps = float(np.finfo(np.float32).eps)
    for test in (permutation_pvalues, max_statistic_pvalues):
        np.testing.assert_allclose(test(observed, null), 1 / 3)
        np.testing.assert_allclose(test(observed, null, eps), 2 / 3)
        np.testing.assert_allclose(test(observed.astype("f"), null), 2 / 3)


@quiet
def test_shifts_by_a_period_are_ties_in_single_precision():
    U, V = (np.linalg.qr(np.tile(view, (4, 1)))[0].astype("f") for view in orthonormal(30, 3, 4))
    test = permutation_test(U, V, scheme=CircularShift(30), n_permutations=99)
    for null, observed, found in (
        (test.largest[:, None], test.correlations[:1], test.pvalues[:1]),
        (test.null, test.observed, test.pvalues_uncorrected),
    ):
        reached = null > observed - 1e-5
        assert reached[[0, 30, 60]].all()  # by 30, 60 and 90 samples
        np.testing.assert_array_equal(found, (1 + reached.sum(axis=0)) / 62)


def test_dimensions_and_components_that_are_taken_out_need_samples():
    rng = np.random.default_rng(2)
    views = [ar1(rng, 300, 5, 0.8) for _ in range(2)]  # worth more than 60 samples, less than 80
    permutation_test(LinearCCA(), *views, n_components=1, n_permutations=99)
    with pytest.warns(InferenceWarning, match=r"have 10 dimensions, of which 5 .* fewer than 50 per run or 80 in all"):
        permutation_test(LinearCCA(), *views, n_components=5, n_permutations=99)
    plan = plan_permutations(CircularShift(20), (300,), 99)
    warn_of_scheme(plan, views, 50.0)
    with pytest.warns(InferenceWarning, match=r"have 90 dimensions, .* fewer than 90 per run"):
        warn_of_scheme(plan, views, 90.0)


def test_means_of_runs_are_no_autocorrelation():
    rng, runs = np.random.default_rng(1), np.repeat(np.arange(6), 50)
    offsets = 10 * rng.standard_normal((6, 1))[runs]
    X, Y = (rng.standard_normal((300, 3)) + offsets for _ in range(2))
    assert abs(checks.autocorrelation(X, (50,) * 6)[1]) < 0.1
    permutation_test(LinearCCA(1), X, Y, runs=runs, **ROWS | {"n_permutations": 99})


def test_effective_samples_of_first_order_processes():
    for a, b in ((0.8, 0.8), (0.9, 0.6), (0.5, 0.0)):
        found = checks.effective_samples(a ** np.arange(100), b ** np.arange(100), 1000)
        assert found == pytest.approx(1000 * (1 - a * b) / (1 + a * b), rel=0.02)


def test_short_white_noise_is_not_called_autocorrelated():
    plan = plan_permutations(RowShuffle(), (40,), 99)
    for seed in range(300):
        warn_of_scheme(plan, np.random.default_rng([seed, 10]).standard_normal((2, 40, 1)))


@pytest.mark.parametrize("dtype", ["d", "f"])
@pytest.mark.parametrize("runs", [1, 3])
def test_bases_may_fill_what_the_means_leave_and_no_more(runs, dtype):
    free, options = 60 - runs, {"runs": np.repeat(np.arange(runs), 60 // runs), "n_components": 1, **ROWS}
    fits, crowd = ([b.astype(dtype) for b in orthonormal(60, p, 29, runs=runs)] for p in (free - 29, free - 28))
    check_separable(*fits, free)
    for call in (fits, (LinearCCA(), *fits)):
        assert permutation_test(*call, **options).largest.min() < 1 - 1e-6  # not all of them 1
    for call in (crowd, (LinearCCA(), *crowd)):
        with pytest.raises(ValueError, match=rf"fill more than the {free} that 60 samples leave"):
            permutation_test(*call, **options)


def test_means_of_runs_that_bases_have_are_dimensions():
    options = {"runs": np.repeat([1, 2, 3], 20), "n_components": 1, **ROWS}
    assert permutation_test(*orthonormal(60, 29, 30), **options).largest.min() < 1 - 1e-6


def test_a_basis_that_fills_everything_is_refused_beside_a_shrunk_one():
    U, V = orthonormal(40, 39, 3)
    for pair in ((U, 0.5 * V), (0.5 * V, U)):
        with pytest.raises(ValueError, match=r"39 dimensions of a view .* all that 40 samples leave"):
            permutation_test(*pair, **ROWS)
        assert permutation_test(*(b[:, :38] for b in pair), n_components=1, **ROWS).largest.std() > 0


def test_nuisance_variables_take_their_dimensions():
    rng = np.random.default_rng(0)
    X, Y, Z = (rng.standard_normal((60, m)) for m in (27, 27, 5))
    options = {"nuisance": Z, "n_components": 1, **ROWS}
    assert permutation_test(LinearCCA(), X, Y, **options).largest.max() < 1 - 1e-9
    with pytest.raises(ValueError, match=r"27 and 28 dimensions .* more than the 54 that 54 samples leave"):
        permutation_test(LinearCCA(), X, np.c_[Y, rng.standard_normal(60)], **options)


@pytest.mark.parametrize("wanted", [0, 1.5, "2", True, 4])
def test_components_are_counted_in_whole_numbers(wanted):
    X, Y = np.random.default_rng(0).standard_normal((2, 60, 3))
    with pytest.raises(ValueError, match=f"n_components={wanted!r} must be a whole number between 1 and 3"):
        permutation_test(LinearCCA(), X, Y, n_components=wanted, **ROWS)


def test_what_was_forgotten_is_named():
    X, Y = np.random.default_rng(0).standard_normal((2, 60, 3))
    with pytest.raises(ValueError, match=r"y is missing: permutation_test\(LinearCCA\(…\), X, y\)"):
        permutation_test(LinearCCA(1), X)
    with pytest.raises(TypeError, match=r"LinearCCA is a class: .* such as LinearCCA\(\)"):
        permutation_test(LinearCCA, X, Y)


@pytest.mark.parametrize(
    "options",
    [{}, {"runs": np.repeat([1, 2], 60)}, {"nuisance": np.random.default_rng(5).standard_normal((120, 2))}, WHITE],
    ids=["plain", "runs", "nuisance", "prewhiten"],
)
def test_spaces_may_be_named_by_columns(options):
    rng = np.random.default_rng(4)
    X, Y = rng.standard_normal((120, 3)) * [1, 5, 0.1] + 3, rng.standard_normal((120, 4))
    shrinkage = ({"u": 0.1, "v": 0.9}, 0.2)
    named = LinearCCA(2, x_spaces={"u": ["a", "b"], "v": ["c"]}, shrinkage=shrinkage)
    counted = LinearCCA(2, x_spaces={"u": [0, 1], "v": [2]}, shrinkage=shrinkage)
    options = ROWS | options
    found = permutation_test(named, pd.DataFrame(X, columns=list("abc")), pd.DataFrame(Y), **options)
    expected = permutation_test(counted, X, Y, **options)
    np.testing.assert_allclose(found.null, expected.null, atol=1e-12)
    np.testing.assert_allclose(found.correlations, expected.correlations, atol=1e-12)


def test_the_filter_is_that_of_y():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((300, 3)), ar1(rng, 300, 4, 0.95)
    a, handed = Prewhiten(order=1).fit(Y, nothing(Y), (150, 150)), Handed()
    assert -a[1] > 0.9
    whitened_bases(handed, X, Y, runs=np.repeat([1, 2], 150), scheme=Prewhiten(order=1))
    for found, view in ((handed.X, X), (handed.y, Y)):
        np.testing.assert_allclose(found, residuals(filtered(view, a, (150, 150)), means(149, 149)), atol=1e-10)


def test_no_sample_of_a_run_reaches_another_run():
    rng, lengths = np.random.default_rng(1), (70, 90)
    X, Y, handed = rng.standard_normal((160, 3)), ar1(rng, 160, 4, 0.7), (Handed(), Handed())
    wild = np.r_[1e3 + 1e3 * rng.standard_normal((70, 3)), X[70:]]
    for one, view in zip(handed, (X, wild), strict=True):
        whitened_bases(one, view, Y, runs=np.repeat([1, 2], lengths), scheme=Prewhiten(order=2))
    assert handed[0].X.shape == (68 + 88, 3)
    np.testing.assert_allclose(handed[1].X[68:], handed[0].X[68:], atol=1e-8)  # beside values of 1000


def test_columns_leave_what_they_owe_to_the_nuisance_under_their_own_filter():
    rng = np.random.default_rng(2)
    Z = ar1(rng, 200, 3, 0.9)
    Y = np.c_[ar1(rng, 200, 1, 0.9), ar1(rng, 200, 1, 0.1)] + 5 * Z @ rng.standard_normal((3, 2))
    X, scheme, handed = rng.standard_normal((200, 2)), Prewhiten(order=1, per_column=True), Handed()
    whitened_bases(handed, X, Y, scheme=scheme, nuisance=Z)
    common = Prewhiten(order=1).fit(Y, Z, (200,))
    design, found = np.c_[np.ones(200), Z], []
    for y in Y.T[:, :, None]:
        own = Prewhiten(order=1).fit(y, Z, (200,))
        assert abs(own[1] - common[1]) > 0.1
        left = residuals(filtered(y, own, (200,)), filtered(design, own, (200,)))
        found.append(residuals(left, filtered(design, common, (200,))))
    np.testing.assert_allclose(handed.y, np.hstack(found), atol=0.01)  # as close as the likelihoods are maximised


@pytest.mark.parametrize("constant", [np.full(200, 0.1), np.repeat([0.1, 3e3], 100)], ids=["all", "of runs"])
def test_constant_columns_do_not_switch_the_filter_off(constant):
    rng = np.random.default_rng(3)
    Y = ar1(rng, 200, 3, 0.8)
    beside = np.c_[constant, Y]
    for scheme in (Prewhiten(order=2), Prewhiten()):
        expected = scheme.fit(Y, nothing(Y), (100, 100))
        np.testing.assert_allclose(scheme.fit(beside, nothing(Y), (100, 100)), expected, atol=1e-10)
        assert -expected[1] > 0.5
    scheme = Prewhiten(order=1, per_column=True)
    common = scheme.fit(Y, nothing(Y), (100, 100))
    with_it, without = (scheme.columns(view, nothing(Y), (100, 100), common) for view in (beside, Y))
    np.testing.assert_allclose(with_it, [common, *without], atol=1e-10)


def test_no_constant_is_taken_for_a_series():
    Y = ar1(np.random.default_rng(3), 200, 3, 0.8)
    for constant in (0.3, 7.7, -2.3):
        found = Prewhiten(order=2).fit(np.c_[Y, np.full(200, constant)], nothing(Y), (200,))
        np.testing.assert_allclose(found, Prewhiten(order=2).fit(Y, nothing(Y), (200,)), atol=1e-10)


@quiet
@pytest.mark.parametrize("options", [WHITE, WHITE | {"scheme": Prewhiten(order=1, per_column=True)}, PARTIAL])
def test_constant_columns_have_no_part_in_the_test(options):
    rng = np.random.default_rng(3)
    X, Y = ar1(rng, 200, 2, 0.8), ar1(rng, 200, 3, 0.8)
    expected = permutation_test(LinearCCA(2), X, Y, **options).correlations
    found = permutation_test(LinearCCA(2), X, np.c_[Y, np.full(200, 0.1)], **options).correlations
    np.testing.assert_allclose(found, expected, atol=1e-8)


SPIKES = [
    (0, 0, 1),
    (3, 0, None),
    (9, 0, None),
    (0, 100, None),
    (3, 100, None),
    (9, 100, None),
    (30, 100, None),
    (0, 100, 1),
]


@pytest.mark.parametrize(("row", "outlier", "order"), SPIKES)
def test_a_spike_in_the_nuisance_takes_a_sample_away(row, outlier, order):
    rng = np.random.default_rng(6)
    X, Y, spike = ar1(rng, 200, 2, 0.8), ar1(rng, 200, 3, 0.8), np.zeros((200, 1))
    spike[row], scheme = 1, Prewhiten(order=order)
    Y[row] += outlier
    found = scheme.fit(Y, spike, (200,))
    test = permutation_test(LinearCCA(2), X, Y, nuisance=[spike], scheme=scheme, n_permutations=9)
    Y[row] -= outlier
    np.testing.assert_allclose(found, scheme.fit(Y, nothing(Y), (200,)), atol=0.05)
    clean = permutation_test(LinearCCA(2), X, Y, scheme=scheme, n_permutations=9)
    np.testing.assert_allclose(test.correlations, clean.correlations, atol=0.05)


@pytest.mark.parametrize("scheme", [Prewhiten(), Prewhiten(order=2), Prewhiten(order=2, per_column=True)])
def test_a_trend_has_no_errors_to_permute(scheme):
    X = np.random.default_rng(0).standard_normal((100, 2))
    with pytest.raises(ValueError, match="predicts it exactly, as it does a trend"):
        permutation_test(LinearCCA(1), X, np.arange(100.0), scheme=scheme)


def likelihood(a: np.ndarray, Y: np.ndarray, Z: np.ndarray, lengths: tuple[int, ...]) -> float:
    """Deviance by its definition, with the part of the runs' means; but for that of the scale of Z."""
    gain, kept = a.sum(), np.array(lengths) - len(a) + 1
    pairs = ((Y, a), (Z, a), (Z, np.eye(len(a))[0]))  # the last filter changes nothing
    y, z, Z = (residuals(filtered(view, by, lengths), means(*kept)) for view, by in pairs)
    penalty = np.log1p(kept * gain / (2 - gain)).sum()
    penalty += np.linalg.slogdet(z.T @ z)[1] - np.linalg.slogdet(Z.T @ Z)[1]
    free = kept.sum() - len(kept) - Z.shape[1]
    return free * np.log(np.sum(residuals(y, z) ** 2, axis=0)).sum() + Y.shape[1] * penalty


@pytest.mark.parametrize(("lengths", "columns"), [((60,) * 8, 0), ((60,) * 8, 20), ((150, 150), 80)])
@pytest.mark.parametrize("a", [[1, -0.9], [1, -0.5, -0.35]], ids=["first", "second"])
def test_the_solution_is_where_the_deviance_is_level(a, lengths, columns):
    rng = np.random.default_rng(8)
    Y = np.concatenate([lfilter([1.0], a, rng.standard_normal((n + 200, 10)), axis=0)[200:] for n in lengths])
    Z, order = rng.standard_normal((len(Y), columns)), len(a) - 1
    found, deviance = _fit_order(_LaggedProducts.of(Y, Z, lengths, order), order, np.ones(1))

    def of(coefficients):
        return likelihood(np.r_[1, coefficients], Y, Z, lengths)

    assert deviance == pytest.approx(of(found[1:]), abs=1e-3)
    step = 1e-3
    for j in range(order):
        low, middle, high = (of(found[1:] + s * np.eye(order)[j]) for s in (-step, 0, step))
        assert abs(step / 2 * (high - low) / (high + low - 2 * middle)) < 1e-3  # distance from the minimum


DENSE = [((400,) * 3, 20, 0.8, 0.004), ((150, 150), 80, 0.8, 0.008)]


@pytest.mark.parametrize(("lengths", "columns", "phi", "tolerance"), DENSE)
def test_agreement_with_the_dense_covariance_matrix(lengths, columns, phi, tolerance):
    rng = np.random.default_rng(9)
    Y = np.concatenate([ar1(rng, n, 40, phi) for n in lengths])
    D = np.c_[means(*lengths), rng.standard_normal((len(Y), columns))]

    def deviance(phi):
        roots = [np.linalg.cholesky(toeplitz(phi ** np.arange(n)) / (1 - phi**2)) for n in lengths]
        y, d = (np.linalg.solve(block_diag(*roots), view) for view in (Y, D))
        penalty = np.linalg.slogdet(d.T @ d)[1] + 2 * sum(np.log(np.diag(L)).sum() for L in roots)
        return (len(Y) - D.shape[1]) * np.log(np.sum(residuals(y, d) ** 2, axis=0)).sum() + 40 * penalty

    exact = minimize_scalar(deviance, bounds=(0.5, 0.99), method="bounded", options={"xatol": 1e-4}).x
    found = Prewhiten(order=1).fit(Y, D[:, len(lengths) :], lengths)
    assert -found[1] == pytest.approx(exact, abs=tolerance)


def test_short_runs_are_not_asked_for_high_orders():
    rng = np.random.default_rng(10)

    def order(lag, *lengths, **options):
        a = np.r_[1, np.zeros(lag - 1), -0.7]
        Y = np.concatenate([lfilter([1.0], a, rng.standard_normal((n + 200, 10)), axis=0)[200:] for n in lengths])
        return len(Prewhiten(**options).fit(Y, nothing(Y), lengths)) - 1

    assert order(3, *[30] * 20) == 3
    assert order(4, *[40] * 20) == 4
    assert order(4, *[30] * 20) <= 3
    assert order(4, 30, *[90] * 6) <= 3
    assert order(4, *[30] * 20, order=4) == 4

"""Simulated power against theory, its level, and the sentence that says whether data suffice."""

import re

import numpy as np
import pytest
from scipy.stats import binom, norm

from neurocca.inference.plan import seed_sequence
from neurocca.inference.power import MinutesNeeded, minutes_needed, power
from neurocca.inference.schemes import RowShuffle, as_scheme
from neurocca.inference.study import Study, ar1


def effective(n: int, phi: float) -> float:
    """Bartlett's number of independent samples for the correlation of two AR(1) series."""
    return n * (1 - phi**2) / (1 + phi**2)


def analytic(n: int, r: float, phi: float) -> float:
    """Power of the two-sided test of one correlation by Fisher's z."""
    shift, bound = np.arctanh(r) * np.sqrt(effective(n, phi) - 3), norm.isf(0.025)
    return float(norm.sf(bound - shift) + norm.cdf(-bound - shift))


@pytest.mark.parametrize(("n", "r", "phi"), [(150, 0.2, 0.0), (300, 0.25, 0.6), (400, 0.3, 0.8)])
def test_one_column_each_has_the_power_of_a_correlation(n, r, phi):
    found = power(n, 1, 1, r, autocorrelation=phi, n_simulations=300, n_permutations=99)
    expected = analytic(n, r, phi)
    assert 0.5 < expected < 0.9, "where the curve is steep"
    # Bartlett's formula and Fisher's z are approximations: 4 % on top of the simulation's error
    assert abs(found.power[0] - expected) < 0.04 + 2.6 * found.standard_error[0]
    assert abs(found.in_sample[0] - r) < 0.02
    assert abs(found.held_out[0] - r) < 0.02


@pytest.mark.parametrize("statistic", ["wilks", "root"])
@pytest.mark.parametrize(("p", "q"), [(1, 1), (2, 6), (6, 2)])
def test_power_without_correlation_is_the_level(p, q, statistic):
    found = power(240, p, q, 0.0, autocorrelation=0.4, statistic=statistic, n_simulations=200, n_permutations=99)
    assert binom.ppf(0.005, 200, 0.05) <= 200 * found.power[0] <= binom.ppf(0.995, 200, 0.05)
    assert abs(found.held_out[0]) < 0.02
    assert found.in_sample[0] > 0.03


def test_power_grows_with_data_and_with_correlation():
    options = {"autocorrelation": 0.5, "n_simulations": 60, "n_permutations": 59}
    by_n = [power(n, 3, 6, 0.4, **options) for n in (100, 160, 320)]
    by_r = [power(160, 3, 6, r, **options) for r in (0.2, 0.4, 0.6)]
    for results in (by_n, by_r):
        assert np.all(np.diff([found.power[0] for found in results]) > 0.1)
        assert np.all(np.diff([found.gap[0] for found in results]) < 0), "more data, or more to find, fit better"


def test_more_columns_cost_power_and_inflate_in_sample_correlations():
    few, many = (power(200, p, 2 * p, 0.4, autocorrelation=0.5, n_simulations=50, n_permutations=59) for p in (2, 15))
    assert few.power[0] > many.power[0] + 0.3
    assert many.in_sample[0] > few.in_sample[0] + 0.1
    assert many.held_out[0] < few.held_out[0] - 0.1


def test_views_have_the_correlations_and_the_autocorrelation_they_are_said_to_have():
    study = Study(3, 5, (0.7, 0.3), 0.6, 2, 1.0, 2, as_scheme("circular_shift"), "wilks", 9, seed_sequence(0))
    X, Y = study.views(seed_sequence(1), (30_000, 20_000))
    (Qx, _), (Qy, _) = np.linalg.qr(X), np.linalg.qr(Y)
    np.testing.assert_allclose(np.linalg.svd(Qx.T @ Qy)[1], [0.7, 0.3, 0], atol=0.02)
    for view in (X, Y):
        np.testing.assert_allclose(view[:30_000].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(view.std(axis=0), 1, atol=0.03)
        lagged = [np.corrcoef(x[1:30_000], x[: 30_000 - 1])[0, 1] for x in view.T]
        np.testing.assert_allclose(lagged, 0.6, atol=0.02)
    assert ar1(np.random.default_rng(0), 2, 20_000, 0.9)[0].std() == pytest.approx(1, abs=0.02), "stationary at once"


@pytest.mark.filterwarnings("ignore::neurocca.inference.checks.InferenceWarning")
def test_a_study_is_what_the_in_sample_test_says_of_its_data():
    """The same data, tested by the public test with the same random numbers, and replicated by hand."""
    from neurocca import LinearCCA, permutation_test

    corrected = 0
    for widths in ((2, 4), (4, 2)):
        study = Study(*widths, (0.1,), 0.5, 2, 1.0, 2, as_scheme("circular_shift"), "wilks", 39, seed_sequence(3))
        pvalues, in_sample, held_out = study.simulate(161, 6)
        for i in range(6):
            own, new, order = np.random.SeedSequence(3, spawn_key=(i,)).spawn(3)
            X, Y = study.views(own, (81, 80))
            cca = LinearCCA(2)
            test = permutation_test(cca, X, Y, runs=np.repeat([1, 2], [81, 80]), n_permutations=39, rng=order)
            np.testing.assert_allclose(in_sample[i], test.correlations)
            variates = cca.fit(X, Y).transform(*study.views(new, (81, 80)))
            expected = [np.corrcoef(u, v)[0, 1] for u, v in zip(*(np.asarray(v).T for v in variates), strict=True)]
            np.testing.assert_allclose(held_out[i], expected, atol=1e-10)
            np.testing.assert_array_equal(pvalues[i], test.pvalues_stepdown)
            corrected += np.any(test.pvalues_stepdown > test.pvalues_uncorrected)
    assert corrected, "else the correction would not show"


def test_each_component_has_its_power():
    found = power(200, 4, 5, [0.7, 0.4], n_components=3, autocorrelation=0.4, n_simulations=100, n_permutations=59)
    assert found.power[0] == 1
    assert 0.5 < found.power[1] < 1
    assert found.power[2] <= binom.ppf(0.995, 100, 0.05) / 100
    assert found.standard_error[0] > 0, "100 of 100 are no certainty"
    text = str(found)
    assert "a correlation of 0.7 in 100% of studies" in text
    assert "component 3, which is none" in text
    scarce = power(200, 1, 1, 0.2, n_simulations=40, n_permutations=59)
    assert scarce.gap[0] < scarce.in_sample[0] / 2, "little is lost on new data, but little is found"
    assert scarce.verdict.endswith(": too few data.")
    none = power(200, 1, 1, 0.0, n_simulations=20, n_permutations=19)
    assert "component 1, which is none" in none.verdict
    assert "data" not in none.verdict, "no data would be enough"
    much = power(400, 2, 3, [0.8], n_components=2, autocorrelation=0.4, n_simulations=20, n_permutations=39)
    assert much.verdict.endswith(": enough data."), "what is not there need not be found"


def test_the_verdict_names_numbers_and_says_whether_data_suffice():
    few = power(300, 10, 20, 0.3, t_r=2.0, n_simulations=40, n_permutations=59)
    assert not few.is_enough
    number = r"0\.\d\d"
    assert re.fullmatch(
        r"With 300 samples \(10\.0 min\) of 10 features and 20 responses the test finds a correlation of 0\.3 in \d+% "
        rf"of studies \(± \d%\); in-sample r would be {number} and held-out r {number}: too few data\.",
        few.verdict,
    )
    assert f"in {few.power[0]:.0%} of" in few.verdict
    assert f"in-sample r would be {few.in_sample[0]:.2f} and held-out r {few.held_out[0]:.2f}" in few.verdict
    many = power(600, 2, 3, 0.6, t_r=2.0, autocorrelation=0.4, n_simulations=40, n_permutations=59)
    assert many.is_enough
    assert many.verdict.endswith(": enough data.")


def test_much_power_is_not_enough_where_half_of_the_correlation_is_lost():
    found = power(120, 25, 35, 0.9, autocorrelation=0.0, scheme=RowShuffle(), n_simulations=40, n_permutations=99)
    lost = type(found)(**{**vars(found), "held_out": found.in_sample * 0.4})
    assert found.power[0] >= 0.8
    assert found.is_enough
    assert not lost.is_enough
    assert "too few data" in lost.verdict


@pytest.fixture(scope="module")
def needed() -> MinutesNeeded:
    return minutes_needed(0.4, 2, 4, autocorrelation=0.6, t_r=2.0, n_simulations=100, n_permutations=59, rng=5)


def test_minutes_needed_are_the_first_with_the_power(needed):
    assert needed.minutes == pytest.approx(needed.n_samples * 2.0 / 60)
    assert list(needed.tried) == sorted(needed.tried)
    assert needed.tried[needed.n_samples] >= 0.8
    before = max(n for n in needed.tried if n < needed.n_samples)
    assert needed.tried[before] < 0.8
    assert needed.n_samples / before < 1.13, "the next smaller amount of the grid"
    again = power(
        needed.n_samples, 2, 4, 0.4, autocorrelation=0.6, t_r=2.0, n_simulations=100, n_permutations=59, rng=5
    )
    assert again.power[0] == needed.tried[needed.n_samples]
    other = power(
        needed.n_samples, 2, 4, 0.4, autocorrelation=0.6, t_r=2.0, n_simulations=150, n_permutations=99, rng=6
    )
    assert abs(other.power[0] - 0.8) < 0.1


def test_smaller_correlations_and_higher_power_need_more(needed):
    options = {"autocorrelation": 0.6, "t_r": 2.0, "n_simulations": 50, "n_permutations": 59, "rng": 5}
    assert minutes_needed(0.3, 2, 4, **options).n_samples > 1.4 * needed.n_samples
    assert minutes_needed(0.4, 2, 4, power=0.95, **options).n_samples > needed.n_samples
    assert minutes_needed(0.9, 2, 4, **options).n_samples >= 30 / effective(1, 0.6), "below, the test is liberal"


def test_jobs_change_nothing():
    one, two = (power(100, 2, 3, 0.3, n_simulations=20, n_permutations=19, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.in_sample, two.in_sample)
    np.testing.assert_array_equal(one.power, two.power)


def test_studies_that_cannot_be_are_refused_with_numbers():
    with pytest.raises(
        ValueError, match=r"40 features and 60 responses fill the 98 dimensions that 100 samples in 2 runs"
    ):
        power(100, 40, 60, 0.3, n_runs=2)
    with pytest.raises(ValueError, match="At least 102 samples"):
        power(100, 40, 60, 0.3, n_runs=2)
    for broken, text in (
        ({"r": 1.0}, "r=.* below 1"),
        ({"r": [0.2, 0.3]}, "descending"),
        ({"r": 0.3, "n_components": 4}, "n_components=4 must be between 1 and 3"),
        ({"r": 0.3, "autocorrelation": 1.0}, r"autocorrelation=1\.0"),
        ({"r": 0.3, "alpha": 1.5}, r"alpha=1\.5"),
        ({"r": []}, r"r=\[\] must be a correlation"),
        ({"r": "strong"}, "r='strong' must be a correlation"),
        ({"r": 0.3, "n_runs": 0}, "n_runs=0"),
        ({"r": 0.3, "n_runs": 1.5}, "n_runs=1.5 must be a whole number, at least 1"),
        ({"r": 0.3, "n_components": "1"}, "n_components='1'"),
        ({"r": 0.3, "n_simulations": 0}, "n_simulations=0"),
        ({"r": 0.3, "n_simulations": 20.5}, "n_simulations=20.5"),
        ({"r": 0.3, "n_permutations": 99.5}, "n_permutations=99.5"),
        ({"r": 0.3, "t_r": 0.0}, r"t_r=0\.0 must be seconds"),
        ({"r": 0.3, "autocorrelation": "0.5"}, "autocorrelation='0.5'"),
        ({"r": 0.3, "alpha": 0}, "alpha=0 must be between 0 and 1"),
        (
            {"r": 0.3, "n_permutations": 18},
            r"n_permutations=18 no p-value can be below 0\.053, and alpha=0\.05: at least 19 permutations",
        ),
        ({"r": 0.3, "alpha": 0.001}, r"n_permutations=199 .* alpha=0\.001: at least 999 permutations"),
    ):
        with pytest.raises(ValueError, match=text):
            power(200, 3, 4, **broken)
    for sizes, text in (
        ((200.0, 3, 4), r"n_samples=200\.0 must be a whole number"),
        ((200, 3.0, 4), r"n_features=3\.0"),
        ((200, 3, 0), "n_responses=0"),
    ):
        with pytest.raises(ValueError, match=text):
            power(*sizes, 0.3)
    with pytest.raises(ValueError, match="never found"):
        minutes_needed(0.0, 3, 4)
    with pytest.raises(ValueError, match=r"power=1\.0"):
        minutes_needed(0.3, 3, 4, power=1.0)
    for options, text in (
        ({"alpha": 0}, "alpha=0"),
        ({"t_r": -1}, "t_r=-1"),
        ({"n_permutations": 9}, "at least 19 permutations"),
    ):
        with pytest.raises(ValueError, match=text):
            minutes_needed(0.3, 3, 4, **options)
    with pytest.raises(ValueError, match="must be a correlation"):
        minutes_needed([], 3, 4)


def test_numpys_numbers_are_numbers():
    n, p, q, b = np.int64([100, 2, 3, 19])
    found = power(n, p, q, np.float32(0.5), t_r=np.float32(2), n_simulations=b, n_permutations=b)
    assert found.power[0] == power(100, 2, 3, 0.5, t_r=2.0, n_simulations=19, n_permutations=19).power[0]


def test_the_search_ends_with_numbers_where_data_are_never_enough(monkeypatch):
    monkeypatch.setattr("neurocca.inference.power.MAX_SAMPLES", 500)
    with pytest.raises(ValueError, match=r"\d+ samples have a power of \d+% for r=0\.05, and more than 500"):
        minutes_needed(0.05, 2, 2, n_simulations=10, n_permutations=19)

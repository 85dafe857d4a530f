"""Why features lose whole periods: error rates of the shift test on both filters."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom

from neurocca import FeatureSeries, LinearCCA, permutation_test
from neurocca.config import AlignConfig
from neurocca.inference.checks import InferenceWarning
from neurocca.temporal.align import align_bold, align_features
from neurocca.temporal.clean import clean, standardize
from neurocca.temporal.periodic import periodic_filter
from tests.conftest import ar1

T_R, HIGH_PASS, RUNS = 2.0, 64.0, (100, 100, 100, 100)
CONFIG = AlignConfig(response="none", high_pass=HIGH_PASS, standardize="run", log=())


def periodic(film: np.ndarray) -> np.ndarray:
    names = tuple(f"f{j}" for j in range(film.shape[1]))
    return align_features([FeatureSeries(film, np.arange(len(film)) * T_R, names)], len(film), T_R, CONFIG)


def cosines(film: np.ndarray) -> np.ndarray:
    return standardize(clean(film, T_R, HIGH_PASS))


def test_the_shift_test_holds_its_level_with_whole_periods_and_not_with_the_cosines_of_bold():
    n_simulations, rejected, labels = 30, {periodic: 0, cosines: 0}, np.repeat(np.arange(len(RUNS)), RUNS)
    for seed in range(n_simulations):
        rng = np.random.default_rng([seed, 5])
        films, bold = ([ar1(rng, n, columns, 0.9) for n in RUNS] for columns in (10, 20))
        Y = np.vstack([align_bold(run, T_R, CONFIG) for run in bold])
        for way in rejected:
            X = np.vstack([way(film) for film in films])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InferenceWarning)
                test = permutation_test(LinearCCA(1), X, Y, runs=labels, t_r=T_R, n_permutations=39, rng=seed)
            rejected[way] += test.pvalues_stepdown[0] <= 0.05
    assert rejected[periodic] <= binom.ppf(0.999, n_simulations, 0.05)
    assert rejected[cosines] > 0.25 * n_simulations, "without the problem this test shows nothing"


def test_the_filter_commutes_with_rotation(rng):
    film = rng.standard_normal((120, 3)).cumsum(axis=0)
    for low_pass in (0.0, 10.0):
        rotated = periodic_filter(np.roll(film, 37, axis=0), T_R, HIGH_PASS, low_pass)
        np.testing.assert_allclose(
            rotated, np.roll(periodic_filter(film, T_R, HIGH_PASS, low_pass), 37, axis=0), atol=1e-12
        )


def test_it_leaves_what_lies_between_its_cuts():
    t = np.arange(120) * T_R  # 240 s
    slow, middle, fast = (np.sin(2 * np.pi * t / period)[:, None] for period in (120.0, 24.0, 6.0))
    passed = periodic_filter(5 + slow + middle + fast, T_R, HIGH_PASS, 10.0)
    np.testing.assert_allclose(passed, middle, atol=1e-12)
    np.testing.assert_allclose(periodic_filter(slow + fast, T_R, 0.0), slow + fast, atol=1e-12)
    assert np.all(periodic_filter(np.full((50, 1), 0.1), T_R, HIGH_PASS) == 0)


@pytest.mark.parametrize("response", ["hrf", "delays", "none"])
def test_rows_that_are_left_after_trimming_are_the_period(response, rng):
    film = FeatureSeries(rng.standard_normal((600, 2)).cumsum(axis=0), np.arange(600) / 2.0, ("a", "b"))
    X = align_features([film], 150, T_R, AlignConfig(response=response, high_pass=50.0), cut=(4, 5))
    frequency = np.fft.rfftfreq(141, T_R)
    np.testing.assert_allclose(np.fft.rfft(X, axis=0)[frequency <= 1 / 50.0], 0, atol=1e-9)

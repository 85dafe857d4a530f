"""Corrected maps: the same test as that of loadings, block by block."""

import numpy as np
import pytest
from scipy.stats import binom

from neurocca.cca.coordinates import coordinates
from neurocca.cca.linear import LinearCCA
from neurocca.inference.loading_maps import loading_map_test
from neurocca.inference.loadings import loading_test
from tests.conftest import ar1

RUNS = np.repeat([1, 2, 3], 100)


def related(rng, q=10, strength=1.0):
    """Four features; the first drives the first three of q columns; all without run means."""
    X, Y = ar1(rng, 300, 4, 0.2), ar1(rng, 300, q, 0.2)
    Y[:, :3] += strength * X[:, :1]
    return tuple(np.concatenate([v[r == RUNS] - v[r == RUNS].mean(axis=0) for r in (1, 2, 3)]) for v in (X, Y))


@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize"])
def test_it_is_the_test_of_loadings(rng, scheme):
    X, Y = related(rng, strength=0.4)
    options = {"runs": RUNS, "scheme": scheme, "n_permutations": 60, "rng": 3}
    expected = loading_test(LinearCCA(3, shrinkage=0.2), X, Y, **options)
    found = loading_map_test(LinearCCA(3, shrinkage=0.2), X, Y, **options)
    np.testing.assert_allclose(found.loadings, expected.y_loadings, atol=1e-6)
    np.testing.assert_allclose(found.null, expected.y_null, atol=1e-6)
    np.testing.assert_array_equal(found.pvalues, expected.y_pvalues)
    assert found.threshold(0.1) == pytest.approx(expected.y_threshold(0.1), abs=1e-6)


@pytest.mark.filterwarnings("ignore::neurocca.inference.checks.InferenceWarning")  # a wide view has too many dimensions
def test_coordinates_and_blocks_give_the_maps_of_all_columns(rng):
    X, Y = related(rng, q=400)
    Y /= Y.std(axis=0)
    blocks = [Y[:, :100], Y[:, 100:]]
    options = {"runs": RUNS, "n_permutations": 40}
    expected = loading_map_test(LinearCCA(2, shrinkage=(0.1, 0.5)), X, Y, **options)
    wide = LinearCCA(2, shrinkage=(0.1, 0.5), y_columns=400)
    C = coordinates(blocks, 300)
    found = loading_map_test(wide, X, C, columns=lambda: blocks, **options)
    np.testing.assert_allclose(found.loadings, expected.loadings, atol=1e-5)
    np.testing.assert_allclose(found.null, expected.null, atol=1e-5)
    np.testing.assert_array_equal(found.pvalues, expected.pvalues)
    assert (found.pvalues[:3, 0] <= 0.05).all()


def test_no_byte_depends_on_jobs_or_memory(rng):
    X, Y = related(rng)
    one, two = (
        loading_map_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=RUNS, n_permutations=30, n_jobs=jobs)
        for jobs in (1, 2)
    )
    assert one.null.tobytes() == two.null.tobytes()
    assert one.pvalues.tobytes() == two.pvalues.tobytes()
    without_table = loading_map_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=RUNS, n_permutations=30, max_memory=1)
    np.testing.assert_allclose(without_table.null, one.null, atol=1e-6)


def test_values_in_censored_samples_do_not_matter(rng):
    X, Y = related(rng)
    kept = rng.random(300) > 0.1
    spoilt = np.where(kept[:, None], Y, 1e3 * rng.standard_normal(Y.shape))
    options = {"runs": RUNS, "n_permutations": 40, "kept": kept}
    clean, found = (loading_map_test(LinearCCA(2, shrinkage=0.1), X, y, **options) for y in (Y, spoilt))
    np.testing.assert_array_equal(found.pvalues, clean.pvalues)
    assert (found.pvalues[:3, 0] <= 0.05).all()


def test_unrelated_columns_are_found_at_the_nominal_rate():
    n_simulations, wrong = 60, 0
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        X, Y = ar1(rng, 150, 3, 0.1), ar1(rng, 150, 20, 0.1)
        runs = np.repeat([1, 2], 75)
        found = loading_map_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=runs, n_permutations=39, rng=seed)
        wrong += found.pvalues.min() <= 0.05
    low, high = binom.ppf([0.001, 0.999], n_simulations, 0.05)
    assert low <= wrong <= high, f"{wrong} false alarms in {n_simulations}"

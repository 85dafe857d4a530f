"""Maps of any estimator: correlations with variates of left-out runs, and how often chance reaches them."""

import numpy as np
import pytest

from neurocca import LinearCCA
from neurocca.cca.coordinates import coordinates
from neurocca.inference.held_out import held_out_test
from neurocca.inference.held_out_maps import held_out_map_test
from tests.conftest import ar1

RUNS = np.repeat([1, 2, 3], 60)


def views(rng, related=2, unrelated=10):
    """Three runs of three features and of columns, the first of which follow the film."""
    X = np.vstack([ar1(rng, 60, 3, 0.5) for _ in range(3)])
    Y = np.vstack([ar1(rng, 60, related + unrelated, 0.5) for _ in range(3)])
    Y[:, :related] += 2 * X[:, :1]
    return X, Y


def test_loadings_are_means_of_correlations_in_left_out_runs(rng):
    X, Y = views(rng)
    options = {"runs": RUNS, "n_permutations": 19, "rng": 1}
    held = held_out_test(LinearCCA(2, shrinkage=0.2), X, Y, keep_variates=True, **options)
    found = held_out_map_test(held, X, Y, runs=RUNS)
    film = held.variates(X, Y)[0]
    expected = np.mean([np.corrcoef(Y[r == RUNS].T, film[r == RUNS].T)[:12, 12:] for r in (1, 2, 3)], axis=0)
    np.testing.assert_allclose(found.loadings, expected, atol=1e-6)
    assert found.pvalues.shape == (12, 2)
    assert (found.pvalues[:2, 0] == 0.05).all()
    # the same permutations by algebra give the test of components the same null
    by_algebra = held_out_test(LinearCCA(2, shrinkage=0.2), X, Y, **options)
    np.testing.assert_allclose(held.null, by_algebra.null, atol=1e-8)
    assert by_algebra.null_variates is None


def test_the_null_is_that_of_rearranged_films(rng):
    X, Y = views(rng)
    held = held_out_test(LinearCCA(1, shrinkage=0.2), X, Y, runs=RUNS, n_permutations=9, keep_variates=True)
    # what the first permutation did to the film is seen in its variates: with it as the film its maximum is observed
    found = held_out_map_test(held, X, Y, runs=RUNS)
    again = held_out_map_test(_with_observed(held, 0), X, Y, runs=RUNS)
    np.testing.assert_allclose(np.abs(again.loadings).max(), found.null[0, 0], rtol=1e-5)


def _with_observed(held, i):
    from dataclasses import replace

    return replace(held, left_out_variates=held.null_variates[i])


def test_columns_behind_coordinates_block_by_block_and_censored_volumes(rng):
    X, Y = views(rng, unrelated=300)
    kept = np.ones(180, dtype=bool)
    kept[[5, 70, 71]] = False
    short = coordinates([Y], 180)
    options = {"runs": RUNS, "kept": kept}
    cca = LinearCCA(1, shrinkage=0.2, y_columns=302)
    held = held_out_test(cca, X, short, n_permutations=5, keep_variates=True, **options)
    whole = held_out_map_test(held, X, Y, **options)
    blocks = held_out_map_test(held, X, short, columns=lambda: (Y[:, :100], Y[:, 100:]), **options)
    np.testing.assert_allclose(blocks.loadings, whole.loadings, atol=1e-6)
    np.testing.assert_array_equal(blocks.pvalues, whole.pvalues)
    elsewhere = Y.copy()
    elsewhere[~kept] = 1e3
    np.testing.assert_array_equal(held_out_map_test(held, X, elsewhere, **options).pvalues, whole.pvalues)


def test_unrelated_columns_are_rarely_called_related_beside_related_ones():
    found, n_simulations = 0, 60
    for seed in range(n_simulations):
        X, Y = views(np.random.default_rng(seed))
        held = held_out_test(
            LinearCCA(2, shrinkage=0.2), X, Y, runs=RUNS, n_permutations=9, keep_variates=True, rng=seed
        )
        found += (held_out_map_test(held, X, Y, runs=RUNS).pvalues[2:] <= 0.1).any()
    assert found <= 12  # of 60 at .1: more have a probability of .01 at most


def test_what_is_missing_is_said(rng):
    X, Y = views(rng)
    held = held_out_test(LinearCCA(1), X, Y, runs=RUNS, n_permutations=5)
    with pytest.raises(ValueError, match="keep_variates=True"):
        held_out_map_test(held, X, Y, runs=RUNS)
    twice = [(np.flatnonzero(RUNS != 1), np.flatnonzero(RUNS == 1))] * 2
    with pytest.raises(ValueError, match="left out by several folds"):
        held_out_test(LinearCCA(1), X, Y, runs=RUNS, n_permutations=5, cv=twice, keep_variates=True)

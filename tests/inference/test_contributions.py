"""Shares of feature spaces: of what is planted, and of noise."""

import numpy as np
import pytest

from neurocca.cca.linear import LinearCCA
from neurocca.cca.selection import LinearCCACV
from neurocca.inference.contributions import space_contributions
from neurocca.inference.held_out import held_out_test
from tests.conftest import ar1

RUNS = np.repeat([1, 2, 3, 4], 100)
SPACES = {"faces": [0, 1], "voices": [2, 3], "noise": [4, 5, 6]}


def film_and_brain(rng, q=12):
    """Faces drive six columns, voices six others; a voice goes along with a face; the third space does nothing."""
    X, Y = ar1(rng, 400, 7, 0.3), ar1(rng, 400, q, 0.3)
    X[:, 2] += X[:, 0]
    Y[:, :6] += X[:, [0]] + 0.7 * X[:, [1]]
    Y[:, 6:] += 0.5 * X[:, [3]]
    return X, Y


def shares(rng, cca=None, kept=None, spaces=SPACES):
    """Contributions and the test that they belong to."""
    X, Y = film_and_brain(rng)
    held = held_out_test(cca or LinearCCA(3, shrinkage=0.1), X, Y, runs=RUNS, n_permutations=2, kept=kept)
    return space_contributions(held, X, Y, spaces, runs=RUNS, kept=kept), held


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, (0.5, 0.1)])
@pytest.mark.parametrize("scale", [False, True])
def test_all_spaces_together_give_the_held_out_correlation(rng, shrinkage, scale):
    found, held = shares(rng, LinearCCA(3, shrinkage=shrinkage, scale=scale))
    np.testing.assert_allclose(found.all, held.correlations, atol=1e-8)


def test_so_they_do_with_censored_samples_and_with_a_chosen_shrinkage(rng):
    cca = LinearCCACV(2, shrinkage_x=(0.1, 0.9), shrinkage_y=(0.1, 0.9), scale=True)
    found, held = shares(rng, cca, kept=rng.random(400) > 0.1)
    np.testing.assert_allclose(found.all, held.correlations, atol=1e-8)


def test_planted_spaces_contribute_and_noise_does_not(rng):
    found, _ = shares(rng)
    faces, voices, noise = range(3)
    assert found.explained[0] > 0.5
    assert found.unique[faces, 0] > 0.15
    assert found.shared[voices, 0] > 0.15, "a voice goes along with the face that drives the component"
    assert abs(found.unique[voices, 0]) < 0.05, "and adds nothing to it"
    assert found.unique[voices, 1] > 0.05
    assert np.abs(found.unique[noise, :2]).max() < 0.02
    assert np.abs(found.explained_alone[noise, :2]).max() < 0.03
    assert np.all(found.unique[faces, 0] > 2 * found.unique_error[faces, 0])


def test_shares_add_up(rng):
    three, _ = shares(rng)
    np.testing.assert_allclose(three.unique.sum(axis=0) + three.shared_by_any, three.explained)
    two, _ = shares(rng, spaces={"faces": [0, 1], "rest": [2, 3, 4, 5, 6]})
    np.testing.assert_allclose(two.shared[0], two.shared[1])
    np.testing.assert_allclose(two.shared[0], two.shared_by_any)
    np.testing.assert_allclose(two.alone[0], two.without[1])


def test_left_out_runs_are_not_looked_at(rng):
    X, Y = film_and_brain(rng)
    held = held_out_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=RUNS, n_permutations=2)
    before = space_contributions(held, X, Y, SPACES, runs=RUNS)
    X[RUNS == 2, 5] = rng.standard_normal(100)
    after = space_contributions(held, X, Y, SPACES, runs=RUNS)
    np.testing.assert_array_equal(after.without[2, 1], before.without[2, 1])
    assert np.abs(after.all[1] - before.all[1]).max() > 1e-6, "the run itself has changed"
    assert np.abs(after.all[0] - before.all[0]).max() > 1e-6, "and what others learn from it"
    X[RUNS == 1] *= 7.0
    scaled = space_contributions(held, X, Y, SPACES, runs=RUNS)
    np.testing.assert_allclose(scaled.alone[:, 0], after.alone[:, 0], atol=1e-12)


def test_more_columns_than_samples_and_columns_that_a_fold_lacks(rng):
    X, Y = film_and_brain(rng)
    X = np.c_[X, rng.standard_normal((400, 500))]
    X[:, 7] = RUNS == 1  # constant inside the training runs of a fold
    spaces = {"film": range(7), "flag": [7], "wide": range(8, 507)}
    held = held_out_test(LinearCCA(2, shrinkage=0.5), X, Y, runs=RUNS, n_permutations=2)
    found = space_contributions(held, X, Y, spaces, runs=RUNS)
    np.testing.assert_allclose(found.all, held.correlations, atol=1e-6)
    np.testing.assert_array_equal(found.alone[1, 0], 0)


def test_what_cannot_be_divided_is_refused(rng):
    X, Y = film_and_brain(rng)
    held = held_out_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=RUNS, n_permutations=2)
    for spaces in ({"all": range(7)}, {"a": [0, 1, 2], "b": [2, 3, 4, 5, 6]}, {"a": [0, 1], "b": [2]}):
        with pytest.raises(ValueError, match="each of the 7 columns of X must belong to exactly one of two spaces"):
            space_contributions(held, X, Y, spaces, runs=RUNS)
    reduced = held_out_test(LinearCCA(2, n_pca=3), X, Y, runs=RUNS, n_permutations=2)
    with pytest.raises(ValueError, match="without n_pca"):
        space_contributions(reduced, X, Y, SPACES, runs=RUNS)

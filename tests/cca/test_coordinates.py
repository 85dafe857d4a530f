"""Coordinates of a wide view in place of its columns: the same fits and the same tests."""

import numpy as np
import pytest

from neurocca import LinearCCA, LinearCCACV, held_out_test, permutation_test
from neurocca.cca.coordinates import coordinates
from neurocca.cca.scoring import loadings
from neurocca.inference.checks import InferenceWarning
from tests.conftest import ar1

RUNS = np.repeat([1, 2, 3, 4], 60)


@pytest.fixture
def views(rng):
    """Four runs of 4 features and 900 voxels that share two components; every voxel standardised in every run."""
    X = ar1(rng, 240, 4, 0.5)
    Y = ar1(rng, 240, 900, 0.4)
    Y[:, :80] += X[:, :1]
    Y[:, 60:120] += X[:, 1:2]
    for run in (1, 2, 3, 4):
        part = Y[run == RUNS]
        Y[run == RUNS] = (part - part.mean(axis=0)) / part.std(axis=0)
    return X, Y


def test_products_of_samples_are_kept(views):
    _, Y = views
    C = coordinates((Y[:, i : i + 130] for i in range(0, 900, 130)), 240)
    assert C.shape == (240, 236)  # what the means of four runs leave
    np.testing.assert_allclose(C @ C.T, Y @ Y.T, atol=1e-9)
    # mixtures: a few columns stand for all, as to autocorrelation
    few = (C[1:, :20] * C[:-1, :20]).sum() / (C[:, :20] ** 2).sum()
    assert few == pytest.approx((Y[1:] * Y[:-1]).sum() / (Y**2).sum(), abs=0.05)
    with pytest.raises(ValueError, match="every column of a view is 0"):
        coordinates([np.zeros((5, 9))], 5)


@pytest.mark.parametrize("shrinkage", [(0.0, 0.01), (0.3, 0.3), (0.1, 0.9), (1.0, 1.0)])
def test_fits_are_those_of_the_columns(views, shrinkage):
    X, Y = views
    C = coordinates([Y], 240)
    own = LinearCCA(2, shrinkage=shrinkage, scale=True).fit(X, Y)
    other = LinearCCA(2, shrinkage=shrinkage, scale=True, y_columns=900).fit(X, C)
    np.testing.assert_allclose(other.correlations_, own.correlations_, atol=1e-8)
    np.testing.assert_allclose(other.x_weights_, own.x_weights_, atol=1e-7)
    expected, found = own.transform(X, Y), other.transform(X, C)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    np.testing.assert_allclose(other.predict_x(C), own.predict_x(Y), atol=1e-6)
    np.testing.assert_allclose(loadings(Y, found[1]), own.y_loadings_, atol=1e-6)
    U, V = own.whitened(X, Y)
    for basis, rotated in zip((U, V), other.whitened(X, C), strict=True):
        np.testing.assert_allclose(rotated @ rotated.T, basis @ basis.T, atol=1e-8)


def test_choice_and_tests_are_those_of_the_columns(views):
    X, Y = views
    C = coordinates([Y], 240)
    shared = {"runs": RUNS, "n_permutations": 49, "rng": 3}
    own = held_out_test(LinearCCACV(2, scale=True), X, Y, **shared)
    other = held_out_test(LinearCCACV(2, scale=True, y_columns=900), X, C, **shared)
    assert [e.shrinkage_ for e in other.estimators] == [e.shrinkage_ for e in own.estimators]
    np.testing.assert_allclose(other.estimator.cv_scores_, own.estimator.cv_scores_, atol=1e-7)
    np.testing.assert_allclose(other.correlations, own.correlations, atol=1e-7)
    np.testing.assert_allclose(other.null, own.null, atol=1e-6)
    np.testing.assert_array_equal(other.pvalues, own.pvalues)
    with pytest.warns(InferenceWarning) as warned:
        steps = permutation_test(own.estimator, X, Y, statistic="root", **shared)
    with pytest.warns(InferenceWarning, match="240 samples in 4 runs are worth 1[67]. independent ones") as same:
        rotated = permutation_test(other.estimator, X, C, statistic="root", **shared)
    assert len(same) == len(warned) == 1
    np.testing.assert_allclose(rotated.observed, steps.observed, atol=1e-7)
    np.testing.assert_allclose(rotated.null, steps.null, atol=1e-6)
    np.testing.assert_array_equal(rotated.pvalues_stepdown, steps.pvalues_stepdown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y_columns": 200}, "y_columns=200 must be a number of columns that the 236 of y can stand for"),
        ({"y_columns": True}, "y_columns=True must be"),
        ({"y_columns": 900, "n_pca": (None, 5)}, "go with neither y_spaces nor n_pca"),
        ({"y_columns": 900, "y_spaces": {"all": slice(None)}}, "go with neither y_spaces nor n_pca"),
    ],
)
def test_coordinates_are_no_columns(views, options, message):
    X, Y = views
    with pytest.raises(ValueError, match=message):
        LinearCCA(1, **options).fit(X, coordinates([Y], 240))

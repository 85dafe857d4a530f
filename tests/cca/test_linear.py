import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurocca import LinearCCA, LinearCCACV
from neurocca.cca.scoring import loadings, paired_correlations


@parametrize_with_checks([LinearCCA(), LinearCCACV()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def grouped_views(seed: int = 0, n: int = 200, p: int = 6, q: int = 20):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 2))
    X = Z @ rng.standard_normal((2, p)) + rng.standard_normal((n, p)) * np.arange(1, p + 1)
    Y = Z @ rng.standard_normal((2, q)) + 3 * rng.standard_normal((n, q)) + 5
    return X, Y, np.repeat(np.arange(4), n // 4)


def test_score_is_the_mean_held_out_correlation():
    X, Y, _ = grouped_views()
    cca = LinearCCA(2, shrinkage=0.1).fit(X[:150], Y[:150])
    U, V = cca.transform(X[150:], Y[150:])
    expected = np.mean([np.corrcoef(U[:, i], V[:, i])[0, 1] for i in range(2)])
    assert cca.score(X[150:], Y[150:]) == pytest.approx(expected)


def test_variates_are_centred_by_the_training_samples():
    X, Y, _ = grouped_views()
    cca = LinearCCA(2).fit(X, Y)
    U, V = cca.transform(X, Y)
    np.testing.assert_allclose(U.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(cca.transform(X + 3)[:, 0] - U[:, 0], 3 * cca.x_weights_[:, 0].sum())
    np.testing.assert_allclose(paired_correlations(U, V), cca.correlations_, atol=1e-9)


def test_loadings_are_correlations():
    X, Y, _ = grouped_views()
    cca = LinearCCA(2, shrinkage=0.3, scale=True).fit(X, Y)
    U, V = cca.transform(X, Y)
    assert cca.x_loadings_[2, 1] == pytest.approx(np.corrcoef(X[:, 2], U[:, 1])[0, 1])
    assert cca.y_loadings_[7, 0] == pytest.approx(np.corrcoef(Y[:, 7], V[:, 0])[0, 1])


def test_constant_columns_load_zero_and_harm_nothing():
    X, Y, _ = grouped_views()
    wide = np.column_stack([X, np.full(len(X), 0.1)])
    cca = LinearCCA(2, shrinkage=0.1, scale=True).fit(wide, Y)
    assert np.all(cca.x_loadings_[-1] == 0)
    assert np.isfinite(cca.x_weights_).all()
    assert loadings(np.full((10, 1), 0.1), np.arange(10.0)[:, None]) == 0


def test_scaling_equals_standardised_columns():
    X, Y, _ = grouped_views()
    Z = [StandardScaler().fit_transform(a) for a in (X, Y)]
    a, b = LinearCCA(3, shrinkage=0.2, scale=True).fit(X, Y), LinearCCA(3, shrinkage=0.2).fit(*Z)
    np.testing.assert_allclose(a.correlations_, b.correlations_)
    np.testing.assert_allclose(a.transform(X), b.transform(Z[0]))


def test_whitened_bases_hold_the_objective_of_the_fit():
    X, Y, _ = grouped_views()
    cca = LinearCCA(3, shrinkage=(0.1, 0.4), scale=True).fit(X, Y)
    U, V = cca.whitened(X, Y)
    Xc, Yc = X - X.mean(0), Y - Y.mean(0)
    expected = np.diag(cca.x_weights_.T @ Xc.T @ Yc @ cca.y_weights_) / (len(X) - 1)
    np.testing.assert_allclose(np.linalg.svd(U.T @ V, compute_uv=False)[:3], expected)


def test_grid_search_over_runs():
    X, Y, runs = grouped_views()
    grid = {"shrinkage": [(0.01, 0.3), (0.5, 0.9)], "n_components": [1, 2]}
    search = GridSearchCV(LinearCCA(), grid, cv=LeaveOneGroupOut()).fit(X, Y, groups=runs)
    assert search.best_params_["n_components"] in (1, 2)
    assert cross_val_score(LinearCCA(1), X, Y, groups=runs, cv=LeaveOneGroupOut()).shape == (4,)
    assert make_pipeline(PCA(3), LinearCCA(2)).fit(X, Y).transform(X).shape == (200, 2)


def shared_variance(estimator, X, y) -> float:
    r = paired_correlations(*estimator.transform(X, y))
    return np.mean(r * np.abs(r))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("q", [20, 300])
def test_selection_equals_a_grid_search(q, scale):
    X, Y, runs = grouped_views(1, q=q)
    grid = (0.01, 0.1, 0.3, 0.9)
    ours = LinearCCACV(3, shrinkage_x=grid, shrinkage_y=grid, scale=scale).fit(X, Y, groups=runs)
    pairs = [(a, b) for a in grid for b in grid]
    cca = LinearCCA(3, scale=scale)
    theirs = GridSearchCV(cca, {"shrinkage": pairs}, cv=LeaveOneGroupOut(), scoring=shared_variance)
    theirs.fit(X, Y, groups=runs)
    scores = np.array([theirs.cv_results_[f"split{i}_test_score"] for i in range(4)])
    np.testing.assert_allclose(ours.cv_scores_.reshape(4, -1), scores, atol=1e-10)
    assert ours.shrinkage_ == theirs.best_params_["shrinkage"]
    np.testing.assert_allclose(ours.x_weights_, theirs.best_estimator_.x_weights_)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_components": 7}, "n_components=7 must be between 1 and 6: X has 6 features, y has 20.*200 samples"),
        ({"n_components": 0}, "n_components=0 must be between 1 and 6"),
        ({"shrinkage": 1.5}, r"shrinkage=1.5 must be between 0 \(CCA\) and 1 \(PLS\)"),
        ({"shrinkage": (0.1, -1)}, "must be between 0"),
    ],
)
def test_wrong_parameters_are_refused_with_numbers(kwargs, message):
    X, Y, _ = grouped_views()
    with pytest.raises(ValueError, match=message):
        LinearCCA(**kwargs).fit(X, Y)


def test_a_constant_view_and_odd_grids_are_refused():
    X, Y, _ = grouped_views()
    for shrinkage in (0.0, 0.1):
        with pytest.raises(ValueError, match="every column of a view is constant"):
            LinearCCA(1, shrinkage=shrinkage).fit(np.ones_like(X), Y)
    with pytest.raises(ValueError, match="every column of a view is constant"):
        LinearCCACV(1, cv=3).fit(np.ones_like(X), Y)
    with pytest.raises(ValueError, match="at least one value"):
        LinearCCACV(1, shrinkage_x=[]).fit(X, Y)
    with pytest.raises(TypeError, match=r"n_components=2\.5"):
        LinearCCA(2.5).fit(X, Y)


def test_all_components_means_as_many_as_the_rank():
    X, Y, _ = grouped_views()
    assert LinearCCA().fit(np.hstack([X, X[:, :2]]), Y).correlations_.shape == (6,)


def test_transform_refuses_other_columns():
    X, Y, _ = grouped_views()
    cca = LinearCCA(2).fit(X, Y)
    with pytest.raises(ValueError, match=r"y has shape \(200, 19\), but \(200, 20\)"):
        cca.transform(X, Y[:, 1:])

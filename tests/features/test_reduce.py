import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.random_projection import SparseRandomProjection

from neurocca.errors import DataError, UsageError
from neurocca.features import principal
from neurocca.features.reduce import Reduction, fit_pca, sparse_projection


def layer(n=700, d=60, seed=0, far=5.0):
    """Rows with slowly changing content of falling variance, noise, and means that are far from zero."""
    rng = np.random.default_rng(seed)
    r = min(d, 40)
    slow = np.cumsum(rng.normal(size=(n, r)), axis=0)
    slow = (slow - slow.mean(0)) / slow.std(0) + rng.normal(size=(n, r))
    axes = np.linalg.qr(rng.normal(size=(d, r)))[0]
    rows = slow * 0.85 ** np.arange(r) @ axes.T + 0.02 * rng.normal(size=(n, d)) + far * rng.normal(size=d)
    return rows.astype(np.float32)


def blocks_of(rows, size=100):
    return lambda: (rows[start : start + size] for start in range(0, len(rows), size))


@pytest.fixture(params=["exact", "incremental"])
def way(request, monkeypatch):
    """Both ways to fit, on the same few features."""
    monkeypatch.setattr(principal, "EXACT_FEATURES", 4096 if request.param == "exact" else 10)
    return request.param


# principal components


@pytest.mark.parametrize("d", [60, 300])
def test_components_are_those_of_all_rows_at_once(d):
    rows = layer(d=d)
    ours, theirs = fit_pca(blocks_of(rows), 12), PCA(12).fit(rows.astype(float))
    np.testing.assert_allclose(np.abs(np.sum(ours.components * theirs.components_, axis=1)), 1, atol=1e-5)
    np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-6)
    scores = theirs.transform(rows.astype(float)) * np.sign(np.sum(ours.components * theirs.components_, axis=1))
    np.testing.assert_allclose(ours.transform(rows), scores, atol=1e-3)
    assert (ours.kind, ours.n_samples, ours.names[:2]) == ("pca", 700, ("pca_1", "pca_2"))


def test_incremental_components_are_nearly_those_of_all_rows(monkeypatch):
    monkeypatch.setattr(principal, "EXACT_FEATURES", 10)
    monkeypatch.setattr(principal, "_SPARE", 20)
    rows = layer(n=1500, d=400)
    ours, theirs = fit_pca(blocks_of(rows), 10), PCA(10).fit(rows.astype(float))
    shared = np.linalg.svd(ours.components @ theirs.components_.T, compute_uv=False)
    assert shared.min() > 0.99
    assert ours.explained_variance_ratio.sum() == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-3)
    assert ours.explained_variance_ratio.sum() <= theirs.explained_variance_ratio_.sum()


def test_scores_are_uncorrelated_and_have_the_recorded_variance(way):
    rows = layer()
    pca = fit_pca(blocks_of(rows), 8)
    scores = pca.transform(rows).astype(float)
    variance = np.cov(scores.T)
    total = rows.astype(float).var(axis=0, ddof=1).sum()
    np.testing.assert_allclose(np.diag(variance), pca.explained_variance_ratio * total, rtol=1e-4)
    np.testing.assert_allclose(variance - np.diag(np.diag(variance)), 0, atol=1e-4 * variance[0, 0])
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(8), atol=1e-5)
    assert np.all(np.diff(pca.explained_variance_ratio) <= 0)
    assert np.all(pca.components[np.arange(8), np.abs(pca.components).argmax(axis=1)] > 0)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=12), exact=st.booleans())
def test_sizes_of_blocks_do_not_matter(cuts, exact):
    rows = layer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(principal, "EXACT_FEATURES", 4096 if exact else 10)
        ours = fit_pca(lambda: iter(np.split(rows, sorted(cuts))), 5)
        whole = fit_pca(lambda: [rows], 5)
    np.testing.assert_array_equal(ours.components, whole.components)
    np.testing.assert_array_equal(ours.explained_variance_ratio, whole.explained_variance_ratio)


@pytest.mark.parametrize("n", [257, 511, 512, 513, 700])
def test_the_last_rows_count(way, n):
    """An axis that only the very last row goes along."""
    rows = layer(n=n, far=0)
    rows[-1] = 0
    rows[-1, 7] = 5000
    pca = fit_pca(blocks_of(rows, n), 2)
    assert pca.n_samples == n
    assert pca.components[0, 7] == pytest.approx(1, abs=1e-4)
    assert pca.mean[7] == pytest.approx(rows[:, 7].astype(float).mean(), rel=1e-5)


def test_order_of_the_rows_does_not_matter_to_an_exact_fit():
    rows = layer()
    shuffled = np.random.default_rng(1).permutation(rows)
    ours, other = fit_pca(blocks_of(rows), 5), fit_pca(blocks_of(shuffled), 5)
    np.testing.assert_allclose(other.components, ours.components, atol=1e-5)


def test_a_mean_far_from_zero_takes_no_digits():
    rows = layer(far=0).astype(np.float64)
    near, far = fit_pca(blocks_of(rows), 5), fit_pca(blocks_of(rows + 1e6), 5)
    np.testing.assert_allclose(far.components, near.components, atol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_share_of_variance_needs_as_few_components_as_can_be(way, share):
    rows = layer()
    pca = fit_pca(blocks_of(rows), share)
    shares = np.cumsum(PCA().fit(rows.astype(float)).explained_variance_ratio_)
    assert pca.n_components == np.sum(shares < share) + 1
    assert pca.explained_variance_ratio.sum() >= share


def test_constant_features_are_left_out(way):
    rows = np.hstack([layer(), np.full((700, 3), 2.5, np.float32)])
    pca = fit_pca(blocks_of(rows), 6)
    np.testing.assert_allclose(pca.components[:, -3:], 0, atol=1e-6)
    np.testing.assert_allclose(
        np.abs(pca.components[:, :-3]), np.abs(fit_pca(blocks_of(rows[:, :-3]), 6).components), atol=1e-3
    )


def test_black_frames_at_the_beginning_do_no_harm(way):
    rows = np.concatenate([np.full((900, 60), 0.3, np.float32), layer()])
    pca = fit_pca(blocks_of(rows), 5)
    expected = PCA(5).fit(rows.astype(float)).explained_variance_ratio_.sum()
    assert pca.explained_variance_ratio.sum() == pytest.approx(expected, rel=1e-3)


def test_refuses_what_has_no_such_components(way):
    rows = layer()
    with pytest.raises(UsageError, match="30 principal components cannot be had: the 20 rows vary in 19 dimensions"):
        fit_pca(blocks_of(rows[:20]), 30)
    flat = np.outer(np.arange(300.0), np.ones(60)).astype(np.float32)
    with pytest.raises(UsageError, match="2 principal components cannot be had: the 300 rows vary in 1 dimensions"):
        fit_pca(blocks_of(flat), 2)
    for value in (0.0, 0.3, 1e4):
        with pytest.raises(UsageError, match="all 300 rows are the same"):
            fit_pca(blocks_of(np.full((300, 60), value, np.float32)), 2)
    with pytest.raises(UsageError, match="at least 2 rows, and there are 1"):
        fit_pca(blocks_of(rows[:1]), 1)
    with pytest.raises(UsageError, match="at least 2 rows, and there are 0"):
        fit_pca(lambda: iter(()), 1)
    for bad in (0, -1, 1.5, 0.0):
        with pytest.raises(UsageError, match="must be a whole number or a share"):
            fit_pca(blocks_of(rows), bad)


def test_refuses_rows_that_cannot_be_fitted_on(way):
    rows = layer()
    rows[431, 17] = np.nan
    with pytest.raises(DataError, match="not finite in row 431, column 17"):
        fit_pca(blocks_of(rows), 3)
    with pytest.raises(DataError, match=r"after row 100 have shape \(100, 50\), those before have 60 columns"):
        fit_pca(lambda: [layer(100), layer(100, 50)], 3)


def test_a_share_that_too_many_components_would_need(monkeypatch):
    monkeypatch.setattr(principal, "EXACT_FEATURES", 10)
    monkeypatch.setattr(principal, "SHARE_COMPONENTS", 5)
    with pytest.raises(UsageError, match=r"first 5 principal components have 0\.\d+ of the variance, less than 0\.99"):
        fit_pca(blocks_of(layer()), 0.99)


# random projections


def test_distances_are_kept():
    rows = layer(60, 8000, far=0)
    eps = 0.3
    reduction = sparse_projection(8000, n_samples=60, eps=eps, seed=3)
    assert reduction.n_components == 454
    i, j = np.triu_indices(60, 1)

    def distances(values):
        return np.square(values[i].astype(float) - values[j]).sum(axis=1)

    ratio = distances(reduction.transform(rows)) / distances(rows)
    assert np.all(np.abs(ratio - 1) < eps)
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def test_projection_is_scikit_learns():
    rows = layer(50, 3000)
    theirs = SparseRandomProjection(100, random_state=5).fit(rows)
    ours = sparse_projection(3000, 100, seed=5)
    np.testing.assert_allclose(ours.transform(rows), theirs.transform(rows), rtol=1e-4, atol=1e-3)
    assert (ours.kind, ours.seed, ours.names[-1]) == ("srp", 5, "srp_100")
    assert np.any(sparse_projection(3000, 100, seed=6).transform(rows) != ours.transform(rows))


def test_projection_of_an_early_layer_is_small():
    reduction = sparse_projection(16 * 112 * 112, 500)
    assert sum(array.nbytes for array in reduction.state()[0].values()) < 3e6
    assert reduction.transform(np.ones((2, 16 * 112 * 112), np.uint8)).dtype == np.float32


def test_principal_components_of_a_projection():
    rows = layer(500, 3000)
    projection = sparse_projection(3000, 200, seed=4)
    pca = fit_pca(lambda: (projection.transform(block) for block in blocks_of(rows)()), 10)
    both = projection.then(pca)
    assert (both.kind, both.n_features_in, both.n_components) == ("srp+pca", 3000, 10)
    assert (both.names[0], both.n_samples, both.seed) == ("pca_1", 500, 4)
    np.testing.assert_array_equal(both.transform(rows), pca.transform(projection.transform(rows)))
    direct = PCA(10).fit(rows.astype(float)).transform(rows.astype(float))
    # what the leading components show is much the same
    correlation = np.corrcoef(both.transform(rows)[:, 0], direct[:, 0])[0, 1]
    assert abs(correlation) > 0.95
    with pytest.raises(UsageError, match="pca of 200 features cannot follow srp to 100"):
        sparse_projection(3000, 100).then(pca)
    with pytest.raises(UsageError, match="srp of 3000 features cannot follow pca to 10"):
        pca.then(projection)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 60}, "to 60 components does not reduce 60 features"),
        ({"n_components": 0}, "to 0 components"),
        ({"n_samples": 1000}, r"to 5920 components \(for 1000 samples and eps=0\.1\) does not reduce 60 features"),
        ({}, "needs a number of components, or of samples"),
    ],
)
def test_refuses_projections_that_do_not_reduce(settings, message):
    with pytest.raises(UsageError, match=message):
        sparse_projection(60, **settings)


# both


@pytest.mark.parametrize("kind", ["pca", "srp", "srp+pca"])
def test_a_stored_reduction_does_the_same_to_another_film(kind, tmp_path):
    rows, other = layer(), layer(seed=9)
    projection = sparse_projection(60, 30)
    reduction = {
        "pca": lambda: fit_pca(blocks_of(rows), 5),
        "srp": lambda: projection,
        "srp+pca": lambda: projection.then(fit_pca(blocks_of(projection.transform(rows)), 5)),
    }[kind]()
    arrays, meta = reduction.state()
    np.savez(tmp_path / "state.npz", **arrays)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        again = Reduction.from_state(dict(stored), json.loads(json.dumps(meta)))
    np.testing.assert_array_equal(again.transform(other), reduction.transform(other))
    assert again.state()[1] == meta
    assert meta["kind"] == again.kind == kind
    assert again.names == reduction.names
    assert again.transform(other).dtype == np.float32


@pytest.mark.parametrize("reduction", [sparse_projection(60, 10), fit_pca(blocks_of(layer()), 3)], ids=["srp", "pca"])
def test_refuses_features_of_another_width(reduction):
    with pytest.raises(UsageError, match=r"shape \(4, 59\) cannot be reduced: the projection is one of 60 features"):
        reduction.transform(np.ones((4, 59)))


def test_rows_are_reduced_one_by_one_as_in_a_block():
    rows = layer()
    for reduction in (sparse_projection(60, 10), fit_pca(blocks_of(rows), 3)):
        single = np.concatenate([reduction.transform(row[None]) for row in rows[:20]])
        np.testing.assert_allclose(single, reduction.transform(rows)[:20], rtol=1e-4, atol=1e-4)

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.base import BaseEstimator
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA

from neurocca import LinearCCA, LinearCCACV
from neurocca.cca.scoring import loadings, paired_correlations
from neurocca.cca.stability import match_components
from neurocca.inference.bootstrap import bootstrap_loadings, rotation_to
from neurocca.inference.resampling import MovingBlocks, WholeRuns
from tests.conftest import ar1

RUNS = np.repeat([3, 1, 2, 0], [40, 50, 60, 50])


def related(rng, n=200, p=3, q=6, strengths=(2.0, 1.0), phi=0.0):
    """Two views that share two series of different strength; the last columns have no part in them."""
    Z = ar1(rng, n, 2, phi) * strengths
    X, Y = ar1(rng, n, p, phi), ar1(rng, n, q, phi)
    X[:, :2] += Z
    Y[:, :2] += Z
    Y[:, 2:4] += Z[:, :1]
    return X, Y


@given(st.lists(st.integers(4, 30), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 50))
def test_blocks_are_consecutive_samples_of_their_own_run_and_runs_keep_their_length(lengths, size, seed):
    rows = MovingBlocks.of(tuple(lengths), 2.0 * size, 2.0).draw(np.random.default_rng(seed))
    edges = np.r_[0, np.cumsum(lengths)]
    for start, stop in pairwise(edges.tolist()):
        drawn = rows[start:stop]
        assert np.all((start <= drawn) & (drawn < stop))
        within = np.arange(1, stop - start) % size != 0
        assert np.all(np.diff(drawn)[within] == 1)


def test_every_block_of_a_run_is_drawn_equally_often():
    blocks, rng = MovingBlocks.of((10, 7), 3, 1), np.random.default_rng(0)
    firsts = np.concatenate([blocks.draw(rng)[[0, 3, 6, 9, 10, 13, 16]] for _ in range(4000)])
    counts = np.bincount(firsts, minlength=17)
    assert counts[[8, 9, 15, 16]].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(counts[:8], 4 * 4000 / 8, rtol=0.1)
    np.testing.assert_allclose(counts[10:15], 3 * 4000 / 5, rtol=0.1)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=6), st.integers(0, 100))
def test_whole_runs_are_drawn_of_which_two_differ(lengths, seed):
    rows = WholeRuns.of(tuple(lengths)).draw(np.random.default_rng(seed)).tolist()
    edges, drawn = np.r_[0, np.cumsum(lengths)].tolist(), []
    while rows:
        i = edges.index(rows[0])
        drawn.append(i)
        n = lengths[i]
        assert rows[:n] == list(range(edges[i], edges[i + 1]))
        rows = rows[n:]
    assert len(drawn) == len(lengths)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("kind", ["own", "cross"])
@pytest.mark.parametrize("unit", ["runs", "blocks"])
def test_equals_plain_refits(rng, unit, kind):
    X, Y = related(rng)
    options = {"runs": RUNS, "unit": unit, "block": 10, "kind": kind, "confidence": 0.8}
    found = bootstrap_loadings(LinearCCA(2, shrinkage=0.1), X, Y, n_bootstraps=25, rng=4, **options)

    def refit(rows):
        cca = LinearCCA(2, shrinkage=0.1).fit(X[rows], Y[rows])
        U, V = cca.transform(X[rows], Y[rows])
        U, V = (U, V) if kind == "own" else (V, U)
        return loadings(X[rows], U), loadings(Y[rows], V), cca.correlations_

    x, y, _ = refit(np.arange(200))
    np.testing.assert_allclose(found.x_loadings, x, atol=1e-12)
    np.testing.assert_allclose(found.y_loadings, y, atol=1e-12)
    drawn = MovingBlocks.of((40, 50, 60, 50), 10, 1) if unit == "blocks" else WholeRuns((40, 50, 60, 50))
    seeds = np.random.SeedSequence(4).spawn(25)
    fits = [refit(drawn.draw(np.random.default_rng(seed))) for seed in seeds]
    # components are far apart here and keep their order, and own signs are fixed by the first view
    signs = [np.sign(np.sum(a * x, axis=0) + np.sum(b * y, axis=0)) for a, b, _ in fits]
    np.testing.assert_allclose(found.correlations, [r for _, _, r in fits], atol=1e-6)
    for view, which in enumerate("xy"):
        matched = np.array([fit[view] * sign for fit, sign in zip(fits, signs, strict=True)])
        np.testing.assert_allclose(getattr(found, f"{which}_mean"), matched.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(getattr(found, f"{which}_se"), matched.std(axis=0, ddof=1), atol=1e-6)
        np.testing.assert_allclose(getattr(found, f"{which}_low"), np.quantile(matched, 0.1, axis=0), atol=1e-6)
        np.testing.assert_allclose(getattr(found, f"{which}_high"), np.quantile(matched, 0.9, axis=0), atol=1e-6)
        ratio = (x, y)[view] / matched.std(axis=0, ddof=1)
        np.testing.assert_allclose(getattr(found, f"{which}_ratio"), ratio, rtol=1e-3)


@pytest.mark.parametrize("kind", ["own", "cross"])
def test_rotated_loadings_are_correlations_with_rotated_variates_also_where_these_correlate(rng, kind):
    X, Y = related(rng, strengths=(1.0, 0.8))
    X[:, 0] *= 3
    cca = LinearCCA(3, shrinkage=(0.9, 0.5))
    options = {"unit": "blocks", "block": 10, "match": "procrustes", "kind": kind}
    found = bootstrap_loadings(cca, X, Y, n_bootstraps=4, rng=7, **options)
    blocks, rotated, correlations = MovingBlocks((200,), 10), [], []
    for seed in np.random.SeedSequence(7).spawn(4):
        rows = blocks.draw(np.random.default_rng(seed))
        U, V = (w / w.std(axis=0) for w in cca.fit(X[rows], Y[rows]).transform(X[rows], Y[rows]))
        u, v = (U, V) if kind == "own" else (V, U)
        R = rotation_to(
            (found.x_loadings, found.y_loadings), (loadings(X[rows], u), loadings(Y[rows], v)), "procrustes"
        )
        rotated.append((loadings(X[rows], u @ R), loadings(Y[rows], v @ R)))
        correlations.append(paired_correlations(U @ R, V @ R))
    np.testing.assert_allclose(found.x_mean, np.mean([x for x, _ in rotated], axis=0), atol=1e-6)
    np.testing.assert_allclose(found.y_mean, np.mean([y for _, y in rotated], axis=0), atol=1e-6)
    np.testing.assert_allclose(found.correlations, correlations, atol=1e-6)


def monte_carlo_se(sample, n_samples):
    fits = []
    for seed in range(n_samples):
        cca = LinearCCA(1).fit(*sample(np.random.default_rng(seed)))
        fits.append(cca.y_loadings_[:, 0] * np.sign(cca.y_loadings_[0, 0]))
    return np.std(fits, axis=0)


@pytest.mark.parametrize(
    ("phi", "n", "options"),
    [
        (0.0, 150, {"block": 1}),
        (0.0, 150, {"unit": "runs", "runs": np.repeat(np.arange(30), 5)}),
        (0.9, 900, {"block": 45}),
    ],
    ids=["samples", "runs", "blocks"],
)
def test_standard_errors_are_those_of_new_samples(phi, n, options):
    def sample(rng):
        return related(rng, n, strengths=(1.0, 0.0), phi=phi)

    expected = monte_carlo_se(sample, 300)
    options = {"unit": "blocks", "n_bootstraps": 60} | options
    found = [bootstrap_loadings(LinearCCA(1), *sample(np.random.default_rng(10_000 + i)), **options) for i in range(8)]
    ratio = np.mean([bootstrap.y_se[:, 0] for bootstrap in found], axis=0) / expected
    assert 0.85 < ratio.mean() < 1.15, ratio
    assert np.all((ratio > 0.7) & (ratio < 1.3)), ratio
    if phi > 0:  # single samples take neighbours for independent ones
        naive = bootstrap_loadings(
            LinearCCA(1), *sample(np.random.default_rng(1)), unit="blocks", block=1, n_bootstraps=60
        )
        assert np.mean(naive.y_se[:, 0] / expected) < 0.6


class Scrambled(BaseEstimator):
    """LinearCCA whose components come in another order and sign, or rotated, with every sample."""

    def __init__(self, how="signs"):
        self.how = how

    def fit(self, X, y):
        self.cca_ = LinearCCA(3).fit(X, y)
        stream = np.random.default_rng(int(abs(X[0, 0]) * 1e9))
        self.R_ = np.eye(3)[stream.permutation(3)] * stream.choice([-1, 1], 3)
        if self.how == "procrustes":
            self.R_ = ortho_group.rvs(3, random_state=stream)
        return self

    def transform(self, X, y):
        U, V = self.cca_.transform(X, y)
        return U @ self.R_, V @ self.R_


@pytest.mark.parametrize("match", ["signs", "procrustes"])
def test_matching_undoes_order_signs_and_rotations(rng, match):
    X, Y = related(rng)
    options = {"unit": "blocks", "block": 10, "n_bootstraps": 40, "match": match}
    plain, scrambled = (bootstrap_loadings(e, X, Y, **options) for e in (LinearCCA(3), Scrambled(match)))
    # the reference is scrambled once, and everything with it
    R = np.linalg.lstsq(plain.y_loadings, scrambled.y_loadings)[0]
    for name in ("x_mean", "y_mean"):
        np.testing.assert_allclose(getattr(scrambled, name), getattr(plain, name) @ R, atol=1e-6)
    if match == "signs":
        np.testing.assert_allclose(scrambled.y_se, plain.y_se @ np.abs(R), atol=1e-6)
        np.testing.assert_allclose(scrambled.stability, plain.stability @ np.abs(R), atol=1e-6)
        np.testing.assert_allclose(scrambled.correlations, plain.correlations @ np.abs(R), atol=1e-6)
    # a rotation keeps the sum of correlations of uncorrelated variates, and the sum of squared loadings
    np.testing.assert_allclose(scrambled.correlations.sum(axis=1), plain.correlations.sum(axis=1), atol=1e-5)
    total = (scrambled.y_se**2 + scrambled.y_mean**2 * 40 / 39).sum()
    assert total == pytest.approx((plain.y_se**2 + plain.y_mean**2 * 40 / 39).sum(), rel=1e-5)


def test_matching_agrees_with_its_references(rng):
    a, b = rng.standard_normal((20, 3)), rng.standard_normal((20, 4))
    R, matching = rotation_to((a, a), (b, b), "signs"), match_components(a, b)
    np.testing.assert_allclose(b @ R, matching.align(b))
    c, d = rng.standard_normal((9, 3)), rng.standard_normal((9, 3))
    e = b[:, :3]
    norms = [np.linalg.norm(m) for m in (a, c, e, d)]
    expected, _ = orthogonal_procrustes(np.r_[e / norms[2], d / norms[3]], np.r_[a / norms[0], c / norms[1]])
    np.testing.assert_allclose(rotation_to((a, c), (e, d), "procrustes"), expected, atol=1e-12)
    # both views count the same: a view that is repeated 50 times has no more to say
    often = (np.tile(a, (50, 1)), c), (np.tile(e, (50, 1)), d)
    for match in ("signs", "procrustes"):
        np.testing.assert_allclose(rotation_to(*often, match), rotation_to((a, c), (e, d), match), atol=1e-12)


def test_components_that_a_resample_lacks_are_zero(rng):
    a = rng.standard_normal((20, 3))
    R = rotation_to((a, a), (-a[:, [2, 0]], -a[:, [2, 0]]), "signs")
    np.testing.assert_array_equal(R, [[0, 0, -1], [-1, 0, 0]])


def test_rotation_leaves_out_what_close_components_mix(rng):
    Z = rng.standard_normal((200, 2))
    X, Y = (1.5 * Z @ np.tile(np.eye(2), copies) + rng.standard_normal((200, 2 * copies)) for copies in (1, 3))
    options = {"unit": "blocks", "block": 5, "n_bootstraps": 60}
    signs, rotated = (bootstrap_loadings(LinearCCA(2), X, Y, match=m, **options) for m in ("signs", "procrustes"))
    assert (1 - signs.stability).min() > 3 * (1 - rotated.stability).max()
    assert rotated.x_se[:2].max() < 0.5 * signs.x_se[:2].min()


def test_stability_tells_a_strong_component_from_noise(rng):
    X, Y = related(rng, n=300, p=12, q=20, strengths=(2.0, 0.0))
    found = bootstrap_loadings(LinearCCA(2), X, Y, unit="blocks", block=10, n_bootstraps=60)
    assert found.stability[0] > 0.97
    assert found.stability[1] < 0.75
    assert np.all(np.abs(found.y_ratio[:4, 0])[[0, 2, 3]] > 10)
    assert np.all((found.y_low <= found.y_mean) & (found.y_mean <= found.y_high))


@pytest.mark.parametrize("unit", ["runs", "blocks"])
def test_bytes_do_not_depend_on_jobs(rng, unit):
    X, Y = related(rng)
    options = {"runs": RUNS, "unit": unit, "n_bootstraps": 30, "rng": 1}
    one, two = (bootstrap_loadings(LinearCCA(2), X, Y, n_jobs=n_jobs, **options) for n_jobs in (1, 2))
    for name in ("x_mean", "y_se", "x_low", "y_high", "stability", "correlations"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    more = bootstrap_loadings(LinearCCA(2), X, Y, **(options | {"n_bootstraps": 40}))
    assert more.correlations[:30].tobytes() == one.correlations.tobytes()
    other = bootstrap_loadings(LinearCCA(2), X, Y, **(options | {"rng": 2}))
    assert not np.array_equal(other.correlations, one.correlations)


class Memory:
    """A checkpoint that is interrupted after so many chunks."""

    def __init__(self):
        self.saved, self.left = {}, np.inf

    def load(self, key):
        done, values = self.saved.get(key, (None, None))
        return None if done is None else (done.copy(), values.copy())

    def save(self, key, done, values):
        self.saved[key] = done.copy(), values.copy()
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_interrupted_bootstrap_goes_on_and_another_one_is_not_mistaken_for_it(rng):
    X, Y = related(rng)
    options = {"runs": RUNS, "n_bootstraps": 30}
    memory, counted = Memory(), []
    memory.left = 1
    with pytest.raises(KeyboardInterrupt):
        bootstrap_loadings(LinearCCA(2), X, Y, checkpoint=memory, **options)
    found = bootstrap_loadings(LinearCCA(2), X, Y, checkpoint=memory, progress=counted.append, **options)
    assert counted[0] > 0, "what was done is not done again"
    assert found.y_se.tobytes() == bootstrap_loadings(LinearCCA(2), X, Y, **options).y_se.tobytes()
    for change in ({"n_bootstraps": 20}, {"rng": 1}, {"match": "procrustes"}, {"unit": "blocks"}, {"kind": "cross"}):
        counted.clear()
        bootstrap_loadings(LinearCCA(2), X, Y, checkpoint=memory, progress=counted.append, **(options | change))
        assert counted[0] == 0, change


class ChecksLabels(LinearCCA):
    """A fit whose first feature says which run a row is of."""

    def fit(self, X, y, groups=None):
        np.testing.assert_array_equal(groups, np.round(X[:, 0]))
        return super().fit(X, y)


@pytest.mark.parametrize("unit", ["runs", "blocks"])
def test_fits_that_split_get_the_original_run_of_every_row(rng, unit):
    X, Y = related(rng)
    X[:, 0] = RUNS + 0.1 * rng.standard_normal(200)
    options = {"runs": RUNS, "unit": unit, "n_bootstraps": 20}
    own = bootstrap_loadings(ChecksLabels(2), X, Y, **options)
    np.testing.assert_array_equal(own.y_mean, bootstrap_loadings(LinearCCA(2), X, Y, **options).y_mean)
    # as many folds as different runs; copies of a run in two folds would be more
    chosen = bootstrap_loadings(LinearCCACV(2, shrinkage_x=[0.1], shrinkage_y=[0.1]), X, Y, **options)
    fixed = bootstrap_loadings(LinearCCA(2, shrinkage=0.1), X, Y, **options)
    np.testing.assert_allclose(chosen.y_se, fixed.y_se, atol=1e-6)


def test_frames_tensors_and_other_estimators_are_taken(rng):
    X, Y = related(rng)
    options = {"unit": "blocks", "block": 10, "n_bootstraps": 10}
    expected = bootstrap_loadings(LinearCCA(2), X, Y, **options)
    names = [f"f{j}" for j in range(3)]
    spaces = LinearCCA(2, x_spaces={"film": names[:2], "sound": names[2:]})
    frames = bootstrap_loadings(spaces, pd.DataFrame(X, columns=names), pd.DataFrame(Y), **options)
    tensors = bootstrap_loadings(LinearCCA(2), torch.asarray(X).requires_grad_(), torch.asarray(Y), **options)
    sklearn = bootstrap_loadings(CCA(2, scale=False, max_iter=5000, tol=1e-12), X, Y, **options)
    for other in (tensors, sklearn):
        np.testing.assert_allclose(other.y_se, expected.y_se, atol=1e-4)
    np.testing.assert_allclose(frames.y_se, expected.y_se, atol=1e-6)


def test_constant_columns_have_no_loading_and_a_lone_column_no_error(rng):
    X, Y = related(rng)
    Y = np.c_[Y, np.full(200, 7.3)]
    found = bootstrap_loadings(LinearCCA(1, shrinkage=0.1), X[:, :1], Y, runs=RUNS, n_bootstraps=20)
    for name in ("y_loadings", "y_mean", "y_se", "y_ratio", "y_low", "y_high"):
        assert getattr(found, name)[-1, 0] == 0
    assert found.x_se.item() < 1e-6
    assert found.x_ratio.item() == np.inf


def test_errors_name_the_numbers(rng):
    X, Y = related(rng)
    cca = LinearCCA(1)
    with pytest.raises(ValueError, match="at least 3 of them, and there are 2"):
        bootstrap_loadings(cca, X, Y, runs=np.repeat([1, 2], 100))
    with pytest.raises(ValueError, match="at least 3 of them, and there is one"):
        bootstrap_loadings(cca, X, Y)
    with pytest.raises(
        ValueError, match=r"block of 45 samples \(90 s\) is not shorter than a run of 40 samples \(80 s"
    ):
        bootstrap_loadings(cca, X, Y, runs=RUNS, unit="blocks", block=90, t_r=2.0)
    for options, text in (
        ({"block": 0}, "block=0 must be seconds, above 0 and finite"),
        ({"block": np.inf}, "block=inf must be seconds, above 0 and finite"),
        ({"block": "30"}, "block='30'"),
        ({"t_r": 0}, "t_r=0 must be seconds per sample"),
        ({"t_r": "2"}, "t_r='2'"),
        ({"n_bootstraps": 1}, "n_bootstraps=1 must be a whole number, at least 2"),
        ({"n_bootstraps": 20.0}, r"n_bootstraps=20\.0"),
        ({"confidence": 95}, "confidence=95"),
        ({"confidence": "95"}, "confidence='95'"),
    ):
        for unit in ("runs", "blocks"):
            with pytest.raises(ValueError, match=text):
                bootstrap_loadings(cca, X, Y, runs=RUNS, unit=unit, **options)
    with pytest.raises(TypeError, match=r"PCA needs transform\(X, y\)"):
        bootstrap_loadings(PCA(1), X, Y, runs=RUNS)
    for name in ("unit", "match", "kind"):
        with pytest.raises(ValueError, match=f"{name}='rows' is none of"):
            bootstrap_loadings(cca, X, Y, runs=RUNS, **{name: "rows"})
    with pytest.raises(ValueError, match="X has 200 rows and y has 199"):
        bootstrap_loadings(cca, X, Y[1:], runs=RUNS)

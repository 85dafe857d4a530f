"""The held-out test against brute force, what it must not depend on, and its error rates on simulated data."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from scipy.stats import binom
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, ShuffleSplit
from sklearn.pipeline import make_pipeline

from neurocca import DeepCCA, KernelCCA, LinearCCA, LinearCCACV, held_out_test
from neurocca.cca.scoring import paired_correlations
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.held_out_null import RefittedNull, WhitenedNull
from neurocca.inference.matching import match
from neurocca.inference.plan import plan_permutations
from neurocca.inference.schemes import BlockPermute, CircularShift, PhaseRandomize, RowShuffle
from tests.conftest import ar1

SHIFT = CircularShift(min_shift=5)


def shared_views(seed: int, n: int = 120, p: int = 4, q: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Z = ar1(rng, n, 1, 0.5)
    runs = np.repeat(["a", "b", "c"], [n // 3 - 5, n // 3, n - 2 * (n // 3) + 5])
    X, Y = Z + ar1(rng, n, p, 0.5), Z + ar1(rng, n, q, 0.5)
    Y[:, 1] += X[:, 1]
    X[runs == "b"] += 3  # means of runs must be handled too
    return X, Y, runs


def leave_one_out(groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in dict.fromkeys(groups.tolist())]


def brute_force(fits, reference, X, Y, splits):
    """Held-out correlations of components matched by trying all orders; fits are callables from rows to a model."""
    U0, V0 = reference.transform(X, Y)
    k, folds = U0.shape[1], []
    for fit, (train, test) in zip(fits, splits, strict=True):
        model = fit.fit(X[train], Y[train])
        U, V = model.transform(X, Y)
        similar = (np.corrcoef(U.T, U0.T)[:k, k:] + np.corrcoef(V.T, V0.T)[:k, k:]) / 2
        best = max(permutations(range(k)), key=lambda order: sum(abs(similar[o, j]) for j, o in enumerate(order)))
        folds.append(paired_correlations(*model.transform(X[test], Y[test]))[list(best)])
    return np.array(folds)


def refitted(held, estimators, X, Y, runs, splits, scheme=SHIFT, rng=1):
    """The null by brute force: estimators are unfitted, those of the folds and the reference."""
    lengths = [int(np.sum(runs == run)) for run in dict.fromkeys(runs.tolist())]
    plan, rows = plan_permutations(scheme, lengths, len(held.null), rng=rng), []
    for i in range(len(plan)):
        moved = plan.scheme.apply(X, plan[i], plan.lengths)
        fits = [clone(e) for e in estimators]
        rows.append(brute_force(fits[1:], fits[0].fit(moved, Y), moved, Y, splits).mean(axis=0))
    return np.array(rows)


@pytest.fixture
def ways(monkeypatch) -> list[str]:
    """Which null was computed."""
    seen: list[str] = []
    for kind in (WhitenedNull, RefittedNull):
        call = kind.__call__
        monkeypatch.setattr(
            kind, "__call__", lambda self, a, b, f=call, c=kind: seen.append(c.__name__) or f(self, a, b)
        )
    return seen


class Plain(BaseEstimator):
    """LinearCCA without whitening."""

    def __init__(self, n_components=2, shrinkage=0.1, scale=True):
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.scale = scale

    def fit(self, X, y):
        self.cca_ = LinearCCA(self.n_components, shrinkage=self.shrinkage, scale=self.scale).fit(X, y)
        return self

    def transform(self, X, y):
        return self.cca_.transform(X, y)


class Scrambled(Plain):
    """Components in an order and with signs that depend on the number of samples."""

    def fit(self, X, y):
        super().fit(X, y)
        rng = np.random.default_rng(len(X))
        self.order_ = rng.permutation(self.n_components)
        self.signs_ = rng.choice([-1, 1], self.n_components)
        return self

    def transform(self, X, y):
        return tuple(Z[:, self.order_] * self.signs_ for Z in super().transform(X, y))


class Grouped(Plain):
    """Keeps the labels that its fit gets."""

    def fit(self, X, y, groups=None):
        SEEN.append(None if groups is None else sorted(set(groups)))
        return super().fit(X, y)


SEEN: list = []


@pytest.mark.filterwarnings("ignore:rows are not independent")
@pytest.mark.parametrize(
    "scheme", [SHIFT, PhaseRandomize(), BlockPermute(length=7), RowShuffle()], ids=lambda s: s.name
)
@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (3, 150), (150, 3), (130, 140)], ids=str)
def test_null_by_algebra_equals_refitting(scheme, shape, ways):
    X, Y, runs = shared_views(1, p=shape[0], q=shape[1])
    cca = LinearCCA(3, shrinkage=(0.1, 0.3), scale=True)
    held = held_out_test(cca, X, Y, runs=runs, scheme=scheme, n_permutations=6, rng=1)
    expected = refitted(held, [cca] * 4, X, Y, runs, leave_one_out(runs), scheme)
    np.testing.assert_allclose(held.null, expected, atol=1e-9)
    assert set(ways) == {"WhitenedNull"}
    assert held.scheme == scheme.name


@pytest.mark.parametrize(
    "cca",
    [
        LinearCCA(2),
        LinearCCA(2, shrinkage=0.2, n_pca=(None, 3)),
        LinearCCA(2, n_pca=(3, 2), scale=True),
        LinearCCA(2, x_spaces={"a": [0, 1], "b": [2, 3]}, shrinkage=({"a": 0.1, "b": 0.8}, 0.2)),
    ],
    ids=["plain", "n_pca of y", "n_pca of both", "spaces"],
)
def test_null_by_algebra_knows_all_that_whitening_knows(cca):
    X, Y, runs = shared_views(2)
    held = held_out_test(cca, X, Y, runs=runs, scheme=SHIFT, n_permutations=8, rng=1)
    np.testing.assert_allclose(held.null, refitted(held, [cca] * 4, X, Y, runs, leave_one_out(runs)), atol=1e-9)


def test_null_keeps_the_shrinkage_that_a_fold_has_chosen(ways):
    X, Y, runs = shared_views(3, q=30)
    held = held_out_test(LinearCCACV(2, scale=True), X, Y, runs=runs, scheme=SHIFT, n_permutations=8, rng=1)
    chosen = [e.shrinkage_ for e in (held.estimator, *held.estimators)]
    assert len(set(chosen)) > 1, "all alike would show nothing"
    estimators = [LinearCCA(2, shrinkage=shrinkage, scale=True) for shrinkage in chosen]
    np.testing.assert_allclose(held.null, refitted(held, estimators, X, Y, runs, leave_one_out(runs)), atol=1e-9)
    assert set(ways) == {"WhitenedNull"}


def test_a_table_of_lags_and_moving_rows_give_the_same():
    X, Y, runs = shared_views(4)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 20}
    table, rows = (held_out_test(LinearCCA(2), X, Y, max_memory=size, **options).null for size in (2**31, 1))
    np.testing.assert_allclose(table, rows, atol=1e-12)


def test_estimators_without_whitening_are_refitted(ways):
    X, Y, runs = shared_views(1)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 12, "rng": 1}
    slow = held_out_test(Plain(), X, Y, **options)
    assert set(ways) == {"RefittedNull"}
    fast = held_out_test(LinearCCA(2, shrinkage=0.1, scale=True), X, Y, **options)
    assert set(ways) == {"RefittedNull", "WhitenedNull"}
    np.testing.assert_allclose(slow.null, fast.null, atol=1e-9)
    np.testing.assert_allclose(slow.correlations, fast.correlations)


def purged(splits, gap):
    """Training rows, all of one run, further than the gap from all test rows."""
    return [(np.array([t for t in train if np.abs(test - t).min() > gap]), test) for train, test in splits]


@pytest.mark.parametrize("gap", [0.0, 6.0, 7.9])
def test_parts_of_one_run_are_left_out_with_a_gap(gap, ways):
    X, Y, _ = shared_views(5)
    cca, cv, one_run = LinearCCA(2, shrinkage=0.1), KFold(4), np.ones(120)
    held = held_out_test(cca, X, Y, runs=one_run, t_r=2.0, scheme="circular_shift", n_permutations=6, cv=cv, gap=gap)
    splits = purged(cv.split(X), int(gap / 2.0))
    assert [len(train) for train, _ in splits] == [90 - n * int(gap / 2) for n in (1, 2, 2, 1)]
    expected = refitted(held, [cca] * 5, X, Y, one_run, splits, CircularShift(min_shift=10), rng=0)
    np.testing.assert_allclose(held.null, expected, atol=1e-9)
    for estimator, (train, _) in zip(held.estimators, splits, strict=True):
        np.testing.assert_array_equal(estimator.x_weights_, clone(cca).fit(X[train], Y[train]).x_weights_)
    assert set(ways) == {"RefittedNull"}
    assert held.fold_labels == [1, 2, 3, 4]


def test_a_gap_does_not_reach_into_another_run(ways):
    X, Y, runs = shared_views(5)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 3}
    held, without = (held_out_test(LinearCCA(2), X, Y, gap=gap, **options) for gap in (50.0, 0.0))
    np.testing.assert_array_equal(held.correlations, without.correlations)
    assert set(ways) == {"WhitenedNull"}


def pieces() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three subjects with two runs each, of different lengths and means."""
    X, Y, _ = shared_views(6, n=150)
    runs = np.repeat(["1a", "1b", "2a", "2b", "3a", "3b"], [20, 30, 25, 25, 30, 20])
    X[runs == "2b"] -= 2
    Y[runs == "2b"] += 1
    return X, Y, runs, np.array([label[0] for label in runs])


def test_subjects_are_left_out_and_rows_are_rearranged_inside_their_runs(ways):
    X, Y, runs, subjects = pieces()
    cca = LinearCCA(2, shrinkage=0.1)
    held = held_out_test(cca, X, Y, runs=runs, groups=subjects, scheme=SHIFT, n_permutations=8, rng=1)
    splits = leave_one_out(subjects)
    assert held.fold_labels == ["1", "2", "3"]
    np.testing.assert_allclose(held.null, refitted(held, [cca] * 4, X, Y, runs, splits), atol=1e-9)
    np.testing.assert_allclose(
        held.correlations, brute_force([clone(cca) for _ in splits], held.estimator, X, Y, splits)
    )
    assert set(ways) == {"WhitenedNull"}


@pytest.mark.parametrize("wasteful", [False, True])
def test_several_runs_are_left_out_together(wasteful, ways):
    X, Y, runs, _ = pieces()
    cca, cv = LinearCCA(2, shrinkage=0.1), list(GroupKFold(3).split(X, groups=runs))
    if wasteful:  # a run may be neither fitted nor left out
        cv = [(train[runs[train] != runs[train][0]], test) for train, test in cv]
    held = held_out_test(cca, X, Y, runs=runs, cv=cv, scheme=SHIFT, n_permutations=8, rng=1)
    np.testing.assert_allclose(held.null, refitted(held, [cca] * 4, X, Y, runs, cv), atol=1e-9)
    assert set(ways) == {"WhitenedNull"}
    assert sorted(", ".join(held.fold_labels).split(", ")) == sorted(set(runs))


def test_a_feature_that_is_constant_in_a_run_correlates_with_nothing():
    X, Y, runs = shared_views(7)
    X[runs == "b"] = 1.7
    held = held_out_test(LinearCCA(1, shrinkage=0.1), X, Y, runs=runs, scheme=SHIFT, n_permutations=9, rng=1)
    assert held.correlations[1, 0] == 0
    expected = refitted(held, [LinearCCA(1, shrinkage=0.1)] * 4, X, Y, runs, leave_one_out(runs))
    np.testing.assert_allclose(held.null, expected, atol=1e-9)


def test_observed_correlations_are_those_of_the_left_out_runs():
    X, Y, runs = shared_views(1)
    held = held_out_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=runs, scheme=SHIFT, n_permutations=19)
    assert held.fold_labels == ["a", "b", "c"]
    for f, run in enumerate(held.fold_labels):
        fit = LinearCCA(2, shrinkage=0.1).fit(X[runs != run], Y[runs != run])
        U, V = fit.transform(X[runs == run], Y[runs == run])
        for component, r in zip(held.order[f], held.correlations[f], strict=True):
            np.testing.assert_allclose(r, np.corrcoef(U[:, component], V[:, component])[0, 1])
    np.testing.assert_allclose(held.mean, held.correlations.mean(axis=0))
    np.testing.assert_array_equal(held.estimator.x_weights_, LinearCCA(2, shrinkage=0.1).fit(X, Y).x_weights_)


def test_the_left_out_run_does_not_touch_the_fit():
    """Neither weights, nor scaling, nor the choice of shrinkage may see the run that is left out."""
    X, Y, runs = shared_views(2)
    spoilt_X, spoilt_Y = X.copy(), Y.copy()
    spoilt_X[runs == "b"] *= 1e3
    spoilt_Y[runs == "b"] = 7 + X[runs == "b", :1] * np.arange(7)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 5}
    a, b = (
        held_out_test(LinearCCACV(2, scale=True), *views, **options).estimators[1]
        for views in ((X, Y), (spoilt_X, spoilt_Y))
    )
    assert a.shrinkage_ == b.shrinkage_
    np.testing.assert_array_equal(a.x_weights_, b.x_weights_)
    np.testing.assert_array_equal(a.y_weights_, b.y_weights_)


def test_variates_are_those_of_the_fits_that_have_not_seen_the_run():
    X, Y, runs = shared_views(8, n=240)
    held = held_out_test(Scrambled(4), X, Y, runs=runs, scheme=SHIFT, n_permutations=9)
    sides = held.variates(X, Y)
    for f, label in enumerate(held.fold_labels):
        rows = runs == label
        r = paired_correlations(sides[0][rows], sides[1][rows])
        np.testing.assert_allclose(r, held.correlations[f], atol=1e-12)
        model = held.estimators[f]
        own = model.transform(X[rows], Y[rows])
        for side in range(2):
            np.testing.assert_allclose(sides[side][rows], own[side][:, held.order[f]] * held.signs[f])
    # and the clear ones look like those of the fit on all runs
    assert np.all(paired_correlations(sides[0], held.estimator.transform(X, Y)[0])[held.mean > 0.5] > 0.9)


def test_matching_undoes_another_order_and_other_signs():
    X, Y, runs = shared_views(8, n=240)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 12, "rng": 3}
    plain, scrambled = (held_out_test(kind(4), X, Y, **options) for kind in (Plain, Scrambled))
    order = scrambled.estimator.order_
    assert len({tuple(e.order_) for e in (scrambled.estimator, *scrambled.estimators)}) == 4
    np.testing.assert_allclose(scrambled.correlations, plain.correlations[:, order])
    np.testing.assert_allclose(scrambled.null, plain.null[:, order])
    reference = scrambled.estimator.transform(X, Y)[0]
    for f, estimator in enumerate(scrambled.estimators):
        aligned = estimator.transform(X, Y)[0][:, scrambled.order[f]] * scrambled.signs[f]
        assert (np.sum(aligned * reference, axis=0)[:2] > 0).all()


def test_match_finds_the_largest_sum_of_similarities():
    rng = np.random.default_rng(0)
    for _ in range(20):
        similarity = rng.uniform(-1, 1, (4, 4))
        order, signs = match(similarity)
        found = np.sum(signs * similarity[order, np.arange(4)])
        best = max(np.abs(similarity[list(o), np.arange(4)]).sum() for o in permutations(range(4)))
        np.testing.assert_allclose(found, best)


def test_all_components_that_every_fit_has():
    rng = np.random.default_rng(8)
    runs = np.repeat([1, 2, 3], [20, 30, 40])
    X, Y = rng.standard_normal((90, 80)), rng.standard_normal((90, 85))
    held = held_out_test(LinearCCA(shrinkage=0.5), X, Y, runs=runs, scheme=SHIFT, n_permutations=3)
    assert held.correlations.shape == (3, 49)
    assert held.null.shape == (3, 49)


def test_a_grid_search_is_nested_and_its_winners_are_refitted(ways):
    X, Y, runs = shared_views(1)
    grid = [(a, b) for a in (0.1, 0.9) for b in (0.1, 0.9)]
    options = {"runs": runs.astype(object), "scheme": SHIFT, "n_permutations": 8, "rng": 1}

    def shared(model, X, y):
        r = paired_correlations(*model.transform(X, y))
        return np.mean(r * np.abs(r))

    search = GridSearchCV(LinearCCA(2, scale=True), {"shrinkage": grid}, cv=LeaveOneGroupOut(), scoring=shared)
    ours = LinearCCACV(2, shrinkage_x=(0.1, 0.9), shrinkage_y=(0.1, 0.9), scale=True)
    a, b = held_out_test(search, X, Y, **options), held_out_test(ours, X, Y, **options)
    np.testing.assert_allclose(a.correlations, b.correlations)
    np.testing.assert_allclose(a.null, b.null)
    assert set(ways) == {"WhitenedNull"}
    assert isinstance(a.estimators[0], GridSearchCV)


def test_groups_that_a_splitter_ignores_are_no_news_unless_they_were_given():
    options = {"runs": RUNS, "scheme": SHIFT, "n_permutations": 3}
    search = GridSearchCV(LinearCCA(1), {"shrinkage": [0.1, 0.9]}, cv=3)
    assert held_out_test(search, X, Y, cv=KFold(3), **options).correlations.shape == (3, 1)
    with pytest.warns(UserWarning, match="groups parameter is ignored"):
        held_out_test(LinearCCA(1), X, Y, cv=KFold(3), groups=RUNS, **options)


def test_groups_of_the_training_samples_reach_the_fit():
    SEEN.clear()
    X, Y, runs = shared_views(8)
    held_out_test(Grouped(), X, Y, runs=runs, scheme=SHIFT, n_permutations=3)
    fits = [["b", "c"], ["a", "c"], ["a", "b"], ["a", "b", "c"]]
    assert SEEN[:4] == fits
    assert sorted(SEEN) == sorted(4 * fits)  # the fits, and those of three permutations


@pytest.mark.parametrize(
    "estimator", [KernelCCA(2), DeepCCA(2, epochs=5, hidden=(8,), batch_size=50)], ids=lambda e: type(e).__name__
)
def test_every_estimator_can_be_tested_on_left_out_runs(estimator):
    X, Y, runs = shared_views(7)
    X[runs == "b"] -= 3  # what is not linear says little about samples far from those it was fitted on
    assert held_out_test(estimator, X, Y, runs=runs, scheme=SHIFT, n_permutations=19).pvalues[0] == 0.05


@pytest.mark.parametrize("estimator", [LinearCCA(2, shrinkage=0.1), Plain()], ids=lambda e: type(e).__name__)
def test_results_depend_on_the_seed_and_on_nothing_else(estimator, monkeypatch):
    monkeypatch.setattr("neurocca.inference.held_out_null.BATCH_BYTES", 6000)  # several batches
    X, Y, runs = shared_views(4)

    def null(**kwargs):
        return held_out_test(estimator, X, Y, runs=runs, scheme=SHIFT, n_permutations=23, **kwargs).null

    alone = null(rng=5)
    assert not np.array_equal(alone, null(rng=6))
    for backend in ("threading", "loky"):
        with parallel_config(backend=backend):
            np.testing.assert_array_equal(alone, null(rng=5, n_jobs=2))


class Memory:
    """Checkpoint in memory."""

    def __init__(self):
        self.kept = {}

    def load(self, key):
        return self.kept.get(key)

    def save(self, key, done, values):
        self.kept[key] = done.copy(), values.copy()


@pytest.mark.parametrize("estimator", [LinearCCA(2, shrinkage=0.1), Plain()], ids=lambda e: type(e).__name__)
def test_a_checkpoint_is_read_for_the_same_test_only(estimator):
    X, Y, runs = shared_views(4)
    memory, options = Memory(), {"runs": runs, "scheme": SHIFT, "n_permutations": 5}
    null = held_out_test(estimator, X, Y, checkpoint=memory, **options).null
    (key,) = memory.kept
    done, values = memory.kept[key]
    memory.kept[key] = done, values + 1
    np.testing.assert_array_equal(held_out_test(estimator, X, Y, checkpoint=memory, **options).null, null + 1)
    other = clone(estimator).set_params(shrinkage=0.2)
    for model, views, more in [
        (other, (X, Y), {}),
        (estimator, (X + 1, Y), {}),
        (estimator, (X, Y), {"cv": GroupKFold(2)}),
    ]:
        found = held_out_test(model, *views, checkpoint=memory, **options, **more).null
        np.testing.assert_array_equal(found, held_out_test(model, *views, **options, **more).null)
    assert len(memory.kept) == 4
    # a table of lags and moving rows differ in last digits
    held_out_test(estimator, X, Y, checkpoint=memory, max_memory=1, **options)
    assert len(memory.kept) == 4 + (type(estimator) is LinearCCA)


def test_progress_counts_permutations():
    X, Y, runs = shared_views(4)
    counted = []
    held_out_test(LinearCCA(1), X, Y, runs=runs, scheme=SHIFT, n_permutations=33, progress=counted.append)
    assert sum(counted) == 33


def test_pvalues_and_frame_are_those_of_the_null():
    X, Y, runs = shared_views(5)
    held = held_out_test(LinearCCA(3, shrinkage=0.1), X, Y, runs=runs, scheme=SHIFT, n_permutations=50)
    largest, frame = held.null.max(axis=1), held.to_frame()
    np.testing.assert_allclose(held.pvalues, [(1 + np.sum(largest >= r)) / 51 for r in held.mean])
    np.testing.assert_allclose(held.pvalues_uncorrected, (1 + np.sum(held.null >= held.mean, axis=0)) / 51)
    assert (held.pvalues_fdr >= held.pvalues_uncorrected).all()
    assert list(frame) == ["correlation", "null_mean", "null_95", "p", "p_uncorrected"]
    np.testing.assert_allclose(frame["null_mean"], held.null.mean(axis=0))
    np.testing.assert_allclose(frame["null_95"], np.quantile(largest, 0.95))
    assert not held.is_exhaustive


def test_all_arrangements_are_used_when_there_are_fewer_than_asked_for():
    X, Y, runs = shared_views(5)
    scheme = CircularShift(min_shift=17)
    held = held_out_test(LinearCCA(1), X, Y, runs=runs, scheme=scheme, n_permutations=1000)
    assert held.is_exhaustive
    assert len(held.null) == 2 * 7 * 12


def test_shuffled_rows_of_time_series_are_warned_of():
    X, Y, runs = shared_views(5, n=300)
    with pytest.warns(InferenceWarning, match="not independent"):
        held_out_test(LinearCCA(1), X, Y, runs=runs, scheme="row_shuffle", n_permutations=5)


def with_nan(Y: np.ndarray) -> np.ndarray:
    Y = Y.copy()
    Y[[7, 9], 3] = np.nan
    return Y


X, Y, RUNS = shared_views(6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": Y[1:]}, "X has 120 rows and y has 119"),
        ({"y": with_nan(Y)}, "y holds 2 values .* first in row 7, column 3"),
        ({"runs": RUNS[1:]}, r"runs has shape \(119,\), but there are 120"),
        ({"groups": RUNS[1:]}, r"groups has shape \(119,\), but there are 120"),
        ({"runs": np.ones(120)}, "takes at least two of them, and there is one"),
        ({"n_permutations": 0}, "n_permutations=0"),
        ({"gap": -1.0}, "gap=-1.0 must be seconds"),
        ({"gap": np.inf}, "gap=inf"),
        ({"gap": "2"}, "gap='2'"),
        ({"t_r": "2"}, "t_r='2' must be seconds per sample"),
        ({"max_memory": 0}, "max_memory=0 must be a whole number, at least 1"),
        ({"max_memory": 1e9}, r"max_memory=1000000000\.0"),
        ({"runs": np.where(RUNS == "b", np.nan, 1.0)}, "runs holds 40 labels that are NaN, the first in row 35"),
        ({"groups": np.where(RUNS == "b", np.nan, 1.0)}, "groups holds 40 labels that are NaN"),
        ({"runs": np.ones(120), "cv": KFold(50)}, "fold 21 leaves out 2 samples: .* at least 3"),
        ({"runs": np.ones(120), "cv": KFold(4), "gap": 100.0}, "fold 1: 0 of 90 training samples .* 100 samples"),
        ({"cv": [(np.arange(100), np.arange(90, 120))]}, "fold 1: 10 samples are both fitted and left out"),
        ({"cv": []}, "no folds"),
        ({"cv": [(np.arange(60), np.arange(60, 121))]}, "fold 1 of cv gives row 120, and there are the rows 0 to 119"),
        ({"cv": [(np.arange(-1, 60), np.arange(60, 119))]}, "fold 1 of cv gives row -1"),
        ({"cv": [(np.arange(60.0), np.arange(60, 120))]}, r"fold 1 of cv gives float64 of shape \(60,\): row numbers"),
        ({"cv": [(np.arange(60), [])]}, "fold 1 leaves out 0 samples: a correlation takes at least 3"),
        ({"scheme": "sign_flip"}, "permutation_test"),
        ({"scheme": "prewhiten"}, "permutation_test"),
        ({"scheme": "rotate"}, "scheme='rotate' is none of circular_shift"),
        ({"scheme": ["circular_shift"]}, "is none of circular_shift"),
        ({"scheme": CircularShift(min_shift=30)}, "run of 35 volumes has no circular shift"),
    ],
)
def test_wrong_calls_are_refused_with_numbers(changes, message):
    given = {"X": X, "y": Y, "runs": RUNS, "scheme": SHIFT, "n_permutations": 5, **changes}
    with pytest.raises(ValueError, match=message):
        held_out_test(LinearCCA(1), **given)


@pytest.mark.parametrize(
    ("estimator", "changes", "message"),
    [
        (LinearCCA(1), {"rng": None}, "rng must be an integer seed"),
        (LinearCCA(1), {"progress": "yes"}, "progress='yes'"),
        (LinearCCA(1), {"checkpoint": "test.npz"}, r"Checkpoint\(path\)"),
        (PCA(1), {}, r"PCA needs transform\(X, y\)"),
        (make_pipeline(PCA(2), LinearCCA(1)), {}, r"Pipeline needs transform\(X, y\)"),
        (GridSearchCV(LinearCCA(1), {"shrinkage": [0.1]}, refit=False), {}, r"GridSearchCV needs transform\(X, y\)"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_arguments_of_a_wrong_type_are_refused(estimator, changes, message):
    with pytest.raises(TypeError, match=message):
        held_out_test(estimator, X, Y, **{"runs": RUNS, "scheme": SHIFT, "n_permutations": 5, **changes})


class PlainSpaces(LinearCCA):
    """LinearCCA that has to be refitted."""

    whitening = property()


@pytest.mark.parametrize("kind", [LinearCCA, PlainSpaces, GridSearchCV])
def test_names_of_columns_reach_fits_refits_and_whitening(kind, ways):
    X, Y, runs = shared_views(2)
    options = {"runs": runs, "scheme": SHIFT, "n_permutations": 8, "rng": 1}
    shrinkage = {"shrinkage": ({"u": 0.1, "v": 0.8}, 0.2)}
    names = {"u": ["a", "c"], "v": ["b", "d"]}
    expected = held_out_test(LinearCCA(2, x_spaces={"u": [0, 2], "v": [1, 3]}, **shrinkage), X, Y, **options)
    if kind is GridSearchCV:
        estimator = GridSearchCV(LinearCCA(2, x_spaces=names), {k: [v] for k, v in shrinkage.items()}, cv=3)
    else:
        estimator = kind(2, x_spaces=names, **shrinkage)
    found = held_out_test(estimator, pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(Y), **options)
    np.testing.assert_allclose(found.correlations, expected.correlations, atol=1e-12)
    np.testing.assert_allclose(found.null, expected.null, atol=1e-9)
    assert ways[-1] == ("RefittedNull" if kind is PlainSpaces else "WhitenedNull")
    assert list(getattr(found.estimator, "best_estimator_", found.estimator).feature_names_in_) == list("abcd")


def test_tensors_with_gradients_are_taken_as_numbers():
    options = {"runs": RUNS, "scheme": SHIFT, "n_permutations": 5}
    tensors = torch.asarray(X).requires_grad_(), torch.asarray(Y)
    found, expected = (held_out_test(LinearCCA(1), *views, **options) for views in (tensors, (X, Y)))
    np.testing.assert_array_equal(found.null, expected.null)


def test_masks_of_rows_are_row_numbers():
    options = {"runs": RUNS, "scheme": SHIFT, "n_permutations": 5}
    cv = leave_one_out(RUNS)
    masks = [(np.isin(np.arange(120), train), np.isin(np.arange(120), test)) for train, test in cv]
    found, expected = (held_out_test(LinearCCA(1), X, Y, cv=splits, **options) for splits in (masks, cv))
    np.testing.assert_array_equal(found.null, expected.null)
    assert found.fold_labels == ["a", "b", "c"]


def test_random_splits_are_refitted(ways):
    cca, cv = LinearCCA(1), ShuffleSplit(3, test_size=0.3, random_state=0)
    held = held_out_test(cca, X, Y, runs=RUNS, cv=cv, scheme=SHIFT, n_permutations=4, rng=1)
    np.testing.assert_allclose(held.null, refitted(held, [cca] * 4, X, Y, RUNS, list(cv.split(X))), atol=1e-9)
    assert set(ways) == {"RefittedNull"}


def rejection_rate(n_simulations: int, phi: float, *, planted: bool = False) -> float:
    rejected, runs = 0, np.repeat([1, 2, 3], 100)
    for seed in range(n_simulations):
        rng = np.random.default_rng([seed, 99])
        X, Y = ar1(rng, 300, 3, phi), ar1(rng, 300, 5, phi)
        if planted:
            Y[:, 0] += 0.5 * X[:, 0]
        options = {"runs": runs, "scheme": SHIFT, "n_permutations": 99, "rng": seed}
        rejected += held_out_test(LinearCCA(2, shrinkage=0.1), X, Y, **options).pvalues[0] <= 0.05
    return rejected / n_simulations


def test_independent_autocorrelated_views_are_rarely_called_related():
    n = 150
    assert rejection_rate(n, phi=0.8) <= binom.ppf(0.999, n, 0.05) / n


def test_a_planted_component_is_found():
    assert rejection_rate(20, phi=0.5, planted=True) >= 0.9

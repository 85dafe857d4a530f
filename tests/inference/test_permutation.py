"""In-sample test against brute force, references and enumeration."""

from itertools import permutations

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_linnerud

from neurocca import KernelCCA, LinearCCA, LinearCCACV, permutation_test
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.plan import plan_permutations
from neurocca.inference.products import BLOCK, RowProducts, ShiftProducts, lagged_products
from neurocca.inference.result import max_statistic_pvalues, permutation_pvalues
from neurocca.inference.schemes import BlockPermute, CircularShift, PhaseRandomize, RowShuffle, SignFlip
from neurocca.inference.stepdown import StepDown
from tests.conftest import ar1

LENGTHS = (40, 41, 39)
RUNS = np.repeat(["a", "b", "c"], LENGTHS)
SCHEMES = [CircularShift(5), PhaseRandomize(), BlockPermute(10), RowShuffle(), SignFlip()]
quiet = pytest.mark.filterwarnings("ignore::neurocca.inference.checks.InferenceWarning")
pytestmark = quiet


def shared_views(seed: int, p: int = 4, q: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = sum(LENGTHS)
    Z = ar1(rng, n, 1, 0.5)
    views = Z + ar1(rng, n, p, 0.5), Z + ar1(rng, n, q, 0.5)
    # signs of runs can turn without a new mean only where runs have none
    return tuple(np.concatenate([v[r == RUNS] - v[r == RUNS].mean(0) for r in "abc"]) for v in views)


def wilks(X: np.ndarray, Y: np.ndarray, first: int) -> np.ndarray:
    """Winkler's procedure literally: canonical variates from the observed views, the first ones left out."""
    r = np.linalg.svd(X[:, first:].T @ Y[:, first:], compute_uv=False)
    return -np.log1p(-(r**2)).sum()


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize(("shape", "shrinkage"), [((4, 7), 0.0), ((7, 4), (0.1, 0.4)), ((4, 150), 0.3)])
def test_null_of_the_first_step_equals_refitting_on_rearranged_data(scheme, shape, shrinkage):
    X, Y = shared_views(0, *shape)
    cca = LinearCCA(3, shrinkage=shrinkage)
    test = permutation_test(cca, X, Y, runs=RUNS, scheme=scheme, n_permutations=8, rng=1, statistic="root")
    plan = plan_permutations(scheme, LENGTHS, 8, rng=1)
    for i in range(len(plan)):
        # the narrower view is the one that is rearranged
        narrow, wide = (X, Y) if shape[0] < shape[1] else (Y, X)
        moved = scheme.apply(narrow, plan[i], LENGTHS)
        pair = (moved, wide) if shape[0] < shape[1] else (wide, moved)
        fit = clone(cca).fit(*pair)
        U, V = (a - a.mean(0) for a in pair)
        objective = np.diag((U @ fit.x_weights_).T @ (V @ fit.y_weights_)) / (len(X) - 1)
        np.testing.assert_allclose(test.null[i, 0], objective[0], atol=1e-10)
        np.testing.assert_allclose(test.largest[i], objective[0], atol=1e-10)


@pytest.mark.parametrize("cca", [KernelCCA(2, shrinkage=0.5), LinearCCACV(2), LinearCCA(2, n_pca=3)], ids=repr)
@pytest.mark.parametrize("scheme", [CircularShift(5), RowShuffle()], ids=lambda s: s.name)
def test_other_estimators_are_refitted_by_algebra_as_well(cca, scheme):
    X, Y = shared_views(1)
    fitted = clone(cca).fit(X, Y)
    test = permutation_test(fitted, X, Y, runs=RUNS, scheme=scheme, n_permutations=3, rng=1, statistic="root")
    plan = plan_permutations(scheme, LENGTHS, 3, rng=1)
    U, V = fitted.whitened(X, Y)
    if isinstance(cca, LinearCCACV):  # keeps the shrinkage it has chosen
        cca = LinearCCA(2, shrinkage=fitted.shrinkage_)
    for i in range(3):
        which = 0 if U.shape[1] <= V.shape[1] else 1
        pair = [X, Y]
        pair[which] = scheme.apply(pair[which], plan[i], LENGTHS)
        again = np.linalg.svd(np.matmul(*(b.T if j == 0 else b for j, b in enumerate(cca.whitened(*pair)))))[1]
        np.testing.assert_allclose(test.largest[i], again[0], atol=1e-10)


@pytest.mark.parametrize("scheme", SCHEMES[:4], ids=lambda s: s.name)
def test_every_step_equals_winklers_procedure(scheme):
    X, Y = shared_views(2)
    X, Y = (np.linalg.qr(v - v.mean(0))[0] for v in (X, Y))
    A, _, Bt = np.linalg.svd(X.T @ Y)
    U, V = X @ A, Y @ Bt.T
    test = permutation_test(X, Y, runs=RUNS, scheme=scheme, n_permutations=10, rng=5)
    plan = plan_permutations(scheme, LENGTHS, 10, rng=5)
    for i in range(10):
        moved = scheme.apply(U, plan[i], LENGTHS)
        np.testing.assert_allclose(test.null[i], [wilks(moved, V, k) for k in range(4)], atol=1e-10)
    np.testing.assert_allclose(test.observed, [wilks(U, V, k) for k in range(4)], atol=1e-10)
    np.testing.assert_array_equal(test.pvalues_stepdown, np.maximum.accumulate(test.pvalues_uncorrected))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_statistics_are_functions_of_trailing_roots(k):
    rng = np.random.default_rng(k)
    U, V = (np.linalg.qr(rng.standard_normal((60, m)))[0] for m in (5, 8))
    moved = U[rng.permutation(60)]
    for name, of_roots in (
        ("wilks", lambda r: -np.log1p(-(r**2)).sum()),
        ("root", lambda r: r[0]),
        ("sum_of_squares", lambda r: (r**2).sum()),
    ):
        step = StepDown.of(U, V, k, name)
        T = (moved @ step.rotation).T @ V
        found = step((T @ T.T)[None], (T @ step.axes)[None])[0]
        axes = step.axes[:, ::-1]
        for j in range(k):
            left = T[: 5 - j] @ (np.eye(8) - axes[:, :j] @ axes[:, :j].T)
            np.testing.assert_allclose(found[1 + j], of_roots(np.linalg.svd(left, compute_uv=False)), atol=1e-10)
        np.testing.assert_allclose(found[0], np.linalg.norm(T, 2), atol=1e-10)


def test_roots_next_to_one_take_the_slow_road_to_the_same_statistic():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((60, m)))[0] for m in (4, 6))
    V[:, 0] = U[:, 0] + 1e-6 * V[:, 0]
    V = np.linalg.qr(V)[0]
    step = StepDown.of(U, V, 3)
    T = (U @ step.rotation).T @ V
    T[-1] /= np.linalg.norm(T[-1])  # a root of 1 but for rounding, which leaves no Cholesky factor
    found = step((T @ T.T)[None], (T @ step.axes)[None])[0]
    assert np.isfinite(found).all()
    assert found[1] > 20


@pytest.mark.parametrize("shrinkage", [0.9, 1.0])
def test_roots_above_one_leave_wilks_statistic_finite_and_its_order(shrinkage):
    """With strong shrinkage (PLS) singular values are covariances: a statistic of all of them must still be one."""
    rng = np.random.default_rng(0)
    X, Y = shared_views(8)
    Y = np.hstack([Y, Y[:, :1] * 20 + rng.standard_normal((120, 1))])
    U, V = LinearCCA(2, shrinkage=(0.0, shrinkage)).whitened(X, Y)
    assert np.linalg.norm(V, 2) > 1.2
    test = permutation_test(U, V, runs=RUNS, scheme=CircularShift(5), n_permutations=50)
    bound = np.linalg.norm(V, 2)
    np.testing.assert_allclose(test.observed[0], wilks(U, V / bound, 0), rtol=1e-8)
    moved = CircularShift(5).apply(U, plan_permutations(CircularShift(5), LENGTHS, 50)[3], LENGTHS)
    np.testing.assert_allclose(test.null[3, 0], wilks(moved, V / bound, 0), rtol=1e-8)


@given(st.integers(2, 40), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_products_at_all_lags_are_those_of_rotated_rows(n, p, q, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    table = lagged_products(A, B)
    for lag in range(n):
        np.testing.assert_allclose(table[lag], np.roll(A, lag, axis=0).T @ B, atol=1e-10)


def test_shifts_by_the_table_equal_shifts_by_products_whatever_the_memory():
    rng = np.random.default_rng(0)
    q = 2 * BLOCK + 30
    U, V = (rng.standard_normal((119, m)) / 40 for m in (3, q))
    step, plan = StepDown.of(U, V, 2), plan_permutations(CircularShift(5), (59, 60), 40, rng=0)
    whole, tiled = (ShiftProducts(U, V, step, plan, memory) for memory in (2**31, 1))
    assert whole.fits
    assert not tiled.fits
    np.testing.assert_array_equal(whole(0, 40), tiled(0, 40))
    np.testing.assert_allclose(whole(0, 40), RowProducts(U, V, step, plan)(0, 40), atol=1e-10)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
@pytest.mark.parametrize("asarray", [torch.asarray, array_api_strict.asarray], ids=["torch", "strict"])
def test_other_array_libraries_give_the_same_test(scheme, asarray):
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((120, m)))[0] for m in (3, 5))
    options = {"runs": RUNS, "scheme": scheme, "n_permutations": 12, "rng": 2}
    expected, found = permutation_test(U, V, **options), permutation_test(asarray(U), asarray(V), **options)
    np.testing.assert_allclose(found.null, expected.null, atol=1e-10)
    np.testing.assert_allclose(found.largest, expected.largest, atol=1e-10)
    np.testing.assert_allclose(found.correlations, expected.correlations, atol=1e-10)
    np.testing.assert_array_equal(found.pvalues, expected.pvalues)


def test_single_precision_gives_the_same_verdict():
    X, Y = shared_views(3)
    U, V = LinearCCA(3, shrinkage=0.1).whitened(X, Y)
    options = {"runs": RUNS, "scheme": CircularShift(5), "n_permutations": 200}
    double, single = permutation_test(U, V, **options), permutation_test(U.astype("f"), V.astype("f"), **options)
    np.testing.assert_allclose(single.null, double.null, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(single.pvalues_stepdown, double.pvalues_stepdown, atol=0.006)


def test_agreement_with_the_reference_implementation_on_linnerud():
    """PermCCA in Octave, 2,000 permutations: .0895, .9415, .9415; here the Monte-Carlo error is that of 20,000."""
    data = load_linnerud()
    test = permutation_test(LinearCCA(), data.data, data.target, scheme="row_shuffle", n_permutations=20_000)
    reference = np.array([0.0895, 0.9415, 0.9415])
    error = np.sqrt(reference * (1 - reference) * (1 / 2000 + 1 / 20_000))
    assert np.all(abs(test.pvalues_stepdown - reference) < 3 * error)
    np.testing.assert_allclose(test.correlations, [0.79560815, 0.20055604, 0.07257029], atol=1e-8)
    np.testing.assert_allclose(np.exp(-test.observed), [0.35039053, 0.95472266, 0.99473355], atol=1e-8)


def test_exhaustive_enumeration_on_tiny_data():
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((6, 1)), rng.standard_normal((6, 2))
    test = permutation_test(LinearCCA(1), X, Y, scheme="row_shuffle", n_permutations=10_000)
    U, V = (np.linalg.qr(v - v.mean(0))[0] for v in (X, Y))
    all_roots = [np.linalg.norm(U[list(order)].T @ V) for order in permutations(range(6))]
    assert test.is_exhaustive
    assert len(test.null) == 719
    assert test.pvalues[0] == pytest.approx(np.mean(np.array(all_roots) >= np.linalg.norm(U.T @ V) - 1e-12))


def test_one_run_of_shifts_is_exhaustive():
    X, Y = shared_views(4)
    test = permutation_test(LinearCCA(2), X, Y, scheme=CircularShift(10.0), t_r=2.0, n_permutations=5000)
    assert test.is_exhaustive
    assert len(test.null) == 120 - 2 * 5 + 1
    assert test.pvalues.min() >= 1 / 112


def test_the_observed_arrangement_counts_and_ties_count():
    null = np.array([[0.1, 0.0], [0.2, 0.1], [0.3, 0.1]])
    np.testing.assert_allclose(max_statistic_pvalues(np.array([0.9, 0.25, 0.2]), null), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(permutation_pvalues(np.array([0.3 + 1e-15, 0.05]), null), [0.5, 0.75])


def test_results_depend_on_the_seed_and_on_nothing_else():
    X, Y = shared_views(4)

    def null(scheme, **kwargs):
        return permutation_test(LinearCCA(2), X, Y, runs=RUNS, scheme=scheme, n_permutations=120, **kwargs).null

    for scheme in SCHEMES[:4]:
        np.testing.assert_array_equal(null(scheme, rng=5), null(scheme, rng=5, n_jobs=2))
        assert not np.array_equal(null(scheme, rng=5), null(scheme, rng=6))


def test_to_frame_has_a_row_per_component():
    X, Y = shared_views(5)
    test = permutation_test(LinearCCA(3), X, Y, runs=RUNS, scheme=CircularShift(5), n_permutations=50)
    frame = test.to_frame()
    assert list(frame) == ["correlation", "null_95", "p", "p_stepdown", "p_uncorrected"]
    assert len(frame) == 3
    m = 3
    ordered = np.sort(test.pvalues_uncorrected) * m / np.arange(1, m + 1)
    np.testing.assert_allclose(np.sort(test.pvalues_fdr), np.minimum.accumulate(ordered[::-1])[::-1].clip(max=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, Y: permutation_test(LinearCCA(1), X, Y[1:], runs=RUNS), "X has 120 rows and y has 119"),
        (lambda X, Y: permutation_test(X, Y[1:], runs=RUNS), "U has 120 rows and V has 119"),
        (lambda X, Y: permutation_test(LinearCCA(1), X, Y, runs=RUNS, n_permutations=0), "n_permutations=0"),
        (lambda X, Y: permutation_test(LinearCCA(1), X, Y, runs=RUNS, t_r=0.9), "run of 40 volumes .* at least 46"),
        (lambda X, Y: permutation_test(LinearCCA(1), X, Y, runs=RUNS[:50]), r"shape \(50,\), but there are 120"),
        (
            lambda X, Y: permutation_test(LinearCCA(1), X, Y, n_components=5),
            "n_components=5 must be a whole number between 1 and 4",
        ),
        (lambda X, Y: permutation_test(LinearCCA(1), X, Y, statistic="pillai"), "'pillai' is none of wilks, "),
        (
            lambda X, Y: permutation_test(LinearCCA(1), np.where(X > 2, np.nan, X), Y),
            "X holds .* not finite, the first",
        ),
        (lambda X, Y: permutation_test(LinearCCA(1), X, [["a"] * 7] * 120), "y must hold real numbers"),
        (lambda X, Y: permutation_test(*spaces(60, 61), n_permutations=9), "60 and 61 .* 119 .* null correlation .* 1"),
    ],
)
def test_wrong_calls_are_refused_with_numbers(call, message):
    with pytest.raises(ValueError, match=message):
        call(*shared_views(6))


def spaces(p, q):
    rng = np.random.default_rng(0)
    views = (rng.standard_normal((120, m)) for m in (p, q))
    return tuple(np.linalg.qr(v - v.mean(0))[0] for v in views)


def test_views_that_fill_the_space_are_fine_with_shrinkage():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((120, 80)), rng.standard_normal((120, 90))
    with pytest.raises(ValueError, match="Use shrinkage"):
        permutation_test(LinearCCA(2), X, Y, scheme=CircularShift(5), n_permutations=9)
    test = permutation_test(LinearCCA(2, shrinkage=0.5), X, Y, scheme=CircularShift(5), n_permutations=19)
    assert test.null.std() > 0


def test_means_of_runs_are_taken_out():
    X, Y = shared_views(9)
    offsets = np.repeat(np.random.default_rng(0).standard_normal((3, 4)) * 50, LENGTHS, axis=0)
    for scheme in (CircularShift(5), SignFlip()):
        options = {"runs": RUNS, "scheme": scheme, "n_permutations": 9}
        plain = permutation_test(LinearCCA(2), X, Y, **options)
        moved = permutation_test(LinearCCA(2), X + offsets, Y + offsets[:, :1], **options)
        np.testing.assert_allclose(moved.null, plain.null, atol=1e-9)
        np.testing.assert_allclose(moved.correlations, plain.correlations, atol=1e-9)


def test_an_estimator_needs_whitened_and_nothing_else():
    class Bare:
        def whitened(self, X, y):
            return [np.linalg.qr(v - v.mean(0))[0] for v in (X, y)]

    X, Y = shared_views(7)
    test = permutation_test(Bare(), X, Y, runs=RUNS, scheme=CircularShift(5), n_permutations=19)
    assert test.correlations.shape == (4,)
    with pytest.raises(TypeError, match=r"object has no whitened\(X, y\)"):
        permutation_test(object(), X, Y)


@pytest.mark.filterwarnings("default")
def test_what_a_scheme_cannot_do_is_said():
    rng = np.random.default_rng(0)
    smooth = [ar1(rng, 120, 3, 0.8) for _ in range(2)]
    white = [rng.standard_normal((120, 3)) for _ in range(2)]
    with pytest.warns(InferenceWarning, match=r"neighbours correlate by 0\.\d\d and 0\.\d\d"):
        permutation_test(LinearCCA(1), *smooth, scheme="row_shuffle", n_permutations=9)
    with pytest.warns(InferenceWarning, match=r"120 samples in 1 runs are worth \d+ independent ones"):
        permutation_test(LinearCCA(1), *(ar1(rng, 120, 3, 0.95) for _ in range(2)), n_permutations=9)
    wide = [ar1(rng, 240, 50, 0.8) for _ in range(2)]
    with pytest.warns(InferenceWarning, match=r"100 dimensions, .* fewer than 100 per run .* phase_randomize"):
        permutation_test(LinearCCA(1), *wide, scheme="phase_randomize", n_permutations=9)
    with pytest.warns(InferenceWarning, match=r"21 arrangements .* below 0.045"):
        permutation_test(LinearCCA(1), *white, scheme=CircularShift(50), n_permutations=99)


@pytest.mark.filterwarnings("error")
def test_no_warning_where_there_is_nothing_to_warn_of():
    rng = np.random.default_rng(0)
    white, smooth = rng.standard_normal((300, 3)), ar1(rng, 300, 3, 0.8)
    permutation_test(LinearCCA(1), white, smooth, scheme="row_shuffle", n_permutations=9)  # one such side is enough
    permutation_test(LinearCCA(1), smooth, smooth[::-1], scheme="circular_shift", n_permutations=99)

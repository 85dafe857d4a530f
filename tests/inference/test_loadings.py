import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binom
from sklearn.decomposition import PCA

from neurocca import KernelCCA, LinearCCA
from neurocca.cca.scoring import loadings
from neurocca.inference.loading_null import stepwise_axes
from neurocca.inference.loadings import loading_test
from neurocca.inference.plan import plan_permutations, run_lengths
from neurocca.inference.schemes import BlockPermute, CircularShift
from tests.conftest import ar1

pytestmark = pytest.mark.filterwarnings("ignore::neurocca.inference.checks.InferenceWarning")

SCHEMES = ["row_shuffle", "sign_flip", "phase_randomize", CircularShift(min_shift=4), BlockPermute(length=5)]


def related(rng, n=200, p=3, q=6, strength=0.7):
    """Two views of which the first half of the columns share one series."""
    Z = rng.standard_normal((n, 1))
    X, Y = rng.standard_normal((n, p)), rng.standard_normal((n, q))
    X[:, : (p + 1) // 2] += strength * Z
    Y[:, : q // 2] += strength * Z
    return X, Y


def correlated(X, Y, variates, kind):
    U, V = variates if kind == "own" else variates[::-1]
    return loadings(X, U), loadings(Y, V)


def without_axes(basis, axes):
    """The basis in coordinates of what the axes leave out."""
    return basis @ np.linalg.svd(axes.T)[2][axes.shape[1] :].T


@pytest.mark.parametrize("kind", ["cross", "own"])
@pytest.mark.parametrize("shrinkage", [0.0, (0.1, 0.6), 1.0])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s if isinstance(s, str) else s.name)
def test_equals_refits_of_every_permutation(rng, scheme, shrinkage, kind):
    X, Y = related(rng, n=120)
    runs = np.repeat(np.arange(10), 12)
    for rows in (slice(12 * r, 12 * r + 12) for r in range(10)):  # sign flips take columns of mean 0 in each run
        X[rows] -= X[rows].mean(axis=0)
        Y[rows] -= Y[rows].mean(axis=0)
    cca, B = LinearCCA(2, shrinkage=shrinkage), 12
    found = loading_test(cca, X, Y, runs=runs, scheme=scheme, n_permutations=B, kind=kind, rng=5)
    lengths = run_lengths(runs, len(X))
    plan = plan_permutations(scheme, lengths, B, rng=5)
    observed = correlated(X, Y, cca.fit(X, Y).transform(X, Y), kind)
    U, V = cca.whitened(X, Y)
    A, _, Bt = np.linalg.svd(U.T @ V)
    # whitened once, of what the first component leaves: PLS there is CCA
    U, V = without_axes(U, A[:, :1]), without_axes(V, Bt[:1].T)
    null = []
    for i in range(B):
        moved, rest = (plan.scheme.apply(view, plan[i], lengths) for view in (X, U))
        first = correlated(moved, Y, cca.fit(moved, Y).transform(moved, Y), kind)
        second = correlated(moved, Y, LinearCCA(1, shrinkage=1.0).fit(rest, V).transform(rest, V), kind)
        null.append([np.abs(np.c_[a[:, :1], b]) for a, b in zip(first, second, strict=True)])
    for view, which in enumerate("xy"):
        np.testing.assert_allclose(getattr(found, f"{which}_loadings"), observed[view], atol=1e-10)
        sizes = np.array([loads[view] for loads in null])
        np.testing.assert_allclose(getattr(found, f"{which}_null"), sizes.max(axis=1), atol=1e-10)
        reached = np.abs(observed[view]) - 1e-9
        each = (1 + (sizes >= reached).sum(axis=0)) / (1 + B)
        np.testing.assert_allclose(getattr(found, f"{which}_pvalues_uncorrected"), each, rtol=1e-12)
        corrected = (1 + (sizes.max(axis=(1, 2))[:, None, None] >= reached).sum(axis=0)) / (1 + B)
        corrected[:, 1] = np.maximum(corrected[:, 1], corrected[:, 0].min())
        np.testing.assert_allclose(getattr(found, f"{which}_pvalues"), corrected, rtol=1e-12)


def test_all_steps_follow_the_observed_components(rng):
    T, (A, r, Bt) = rng.standard_normal((4, 9)), np.linalg.svd(rng.standard_normal((4, 9)), full_matrices=False)
    left, right = stepwise_axes(T, A, Bt.T)
    for j in range(4):
        P, Q = (np.eye(len(axes)) - axes[:, :j] @ axes[:, :j].T for axes in (A, Bt.T))
        a, _, b = np.linalg.svd(P @ T @ Q)
        assert abs(left[:, j] @ a[:, 0]) == pytest.approx(1)
        assert abs(right[:, j] @ b[0]) == pytest.approx(1)
    # of the observed product they are its singular vectors
    left, right = stepwise_axes(A * r @ Bt, A, Bt.T)
    np.testing.assert_allclose(np.abs(np.sum(left * A, axis=0)), 1)
    np.testing.assert_allclose(np.abs(np.sum(right * Bt.T, axis=0)), 1)


def test_tensors_give_the_same(rng):
    X, Y = related(rng)
    options = {"n_permutations": 20, "runs": np.repeat([1, 2], 100), "scheme": "phase_randomize"}
    a = loading_test(LinearCCA(2, shrinkage=0.2), X, Y, **options)
    b = loading_test(LinearCCA(2, shrinkage=0.2), torch.asarray(X), torch.asarray(Y), **options)
    assert isinstance(b.y_loadings, np.ndarray)
    np.testing.assert_allclose(a.y_loadings, b.y_loadings, atol=1e-10)
    np.testing.assert_allclose(a.x_null, b.x_null, atol=1e-10)
    np.testing.assert_array_equal(a.y_pvalues_uncorrected, b.y_pvalues_uncorrected)


def test_names_of_columns_say_which_belong_to_a_space(rng):
    X, Y = related(rng)
    options = {"n_permutations": 10, "scheme": "row_shuffle"}
    numbers, names = (
        LinearCCA(2, x_spaces={"u": u, "v": v}, shrinkage=({"u": 0.1, "v": 0.9}, 0.2))
        for u, v in (([0, 1], [2]), (["a", "b"], ["c"]))
    )
    expected = loading_test(numbers, X, Y, **options)
    found = loading_test(names, pd.DataFrame(X, columns=["a", "b", "c"]), pd.DataFrame(Y), **options)
    np.testing.assert_allclose(found.y_null, expected.y_null, atol=1e-12)
    np.testing.assert_allclose(found.x_loadings, expected.x_loadings, atol=1e-12)


def test_single_precision_stays_and_agrees(rng):
    X, Y = related(rng)
    a = loading_test(LinearCCA(2), X, Y, n_permutations=30)
    b = loading_test(LinearCCA(2), X.astype(np.float32), Y.astype(np.float32), n_permutations=30)
    assert b.x_loadings.dtype == b.y_loadings.dtype == np.float32
    np.testing.assert_allclose(a.y_loadings, b.y_loadings, atol=1e-4)
    np.testing.assert_allclose(a.y_null, b.y_null, atol=1e-4)


def test_p_values_stop_at_their_floor_and_agree_with_threshold_and_constant_columns_are_never_found(rng):
    X, Y = related(rng, strength=2.0)
    X, Y = np.c_[X, np.full(200, 7.3)], np.c_[Y, np.full(200, 0.1)]
    found = loading_test(LinearCCA(2, shrinkage=0.1), X, Y, n_permutations=99)
    for which in "xy":
        loads, p = getattr(found, f"{which}_loadings"), getattr(found, f"{which}_pvalues")
        each, fdr = (getattr(found, f"{which}_pvalues_{kind}") for kind in ("uncorrected", "fdr"))
        assert p.min() == each.min() == 0.01
        assert np.all(p >= each), "correction can only raise p-values"
        assert np.all(fdr >= each)
        np.testing.assert_array_equal(loads[-1], 0)
        np.testing.assert_array_equal(p[-1], 1)
        np.testing.assert_array_equal(each[-1], 1)
        for alpha in (0.01, 0.05, 0.2):
            threshold = getattr(found, f"{which}_threshold")(alpha)
            np.testing.assert_array_equal(np.abs(loads[:, 0]) > threshold, p[:, 0] <= alpha + 1e-12)
        assert getattr(found, f"{which}_threshold")(0.005) == np.inf
    with pytest.raises(ValueError, match="alpha=5"):
        found.x_threshold(5)


def bounds(n, p=0.05):
    """Counts among n that chance stays between in 99.8 % of cases."""
    return binom.ppf([0.001, 0.999], n, p)


@pytest.mark.parametrize("scheme", ["row_shuffle", "circular_shift"])
def test_familywise_error_is_nominal_where_nothing_is_related(scheme):
    n_simulations, wrong = 120, np.zeros(2)
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        phi = 0.0 if scheme == "row_shuffle" else 0.5
        X, Y = ar1(rng, 200, 3, phi), ar1(rng, 200, 12, phi)
        runs = np.repeat([1, 2], 100)
        found = loading_test(LinearCCA(2, shrinkage=0.1), X, Y, runs=runs, scheme=scheme, n_permutations=59, rng=seed)
        wrong += found.x_pvalues.min() <= 0.05, found.y_pvalues.min() <= 0.05
    low, high = bounds(n_simulations)
    assert np.all((low <= wrong) & (wrong <= high)), f"{wrong} false alarms in {n_simulations}"


def test_related_columns_are_found_and_unrelated_ones_rarely_though_they_correlate_with_related_ones():
    n_simulations, wrong, power = 120, np.zeros(2), np.zeros(2)
    for seed in range(n_simulations):
        rng = np.random.default_rng(1000 + seed)
        X, Y = ar1(rng, 200, 4, 0.4), ar1(rng, 200, 12, 0.4)
        Y += ar1(rng, 200, 1, 0.4)  # what all voxels share and the film has no part in
        Y[:, :6] += 0.9 * X[:, :1]
        found = loading_test(LinearCCA(2, shrinkage=0.1), X, Y, n_permutations=59, rng=seed)
        wrong += found.x_pvalues[1:].min() <= 0.05, found.y_pvalues[6:].min() <= 0.05
        power += found.x_pvalues[0, 0] <= 0.05, np.mean(found.y_pvalues[:6, 0] <= 0.05)
    assert np.all(wrong <= bounds(n_simulations)[1]), f"{wrong} false alarms in {n_simulations}"
    assert np.all(power >= 0.9 * n_simulations)


@pytest.mark.parametrize(
    ("k", "large", "shared"),
    [(2, 3.0, 0.0), (4, 1.0, 3.0)],
    ids=["a component of large variance", "a component that is noise"],
)
def test_what_earlier_components_take_away_makes_no_false_alarms_in_later_ones(k, large, shared):
    # a null of all components of permutations has 68 % in the first case; without the order of components, 16 % in the
    # second
    n_simulations, wrong = 120, np.zeros(2)
    for seed in range(n_simulations):
        rng = np.random.default_rng(2000 + seed)
        X, Y = rng.standard_normal((200, 4)), rng.standard_normal((200, 40))
        X[:, 0] *= large
        Y += shared * rng.standard_normal((200, 1))
        Y[:, :20] += X[:, :1]
        cca = LinearCCA(k, shrinkage=1.0)
        found = loading_test(cca, X, Y, scheme="row_shuffle", n_permutations=59, rng=seed)
        wrong += found.x_pvalues[1:].min() <= 0.05, found.y_pvalues[20:].min() <= 0.05
    assert np.all(wrong <= bounds(n_simulations)[1]), f"{wrong} false alarms in {n_simulations}"


def test_a_component_counts_for_no_more_than_those_before_it(rng):
    n = 300
    X, Y = rng.standard_normal((n, 3)), rng.standard_normal((n, 20))
    X[:, 0] *= 10  # PLS finds the noise of large variance first
    Y[:, :2] += 0.8 * X[:, 1:2]
    options = {"scheme": "row_shuffle", "n_permutations": 99}
    found = loading_test(LinearCCA(2, shrinkage=1.0), X, Y, **options)
    assert found.y_pvalues_uncorrected[:2, 1].max() <= 0.05, "the relation is in the second component"
    assert found.y_pvalues[:, 1].min() >= found.y_pvalues[:, 0].min() > 0.05
    unshrunk = loading_test(LinearCCA(2), X, Y, **options)
    assert unshrunk.y_pvalues[:2, 0].max() <= 0.05, "CCA finds it first"


def test_own_loadings_are_the_same_map_over_the_correlation_but_have_a_null_that_hides_it(rng):
    X, Y = related(rng, q=4)
    Y += rng.standard_normal((200, 1))  # columns of a view correlate
    cross, own = (loading_test(LinearCCA(2), X, Y, n_permutations=99, kind=kind) for kind in ("cross", "own"))
    r = LinearCCA(2).fit(X, Y).correlations_
    np.testing.assert_allclose(own.y_loadings * r, cross.y_loadings, atol=1e-10)
    np.testing.assert_allclose(own.x_loadings * r, cross.x_loadings, atol=1e-10)
    assert own.y_threshold() > 0.9
    assert (cross.y_pvalues[:2, 0] <= 0.05).all()
    assert own.y_pvalues.min() > 0.05
    alone = loading_test(LinearCCA(1), X, Y[:, :1], n_permutations=99, kind="own")
    assert alone.y_pvalues.item() == 1, "the only column is the component, whatever it relates to"


def test_own_loadings_under_shrinkage_show_columns_without_a_part_in_the_relation(rng):
    n = 4000
    X, shared = rng.standard_normal((n, 3)), rng.standard_normal((n, 1))
    Y = rng.standard_normal((n, 8)) + 2 * shared
    Y[:, :4] += 2 * X[:, :1]
    options = {"n_permutations": 99, "scheme": "row_shuffle"}
    cross, own = (loading_test(LinearCCA(1, shrinkage=1.0), X, Y, kind=kind, **options) for kind in ("cross", "own"))
    assert np.abs(own.y_loadings[4:]).min() > 0.4
    assert np.abs(cross.y_loadings[4:]).max() < 0.05
    assert cross.y_pvalues[:4].max() <= 0.05 < cross.y_pvalues[4:].min()


@pytest.mark.parametrize("scheme", ["circular_shift", "phase_randomize"])
def test_bytes_do_not_depend_on_jobs_and_the_first_of_many_are_the_few(rng, scheme):
    X, Y = related(rng)
    cca = LinearCCA(2, shrinkage=0.1)
    one, two, more = (
        loading_test(cca, X, Y, scheme=scheme, n_permutations=B, n_jobs=jobs, rng=3)
        for B, jobs in ((40, 1), (40, 2), (60, 1))
    )
    for name in ("x_null", "y_null", "x_pvalues", "y_pvalues", "x_pvalues_uncorrected", "y_pvalues_uncorrected"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.y_null.tobytes() == more.y_null[:40].tobytes()
    other = loading_test(cca, X, Y, scheme=scheme, n_permutations=40, rng=4)
    assert not np.array_equal(one.y_null, other.y_null)


def test_a_linear_kernel_gives_the_linear_maps(rng):
    X, Y = related(rng)
    options = {"n_permutations": 30, "runs": np.repeat([1, 2], 100)}
    a = loading_test(LinearCCA(2, shrinkage=0.3), X, Y, **options)
    b = loading_test(KernelCCA(2, kernel="linear", shrinkage=0.3), X, Y, **options)
    np.testing.assert_allclose(a.x_loadings, b.x_loadings, atol=1e-8)
    np.testing.assert_allclose(a.y_null, b.y_null, atol=1e-8)
    np.testing.assert_array_equal(a.y_pvalues, b.y_pvalues)


def test_a_kernel_shows_the_voxels_of_a_relation_that_no_line_describes(rng):
    half, Y = rng.standard_normal((100, 2)), rng.standard_normal((200, 5))
    X = np.r_[half, -half]  # x does not correlate with its square
    Y[:, :2] += X[:, :1] ** 2
    model = KernelCCA(1, kernel=("rbf", "linear"), shrinkage=(0.5, 0.1))
    found = loading_test(model, X, Y, scheme="row_shuffle", n_permutations=99)
    np.testing.assert_array_equal(found.y_pvalues[:, 0] <= 0.05, [True, True, False, False, False])
    linear = loading_test(LinearCCA(1, shrinkage=0.1), X, Y, scheme="row_shuffle", n_permutations=99)
    assert linear.y_pvalues.min() > 0.05


def test_errors_name_the_numbers(rng):
    X, Y = related(rng)
    with pytest.raises(ValueError, match="kind='both' is none of cross, own"):
        loading_test(LinearCCA(1), X, Y, kind="both")
    text = "n_components=4 must be a whole number between 1 and 3: the views have 3 and 6 dimensions"
    with pytest.raises(ValueError, match=text):
        loading_test(LinearCCA(1), X, Y, n_components=4)
    for wrong in (0, 1.5, "2", True):
        with pytest.raises(ValueError, match=f"n_components={wrong!r} must be a whole number between 1 and 3"):
            loading_test(LinearCCA(1), X, Y, n_components=wrong)
    with pytest.raises(TypeError, match=r"PCA has no whitened\(X, y\); held_out_test takes any estimator"):
        loading_test(PCA(1), X, Y)
    with pytest.raises(ValueError, match="X has 200 rows and y has 199"):
        loading_test(LinearCCA(1), X, Y[1:])
    with pytest.raises(ValueError, match="every null correlation would be 1"):
        loading_test(LinearCCA(1), rng.standard_normal((60, 20)), rng.standard_normal((60, 50)))

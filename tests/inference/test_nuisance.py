"""Nuisance variables: residual spaces against their definitions, and error rates that they must not spoil."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import binom

from neurocca import KernelCCA, LinearCCA, Nuisance, Prewhiten, permutation_test
from neurocca.inference.nuisance import ResidualSpace
from neurocca.inference.plan import plan_permutations
from neurocca.inference.schemes import RowShuffle

N = 60


def related(seed: int = 0, r: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((N, r))
    X = rng.standard_normal((N, 3)) + Z @ rng.standard_normal((r, 3))
    return X, rng.standard_normal((N, 5)) + Z @ rng.standard_normal((r, 5)), Z


def design(Z: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(Z)), Z])


def residual_maker(Z: np.ndarray) -> np.ndarray:
    return np.eye(len(Z)) - Z @ np.linalg.pinv(Z)


@pytest.mark.parametrize("method", ["huh_jhun", "theil"])
def test_rows_are_an_orthonormal_basis_of_what_is_left(method):
    Z = design(related()[2])
    space = ResidualSpace.of(Z, method)
    Q = space.rows(residual_maker(Z)).T  # of the identity's residuals
    np.testing.assert_allclose(Q.T @ Q, np.eye(N - 5), atol=1e-10)
    np.testing.assert_allclose(Q @ Q.T, residual_maker(Z), atol=1e-10)
    assert Q.shape == (N, N - 5)


def test_theils_rows_follow_its_formula():
    Z = design(related()[2])
    space, R = ResidualSpace.of(Z, "theil"), residual_maker(Z)
    S = np.eye(N)[:, space.kept]
    Q = R @ S @ np.linalg.inv(sqrtm(S.T @ R @ S).real)
    np.testing.assert_allclose(space.rows(R).T, Q, atol=1e-8)


def test_copies_and_constants_among_nuisance_variables_count_once():
    Z = design(related()[2])
    space = ResidualSpace.of(np.column_stack([Z, Z[:, 1:3], np.zeros(N)]))
    assert len(space.rows(np.eye(N))) == N - 5
    np.testing.assert_allclose(space.residuals(np.eye(N)[:, :4], "X"), residual_maker(Z)[:, :4], atol=1e-10)


@pytest.mark.parametrize("method", ["huh_jhun", "theil"])
def test_partial_correlations_and_their_null(method):
    X, Y, Z = related()
    test = permutation_test(
        LinearCCA(), X, Y, scheme="row_shuffle", n_permutations=15, nuisance=Nuisance(Z, method=method), rng=3
    )
    R = residual_maker(design(Z))
    expected = np.linalg.svd(np.linalg.qr(R @ X)[0].T @ np.linalg.qr(R @ Y)[0], compute_uv=False)
    np.testing.assert_allclose(test.correlations, expected, atol=1e-10)
    # by definition: residuals rotated, permuted, and whitened anew
    space = ResidualSpace.of(design(Z), method)
    x, y = space.rows(R @ X), space.rows(R @ Y)
    plan = plan_permutations(RowShuffle(), (N - 5,), 15, rng=3)
    for i in range(15):
        T = np.linalg.qr(x[plan[i]])[0].T @ np.linalg.qr(y)[0]
        np.testing.assert_allclose(test.largest[i], np.linalg.norm(T, 2), atol=1e-10)


@pytest.mark.parametrize("method", ["huh_jhun", "theil"])
@pytest.mark.parametrize("sides", [{"x": 0}, {"y": 0}, {"x": 0, "y": 1}], ids=["part, X", "part, y", "bipartial"])
def test_part_and_bipartial_correlations(sides, method):
    X, Y, Z = related()
    halves = (Z[:, :2], Z[:, 2:])
    given = {side: halves[half] for side, half in sides.items()}
    test = permutation_test(
        LinearCCA(), X, Y, scheme="row_shuffle", n_permutations=9, nuisance=Nuisance(**given, method=method)
    )
    R_x, R_y = (residual_maker(design(given.get(side, np.zeros((N, 0))))) for side in "xy")
    U, V = np.linalg.qr(R_x @ X)[0], np.linalg.qr(R_y @ Y)[0]
    np.testing.assert_allclose(test.correlations, np.linalg.svd(U.T @ V, compute_uv=False), atol=1e-10)


def test_nuisance_of_runs_has_effects_of_its_own_in_every_run():
    X, Y, Z = related()
    runs = np.repeat([1, 2], 30)
    per_run = [Z[:30, :2], Z[30:]]
    left = [residual_maker(design(z)) @ Y[runs == run] for z, run in zip(per_run, (1, 2), strict=True)]
    Y[30:] *= np.linalg.norm(left[0], axis=0) / np.linalg.norm(left[1], axis=0)  # errors of one size are left alone
    test = permutation_test(LinearCCA(), X, Y, runs=runs, scheme="row_shuffle", n_permutations=9, nuisance=per_run)
    residuals = []
    for view in (X, Y):
        parts = [residual_maker(design(z)) @ view[runs == run] for z, run in zip(per_run, (1, 2), strict=True)]
        residuals.append(np.linalg.qr(np.concatenate(parts))[0])
    expected = np.linalg.svd(residuals[0].T @ residuals[1], compute_uv=False)
    np.testing.assert_allclose(test.correlations, expected, atol=1e-10)


def test_what_leaves_one_view_only_does_not_come_back_with_the_other():
    """Part CCA finds the same whichever view is called X, also where the other one owes much to the nuisance."""
    found = []
    for seed in range(25):
        rng = np.random.default_rng([seed, 8])
        Z = rng.standard_normal((N, 6))
        A, B = rng.standard_normal((N, 3)), 2 * Z @ rng.standard_normal((6, 4)) + rng.standard_normal((N, 4))
        B[:, 0] += 1.5 * A[:, 0]
        A = A + Z @ rng.standard_normal((6, 3))
        options = {"scheme": "row_shuffle", "n_permutations": 39, "rng": seed}
        as_x = permutation_test(LinearCCA(1), A, B, nuisance=Nuisance(x=Z), **options).pvalues[0]
        as_y = permutation_test(LinearCCA(1), B, A, nuisance=Nuisance(y=Z), **options).pvalues[0]
        found.append((as_x <= 0.05, as_y <= 0.05))
    assert abs(np.subtract(*np.mean(found, axis=0))) <= 0.2
    assert np.mean(found) > 0.3


def test_runs_of_different_scale_may_still_exchange_rows():
    n, runs, rejected = 120, np.repeat([1, 2, 3], 40), 0
    for seed in range(n):
        rng = np.random.default_rng([seed, 9])
        scale = np.repeat([1, 1, 4], 40)[:, None]
        X, Y = rng.standard_normal((120, 3)) * scale, rng.standard_normal((120, 5)) * scale
        test = permutation_test(
            LinearCCA(1), X, Y, runs=runs, scheme="row_shuffle", n_permutations=39, rng=seed,
            nuisance=rng.standard_normal((120, 4)),
        )  # fmt: skip
        rejected += test.pvalues[0] <= 0.05
    assert rejected / n <= binom.ppf(0.999, n, 0.05) / n


def rates(n: int, r: int) -> dict[str, float]:
    rejected = dict.fromkeys(("residuals", "huh_jhun", "theil", "kernel"), 0)
    for seed in range(n):
        rng = np.random.default_rng([seed, 5])
        Z = rng.standard_normal((N, r))
        X = rng.standard_normal((N, 4)) + Z @ rng.standard_normal((r, 4))
        Y = rng.standard_normal((N, 5)) + Z @ rng.standard_normal((r, 5))
        options = {"scheme": "row_shuffle", "n_permutations": 59, "rng": seed}
        R = residual_maker(design(Z))
        rejected["residuals"] += permutation_test(LinearCCA(1), R @ X, R @ Y, **options).pvalues[0] <= 0.05
        for method in ("huh_jhun", "theil"):
            test = permutation_test(LinearCCA(1), X, Y, nuisance=Nuisance(Z, method=method), **options)
            rejected[method] += test.pvalues_stepdown[0] <= 0.05
        kernel = KernelCCA(1, kernel="linear", shrinkage=0.3)
        rejected["kernel"] += permutation_test(kernel, X, Y, nuisance=Z, **options).pvalues[0] <= 0.05
    return {name: count / n for name, count in rejected.items()}


def test_permuted_residuals_are_liberal_and_the_remedies_are_not():
    n = 120
    found = rates(n, 25)
    bound = binom.ppf(0.999, n, 0.05) / n
    assert max(found["huh_jhun"], found["theil"], found["kernel"]) <= bound
    assert found["residuals"] > 0.3, "without the problem this test shows nothing"


def test_what_is_shared_beyond_the_nuisance_is_found():
    X, Y, Z = related()
    Y[:, 0] += 2 * X[:, 0]
    test = permutation_test(LinearCCA(2), X, Y, scheme="row_shuffle", n_permutations=99, nuisance=Z)
    assert test.pvalues_stepdown[0] == 0.01
    assert test.pvalues_stepdown[1] > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nuisance": np.ones((N, 1)), "scheme": "circular_shift"}, 'do not go with circular_shift.*"prewhiten"'),
        ({"nuisance": np.ones((N, 1)), "scheme": "sign_flip"}, "do not go with sign_flip"),
        ({"nuisance": np.ones((N - 1, 2))}, r"nuisance has shape \(59, 2\), but there are 60 samples"),
        ({"nuisance": [np.ones((30, 2))]}, "nuisance has 1 runs, but there are 2"),
        ({"nuisance": [np.ones((30, 2)), np.ones((29, 2))]}, r"nuisance of run 2 has shape \(29, 2\).* 30 samples"),
        ({"nuisance": np.full((N, 2), np.nan)}, "nuisance holds 120 values that are not finite, .* row 0, column 0"),
        ({"nuisance": np.eye(N)}, "rank 60 with 60 samples: 0 dimensions"),
        ({"nuisance": "collinear"}, r"X: 1 of 3 columns lie in the span .* \(rank 6\), the first is column 2"),
    ],
)
def test_wrong_nuisance_is_refused_with_numbers(options, message):
    X, Y, Z = related()
    if isinstance(options["nuisance"], str):
        options = {"nuisance": np.column_stack([Z[:, :3], X[:, 2]])}
    with pytest.raises(ValueError, match=message):
        permutation_test(LinearCCA(1), X, Y, runs=np.repeat([1, 2], 30), **{"scheme": "row_shuffle"} | options)


def test_bases_come_too_late_for_nuisance():
    X, Y, Z = related()
    with pytest.raises(ValueError, match="before these are whitened"):
        permutation_test(X, Y, nuisance=Z)
    with pytest.raises(ValueError, match="before these are whitened"):
        permutation_test(X, Y, scheme=Prewhiten())
    with pytest.raises(ValueError, match="method='ridgway'"):
        Nuisance(Z, method="ridgway")

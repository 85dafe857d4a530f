import array_api_strict
import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from neurocca.linalg import (
    LARGE,
    largest_eigenvalues,
    reciprocal,
    solve_lower,
    top_eigenvectors,
    top_of_product,
    top_singular_triplets,
    well_conditioned_cholesky,
)

LIBRARIES = [np, torch, array_api_strict]


def covariance(n: int, seed: int = 0, decay: float = 0.97) -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return Q * decay ** np.arange(n) @ Q.T


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("n", "k"), [(40, 3), (300, 3), (300, 300), (400, 10)])
def test_top_eigenvectors(library, n, k):
    S = covariance(n)
    values, vectors = map(np.asarray, top_eigenvectors(library.asarray(S), k))
    expected = eigh(S)[0][::-1][:k]
    np.testing.assert_allclose(values, expected, atol=1e-10)
    np.testing.assert_allclose(S @ vectors, vectors * values, atol=1e-8)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-8)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("shape", "k"), [((30, 50), 4), ((300, 320), 4), ((320, 300), 4), ((5, 3), 3)])
def test_top_singular_triplets(library, shape, k):
    T = covariance(max(shape))[: shape[0], : shape[1]]
    left, values, right = map(np.asarray, top_singular_triplets(library.asarray(T), k))
    np.testing.assert_allclose(values, np.linalg.svd(T, compute_uv=False)[:k], atol=1e-9)
    np.testing.assert_allclose(T @ right, left * values, atol=1e-8)


@pytest.mark.parametrize("library", LIBRARIES)
def test_triangular_solves_and_cholesky(library):
    S, B = covariance(20), np.random.default_rng(1).standard_normal((20, 4))
    expected = np.linalg.cholesky(S)
    L = well_conditioned_cholesky(library.asarray(S.copy()))
    np.testing.assert_allclose(np.tril(np.asarray(L)), expected, atol=1e-12)
    b = library.asarray(B)
    np.testing.assert_allclose(np.asarray(solve_lower(library.asarray(expected), b)), np.linalg.solve(expected, B))
    back = solve_lower(library.asarray(expected), b, transposed=True)
    np.testing.assert_allclose(np.asarray(back), np.linalg.solve(expected.T, B))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_cholesky_factor_that_would_cost_half_of_the_digits_is_not_given(library):
    S = covariance(20)
    nearly = S - 0.999999999999 * np.outer(*[eigh(S)[1][:, 0]] * 2) * eigh(S)[0][0]
    for bad in (nearly, np.ones((3, 3)), np.diag([1.0, -1.0]), np.full((2, 2), np.nan)):
        assert well_conditioned_cholesky(library.asarray(bad)) is None


def test_the_krylov_method_gives_up_rather_than_be_wrong(monkeypatch):
    flat = covariance(500, decay=1 - 1e-6)
    monkeypatch.setattr("neurocca.linalg.STEPS", 8)
    assert top_of_product(lambda Z: flat @ Z, lambda Z: Z, flat, 3) is None
    steep = covariance(500, decay=0.5)
    found = top_of_product(lambda Z: steep @ Z, lambda Z: Z, flat, 3)
    np.testing.assert_allclose(np.abs(found.T @ eigh(steep)[1][:, ::-1][:, :3]), np.eye(3), atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_krylov_method_on_a_product(dtype):
    A, B = covariance(500, 1), covariance(500, 2)
    found = top_of_product(lambda Z: A.astype(dtype) @ Z, lambda Z: B.astype(dtype) @ Z, A.astype(dtype), 5)
    images = A @ B @ found
    values = np.sum(found * images, axis=0) / np.sum(found**2, axis=0)
    tolerance = 1e-8 if dtype is np.float64 else 1e-3
    np.testing.assert_allclose(images, found * values, atol=tolerance * np.abs(images).max())
    expected = np.sort(np.linalg.eigvals(A @ B).real)[::-1][:5]
    np.testing.assert_allclose(values, expected, rtol=tolerance)


def test_reciprocal_of_nothing_is_nothing():
    np.testing.assert_array_equal(reciprocal(np.array([2.0, 0.0, -1.0])), [0.5, 0.0, 0.0])


SPECTRA = {
    "spread": np.linspace(0, 1, LARGE) ** 2,
    "clustered": np.concatenate([np.linspace(0, 0.5, LARGE - 20), 1 - 1e-9 * np.arange(20)]),
    "equal": np.concatenate([np.zeros(LARGE - 5), np.ones(5)]),
    "too slow to converge": 1 - np.linspace(0, 1, LARGE) ** 1.5,
    "zero": np.zeros(LARGE),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-9), ("float32", 1e-5)])
def test_largest_eigenvalues_of_large_matrices(library, dtype, atol):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((LARGE, LARGE)))[0]
    T = rng.standard_normal((LARGE, 2 * LARGE)) / 60
    matrices = {name: (axes * values) @ axes.T for name, values in SPECTRA.items()}
    for name, S in (matrices | {"random": T @ T.T}).items():
        pair = np.stack([S, S / 2]).astype(dtype)
        found = np.asarray(largest_eigenvalues(library.asarray(pair)))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.linalg.eigvalsh(pair)[:, -1], atol=atol, err_msg=name)

"""The factorisations that CCA and its inference share.

Arrays may be of any library that follows the array API standard. The standard has neither triangular solves nor the
top of a spectrum; where a library has them (scipy for numpy arrays, torch), they are used.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array
from scipy.linalg import eigh, eigh_tridiagonal, get_lapack_funcs, solve_triangular

Array = Any

STEPS = 80  # of the Krylov method, before it gives up
LARGE = 512
"""Size of a matrix from which on its largest eigenvalue is looked for without the others."""


def solve_lower(L: Array, B: Array, *, transposed: bool = False) -> Array:
    """L⁻¹ B, or L⁻ᵀ B, for a lower triangular L of shape (n, n) and B of shape (n, m)."""
    if is_numpy_array(L):
        return solve_triangular(L, B, lower=True, trans=int(transposed), check_finite=False)
    linalg = array_namespace(L, B).linalg
    if hasattr(linalg, "solve_triangular"):
        return linalg.solve_triangular(L.T if transposed else L, B, upper=transposed)
    return linalg.solve(L.T if transposed else L, B)


def well_conditioned_cholesky(S: Array) -> Array | None:
    """Lower Cholesky factor of a symmetric matrix, or None where half of the digits would be lost on the way.

    The matrix is given up to it, and what lies above the factor's diagonal is not to be read.

    Parameters
    ----------
    S : array, shape (n, n)
    """
    xp = array_namespace(S)
    if is_numpy_array(S):
        (potrf,) = get_lapack_funcs(("potrf",), (S,))
        # LAPACK reads columns: the transpose of a symmetric matrix in row order is the matrix, without a copy
        L, failed = potrf(S.T, lower=True, clean=False, overwrite_a=True)
    else:
        L, failed = _cholesky(S), False
    if failed or L is None:
        return None
    d = xp.linalg.diagonal(L)
    # (a NaN compares as false)
    return L if bool(xp.min(d) ** 2 > xp.max(d) ** 2 * xp.finfo(S.dtype).eps ** 0.5) else None


def _cholesky(S: Array) -> Array | None:
    try:
        return array_namespace(S).linalg.cholesky(S)
    except (np.linalg.LinAlgError, RuntimeError):  # the latter is torch's
        return None


def top_eigenvectors(S: Array, k: int) -> tuple[Array, Array]:
    """First k eigenvalues and eigenvectors of a symmetric matrix.

    Parameters
    ----------
    S : array, shape (n, n)
        Positive semi-definite.
    k : int
        At most n.

    Returns
    -------
    values : array, shape (k,)
        Descending.
    vectors : array, shape (n, k)
    """
    n, xp = S.shape[0], array_namespace(S)
    if not is_numpy_array(S):
        values, vectors = xp.linalg.eigh(S)
    else:  # not by Lanczos' method, which can miss some of several equal eigenvalues
        values, vectors = eigh(S, subset_by_index=(n - k, n - 1), check_finite=False)
    return xp.flip(values[-k:]), xp.flip(vectors[:, -k:], axis=1)


def top_singular_triplets(T: Array, k: int) -> tuple[Array, Array, Array]:
    """First k singular values and vectors.

    For few out of many they come from the Gram matrix of the smaller side, which is much cheaper than a full
    decomposition. Squaring costs half of the digits of singular values far below the first; canonical correlations
    worth looking at are not that small.

    Parameters
    ----------
    T : array, shape (m, n)
    k : int
        At most min(m, n).

    Returns
    -------
    left : array, shape (m, k)
    values : array, shape (k,)
        Descending.
    right : array, shape (n, k)
        Zero where the singular value is, when it comes from the Gram matrix.
    """
    xp = array_namespace(T)
    m, n = T.shape
    if 4 * k >= min(m, n):
        left, values, right_t = xp.linalg.svd(T, full_matrices=False)
        return left[:, :k], values[:k], right_t[:k, :].T
    if m > n:
        right, values, left = top_singular_triplets(T.T, k)
        return left, values, right
    squares, left = top_eigenvectors(T @ T.T, k)
    values = without_dust(xp.sqrt(xp.clip(squares, 0.0, None)), n)
    return left, values, T.T @ left * reciprocal(values)


def top_of_product(A: Callable[[Array], Array], B: Callable[[Array], Array], like: Array, k: int) -> Array | None:
    """Span of the first k eigenvectors of A B, for symmetric positive semi-definite A and B given as products.

    Block Krylov method with Rayleigh-Ritz in the inner product of B, in which A B is self-adjoint (Saad, 2011,
    Numerical Methods for Large Eigenvalue Problems, ch. 6). The start is fixed, so that equal inputs give equal
    outputs.

    Parameters
    ----------
    A, B : callables
        Multiply an array of shape (n, m).
    like : array, shape (n, …)
        Says how long vectors are and of which library, type and device.
    k : int

    Returns
    -------
    array, shape (n, k), or None
        Eigenvectors in descending order; None when `STEPS` steps were not enough.
    """
    xp, n = array_namespace(like), like.shape[0]
    width = min(k + 10, n)
    block = A(xp.asarray(_start(n, width), dtype=like.dtype, device=device(like)))
    V, BV, ABV = block[:, :0], block[:, :0], block[:, :0]
    for step in range(1, min(STEPS, n // width) + 1):
        for _ in range(2):  # once leaves rounding errors behind, twice is enough
            block = xp.linalg.qr(block - V @ (V.T @ block)).Q
        image = B(block)
        following = A(image)
        V, BV, ABV = (xp.concat(pair, axis=1) for pair in ((V, block), (BV, image), (ABV, following)))
        if step % 8 == 0 or step == n // width:
            values, ritz = _generalised_top(BV.T @ ABV, V.T @ BV, k)
            vectors, images = V @ ritz, ABV @ ritz
            lengths = xp.linalg.vector_norm(vectors, axis=0)
            residual = xp.linalg.vector_norm(images - vectors * values, axis=0) * reciprocal(lengths)
            if float(xp.max(residual)) <= 0.1 * xp.finfo(like.dtype).eps ** 0.5 * float(values[0]):
                return vectors
        block = following
    return None


def _generalised_top(M: Array, P: Array, k: int) -> tuple[Array, Array]:
    """First k solutions of M z = θ P z, leaving out the directions in which P is next to singular."""
    xp = array_namespace(M)
    norms, axes = xp.linalg.eigh((P + P.T) / 2)
    keep = xp.maximum(norms, 1e-12 * norms[-1])
    W = xp.where(norms > 1e-12 * norms[-1], axes / xp.sqrt(keep), xp.zeros_like(axes))
    reduced = W.T @ ((M + M.T) / 2) @ W
    values, vectors = xp.linalg.eigh(reduced)
    return xp.flip(values)[:k], W @ xp.flip(vectors, axis=1)[:, :k]


def largest_eigenvalues(S: Array) -> Array:
    """Largest eigenvalue of every one of some symmetric positive semi-definite matrices.

    Parameters
    ----------
    S : array, shape (b, n, n)
        Of large ones, by Lanczos' method with full reorthogonalisation (Saad, 2011, ch. 6), which is cheaper than all
        eigenvalues and takes products only; all eigenvalues where it does not converge.

    Returns
    -------
    array, shape (b,)
    """
    found = _lanczos(S) if S.shape[1] >= LARGE else None
    return array_namespace(S).linalg.eigvalsh(S)[:, -1] if found is None else found


def _lanczos(S: Array) -> Array | None:
    xp, (b, n, _) = array_namespace(S), S.shape
    steps = min(200, n // 5)  # beyond, all eigenvalues are cheaper
    kind = {"dtype": S.dtype, "device": device(S)}
    V = xp.zeros((b, steps, n), **kind)
    v = xp.asarray(_start(n, 1)[:, 0], **kind)
    v = xp.tile((v / xp.linalg.vector_norm(v))[None, :], (b, 1))
    entries = []  # of the tridiagonal matrices: on the diagonal, and beside it
    for m in range(1, steps + 1):
        V[:, m - 1, :] = v
        w = (S @ v[:, :, None])[..., 0]
        diagonal = xp.sum(v * w, axis=1)
        known = V[:, :m, :]
        for _ in range(2):
            w = w - (xp.matrix_transpose(known) @ (known @ w[:, :, None]))[..., 0]
        length = xp.linalg.vector_norm(w, axis=1)
        entries.append(xp.stack([diagonal, length], axis=1))
        if m % 10 == 0:  # seldom, as other devices are waited for
            pairs = to_numpy(xp.stack(entries, axis=2)).astype(np.float64)
            values, last = zip(*(_top_of_tridiagonal(d, e[:-1]) for d, e in pairs), strict=True)
            if np.all(pairs[:, 1, -1] * last <= 1e-11 * np.array(values)):
                return xp.asarray(np.array(values), **kind)
        v = w * reciprocal(length)[:, None]
    return None


def _top_of_tridiagonal(diagonal: np.ndarray, beside: np.ndarray) -> tuple[float, float]:
    """Largest eigenvalue, and the size of the last entry of its eigenvector."""
    top = len(diagonal) - 1
    values, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=(top, top), check_finite=False)
    return values[0], abs(vectors[-1, 0])


def to_numpy(values: Array) -> np.ndarray:
    """The same values as a numpy array in the processor's memory."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values)


def _start(n: int, m: int) -> np.ndarray:
    """Fixed random start of an iteration, shape (n, m): equal inputs are to give equal outputs."""
    return np.random.default_rng(0).standard_normal((n, m))


def without_dust(values: Array, n: int) -> Array:
    """Descending singular values, with exact zeros where they are what rounding leaves of a zero.

    Parameters
    ----------
    values : array, shape (k,)
        Square roots of eigenvalues, so that half of the digits are lost.
    n : int
        Size of the matrix.
    """
    xp = array_namespace(values)
    dust = (n * xp.finfo(values.dtype).eps) ** 0.5 * values[0]
    return xp.where(values > dust, values, xp.zeros_like(values))


def reciprocal(values: Array) -> Array:
    """1 / values, and 0 where a value is 0."""
    xp = array_namespace(values)
    positive = values > 0
    return xp.where(positive, 1 / xp.where(positive, values, xp.ones_like(values)), xp.zeros_like(values))

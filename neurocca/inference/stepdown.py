"""Step-down statistics of all components from one factorisation per permutation.

Component k is tested on what is left when the components before it are taken out of both views (Winkler et al. 2020):
in the coordinates of the observed canonical variates that is the trailing block T[k:, k:] of the cross-product T of a
permutation. The determinants det(I - T[k:, k:] T[k:, k:]') of all blocks are leading principal minors of one matrix,
ordered from the last components to the first, so that one Cholesky factor gives all of them.

References
----------
Winkler, Renaud, Smith & Nichols (2020), Permutation inference for canonical correlation analysis, NeuroImage
220:117065, doi:10.1016/j.neuroimage.2020.117065.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from array_api_compat import array_namespace, device

from neurocca.linalg import largest_eigenvalues, to_numpy, top_singular_triplets

Array = Any
Statistic = Literal["wilks", "root", "sum_of_squares"]


@dataclass(frozen=True)
class StepDown:
    """From cross-products of whitened bases to the statistics of every step.

    Parameters
    ----------
    rotation : array, shape (p, p)
        Canonical axes of the narrower basis, from those that belong to no component over the last component to the
        first.
    axes : array, shape (q, k)
        Canonical axes of the other basis, from the last component to the first.
    correlations : array, shape (k,)
        Observed singular values, descending.
    statistic : {"wilks", "root", "sum_of_squares"}
        wilks: -log det(I - TT'), of all roots the product; root: the largest singular value of T; sum_of_squares: of
        its singular values (Pillai's trace without shrinkage).
    bound : float
        What T is divided by for Wilks' statistic. Shrinkage can leave bases longer than 1, and roots with them: the
        product of both bases' largest singular values, at least 1 each, bounds those of every arrangement.
    """

    rotation: Array
    axes: Array
    correlations: Array
    statistic: Statistic
    bound: float = 1.0

    @classmethod
    def of(cls, U: Array, V: Array, n_components: int, statistic: Statistic = "wilks") -> "StepDown":
        """Coordinates of the observed components of two whitened bases, U not wider than V."""
        if statistic not in get_args(Statistic):
            raise ValueError(f"statistic={statistic!r} is none of {', '.join(get_args(Statistic))}.")
        xp = array_namespace(U, V)
        A, r, _ = top_singular_triplets(U.T @ V, n_components)
        # B from A: exactly orthonormal also where a singular value is as small as rounding
        B = _orthonormal(V.T @ (U @ A))
        bound = _length(U) * _length(V) if statistic == "wilks" else 1.0
        return cls(_completed(xp.flip(A, axis=1)), xp.flip(B, axis=1), r, statistic, bound)

    @property
    def n_components(self) -> int:
        """K."""
        return self.axes.shape[1]

    def observed(self, U: Array, V: Array) -> np.ndarray:
        """Statistic of every step of the observed arrangement, shape (k,), on the way that those of others go."""
        T = (U @ self.rotation).T @ V
        return self((T @ T.T)[None, ...], (T @ self.axes)[None, ...])[0, 1:]

    def __call__(self, squares: Array, head: Array) -> np.ndarray:
        """Largest singular value, and the statistic of every step, of some permutations.

        Parameters
        ----------
        squares : array, shape (b, p, p)
            T T' in the coordinates of ``rotation``.
        head : array, shape (b, p, k)
            T times ``axes``.

        Returns
        -------
        array, shape (b, 1 + k)
        """
        largest = _largest_root(squares)
        if self.bound > 1:
            squares, head = squares / self.bound**2, head / self.bound
        steps = {"wilks": _wilks, "root": _roots, "sum_of_squares": _sums}[self.statistic](squares, head)
        return np.column_stack([to_numpy(largest), to_numpy(steps)]).astype(np.float64)


def _wilks(squares: Array, head: Array) -> Array:
    """-log det(I - T_k T_k') of every step k, shape (b, K), in double precision."""
    xp = array_namespace(squares)
    squares, head = (xp.astype(a, xp.float64, copy=False) for a in (squares, head))
    b, p, K = head.shape
    rest = p - K
    # eye - T_c T_c', where T_c leaves the components out of the wider view
    inner = head @ xp.matrix_transpose(head) - squares
    S = xp.zeros((b, p + K, p + K), dtype=xp.float64, device=device(squares))
    S[:, :rest, :rest] = inner[:, :rest, :rest]
    # rows of components alternate: u_K, v_K, …, u_1, v_1; the factorisation reads the lower triangle
    S[:, rest::2, :rest], S[:, rest::2, rest::2] = inner[:, rest:, :rest], inner[:, rest:, rest:]
    S[:, rest + 1 :: 2, :rest] = xp.matrix_transpose(head[:, :rest, :])
    S[:, rest + 1 :: 2, rest::2] = xp.matrix_transpose(head[:, rest:, :])
    S[:, rest::2, rest + 1 :: 2] = head[:, rest:, :]
    S += xp.eye(p + K, dtype=xp.float64, device=device(squares))
    try:
        diagonal = xp.linalg.diagonal(xp.linalg.cholesky(S))
    except (np.linalg.LinAlgError, RuntimeError):  # the latter is torch's
        return _wilks_by_roots(squares, head)
    minors = -2 * xp.cumulative_sum(xp.log(diagonal), axis=1)
    return xp.flip(minors[:, rest + 1 :: 2], axis=1)


def _wilks_by_roots(squares: Array, head: Array) -> Array:
    """The same where a root is so close to 1 that there is no Cholesky factor."""
    xp = array_namespace(squares)
    return xp.stack(
        [
            -xp.sum(xp.log1p(-xp.clip(xp.linalg.eigvalsh(block), 0.0, 1 - 1e-15)), axis=1)
            for block in _trailing(squares, head)
        ],
        axis=1,
    )


def _roots(squares: Array, head: Array) -> Array:
    return array_namespace(squares).stack([_largest_root(block) for block in _trailing(squares, head)], axis=1)


def _sums(squares: Array, head: Array) -> Array:
    xp = array_namespace(squares)
    traces = [xp.sum(xp.linalg.diagonal(block), axis=1) for block in _trailing(squares, head)]
    return xp.stack(traces, axis=1)


def _trailing(squares: Array, head: Array) -> Any:
    """T_k T_k' of every step, from the first."""
    xp = array_namespace(squares)
    p, K = head.shape[1:]
    for k in range(K):
        earlier = head[:, : p - k, K - k :]
        yield squares[:, : p - k, : p - k] - earlier @ xp.matrix_transpose(earlier)


def _largest_root(squares: Array) -> Array:
    """Largest singular values, shape (b,), from T T', shape (b, p, p)."""
    xp = array_namespace(squares)
    return xp.sqrt(xp.clip(largest_eigenvalues(squares), 0.0, None))


def _length(U: Array) -> float:
    """Largest singular value of a basis, at least 1, and exactly 1 where it is no more but for rounding."""
    products = U @ U.T if U.shape[1] > U.shape[0] else U.T @ U
    square = float(largest_eigenvalues(products[None, ...])[0])
    return square**0.5 if square > 1 + 1e-6 else 1.0


def _completed(A: Array) -> Array:
    """Orthonormal columns, shape (p, k), behind an orthonormal basis of what they leave out: shape (p, p)."""
    xp = array_namespace(A)
    p, k = A.shape
    rest = xp.linalg.qr(A, mode="complete").Q[:, k:]
    return xp.concat([rest, A], axis=1) if k < p else A


def _orthonormal(columns: Array) -> Array:
    """Orthonormal columns that follow the given ones in their order and sign."""
    xp = array_namespace(columns)
    Q, R = xp.linalg.qr(columns)
    signs = xp.sign(xp.linalg.diagonal(R))
    return Q * xp.where(signs == 0, xp.ones_like(signs), signs)

"""Loadings of permutations: what the null of a loading is.

Arrays may be of any library that follows the array API standard.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from neurocca.inference.plan import Plan
from neurocca.inference.result import permutation_pvalues
from neurocca.linalg import reciprocal, to_numpy, top_singular_triplets

Array = Any
Pair = tuple[Array, Array]
Kind = Literal["cross", "own"]


def unit_columns(X: Array) -> Array:
    """Centred columns of length 1, shape (n, p), whose products are correlations; 0 where a column is constant."""
    xp = array_namespace(X)
    centred = X - xp.mean(X, axis=0)
    norm = xp.linalg.vector_norm(centred, axis=0)
    # a constant column leaves rounding noise behind, which must not be blown up to a correlation
    dust = norm <= xp.finfo(X.dtype).eps * X.shape[0] * xp.max(xp.abs(X), axis=0)
    constant = dust | (xp.max(X, axis=0) == xp.min(X, axis=0))
    return centred * reciprocal(xp.where(constant, xp.zeros_like(norm), norm))


def observed_loadings(bases: Pair, columns: Pair, axes: Pair, kind: Kind) -> tuple[NDArray, NDArray]:
    """Loadings with the signs of a fit, which make the largest own loading of X in a component positive."""
    variates = _variates(bases, axes)
    own = to_numpy(columns[0].T @ variates[0])
    largest = own[np.argmax(np.abs(own), axis=0), np.arange(own.shape[1])]
    signs = np.where(largest < 0, -1, 1).astype(own.dtype)
    x, y = (to_numpy(load) * signs for load in _loadings(variates, columns, kind))
    return x, y


@dataclass
class NullLoadings:
    """Largest loadings of permutations at every step, and which observed loadings are reached in them.

    Which ones are reached is a bit per loading, so that the null of every column need not be kept.

    Parameters
    ----------
    bases : pair of arrays, shapes (n, rx) and (n, ry)
    columns : pair of arrays, shapes (n, p) and (n, q)
        Centred, of length 1.
    axes : pair of arrays, shapes (rx, k) and (ry, k)
        Of the observed components.
    plan : Plan
    kind : str
    observed : pair of arrays, shapes (p, k) and (q, k)
        Loadings.
    """

    bases: Pair
    columns: Pair
    axes: Pair
    plan: Plan
    kind: Kind
    observed: tuple[NDArray, NDArray]

    def __post_init__(self) -> None:
        # what moves, a basis and its columns, and what stays; correlations are the same in these coordinates
        self._moving, self._still = (
            tuple(self.plan.scheme.prepare(a, self.plan.lengths) for a in pair)
            for pair in zip(self.bases, self.columns, strict=True)
        )
        self._sizes = np.abs(np.concatenate([loads.ravel() for loads in self.observed]))

    def __call__(self, start: int, stop: int) -> NDArray[np.uint8]:
        """One row per permutation: bytes of the 2 k largest loadings, then bits."""
        return np.stack([self._row(i) for i in range(start, stop)])

    def _row(self, i: int) -> NDArray[np.uint8]:
        scheme, lengths, arrangement = self.plan.scheme, self.plan.lengths, self.plan[i]
        U, X = (scheme.move(rows, arrangement, lengths) for rows in self._moving)
        V, Y = self._still
        axes = stepwise_axes(U.T @ V, *self.axes)
        loads = [np.abs(to_numpy(load)) for load in _loadings(_variates((U, V), axes), (X, Y), self.kind)]
        # with one permutation a p-value is 1 or 1/2: whether it reaches the observed loading, ties included
        reached = permutation_pvalues(self._sizes, np.concatenate([load.ravel() for load in loads])[None, :]) == 1
        maxima = np.concatenate([load.max(axis=0) for load in loads]).astype(np.float64)
        return np.concatenate([maxima.view(np.uint8), np.packbits(reached)])


def stepwise_axes(T: Array, A: Array, B: Array) -> Pair:
    """First singular vectors of T, of T without the first observed pair of axes, and so on.

    Parameters
    ----------
    T : array, shape (rx, ry)
        Cross-product of a permutation.
    A, B : arrays, shapes (rx, k) and (ry, k)
        Canonical axes of the observed components; orthonormal.

    Returns
    -------
    pair of arrays, shapes (rx, k) and (ry, k)
    """
    left, right = [], []
    for j in range(A.shape[1]):
        a, _, b = top_singular_triplets(T, 1)
        left.append(a)
        right.append(b)
        T = T - A[:, j : j + 1] @ (A[:, j : j + 1].T @ T)
        T = T - (T @ B[:, j : j + 1]) @ B[:, j : j + 1].T
    xp = array_namespace(T)
    return xp.concat(left, axis=1), xp.concat(right, axis=1)


def _variates(bases: Pair, axes: Pair) -> Pair:
    """Canonical variates of length 1, shapes (n, k)."""
    xp = array_namespace(*bases)
    u, v = (basis @ a for basis, a in zip(bases, axes, strict=True))
    # whitened bases are centred, but shrinkage leaves their columns shorter than 1
    return u * reciprocal(xp.linalg.vector_norm(u, axis=0)), v * reciprocal(xp.linalg.vector_norm(v, axis=0))


def _loadings(variates: Pair, columns: Pair, kind: Kind) -> Pair:
    (u, v), (X, Y) = variates if kind == "own" else variates[::-1], columns
    xp = array_namespace(X)
    return xp.clip(X.T @ u, -1.0, 1.0), xp.clip(Y.T @ v, -1.0, 1.0)

"""Fewer features than a layer has: principal components and random projections, fitted on a stream of rows.

Every row counts, not the first ones of a film; no more than a batch of them is in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from neurocca.errors import UsageError
from neurocca.features.principal import Blocks, principal_axes


@dataclass(frozen=True)
class Reduction:
    """A linear map to fewer features: a random projection, principal components, or the one and then the other.

    Parameters
    ----------
    projection : sparse array, shape (m, d), float32, optional
        Random projection of d features.
    mean : array, shape (m,), float32, optional
        Mean of the rows that principal components were fitted on.
    components : array, shape (k, m), float32, optional
        Principal axes, orthonormal, of descending variance; the largest entry of each is positive.
    explained_variance_ratio : array, shape (k,), optional
        Share of each in the variance of the rows that it was fitted on.
    n_samples : int
        Number of these rows.
    seed : int, optional
        Of the random projection.
    """

    projection: csr_matrix | None = None
    mean: NDArray[np.float32] | None = None
    components: NDArray[np.float32] | None = None
    explained_variance_ratio: NDArray[np.float64] | None = None
    n_samples: int = 0
    seed: int | None = None

    @property
    def kind(self) -> str:
        """One of "srp", "pca" and "srp+pca"."""
        return "+".join(
            [*(["srp"] if self.projection is not None else []), *(["pca"] if self.components is not None else [])]
        )

    @property
    def n_features_in(self) -> int:
        """Number of features before."""
        first = self.components if self.projection is None else self.projection
        return int(first.shape[1])  # type: ignore[union-attr]

    @property
    def n_components(self) -> int:
        """Number of features after."""
        last = self.projection if self.components is None else self.components
        return int(last.shape[0])  # type: ignore[union-attr]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the new features: ``pca_1``, ``pca_2`` … or ``srp_1``, ``srp_2`` and so on."""
        return tuple(f"{self.kind[-3:]}_{j + 1}" for j in range(self.n_components))

    def transform(self, rows: NDArray) -> NDArray[np.float32]:
        """Reduce rows.

        Parameters
        ----------
        rows : array, shape (b, d)

        Returns
        -------
        array, shape (b, k), float32

        Raises
        ------
        UsageError
            When there are not as many features as it was fitted on.
        """
        if rows.ndim != 2 or rows.shape[1] != self.n_features_in:
            raise UsageError(
                f"features of shape {rows.shape} cannot be reduced: the projection is one of {self.n_features_in} "
                "features. Are model, layer, pooling and input size the same?"
            )
        reduced: NDArray = rows.astype(np.float32, copy=False)
        if self.projection is not None:
            reduced = (self.projection @ reduced.T).T
        if self.components is not None and self.mean is not None:
            reduced = (reduced - self.mean) @ self.components.T
        return np.ascontiguousarray(reduced, dtype=np.float32)

    def then(self, pca: "Reduction") -> "Reduction":
        """Compose this random projection and principal components of what comes out of it."""
        if self.components is not None or pca.projection is not None or pca.n_features_in != self.n_components:
            raise UsageError(
                f"{pca.kind} of {pca.n_features_in} features cannot follow {self.kind} to {self.n_components}."
            )
        return Reduction(
            self.projection, pca.mean, pca.components, pca.explained_variance_ratio, pca.n_samples, self.seed
        )

    def state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Arrays to be stored, and what JSON can hold beside them."""
        arrays: dict[str, NDArray] = {}
        if self.projection is not None:
            arrays |= {name: getattr(self.projection, name.removeprefix("projection_")) for name in _SPARSE}
        if self.components is not None:
            arrays |= {name: getattr(self, name) for name in _DENSE}
        meta = {"kind": self.kind, "n_features_in": self.n_features_in, "n_components": self.n_components}
        return arrays, meta | {"n_samples": self.n_samples, "seed": self.seed}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray], meta: Mapping[str, Any]) -> "Reduction":
        """A reduction from its `state`."""
        projection = None
        if _SPARSE[0] in arrays:
            parts = tuple(arrays[name] for name in _SPARSE)
            projection = csr_matrix(parts, shape=(len(parts[2]) - 1, meta["n_features_in"]))
        dense = {name: arrays[name] for name in _DENSE if name in arrays}
        return cls(projection, n_samples=int(meta["n_samples"]), seed=meta["seed"], **dense)


_SPARSE = ("projection_data", "projection_indices", "projection_indptr")
_DENSE = ("mean", "components", "explained_variance_ratio")


def sparse_projection(
    n_features: int,
    n_components: int | None = None,
    *,
    n_samples: int | None = None,
    eps: float = 0.1,
    seed: int = 0,
) -> Reduction:
    """Very sparse random projection: distances between rows stay what they were, but for a factor of 1 ± eps.

    It depends on no data, so that rows can be projected as they come. One in √d of its entries is not zero
    (Li, Hastie & Church, 2006), which makes it fast for the wide layers it is meant for.

    Parameters
    ----------
    n_features : int
    n_components : int, optional
        As many as Johnson and Lindenstrauss's lemma asks for by default.
    n_samples : int, optional
        Number of rows whose distances are to be kept, for that default.
    eps : float
        Error of squared distances, for that default.
    seed : int

    Returns
    -------
    Reduction

    Raises
    ------
    UsageError
        When there are not more features than components.

    Examples
    --------
    >>> sparse_projection(20000, n_samples=1000, eps=0.2).n_components
    1594
    """
    from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim

    if n_components is None and n_samples is None:
        raise UsageError("a random projection needs a number of components, or of samples to find it from.")
    reason = ""
    if n_components is None:
        n_components = int(johnson_lindenstrauss_min_dim(n_samples, eps=eps))
        reason = f" (for {n_samples} samples and eps={eps:g})"
    if not 1 <= n_components < n_features:
        raise UsageError(
            f"a random projection to {n_components} components{reason} does not reduce {n_features} features."
        )
    model = SparseRandomProjection(n_components, random_state=seed)
    model.fit(np.broadcast_to(np.float32(0), (1, n_features)))  # only the width matters
    return Reduction(csr_matrix(model.components_, dtype=np.float32), seed=seed)


def fit_pca(blocks: Blocks, n_components: int | float) -> Reduction:
    """Principal components of rows that come in blocks.

    With up to 4096 features the covariance of all rows is summed, and its eigenvectors are exact. Beyond that
    scikit-learn's IncrementalPCA follows them, a batch at a time and with some to spare, and one more pass over the
    rows turns what it found to the axes of greatest variance; where variances are close, the last of them can differ
    from the exact ones. The sizes of the blocks do not matter.

    Parameters
    ----------
    blocks : callable
        Gives the rows anew each time, in blocks of any sizes: arrays, shape (b, d).
    n_components : int or float
        Number of components, or the share of variance, between 0 and 1, that they must have at least.

    Returns
    -------
    Reduction

    Raises
    ------
    UsageError
        When the rows do not have so many components: there are too few of them, they vary in fewer dimensions, or
        not at all.
    DataError
        When a value is not finite or blocks differ in width.
    """
    if not (isinstance(n_components, int) and n_components >= 1) and not 0 < n_components < 1:
        raise UsageError(f"n_components={n_components!r} must be a whole number or a share of variance below 1.")
    found = principal_axes(blocks, n_components)
    return Reduction(
        mean=found.mean.astype(np.float32),
        components=found.axes.astype(np.float32),
        explained_variance_ratio=found.shares,
        n_samples=found.n_samples,
    )

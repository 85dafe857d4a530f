"""Nuisance variables: what both views may owe to something else, removed without spoiling exchangeability.

Residuals of a regression are not exchangeable, as they lie in a space of fewer dimensions than rows: permuting them
inflates false positives (to 100 % with 50 nuisance variables and 100 samples). Both remedies rotate the residuals
into as many rows as they have degrees of freedom, where they are as exchangeable as the errors were.

References
----------
Huh & Jhun (2001), Random permutation testing in multiple linear regression, Communications in Statistics 30:2023-2032,
doi:10.1081/STA-100106060.
Theil (1965), The analysis of disturbances in regression analysis, JASA 60:1067-1079; Ridgway (2009), doctoral thesis,
University College London, appendix.
Winkler, Renaud, Smith & Nichols (2020), doi:10.1016/j.neuroimage.2020.117065 (partial, part and bipartial CCA).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag, get_lapack_funcs, qr

from neurocca.inference.schemes import Lengths

PerRun = list | tuple
Variables = ArrayLike | PerRun | None


@dataclass(frozen=True)
class Nuisance:
    """Nuisance variables of both views or of one.

    An array, shape (n, r), has the same effect in all runs; a list of arrays, one per run, each of shape (n_run,
    r_run), has effects of its own in every run, as drift and head motion do. Means of runs are always taken out.

    Parameters
    ----------
    both : array or list of arrays, optional
        Removed from both views: partial CCA.
    x, y : array or list of arrays, optional
        Removed from one view only: part CCA with one of them, bipartial CCA with both. For bipartial CCA y is taken
        not to depend on what is removed from X only.
    method : {"huh_jhun", "theil"}
        Which basis of the residual space becomes the rows. Theil's keeps the rows as close as can be to those of the
        samples that are kept, Huh and Jhun's is any.
    """

    both: Any = None
    x: Any = None
    y: Any = None
    method: Literal["huh_jhun", "theil"] = "huh_jhun"

    def __post_init__(self) -> None:
        if self.method not in ("huh_jhun", "theil"):
            raise ValueError(f"method={self.method!r} is neither 'huh_jhun' nor 'theil'.")

    @classmethod
    def of(cls, nuisance: "Nuisance | Variables") -> "Nuisance":
        """The same, from what `permutation_test` takes."""
        return nuisance if isinstance(nuisance, Nuisance) else cls(both=nuisance)

    @property
    def only_x(self) -> bool:
        """Whether X alone has nuisance variables."""
        return self.x is not None and self.both is None and self.y is None

    def designs(self, lengths: Lengths) -> tuple[NDArray, NDArray]:
        """Nuisance variables of X and of y with the runs' means, shapes (n, R_x) and (n, R_y)."""
        means = block_diag(*(np.ones((n, 1)) for n in lengths))
        both = _columns(self.both, lengths)
        return tuple(np.hstack([means, both, _columns(own, lengths)]) for own in (self.x, self.y))  # type: ignore[return-value]


@dataclass(frozen=True)
class ResidualSpace:
    """Residuals of a regression on nuisance variables, and their rotation into exchangeable rows.

    Parameters
    ----------
    basis : array, shape (n, r)
        Orthonormal basis of the nuisance variables.
    reflectors, tau : arrays
        Householder reflectors, whose product begins with that basis.
    kept : array of int, shape (n - r,), or None
        Samples that Theil's rows stand for.
    """

    basis: NDArray
    reflectors: NDArray
    tau: NDArray
    kept: NDArray | None

    @classmethod
    def of(cls, Z: NDArray, method: str = "huh_jhun") -> "ResidualSpace":
        """Space that nuisance variables, shape (n, R), leave.

        Raises
        ------
        ValueError
            When they leave fewer than two dimensions.
        """
        n = len(Z)
        scale = np.linalg.norm(Z, axis=0)
        Z = Z[:, scale > 0] / scale[scale > 0]
        (reflectors, tau), R, _ = qr(Z, mode="raw", pivoting=True)
        pivots = np.abs(np.diag(R))
        rank = int(np.sum(pivots > max(Z.shape) * np.finfo(float).eps * pivots[0]))
        if n - rank < 2:
            raise ValueError(
                f"nuisance variables and the runs' means have rank {rank} with {n} samples: {n - rank} dimensions are "
                "left, and at least 2 are needed."
            )
        reflectors, tau = np.asfortranarray(reflectors[:, :rank]), tau[:rank]
        basis = _times_q(reflectors, tau, np.eye(n, rank), transposed=False)
        kept = None
        if method == "theil":
            # the samples that determine the nuisance variables best are the ones to do without
            _, pivoted = qr(basis.T, mode="r", pivoting=True)
            kept = np.sort(pivoted[rank:])
        return cls(basis, reflectors, tau, kept)

    def residuals(self, view: NDArray, name: str) -> NDArray:
        """The view without the nuisance variables, shape (n, m).

        Raises
        ------
        ValueError
            When nothing is left of a column.
        """
        left = view - self.basis @ (self.basis.T @ view)
        left = left - self.basis @ (self.basis.T @ left)  # once leaves rounding behind
        before, after = (np.linalg.norm(a, axis=0) for a in (view - view.mean(axis=0), left))
        gone = np.flatnonzero((after <= 1e-7 * before) & (before > 0))
        if len(gone):
            raise ValueError(
                f"{name}: {len(gone)} of {view.shape[1]} columns lie in the span of the nuisance variables "
                f"(rank {self.basis.shape[1]}), the first is column {gone[0]}: nothing is left of them."
            )
        return left

    def rows(self, residuals: NDArray) -> NDArray:
        """Exchangeable rows, shape (n - r, m): Q'residuals with Q'Q = I and QQ' = I - basis basis'."""
        residuals = residuals - self.basis @ (self.basis.T @ residuals)  # which those of the other view need not be
        if self.kept is None:
            return _times_q(self.reflectors, self.tau, residuals, transposed=True)[self.basis.shape[1] :]
        # Q = R S (S'RS)^(-1/2) for the selection S of kept rows, and S'RS = I - B B' is the identity but for rank r
        B = self.basis[self.kept]
        W, s, _ = np.linalg.svd(B, full_matrices=False)
        lengthened = 1 / np.sqrt(1 - s**2) - 1
        kept = residuals[self.kept]
        return kept + (W * lengthened) @ (W.T @ kept)


def _columns(variables: Any, lengths: Lengths) -> NDArray:
    """Nuisance variables of all samples, shape (n, R); those of runs in columns of their own."""
    n = sum(lengths)
    if variables is None:
        return np.zeros((n, 0))
    if not isinstance(variables, list | tuple):
        return _checked(variables, n, "nuisance")
    if len(variables) != len(lengths):
        raise ValueError(f"nuisance has {len(variables)} runs, but there are {len(lengths)}: one array per run.")
    parts = [
        _checked(part, rows, f"nuisance of run {i}")
        for i, (part, rows) in enumerate(zip(variables, lengths, strict=True), 1)
    ]
    return block_diag(*parts)


def _checked(variables: Any, n: int, name: str) -> NDArray:
    array = np.asarray(variables, dtype=float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}, but there are {n} samples: one row each.")
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} holds {int(bad.sum())} values that are not finite, the first in row {row}, column {column}."
        )
    return array


def _times_q(reflectors: NDArray, tau: NDArray, C: NDArray, *, transposed: bool) -> NDArray:
    """Q C or Q'C for the full orthogonal Q, shape (n, n), which is never formed."""
    (ormqr,) = get_lapack_funcs(("ormqr",), (reflectors, C))
    C = np.asfortranarray(C, dtype=reflectors.dtype)
    product, _, _ = ormqr("L", "T" if transposed else "N", reflectors, tau, C, lwork=max(1, 64 * C.shape[1]))
    return product

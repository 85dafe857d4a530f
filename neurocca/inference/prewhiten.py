"""Prewhitening: one autoregressive filter that makes the rows of the BOLD side exchangeable.

Under the null hypothesis it is enough that one side is exchangeable. The filter is estimated on y by restricted
maximum likelihood, with the nuisance variables in the model and pooled over columns, and applied to both views and the
nuisance variables, run by run. Residual autocorrelation of a regression is biased, all the more the more nuisance
variables there are; restricted likelihood takes that into account.

References
----------
Cochrane & Orcutt (1949), Application of least squares regression to relationships containing auto-correlated error
terms, JASA 44:32-61. Patterson & Thompson (1971), Recovery of inter-block information when block sizes are unequal,
Biometrika 58:545-554, doi:10.1093/biomet/58.3.545. Friston et al. (2002), Classical and Bayesian inference in
neuroimaging: applications, NeuroImage 16:484-512, doi:10.1006/nimg.2002.1091.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from neurocca.inference.schemes import Lengths, starts

MAX_COLUMNS = 100
"""Of more columns of y, so many at equal distances tell the common filter."""


@dataclass(frozen=True)
class Prewhiten:
    """Filter both views by the autoregressive model of y, then permute rows.

    Parameters
    ----------
    order : int, optional
        Order of the model; chosen by the Bayesian information criterion up to ``max_order`` when None.
    max_order : int
    per_column : bool
        Whether every column of y gets a filter of its own, of the common order; X and the nuisance variables get the
        common one. For columns that differ much in their autocorrelation; with many nuisance variables approximate.
    """

    order: int | None = None
    max_order: int = 10
    per_column: bool = False
    name: ClassVar[str] = "prewhiten"

    def __post_init__(self) -> None:
        for name, value, least in (("order", self.order, 0), ("max_order", self.max_order, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name}={value!r} must be a whole number, at least {least}.")

    def fit(self, Y: NDArray, Z: NDArray, lengths: Lengths) -> NDArray[np.float64]:
        """Coefficients of the prediction error filter, shape (order + 1,), the first of which is 1.

        Parameters
        ----------
        Y : array, shape (n, q)
        Z : array, shape (n, R)
            Nuisance variables; the runs' means are in the model anyway.
        lengths : tuple of int
            Samples of each run.

        Raises
        ------
        ValueError
            When runs are too short for the order, or too few samples remain beside the nuisance variables.
        """
        highest = self.max_order if self.order is None else self.order
        if self.order is None:  # short runs have little to tell of high orders
            highest = min(highest, max(min(lengths) // 10, 1))
        rank = int(np.linalg.matrix_rank(_centred(Z, lengths))) if Z.shape[1] else 0
        left = sum(n - highest - 1 for n in lengths) - rank
        if min(lengths) <= 2 * highest or left < 10:
            raise ValueError(
                f"runs of {min(lengths)} samples and more, with nuisance variables of rank {rank} beside their "
                f"means, are too short for an autoregressive model of order {highest}: {max(left, 0)} "
                "degrees of freedom are left."
            )
        Y = Y[:, varying(Y, lengths)]
        if not Y.shape[1]:
            raise ValueError("y: every column is constant in every run.")
        Y = Y[:, :: -(-Y.shape[1] // MAX_COLUMNS)]
        products = _LaggedProducts.of(Y / Y.std(axis=0), Z, lengths, highest)
        if self.order is not None:
            return _fit_order(products, self.order, np.ones(1))[0]
        chosen, best, a = np.ones(1), np.inf, np.ones(1)
        for order in range(highest + 1):  # all on the same rows, so that their likelihoods compare
            a, deviance = _fit_order(products, order, a)
            criterion = deviance + order * np.log(sum(products.lengths) * products.yy.shape[2])
            if criterion < best:
                chosen, best = a, criterion
        return chosen

    def columns(self, Y: NDArray, Z: NDArray, lengths: Lengths, common: NDArray) -> list[NDArray]:
        """A filter for every column of y, of the order of the common one."""
        order, alive = len(common) - 1, varying(Y, lengths)
        products = _LaggedProducts.of(Y, Z, lengths, order)
        fits = (_fit_order(products.column(j), order, common)[0] for j in range(Y.shape[1]) if alive[j])
        return [next(fits) if one else common for one in alive]


def filtered(view: NDArray, a: NDArray, lengths: Lengths) -> NDArray:
    """Prediction errors of every run, whose first samples, as many as the order, are lost.

    Parameters
    ----------
    view : array, shape (n, m)
    a : array, shape (order + 1,)
        Row t becomes Σ a[i] · row t - i.
    lengths : tuple of int

    Returns
    -------
    array, shape (n - order · runs, m)
    """
    return np.tensordot(a, _lagged(view, lengths, len(a) - 1), axes=1)


@dataclass(frozen=True)
class _LaggedProducts:
    """Sums over samples of products of lagged columns: all that the likelihood of any filter needs.

    Parameters
    ----------
    zz, zy, yy : arrays, shapes (P + 1, P + 1, R, R), (P + 1, P + 1, R, q) and (P + 1, P + 1, q)
        ``zy[i, l]`` is Z lagged by i times Y lagged by l; of Y with itself only equal columns.
    lengths : tuple of int
        Samples of each run, without those that are lost; their means are taken out.
    """

    zz: NDArray
    zy: NDArray
    yy: NDArray
    lengths: Lengths

    @classmethod
    def of(cls, Y: NDArray, Z: NDArray, lengths: Lengths, order: int) -> "_LaggedProducts":
        kept = tuple(n - order for n in lengths)
        if Z.shape[1]:  # changes nothing, but for nuisance in lost rows, which lagged ones would still see
            Zc, Yc = _centred(Z, lengths), _centred(Y, lengths)
            Y = Yc - Zc @ np.linalg.lstsq(Zc, Yc, rcond=1e-10)[0]
        # a filter leaves constants constant
        Ys, Zs = (np.stack([_centred(lag, kept) for lag in _lagged(view, lengths, order)]) for view in (Y, Z))
        if Z.shape[1]:
            # well conditioned, and of full rank on the rows that are left: what was in lost ones only is gone
            _, s, Vt = np.linalg.svd(Zs[0], full_matrices=False)
            keep = s > 1e-10 * max(s[0], np.finfo(float).tiny)
            Zs = Zs @ (Vt[keep].T / s[keep])
        zz = np.stack([[z.T @ other for other in Zs] for z in Zs])
        zy = np.stack([[z.T @ y for y in Ys] for z in Zs])
        yy = np.stack([[np.sum(y * other, axis=0) for other in Ys] for y in Ys])
        return cls(zz, zy, yy, kept)

    def column(self, j: int) -> "_LaggedProducts":
        """Of one column of Y."""
        return _LaggedProducts(self.zz, self.zy[..., j : j + 1], self.yy[..., j : j + 1], self.lengths)


def _fit_order(products: _LaggedProducts, order: int, start: NDArray) -> tuple[NDArray, float]:
    """Restricted maximum likelihood of one order: coefficients and deviance.

    With residuals e of the filtered data and R nuisance variables the deviance is Σ_j (n - R) log e_j'e_j + q log|Z'Z|.
    Its derivative is linear in the coefficients a for given residual variances and regression coefficients, so these
    and a take turns: Cochrane and Orcutt's iteration with the determinant's part added.

    The mean of a run has a part of its own, log(1 + n / τ) for the autocorrelation time τ, as in the exact likelihood
    of order 1: that of a likelihood conditional on the first samples would have no bound towards a unit root. As the
    squares of these samples are left out, φ comes out about 1.5 φ / n low for runs of n samples.
    """
    zz, zy, yy = (block[: order + 1, : order + 1] for block in (products.zz, products.zy, products.yy))
    (R, q), a, deviance = zy.shape[2:], np.r_[start, np.zeros(order + 1 - len(start))], np.inf
    n = np.array(products.lengths)
    free = n.sum() - len(n) - R
    for _ in range(50):
        Szz, Szy, Syy = (np.tensordot(a, np.tensordot(a, block, axes=1), axes=1) for block in (zz, zy, yy))
        L = np.linalg.cholesky(Szz)
        beta = cho_solve((L, True), Szy) if R else Szy
        squares = np.maximum(Syy - np.sum(Szy * beta, axis=0), 1e-12 * yy[0, 0])
        gain = np.clip(a.sum(), 1 / n.max(), 1.99)  # of the filter for a constant
        independent = n * gain / (2 - gain)  # n / τ
        penalty = 2 * np.log(np.diag(L)).sum() + np.log1p(independent).sum()
        before, deviance = deviance, float(free * np.log(squares).sum() + q * penalty)
        if order == 0 or abs(before - deviance) < 1e-6 * q:
            break
        M = (yy - _explained(zz, zy, beta)) @ (free / squares)
        if R:
            M += q * np.einsum("ilrs,sr->il", zz, cho_solve((L, True), np.eye(R)))
        M += q * (independent / (1 + independent)).sum() / (gain**2 * (2 - gain))
        if not np.isfinite(M).all() or np.linalg.cond(M[1:, 1:]) > 1e12:
            raise ValueError(
                "y: an autoregressive model predicts it exactly, as it does a trend: there are no errors to permute. "
                "Remove drift, or name it among the nuisance variables."
            )
        a = np.r_[1.0, -np.linalg.solve(M[1:, 1:], M[1:, 0])]
    return a, deviance


def _explained(zz: NDArray, zy: NDArray, beta: NDArray) -> NDArray:
    """What the nuisance variables explain of products of lagged columns, shape (P + 1, P + 1, q)."""
    crossed = np.einsum("ilrj,rj->ilj", zy, beta)
    return crossed + crossed.swapaxes(0, 1) - np.einsum("ilrj,rj->ilj", zz @ beta, beta)


def _lagged(view: NDArray, lengths: Lengths, order: int) -> NDArray:
    """The view and its past, shape (order + 1, rows, m), without the first samples of every run that have none."""
    parts = [
        np.stack([view[start + order - lag : start + n - lag] for lag in range(order + 1)])
        for start, n in starts(lengths)
    ]
    return np.concatenate(parts, axis=1)


def varying(Y: NDArray, lengths: Lengths) -> NDArray[np.bool_]:
    """Columns that vary inside runs by more than rounding."""
    spread = np.linalg.norm(_centred(Y, lengths), axis=0)
    return spread > len(Y) ** 1.5 * np.finfo(float).eps * np.abs(Y).max(axis=0)


def _centred(view: NDArray, lengths: Lengths) -> NDArray:
    """Without the means of runs."""
    return np.concatenate(
        [view[start : start + n] - view[start : start + n].mean(axis=0) for start, n in starts(lengths)]
    )

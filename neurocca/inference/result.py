"""Records that tests give back, and how counts become p-values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PermutationResult:
    """Components, what chance gives, and how probable chance is.

    Parameters
    ----------
    correlations : array, shape (k,)
        Singular values of the whitened cross-product, which are the canonical correlations where nothing was shrunk.
    observed : array, shape (k,)
        Statistic of each step: of component k and all after it, with those before it taken out.
    null : array, shape (B, k)
        The same in every permutation.
    largest : array, shape (B,)
        Largest singular value in every permutation, of all components.
    pvalues : array, shape (k,)
        Corrected over components by the maximum statistic: (1 + #{largest ≥ correlation}) / (1 + B).
    pvalues_uncorrected : array, shape (k,)
        Of each step by itself: (1 + #{null ≥ observed}) / (1 + B).
    pvalues_stepdown : array, shape (k,)
        Corrected over components by closure: the largest uncorrected p-value up to this step.
    statistic, scheme : str
    is_exhaustive : bool
        Whether the permutations are all there are.
    """

    correlations: NDArray[np.floating]
    observed: NDArray[np.floating]
    null: NDArray[np.floating]
    largest: NDArray[np.floating]
    pvalues: NDArray[np.floating]
    pvalues_uncorrected: NDArray[np.floating]
    pvalues_stepdown: NDArray[np.floating]
    statistic: str
    scheme: str
    is_exhaustive: bool

    @property
    def pvalues_fdr(self) -> NDArray[np.floating]:
        """Uncorrected p-values adjusted for the false discovery rate (Benjamini & Hochberg 1995), shape (k,)."""
        return false_discovery_control(self.pvalues_uncorrected)

    def to_frame(self) -> "pd.DataFrame":
        """One row per component: observed, 95th percentile of the largest under the null, p-values."""
        import pandas as pd

        return pd.DataFrame(
            {
                "correlation": self.correlations,
                "null_95": np.quantile(self.largest, 0.95),
                "p": self.pvalues,
                "p_stepdown": self.pvalues_stepdown,
                "p_uncorrected": self.pvalues_uncorrected,
            }
        )


def permutation_pvalues(observed: NDArray, null: NDArray, eps: float = 0.0) -> NDArray:
    """(1 + #{null ≥ observed}) / (1 + B): the observed arrangement counts as one.

    Parameters
    ----------
    observed : array, shape (k,)
    null : array, shape (B, k)
    eps : float
        Precision of what they were computed from, where it is not their own.

    Returns
    -------
    array, shape (k,)

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero, Statistical Applications in Genetics and
    Molecular Biology 9:39, doi:10.2202/1544-6115.1585.
    """
    # the same arrangement computed along another path may differ in the last digits and must count as a tie
    tolerance = max(1e-12, 64 * max(eps, float(np.finfo(observed.dtype).eps)))
    reached = null >= observed - tolerance * np.maximum(1, np.abs(observed))
    return (1 + reached.sum(axis=0)) / (1 + len(null))


def max_statistic_pvalues(observed: NDArray, null: NDArray, eps: float = 0.0) -> NDArray:
    """p-values corrected over columns by the maximum statistic.

    Parameters
    ----------
    observed : array, shape (k,)
    null : array, shape (B, k), or (B,) for maxima
    eps : float
        As in `permutation_pvalues`.

    Returns
    -------
    array, shape (k,)
        (1 + #{max null ≥ observed}) / (1 + B).
    """
    largest = null.max(axis=1) if null.ndim == 2 else null
    return permutation_pvalues(observed, np.broadcast_to(largest[:, None], (len(largest), len(observed))), eps)

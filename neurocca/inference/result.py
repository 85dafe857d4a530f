"""Records that tests give back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PermutationResult:
    """Components, what chance gives, and how probable chance is.

    Parameters
    ----------
    correlations : array, shape (k,)
        Observed statistic of each component: for the in-sample test singular values of the whitened cross-product,
        which are the canonical correlations where nothing was shrunk.
    null : array, shape (B, k)
        The same statistic in every permutation.
    pvalues : array, shape (k,)
        Corrected over components by the maximum statistic, (1 + #{max null >= observed}) / (1 + B).
    lags : array, shape (B, R)
        Circular lag of each run in every permutation, in volumes.
    """

    correlations: NDArray[np.floating]
    null: NDArray[np.floating]
    pvalues: NDArray[np.floating]
    lags: NDArray[np.int64]

    def to_frame(self) -> "pd.DataFrame":
        """One row per component: observed, mean and 95th percentile of the null, p."""
        import pandas as pd

        return pd.DataFrame(
            {
                "correlation": self.correlations,
                "null_mean": self.null.mean(axis=0),
                "null_95": np.quantile(self.null, 0.95, axis=0),
                "p": self.pvalues,
            }
        )


@dataclass(frozen=True)
class HeldOutResult(PermutationResult):
    """Correlations on runs that were left out of the fit; ``correlations`` are their means over runs.

    Parameters
    ----------
    per_run : array, shape (R, k)
        Correlation of each component in each left-out run.
    run_labels : list, length R
        The left-out runs, in the order of ``per_run``.
    estimators : list, length R
        The estimators fitted on the other runs.
    """

    per_run: NDArray[np.floating]
    run_labels: list
    estimators: list


def max_statistic_pvalues(observed: NDArray, null: NDArray) -> NDArray:
    """p-values corrected over components by the maximum statistic; the observed arrangement counts as one.

    Parameters
    ----------
    observed : array, shape (k,)
    null : array, shape (B, k)

    Returns
    -------
    array, shape (k,)
        (1 + #{max null >= observed}) / (1 + B), after Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.
    """
    largest = null.max(axis=1)
    # the same arrangement computed along another path may differ in the last digits and must count as a tie
    reached = largest[:, None] >= observed - 1e-12
    return (1 + reached.sum(axis=0)) / (1 + len(null))

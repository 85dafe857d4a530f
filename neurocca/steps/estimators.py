"""The estimator that a configuration asks for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from neurocca.cca.selection import LinearCCACV
from neurocca.config import FitConfig

METHODS = {
    "linear": "Linear canonical correlation analysis with shrinkage chosen by cross-validation",
    "kernel": "Kernel canonical correlation analysis with shrinkage chosen by cross-validation",
    "deep": "Deep canonical correlation analysis",
}
"""What each estimator is called in records."""


def estimator_of(fit: FitConfig, runs: NDArray, *, y_columns: int | None = None, seed: int = 0) -> Any:
    """Unfitted estimator, which chooses its shrinkage on training runs where there is one to choose.

    Parameters
    ----------
    fit : FitConfig
    runs : array, shape (n,)
        Run label of every volume.
    y_columns : int, optional
        Columns of BOLD, where y holds coordinates in their place.
    seed : int
        Of landmarks, and of a network's weights and batches.

    """
    if fit.estimator == "deep":
        from neurocca.cca.deep import DeepCCA

        return DeepCCA(fit.n_components, epochs=fit.epochs, random_state=seed)
    if fit.estimator == "kernel":
        return _kernel(fit, runs, seed)
    return LinearCCACV(
        fit.n_components,
        shrinkage_x=fit.shrinkage_x,
        shrinkage_y=fit.shrinkage_y,
        scale=True,
        y_columns=y_columns,
    )


def _kernel(fit: FitConfig, runs: NDArray, seed: int) -> Any:
    from neurocca.cca.kernel import KernelCCA

    lengths = sorted(np.unique_counts(runs).counts)
    least = int(sum(lengths[:-2]) or lengths[0])  # what is fitted with two runs left out, one to choose the shrinkage
    cca = KernelCCA(fit.n_components, kernel="rbf", n_landmarks=min(fit.n_landmarks, least), random_state=seed)
    grid = [s for s in fit.shrinkage_x if s > 0]
    if len(grid) == 1:
        return cca.set_params(shrinkage=grid[0])
    return GridSearchCV(cca, {"shrinkage": grid}, cv=LeaveOneGroupOut(), error_score="raise")

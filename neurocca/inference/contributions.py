"""What each feature space contributes to a component, alone and beside the others: variance partitioning.

The brain's side of a component is held fixed: it is the variate of the fit to the training runs. Given the brain's
weights, the film's weights of CCA are a ridge regression of that variate on the features, with the same penalty. So the
same regression on a part of the features says how well that part follows the same time course in the left-out run; on
all of them it gives the held-out correlation itself. Nothing has to be matched between fits to different features, and
nothing is learned from the left-out run.

References
----------
Borcard, Legendre & Drapeau (1992), Partialling out the spatial component of ecological variation, Ecology
73:1045-1055, doi:10.2307/1940179.
de Heer, Huth, Griffiths, Gallant & Theunissen (2017), The hierarchical cortical organization of human speech
processing, Journal of Neuroscience 37:6539-6557, doi:10.1523/JNEUROSCI.3267-16.2017 (on held-out data).
Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022), Feature-space selection with banded ridge regression,
NeuroImage 264:119728, doi:10.1016/j.neuroimage.2022.119728.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.censoring import check_kept, inflation, prepared
from neurocca.inference.fits import winner
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.matching import unit_variates
from neurocca.inference.plan import labelled_bounds
from neurocca.linalg import solve_lower, well_conditioned_cholesky


@dataclass(frozen=True)
class Contributions:
    """Held-out correlations of components with all features, with one space, and without it.

    Shares of variance are r |r|, so that what is not there is 0 on average and not a little above; they are means over
    left-out runs. All is the sum of the unique shares of all spaces and of what two or more of them share.

    Parameters
    ----------
    names : tuple of str, length s
        Feature spaces.
    all : array, shape (folds, k)
    alone, without : arrays, shape (s, folds, k)
        With the features of a space only, and with all the others only.
    """

    names: tuple[str, ...]
    all: NDArray[np.floating]
    alone: NDArray[np.floating]
    without: NDArray[np.floating]

    @property
    def explained(self) -> NDArray[np.floating]:
        """Share of variance with all features, shape (k,)."""
        return _squares(self.all).mean(axis=0)

    @property
    def explained_alone(self) -> NDArray[np.floating]:
        """Share of variance with one space only, shape (s, k)."""
        return _squares(self.alone).mean(axis=1)

    @property
    def unique_per_fold(self) -> NDArray[np.floating]:
        """What is lost in a left-out run without a space, shape (s, folds, k); below 0 where the space did harm."""
        return _squares(self.all) - _squares(self.without)

    @property
    def unique(self) -> NDArray[np.floating]:
        """What is lost without a space, shape (s, k)."""
        return self.unique_per_fold.mean(axis=1)

    @property
    def unique_error(self) -> NDArray[np.floating]:
        """Standard error of the unique shares over left-out runs, shape (s, k), as if these were independent."""
        return self.unique_per_fold.std(axis=1, ddof=1) / self.all.shape[0] ** 0.5

    @property
    def shared(self) -> NDArray[np.floating]:
        """What a space explains that the others explain as well, shape (s, k)."""
        return self.explained_alone - self.unique

    @property
    def shared_by_any(self) -> NDArray[np.floating]:
        """What no space explains alone, shape (k,): all without the unique shares."""
        return self.explained - self.unique.sum(axis=0)


def space_contributions(
    held: HeldOutResult,
    X: ArrayLike,
    y: ArrayLike,
    spaces: Mapping[str, ArrayLike],
    *,
    runs: ArrayLike,
    kept: ArrayLike | None = None,
) -> Contributions:
    """Contributions of feature spaces to the components of a held-out test.

    Parameters
    ----------
    held : HeldOutResult
        Of a LinearCCA or LinearCCACV with one shrinkage for X, and without ``n_pca`` and ``x_spaces``.
    X, y, runs, kept
        As the test took them.
    spaces : dict
        Name → numbers of columns of X; every column belongs to one of two spaces or more.

    Returns
    -------
    Contributions

    Raises
    ------
    ValueError
        When columns do not belong to exactly one space of several, or the estimator is of another kind.
    """
    X = np.asarray(X, dtype=float)
    blocks = {name: np.asarray(columns, dtype=int) for name, columns in spaces.items()}
    if len(blocks) < 2 or sorted(np.concatenate(list(blocks.values()))) != list(range(X.shape[1])):
        raise ValueError(f"each of the {X.shape[1]} columns of X must belong to exactly one of two spaces or more.")
    y, counted = prepared(X, y, kept, runs)
    counted = check_kept(counted, labelled_bounds(runs, len(X)))
    parts = [np.arange(X.shape[1]), *blocks.values(), *(_others(blocks, name) for name in blocks)]
    found = []
    for model, left, order in zip(held.estimators, held.tests, held.order, strict=True):
        ridge = _Ridge.of(winner(model), X, np.setdiff1d(np.arange(len(X)), left))
        target = np.asarray(winner(model).transform(X, y)[1])[:, order]
        factor = inflation(counted, left)
        found.append([factor * ridge.correlations(part, target, left) for part in parts])
    r, s = np.array(found).swapaxes(0, 1), len(blocks)
    return Contributions(tuple(blocks), r[0], r[1 : 1 + s], r[1 + s :])


@dataclass(frozen=True)
class _Ridge:
    """The film's side of CCA for a given brain side, on some of the features.

    Parameters
    ----------
    X : array, shape (n, p)
        Features in the scale of a fit, centred on its samples.
    train : array of int
        Samples of the fit.
    shrinkage : float
        Of the fit.
    target : float
        Mean variance of all features, to which the shrinkage shrinks; parts of them are shrunk to the same.
    """

    X: NDArray
    train: NDArray
    shrinkage: float
    target: float

    @classmethod
    def of(cls, model: Any, X: NDArray, train: NDArray) -> "_Ridge":
        """From a linear model."""
        shrinkage = getattr(model, "shrinkage_", None) or getattr(model, "shrinkage", None)
        own = shrinkage[0] if isinstance(shrinkage, tuple) else shrinkage
        if not isinstance(own, float | int) or model.n_pca is not None or model.x_spaces is not None:
            raise ValueError("contributions take a linear model with one shrinkage for X, without n_pca and x_spaces.")
        centred = X - X[train].mean(axis=0)
        variances = centred[train].var(axis=0, ddof=1)
        constant = variances <= np.finfo(float).eps * len(train) * np.abs(X[train]).max(axis=0) ** 2
        centred[:, constant], variances[constant] = 0.0, 0.0
        if model.scale:
            centred /= np.where(constant, 1.0, np.sqrt(variances))
            variances = np.where(constant, 0.0, 1.0)
        return cls(centred, train, float(own), float(variances.mean()))

    def correlations(self, columns: NDArray[np.intp], target: NDArray, left: NDArray[np.intp]) -> NDArray:
        """Correlations, shape (k,), of what is predicted for the left-out samples with a target, shape (n, k)."""
        X, n = self.X[:, columns], len(self.train)
        known, centred = X[self.train], target[self.train] - target[self.train].mean(axis=0)
        penalty = self.shrinkage * self.target
        if len(columns) <= n:
            shrunk = (1 - self.shrinkage) * (known.T @ known) / (n - 1) + penalty * np.eye(len(columns))
            predicted = X[left] @ _solve(shrunk, known.T @ centred / (n - 1))
        else:  # the same by the products of samples
            gram = (1 - self.shrinkage) * (known @ known.T) / (n - 1) + penalty * np.eye(n)
            predicted = X[left] @ (known.T @ _solve(gram, centred / (n - 1)))
        return np.sum(unit_variates(predicted) * unit_variates(target[left]), axis=0)


def _solve(S: NDArray, C: NDArray) -> NDArray:
    """S⁻¹ C for a symmetric S that may be singular."""
    L = well_conditioned_cholesky(S.copy())
    return np.linalg.pinv(S, hermitian=True) @ C if L is None else solve_lower(L, solve_lower(L, C), transposed=True)


def _others(blocks: dict[str, NDArray], name: str) -> NDArray[np.intp]:
    return np.sort(np.concatenate([columns for other, columns in blocks.items() if other != name]))


def _squares(r: NDArray) -> NDArray:
    return r * np.abs(r)

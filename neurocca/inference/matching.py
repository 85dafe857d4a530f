"""Held-out correlations of components that several fits have in common.

Fits on different samples find the same components in another order and with other signs. Each is matched to one
reference, the fit on all samples.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from neurocca.inference.folds import Fold


class Matched(NamedTuple):
    """What the folds give.

    Parameters
    ----------
    correlations : array, shape (folds, k)
        Of left-out variates, in the order of the reference's components.
    order : array of int, shape (folds, k)
        Which component of the fold each one is.
    signs : array, shape (folds, k)
        1 or -1, the same for both variates of a pair, so that no correlation changes its sign.
    X_variates : list of array, shapes (n_left, k)
        Of the left-out samples of each fold, matched and of length 1.
    """

    correlations: NDArray[np.floating]
    order: NDArray[np.intp]
    signs: NDArray[np.floating]
    X_variates: list[NDArray[np.floating]]


def matched_correlations(models: Iterable[Any], reference: Any, X: Any, y: Any, folds: list[Fold]) -> Matched:
    """Correlate left-out variates of fitted models, component by component of the reference.

    Components are as many as all of the fits have.

    Parameters
    ----------
    models : iterable of estimators with ``transform(X, y)``, fitted on the training rows of one fold each
    reference : estimator, fitted on all rows
    X, y : arrays or data frames, shapes (n, p) and (n, q)
    folds : list of Fold
    """
    U, V = (np.asarray(variates) for variates in reference.transform(X, y))
    variates = [[np.asarray(Z) for Z in model.transform(X, y)] for model in models]
    k = min([U.shape[1], *(fold_U.shape[1] for fold_U, _ in variates)])
    reference_units = unit_variates(U[:, :k]), unit_variates(V[:, :k])
    correlations, orders, signs, left = [], [], [], []
    for fold, pair in zip(folds, variates, strict=True):
        own = [unit_variates(Z[:, :k]) for Z in pair]
        similarity = (own[0].T @ reference_units[0] + own[1].T @ reference_units[1]) / 2
        order, sign = match(similarity)
        u, v = (unit_variates(Z[fold.test, :k]) for Z in pair)
        correlations.append(np.sum(u * v, axis=0)[order])
        orders.append(order)
        signs.append(sign)
        left.append(u[:, order] * sign)
    return Matched(np.array(correlations), np.array(orders), np.array(signs), left)


def match(similarity: NDArray) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Order and sign of components that are most alike to the reference's.

    Parameters
    ----------
    similarity : array, shape (k, k)
        Of each component, in rows, with each of the reference, in columns; signed.

    Returns
    -------
    order : array of int, shape (k,)
        The component that goes with each one of the reference, so that the sum of absolute similarities is largest.
    signs : array, shape (k,)
        1 or -1.

    Examples
    --------
    >>> order, signs = match(np.array([[0.1, 0.9], [-0.8, 0.2]]))
    >>> order.tolist(), signs.tolist()
    ([1, 0], [-1.0, 1.0])
    """
    _, order = linear_sum_assignment(np.abs(similarity).T, maximize=True)
    return order, np.where(similarity[order, np.arange(len(order))] < 0, -1.0, 1.0)


def unit_variates(variates: NDArray) -> NDArray:
    """Centred columns of length 1; 0 where a column is constant but for rounding."""
    centred = variates - variates.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    negligible = norm <= np.finfo(norm.dtype).eps * len(variates) * np.abs(variates).max(axis=0)
    return centred / np.where(negligible, np.inf, norm)

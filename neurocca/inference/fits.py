"""Fits to some of the rows, whatever views and estimators are."""

import inspect
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from neurocca.inference.folds import groups_may_be_ignored
from neurocca.linalg import to_numpy

Array = Any


def take_rows(view: Any, rows: NDArray) -> Any:
    """These rows of an array or a data frame."""
    if hasattr(view, "iloc"):
        return view.iloc[rows]
    xp = array_namespace(view)
    return xp.take(view, xp.asarray(rows, device=device(view)), axis=0)


def with_names(rows: Array, view: Any) -> Any:
    """Rows as a data frame with the columns of the view, where that is one: names may say what belongs together."""
    return type(view)(rows, columns=view.columns) if hasattr(view, "iloc") and view.ndim == 2 else rows


def plain(view: Any) -> NDArray:
    """A view of any library as numpy's array, without what a tensor notes for gradients."""
    if hasattr(view, "iloc"):  # a column may be called detach, or cpu
        return np.asarray(view)
    return to_numpy(view.detach() if hasattr(view, "detach") else view)


def fit_rows(estimator: Any, X: Any, y: Any, groups: NDArray, rows: NDArray) -> Any:
    """A clone of the estimator, fitted on some rows.

    One that leaves groups out itself, to choose something or to know when to stop, gets the rows' groups.
    """
    model = clone(estimator)
    if "cv" not in model.get_params() and not has_fit_parameter(model, "groups"):
        return model.fit(take_rows(X, rows), take_rows(y, rows))
    with groups_may_be_ignored():
        return model.fit(take_rows(X, rows), take_rows(y, rows), groups=groups[rows])


def winner(model: Any) -> Any:
    """What a fitted search has chosen, or the model itself: a search hands its own transform one view only.

    Raises
    ------
    TypeError
        When it does not transform both views.
    """
    found = getattr(model, "best_estimator_", model)
    if not _takes_both(getattr(found, "transform", None)):
        raise TypeError(
            f"{type(found).__name__} needs transform(X, y), which gives the variates of both views: its transform "
            "is missing, or takes one view only."
        )
    return found


def _takes_both(transform: Any) -> bool:
    if transform is None:
        return False
    try:
        inspect.signature(transform).bind(np.empty(0), np.empty(0))
    except TypeError:
        return False
    return True

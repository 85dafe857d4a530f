"""Canonical correlations on runs, or other samples, that the fit has not seen."""

from collections.abc import Hashable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from neurocca.inference.bases import is_pairwise
from neurocca.inference.censoring import inflation, prepared
from neurocca.inference.checks import check_rows, warn_of_scheme
from neurocca.inference.fits import fit_rows, plain, winner, with_names
from neurocca.inference.folds import Bounds, Fold, Splitter, groups_may_be_ignored, split_folds, whole_runs
from neurocca.inference.held_out_null import RefittedNull, WhitenedNull, weighted_variates
from neurocca.inference.matching import matched_correlations
from neurocca.inference.options import is_number, shown, whole_number
from neurocca.inference.parallel import CheckpointLike, Progress, over_permutations
from neurocca.inference.plan import Plan, labelled_bounds, plan_permutations
from neurocca.inference.result import max_statistic_pvalues, permutation_pvalues
from neurocca.inference.schemes import Scheme

if TYPE_CHECKING:
    import pandas as pd

REFUSED = {
    "sign_flip": "sign_flip turns whole runs and leaves the relation inside each of them as it is",
    "prewhiten": "prewhiten filters all samples by one model, so that no sample would be left out",
}
"""Schemes of the in-sample test that are none of the held-out test, and why."""


@dataclass(frozen=True)
class HeldOutResult:
    """Components on left-out samples, what chance gives, and how probable chance is.

    Parameters
    ----------
    correlations : array, shape (folds, k)
        Of the variates of left-out samples; components of all folds are matched to those of ``estimator``.
    mean : array, shape (k,)
        Over folds: the statistic.
    null : array, shape (B, k)
        The same in every permutation.
    pvalues : array, shape (k,)
        Corrected over components by the maximum statistic: (1 + #{max null ≥ mean}) / (1 + B).
    pvalues_uncorrected : array, shape (k,)
        Of each component by itself: (1 + #{null ≥ mean}) / (1 + B).
    fold_labels : list
        Label of the group that each fold leaves out; several in one string; the fold's number, from 1, where it
        leaves out something else than whole groups.
    estimators : list of estimators
        Fitted on the training samples of each fold.
    estimator : estimator
        Fitted on all samples.
    order : array of int, shape (folds, k)
        Which component of a fold's estimator each one is.
    signs : array, shape (folds, k)
        1 or -1: what both variates of the fold's component are to be multiplied by to look like the estimator's.
    tests : list of array of int
        Rows that each fold leaves out.
    scheme : str
    is_exhaustive : bool
        Whether the permutations are all there are.
    left_out_variates, null_variates : arrays, shapes (k, n) and (B, k, n), or None
        The film's variates of left-out samples, in what was observed and in the permutations, where these were asked
        for: for `held_out_map_test`.
    """

    correlations: NDArray[np.floating]
    mean: NDArray[np.floating]
    null: NDArray[np.floating]
    pvalues: NDArray[np.floating]
    pvalues_uncorrected: NDArray[np.floating]
    fold_labels: list[Hashable]
    estimators: list[Any]
    estimator: Any
    order: NDArray[np.intp]
    signs: NDArray[np.floating]
    tests: list[NDArray[np.intp]]
    scheme: str
    is_exhaustive: bool
    left_out_variates: NDArray[np.float32] | None = None
    null_variates: NDArray[np.float32] | None = None

    @property
    def pvalues_fdr(self) -> NDArray[np.floating]:
        """Uncorrected p-values adjusted for the false discovery rate (Benjamini & Hochberg 1995), shape (k,)."""
        return false_discovery_control(self.pvalues_uncorrected)

    def variates(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Variates of every sample by the fit that has not seen it, matched in order and sign to ``estimator``.

        Their scale is that of the training samples, and changes a little from fold to fold.

        Parameters
        ----------
        X, y : arrays, shapes (n, p) and (n, q)
            As the test took them.

        Returns
        -------
        X_variates, y_variates : arrays, shape (n, k)
            NaN for samples that no fold leaves out; of the last fold for those that several do.
        """
        x_rows, y_rows = map(plain, check_rows(X, y))
        X, y = with_names(x_rows, X), with_names(y_rows, y)
        found = np.full((2, len(x_rows), len(self.mean)), np.nan)
        for model, test, order, signs in zip(self.estimators, self.tests, self.order, self.signs, strict=True):
            for side, variates in enumerate(winner(model).transform(X, y)):
                found[side, test] = np.asarray(variates)[test][:, order] * signs
        return found[0], found[1]

    def to_frame(self) -> "pd.DataFrame":
        """One row per component: mean, its mean under the null, 95th percentile of the largest there, p-values."""
        import pandas as pd

        return pd.DataFrame(
            {
                "correlation": self.mean,
                "null_mean": self.null.mean(axis=0),
                "null_95": np.quantile(self.null.max(axis=1), 0.95),
                "p": self.pvalues,
                "p_uncorrected": self.pvalues_uncorrected,
            }
        )


def held_out_test(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    runs: ArrayLike,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    n_permutations: int = 10_000,
    cv: Splitter | None = None,
    groups: ArrayLike | None = None,
    gap: float = 0.0,
    kept: ArrayLike | None = None,
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
    max_memory: int = 2**31,
    keep_variates: bool = False,
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
) -> HeldOutResult:
    """Leave one run out at a time, correlate its variates, and test the mean against rearrangements of one view.

    In every permutation the rows of X are rearranged inside all runs, and all models are fitted again. Rearranging the
    left-out variates of models fitted once would be cheaper and wrong: of two runs that agree by chance each predicts
    the other, so the runs' correlations depend on each other, and a null that rearranges them one by one is too narrow
    by a factor of about √2 (14.7 % false positives at 5 %).

    Components of a fold are matched, in order and sign, to those of the fit on all samples, by the mean of the
    correlations of both variates with theirs. That fit has seen the left-out samples, and which component is called the
    first depends on them a little: on independent views the first component has a mean of 0.02 to 0.04 and the last one
    as much below 0. The same is done in every permutation, with a reference of its own, so that p-values hold; a
    component's correlation is to be seen beside its mean under the null.

    An estimator that leaves groups out itself, to choose something or to know when to stop (one with a ``cv``
    parameter, or whose ``fit`` takes ``groups``), gets the groups of the training samples. What was chosen by
    cross-validation for a fold is kept in the permutations.

    Parameters
    ----------
    estimator : scikit-learn estimator with ``fit(X, y)`` and ``transform(X, y)``
        Cloned for every fold. One that has ``whitening(X, y)`` is refitted through its whitened cross-covariance, at a
        small part of the cost, where folds are made of whole runs.
    X, y : arrays or data frames, shapes (n, p) and (n, q)
        A frame reaches the estimator with the names of its columns.
    runs : array, shape (n,)
        Run label of each sample: rows are rearranged inside runs.
    t_r : float
        Seconds per sample, to which the times of a scheme and the gap refer; 1 makes them numbers of samples.
    scheme : {"circular_shift", "phase_randomize", "block_permute", "row_shuffle"} or Scheme
        The last one is for independent samples. An instance, such as ``CircularShift(min_shift=30)``, sets more.
    n_permutations : int
        Where there are not as many arrangements, all of them are used.
    cv : scikit-learn splitter, int or iterable of splits, optional
        Called as ``cv.split(X, y, groups)``; leaves one group out at a time by default.
    groups : array, shape (n,), optional
        What is left out; the runs by default. Subjects, for example, where runs are the runs of each subject.
    gap : float
        Seconds: training samples that are not further from a left-out sample of the same run are left out as well.
    kept : array of bool, shape (n,), optional
        Samples whose y counts; all by default. Others, such as volumes censored for motion, may hold anything: there y
        is set to its mean over the run's kept samples, for the fits as well. X is complete, and rearranged in full
        time. A correlation is the covariance over kept samples by X's standard deviation over all of them.
    rng : int or Generator
    n_jobs : int
        Parallel jobs, on any joblib backend; the result does not depend on it.
    max_memory : int
        Bytes for the table of lagged products of circular shifts.
    keep_variates : bool
        Keep the film's variates of all permutations, for `held_out_map_test`. Models are then fitted again in every
        permutation, also where algebra would do; each sample may be left out once.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        Such as ``Checkpoint(path)``: a test that was interrupted goes on from there.

    Returns
    -------
    HeldOutResult

    Raises
    ------
    ValueError
        When views do not fit each other or hold values that are not finite, there is one run only to leave out, a fold
        is too small, the scheme is not one for this test or does not go with the runs, or a number is out of its range.
    TypeError
        When the estimator has no ``transform(X, y)``, or an argument is of a wrong type.

    Warns
    -----
    InferenceWarning
        Where the scheme is known not to hold its level on such data, or p-values are coarse.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((300, 1))
    >>> X, Y = Z + rng.standard_normal((300, 3)), Z + rng.standard_normal((300, 4))
    >>> held = held_out_test(LinearCCA(2), X, Y, runs=np.repeat([1, 2, 3], 100), n_permutations=99)
    >>> held.correlations.shape, float(held.pvalues[0])
    ((3, 2), 0.01)
    """
    _check_numbers(gap, max_memory)
    if kept is not None and is_pairwise(estimator):
        raise ValueError("censored samples take two views of columns, not kernel matrices.")
    y, kept = prepared(X, y, kept, runs)
    x_rows, y_rows = map(plain, check_rows(X, y))
    bounds = labelled_bounds(runs, len(x_rows))
    plan = plan_permutations(_allowed(scheme), [b - a for a, b in bounds], n_permutations, t_r=t_r, rng=rng)
    warn_of_scheme(plan, (x_rows, y_rows))
    labels = np.asarray(runs if groups is None else groups)
    with nullcontext() if groups is not None else groups_may_be_ignored():
        folds = split_folds(x_rows, y_rows, bounds, labels, cv=cv, gap=gap / t_r)
    X, y = with_names(x_rows, X), with_names(y_rows, y)
    # what a search has chosen is fitted again in the permutations
    fitted, models = _fits(estimator, X, y, labels, [*(fold.train for fold in folds), np.arange(len(x_rows))])
    *models, best = models
    matched = matched_correlations(models, best, X, y, folds)
    k = matched.correlations.shape[1]
    factors = np.array([inflation(kept, fold.test) for fold in folds])
    if keep_variates and len(np.unique(left := np.concatenate([fold.test for fold in folds]))) < len(left):
        raise ValueError("keep_variates: some samples are left out by several folds.")
    if not keep_variates and _by_algebra([best, *models], folds, bounds):
        null: Any = WhitenedNull(models, best, X, y, folds, bounds, k, plan, max_memory, factors)
    else:
        null = RefittedNull(models, best, X, y, labels, folds, k, plan, factors, keep_variates)
    found = over_permutations(
        null, len(plan), quantum=null.batch, n_jobs=n_jobs, progress=progress, checkpoint=checkpoint,
        prefer="threads" if isinstance(null, WhitenedNull) else "processes",
        key=None if checkpoint is None else _key([best, *models], X, y, labels, folds, plan, null.way, keep_variates),
    )  # fmt: skip
    correlations = matched.correlations * factors[:, None]
    mean = correlations.mean(axis=0)
    variates = weighted_variates(matched, folds, factors, len(x_rows)).astype(np.float32) if keep_variates else None
    moved = found[:, k:].reshape(-1, k, len(x_rows)).astype(np.float32) if keep_variates else None
    found = found[:, :k]
    return HeldOutResult(
        correlations=correlations,
        mean=mean,
        null=found,
        pvalues=max_statistic_pvalues(mean, found),
        pvalues_uncorrected=permutation_pvalues(mean, found),
        fold_labels=[fold.label for fold in folds],
        estimators=fitted[:-1],
        estimator=fitted[-1],
        order=matched.order,
        signs=matched.signs,
        tests=[fold.test for fold in folds],
        scheme=plan.scheme.name,
        is_exhaustive=plan.is_exhaustive,
        left_out_variates=variates,
        null_variates=moved,
    )


def _check_numbers(gap: float, max_memory: int) -> None:
    if not (is_number(gap) and 0 <= gap < np.inf):
        raise ValueError(f"gap={shown(gap)} must be seconds, at least 0.")
    whole_number(max_memory, "max_memory")


def _fits(estimator: Any, X: Any, y: Any, groups: NDArray, parts: list[NDArray]) -> tuple[list[Any], list[Any]]:
    """Fits to some rows each, and what they have chosen where they are searches."""
    fitted, chosen = [], []
    for rows in parts:
        fitted.append(fit_rows(estimator, X, y, groups, rows))
        chosen.append(winner(fitted[-1]))
    return fitted, chosen


def _by_algebra(models: list[Any], folds: list[Fold], bounds: Bounds) -> bool:
    """Whether a rearrangement inside runs leaves the whitening of every fold as it is."""
    rows = [part for fold in folds for part in (fold.train, fold.test)]
    return all(hasattr(model, "whitening") for model in models) and all(
        whole_runs(part, bounds) is not None for part in rows
    )


def _key(
    models: list[Any], X: Any, y: Any, groups: NDArray, folds: list[Fold], plan: Plan, way: str, keep: bool
) -> tuple:
    """What the null depends on, for a checkpoint: also on the way, which decides on last digits."""
    chosen = [(type(model).__qualname__, model.get_params()) for model in models]
    return "held-out", chosen, X, y, groups.tolist(), [(fold.train, fold.test) for fold in folds], plan, way, keep


def _allowed(scheme: str | Scheme) -> str | Scheme:
    name = getattr(scheme, "name", scheme)
    if isinstance(name, str) and name in REFUSED:
        raise ValueError(f"{REFUSED[name]}: use permutation_test(…, scheme={name!r}) instead.")
    return scheme

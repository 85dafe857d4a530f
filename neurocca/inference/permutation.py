"""In-sample permutation test of canonical correlations."""

from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.bases import Bases, whitened_bases
from neurocca.inference.checks import check_n_components, check_separable, n_dimensions, warn_of_scheme
from neurocca.inference.parallel import CheckpointLike, Progress, over_permutations
from neurocca.inference.plan import Plan, plan_permutations
from neurocca.inference.prewhiten import Prewhiten
from neurocca.inference.products import products_of
from neurocca.inference.result import PermutationResult, max_statistic_pvalues, permutation_pvalues
from neurocca.inference.schemes import Scheme
from neurocca.inference.stepdown import Statistic, StepDown
from neurocca.linalg import to_numpy


def permutation_test(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    scheme: str | Scheme | Prewhiten = "circular_shift",
    n_permutations: int = 10_000,
    nuisance: Any = None,
    kept: ArrayLike | None = None,
    n_components: int | None = None,
    statistic: Statistic = "wilks",
    rng: int | Generator | SeedSequence = 0,
    n_jobs: int = 1,
    max_memory: int = 2**31,
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
) -> PermutationResult:
    """Test canonical correlations against rearrangements of one view inside runs.

    Permuting rows does not change a view's covariance, so both views are whitened once and a permutation costs
    one product U'PV. The shrinkage stays as it was fitted: where it was chosen on the same samples the test may be
    somewhat liberal, and the held-out test is the one to trust.

    Parameters
    ----------
    estimator : object with ``whitened(X, y)``, or array, shape (n, p)
        For example a LinearCCA, or a fitted LinearCCACV. Or a whitened basis, with the other one in place of X:
        ``permutation_test(U, V)``.
    X, y : arrays, shapes (n, p) and (n, q)
    runs : array, shape (n,), optional
        Run label of each sample; one run by default. For sign flips, the subject of each sample.
    t_r : float
        Seconds per sample, to which the times of a scheme refer; 1 makes them numbers of samples.
    scheme : str, Scheme or Prewhiten
        "circular_shift", "phase_randomize" and "block_permute" are for time series, "prewhiten" as well, and the only
        one that goes with nuisance variables there; "row_shuffle" is for independent samples, "sign_flip" for
        subjects. An instance, such as ``CircularShift(min_shift=30)``, sets more.
    n_permutations : int
        Where there are not as many arrangements, all of them are used.
    nuisance : array, list of arrays or Nuisance, optional
        What is to be removed from both views: partial CCA. An array, shape (n, r), has the same effect in all runs; a
        list with one array per run, effects of its own in every run. `Nuisance` also does part and bipartial CCA.
    kept : array of bool, shape (n,), optional
        Samples whose y counts; all by default. Others, such as volumes censored for motion, may hold anything. X is
        complete, and rearranged in full time; what it brings beside a censored sample does not count. The correlation
        is the covariance over kept samples by X's standard deviation over all of them.
    n_components : int, optional
        Components to be tested; by default those of the estimator, or all.
    statistic : {"wilks", "root", "sum_of_squares"}
        Of a step: of all roots that are left, the largest one, or the sum of their squares.
    rng : int, Generator or SeedSequence
    n_jobs : int
        Parallel jobs, on any joblib backend; the result does not depend on it.
    max_memory : int
        Bytes for the table of lagged products of circular shifts.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        Such as ``Checkpoint(path)``: a test that was interrupted goes on from there.

    Returns
    -------
    PermutationResult

    Raises
    ------
    ValueError
        When runs are too short for the scheme, views do not fit each other or hold values that are not finite, or so
        many columns are left unregularised that every null correlation would be 1.
    TypeError
        When the estimator has no ``whitened``, or an argument is of a wrong type.

    Warns
    -----
    InferenceWarning
        Where the scheme is known not to hold its level on such data, or p-values are coarse.

    References
    ----------
    Winkler et al. (2020), Permutation inference for canonical correlation analysis, NeuroImage 220:117065.

    Examples
    --------
    >>> import numpy as np
    >>> from neurocca import LinearCCA
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.standard_normal((200, 1))
    >>> X, Y = Z + rng.standard_normal((200, 3)), Z + rng.standard_normal((200, 4))
    >>> test = permutation_test(LinearCCA(2), X, Y, runs=np.repeat([1, 2], 100), n_permutations=99)
    >>> test.pvalues_stepdown
    array([0.01, 0.81])
    """
    bases = whitened_bases(estimator, X, y, runs=runs, scheme=scheme, nuisance=nuisance, kept=kept)
    # rearranging the one view or the other is the same to the statistics; the narrower one moves less memory
    narrow, wide = sorted((bases.U, bases.V), key=lambda basis: basis.shape[1])
    check_separable(narrow, wide, bases.n_free)
    k = check_n_components(n_components, estimator, narrow, wide)
    plan = plan_permutations(bases.scheme, bases.lengths, n_permutations, t_r=t_r, rng=rng)
    warn_of_scheme(plan, bases.views, n_dimensions(narrow) + n_dimensions(wide), k, share=bases.inflation**-2)
    step = StepDown.of(narrow, wide, k, statistic)
    products = products_of(narrow, wide, step, plan, max_memory)
    found = over_permutations(
        products, len(plan), quantum=products.batch, n_jobs=n_jobs, progress=progress, checkpoint=checkpoint,
        key=(narrow, wide, k, statistic, plan),
    )  # fmt: skip
    return _result(step, plan, bases, step.observed(narrow, wide), found)


def _result(step: StepDown, plan: Plan, bases: Bases, observed: NDArray, found: NDArray) -> PermutationResult:
    r = to_numpy(step.correlations)
    eps = float(np.finfo(r.dtype).eps)
    each = permutation_pvalues(observed, found[:, 1:], eps)
    # the same factor on both sides leaves p-values as they are; Wilks' statistic is no power of a correlation
    factor = bases.inflation ** {"root": 1, "sum_of_squares": 2}.get(step.statistic, 0)
    return PermutationResult(
        correlations=r * bases.inflation,
        observed=observed * factor,
        null=found[:, 1:] * factor,
        largest=found[:, 0] * bases.inflation,
        pvalues=max_statistic_pvalues(r, found[:, 0], eps),
        pvalues_uncorrected=each,
        pvalues_stepdown=np.maximum.accumulate(each),
        statistic=step.statistic,
        scheme=bases.name,
        is_exhaustive=plan.is_exhaustive,
    )

"""Do subjects who saw the same film share a component? Agreement of time courses and of loadings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.checks import warn_of_scheme
from neurocca.inference.parallel import Progress, over_permutations
from neurocca.inference.plan import plan_permutations, run_lengths
from neurocca.inference.result import max_statistic_pvalues
from neurocca.inference.schemes import Lengths, Scheme


@dataclass(frozen=True)
class ConsistencyResult:
    """How well subjects' time courses agree, and how well they do by chance.

    Parameters
    ----------
    correlations : array, shape (S, k)
        Of each subject's time course with the mean of the others.
    mean : array, shape (k,)
        Over subjects.
    null : array, shape (B, k)
        The same with every subject rearranged.
    pvalues : array, shape (k,)
        Corrected over components by the maximum: (1 + #{max null ≥ mean}) / (1 + B).
    scheme : str
    """

    correlations: NDArray[np.float64]
    mean: NDArray[np.float64]
    null: NDArray[np.float64]
    pvalues: NDArray[np.float64]
    scheme: str


def intersubject_consistency(
    variates: Sequence[ArrayLike],
    *,
    runs: ArrayLike | None = None,
    t_r: float = 1.0,
    scheme: str | Scheme = "circular_shift",
    match_signs: bool = False,
    n_permutations: int = 1000,
    rng: int | Generator = 0,
    n_jobs: int = 1,
    progress: Progress = None,
) -> ConsistencyResult:
    """Correlate each subject's variates with the mean of the others', and test the mean over subjects.

    Every run of every subject is z-scored and the runs are concatenated, so that runs count by their length and
    neither levels nor scales of runs matter. In every permutation all subjects are rearranged, each by an arrangement
    of its own, and everything is computed again: the S correlations depend on each other, and a null that resamples
    them as if they did not is too narrow.

    Variates must not have been made alike: those of subjects fitted to the same film correlate with it, and hence with
    each other, because of the fit alone. Take variates of runs that the fits have not seen.

    Parameters
    ----------
    variates : sequence of S arrays, each of shape (n, k)
        Time courses of components in the same order.
    runs : array, shape (n,), optional
        Run label of each sample; one run by default.
    t_r : float
        Seconds per sample.
    scheme : str or Scheme
        How a subject's runs are rearranged.
    match_signs : bool
        Give each subject's component the sign with which it goes along with the first principal component of all
        subjects, in every permutation as well. Costs power; leave it where signs are known.
    n_permutations : int
    rng : int or Generator
    n_jobs : int
        The result does not depend on it.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.

    Returns
    -------
    ConsistencyResult

    Raises
    ------
    ValueError
        With fewer than two subjects, shapes that differ, or values that are not finite.

    References
    ----------
    Chen et al. (2016), Untangling the relatedness among correlations, part I: nonparametric approaches to
    inter-subject correlation analysis at the group level, NeuroImage 142:248-259,
    doi:10.1016/j.neuroimage.2016.05.023.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> film = rng.standard_normal((200, 1)) * [1, 0]
    >>> test = intersubject_consistency([film + rng.standard_normal((200, 2)) for _ in range(6)], n_permutations=99)
    >>> test.pvalues < 0.05
    array([ True, False])
    """
    series = _alike(variates, "variates")
    S, n, k = series.shape
    lengths = run_lengths(runs, n)
    stack = _standardised(series, lengths).reshape(S * n, k)
    plan = plan_permutations(scheme, lengths * S, n_permutations, t_r=t_r, rng=rng)
    warn_of_scheme(plan, (stack, stack))
    # products of subjects are the same in the coordinates in which they are moved
    prepared = plan.scheme.prepare(stack, plan.lengths)

    def consistency(rows: NDArray) -> NDArray[np.float64]:
        subjects = rows.reshape(S, n, k).transpose(2, 0, 1)
        return _with_the_others(subjects @ subjects.transpose(0, 2, 1), match_signs)

    def statistic(start: int, stop: int) -> NDArray[np.float64]:
        moved = (plan.scheme.move(prepared, plan[i], plan.lengths) for i in range(start, stop))
        return np.stack([consistency(rows).mean(axis=0) for rows in moved])

    observed = consistency(prepared)
    null = over_permutations(statistic, len(plan), n_jobs=n_jobs, progress=progress)
    mean = observed.mean(axis=0)
    return ConsistencyResult(observed, mean, null, max_statistic_pvalues(mean, null), plan.scheme.name)


def loading_consistency(loadings: ArrayLike) -> NDArray[np.float64]:
    """Congruence of each subject's loadings with the mean of the others', after matching signs.

    A description without a p-value: neighbouring voxels are no independent samples, and matched signs alone make
    congruences positive. About 1/√q is chance for q independent columns; from 0.85 on components are called similar,
    from 0.95 on the same.

    Parameters
    ----------
    loadings : array, shape (S, q, k)
        Of S subjects, with components in the same order; signs are free.

    Returns
    -------
    array, shape (S, k)
        Tucker's coefficient, at most 1.

    References
    ----------
    Lorenzo-Seva & ten Berge (2006), Tucker's congruence coefficient as a meaningful index of factor similarity,
    Methodology 2:57-64, doi:10.1027/1614-2241.2.2.57.

    Examples
    --------
    >>> loading_consistency([[[0.6], [0.8]], [[-0.6], [-0.8]], [[0.8], [0.6]]]).round(2)
    array([[0.99],
           [0.99],
           [0.96]])
    """
    components = _alike(list(np.asarray(loadings)), "loadings").transpose(2, 0, 1)
    return _with_the_others(components @ components.transpose(0, 2, 1), match_signs=True)


def _with_the_others(gram: NDArray, match_signs: bool) -> NDArray[np.float64]:
    """Cosine of each subject's vector with the sum of the others', shape (S, k), from products, shape (k, S, S)."""
    if match_signs:
        first = np.linalg.eigh(gram)[1][:, :, -1]
        sign = np.where(first < 0, -1.0, 1.0)
        gram = gram * sign[:, :, None] * sign[:, None, :]
    own, row = np.diagonal(gram, axis1=1, axis2=2), gram.sum(axis=2)
    others = row.sum(axis=1, keepdims=True) - 2 * row + own
    norm = np.sqrt(own * np.clip(others, 0, None))
    return ((row - own) / np.where(norm > 0, norm, np.inf)).T


def _standardised(series: NDArray, lengths: Lengths) -> NDArray[np.float64]:
    """Columns with mean 0 and variance 1 in every run, shape (S, n, k); 0 where they are constant."""
    parts = np.split(series, np.cumsum(lengths)[:-1], axis=1)
    return np.concatenate([_zscored(part) for part in parts], axis=1)


def _zscored(part: NDArray) -> NDArray[np.float64]:
    centred = part - part.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.mean(centred**2, axis=1, keepdims=True))
    varying = scale > 1e-12 * np.abs(part).max(axis=1, keepdims=True)
    return np.where(varying, centred / np.where(varying, scale, 1.0), 0.0)


def _alike(arrays: Sequence[ArrayLike], name: str) -> NDArray[np.float64]:
    """Subjects' arrays as one, after checking that they are of one shape: (S, rows, columns)."""
    found = [np.asarray(a, dtype=float) for a in arrays]
    found = [a[:, None] if a.ndim == 1 else a for a in found]
    if len(found) < 2:
        raise ValueError(f"{name} of {len(found)} subject(s): two are the least.")
    for i, a in enumerate(found):
        if a.ndim != 2 or 0 in a.shape or a.shape != found[0].shape:
            raise ValueError(
                f"{name} of subject {i} have shape {a.shape}, and those of subject 0 {found[0].shape}: all must have "
                "as many rows and columns."
            )
        if not np.isfinite(a).all():
            raise ValueError(f"{name} of subject {i} hold {int((~np.isfinite(a)).sum())} values that are not finite.")
    return np.stack(found)

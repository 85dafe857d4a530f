"""Where subjects' loadings agree: maps of several subjects against sign flips."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from neurocca.inference.checks import InferenceWarning
from neurocca.inference.options import whole_number
from neurocca.inference.parallel import check_jobs
from neurocca.inference.plan import seed_sequence

FEWEST = 5
"""Fewer subjects have at most 8 distinct sign flips: nothing they could show is below 0.125."""


@dataclass(frozen=True)
class GroupMapResult:
    """One-sample statistics of subjects' maps, and how probable they are by chance.

    All p-values are corrected for all voxels and all components by the largest statistic over both. Arrays have the
    shape of one subject's maps, (q,) or (k, q); those that were not asked for are None.

    Parameters
    ----------
    t : array
        t of the subjects' mean.
    pvalues : array
    null : array, shape (B,)
        Largest t of every sign flip, in absolute value where the test is two-sided.
    smallest_p : float
        The smallest p-value that these subjects and permutations can give.
    tfce, pvalues_tfce : array, optional
        Threshold-free cluster enhancement (Smith & Nichols 2009).
    size, pvalues_size : array, optional
        Voxels of the cluster that a voxel is in.
    mass, pvalues_mass : array, optional
        Sum over that cluster of what t exceeds the threshold by.
    """

    t: NDArray[np.floating]
    pvalues: NDArray[np.floating]
    null: NDArray[np.floating]
    smallest_p: float
    tfce: NDArray[np.floating] | None = None
    pvalues_tfce: NDArray[np.floating] | None = None
    size: NDArray[np.integer] | None = None
    pvalues_size: NDArray[np.floating] | None = None
    mass: NDArray[np.floating] | None = None
    pvalues_mass: NDArray[np.floating] | None = None


def group_map_test(
    maps: ArrayLike,
    *,
    masker: Any = None,
    two_sided: bool = True,
    n_permutations: int = 10_000,
    tfce: bool = False,
    cluster_threshold: float | None = None,
    fisher: bool = True,
    rng: int | Generator = 0,
    n_jobs: int = 1,
) -> GroupMapResult:
    """Test subjects' maps for a mean that is not 0, by flipping the signs of whole subjects.

    A component must be the same one, with the same sign, in all subjects: of one group fit, or matched beforehand by
    something other than these maps (aligning signs by the maps themselves makes them agree by construction). Flips
    are the same for all components, so that the largest statistic over voxels and components is one of the joint null
    distribution and needs no Bonferroni factor on top.

    Parameters
    ----------
    maps : array, shape (S, q) or (S, k, q)
        Loadings of S subjects, of k components.
    masker : fitted NiftiMasker, optional
        Says which voxels are neighbours; needed for TFCE and clusters.
    two_sided : bool
        Otherwise only means above 0 count.
    n_permutations : int
        Random sign flips. p-values are (1 + #{null ≥ observed}) / (1 + B), and never below one part of the distinct
        flips that so many subjects have: 2^(S - 1) in a two-sided test, where turning all turns nothing, otherwise 2^S.
    tfce : bool
        Enhance clusters without a threshold as well: about a thousand times slower than t alone.
    cluster_threshold : float, optional
        Uncorrected p-value above whose t voxels form clusters, such as 0.001; faces join neighbours.
    fisher : bool
        Take loadings for correlations and make them arctanh(r), whose variance does not depend on r.
    rng : int or Generator
        A whole number below 2^32 gives the flips that nilearn's ``random_state`` gives.
    n_jobs : int
        Components at the same time; the result does not depend on it.

    Returns
    -------
    GroupMapResult

    Raises
    ------
    ValueError
        With fewer than five subjects, without the masker where it is needed, or for maps with columns that are not
        finite, all 0, or no correlations although ``fisher``, or when a number is out of its range.
    TypeError
        When the masker is none, or not fitted, or ``rng`` or ``n_jobs`` are of another type.

    Warns
    -----
    InferenceWarning
        When subjects have fewer distinct sign flips than ``n_permutations``.

    References
    ----------
    Nichols & Holmes (2002), Nonparametric permutation tests for functional neuroimaging: a primer with examples, Human
    Brain Mapping 15:1-25, doi:10.1002/hbm.1058. Winkler et al. (2014), Permutation inference for the general linear
    model, NeuroImage 92:381-397, doi:10.1016/j.neuroimage.2014.01.060.

    Examples
    --------
    >>> import numpy as np
    >>> maps = np.random.default_rng(0).normal([0.4, 0.0, -0.4], 0.1, (16, 3))
    >>> group_map_test(maps, n_permutations=999).pvalues < 0.05
    array([ True, False,  True])
    """
    stack = _checked(np.asarray(maps), fisher)
    n_permutations = whole_number(n_permutations, "n_permutations")
    check_jobs(n_jobs)
    _check_masker(masker, tfce or cluster_threshold is not None)
    smallest = _smallest_p(len(stack), two_sided, n_permutations)
    options = {
        "model_intercept": False, "n_perm": n_permutations, "two_sided_test": two_sided, "random_state": _seed(rng),
        "n_jobs": 1, "masker": masker, "tfce": tfce, "threshold": cluster_threshold,
    }  # fmt: skip
    found = Parallel(n_jobs=n_jobs)(delayed(_flipped)(stack[:, i], options) for i in range(stack.shape[1]))
    records: dict[str, Any] = {}
    for name in ("t", "tfce", "size", "mass"):
        if name in found[0]:
            records |= _corrected(name, found, two_sided, smallest, np.shape(maps)[1:])
    return GroupMapResult(smallest_p=smallest, null=_joint_null(found, "t"), **records)


def _checked(maps: NDArray, fisher: bool) -> NDArray[np.float64]:
    """Maps, shape (S, k, q), ready to be averaged."""
    if maps.ndim not in (2, 3) or 0 in maps.shape or maps.dtype.kind not in "fiu":
        raise ValueError(
            f"maps must be real numbers, (subjects, voxels) or (subjects, components, voxels), not {maps.dtype} of "
            f"shape {maps.shape}."
        )
    stack = (maps[:, None, :] if maps.ndim == 2 else maps).astype(float)
    if len(stack) < FEWEST:
        raise ValueError(
            f"{len(stack)} subjects have {2 ** (len(stack) - 1)} distinct sign flips, so that no two-sided p-value can "
            f"be below {0.5 ** (len(stack) - 1):.3g}: {FEWEST} subjects are the least."
        )
    if not np.isfinite(stack).all():
        raise ValueError(f"maps hold {int((~np.isfinite(stack)).sum())} values that are not finite.")
    empty = ~stack.any(axis=0)
    if empty.any():
        raise ValueError(f"{int(empty.sum())} columns of the maps are 0 in all subjects: leave them out of the mask.")
    if not fisher:
        return stack
    if np.abs(stack).max() >= 1:
        raise ValueError(
            f"fisher=True takes correlations between -1 and 1, and the largest loading is {np.abs(stack).max():.3g}."
        )
    return np.arctanh(stack)


def _check_masker(masker: Any, is_needed: bool) -> None:
    if masker is None:
        if is_needed:
            raise ValueError("TFCE and clusters need a fitted masker, which says where voxels are.")
    elif not (hasattr(masker, "inverse_transform") and hasattr(masker, "mask_img_")):
        raise TypeError(
            f"masker must be a fitted NiftiMasker, with inverse_transform and mask_img_, and this "
            f"{type(masker).__name__} lacks one of them."
        )


def _seed(rng: int | Generator) -> int:
    """32 bits, as nilearn takes them."""
    root = seed_sequence(rng)
    return int(rng) if isinstance(rng, int | np.integer) and rng < 2**32 else int(root.generate_state(1)[0] >> 1)


def _smallest_p(n_subjects: int, two_sided: bool, n_permutations: int) -> float:
    distinct = 2.0 ** (n_subjects - 1 if two_sided else n_subjects)
    if distinct < n_permutations:
        warnings.warn(
            f"{n_subjects} subjects have {distinct:.0f} distinct sign flips, fewer than n_permutations="
            f"{n_permutations}: no p-value can be below {1 / distinct:.2g}.",
            InferenceWarning,
            stacklevel=3,
        )
    return max(1 / distinct, 1 / (1 + n_permutations))


def _flipped(maps: NDArray, options: dict[str, Any]) -> dict[str, NDArray]:
    from nilearn.mass_univariate import permuted_ols  # slow to import

    with warnings.catch_warnings():
        # what nilearn 0.14 says to itself about its counts of voxels
        warnings.filterwarnings("ignore", message="Data array used to create a new image contains 64-bit ints")
        return permuted_ols(np.ones((len(maps), 1)), maps, **options)


def _corrected(
    name: str, found: list[dict[str, NDArray]], two_sided: bool, smallest: float, shape: tuple[int, ...]
) -> dict[str, NDArray]:
    observed = np.concatenate([component[name] for component in found])
    sizes = np.abs(observed) if two_sided else observed
    pvalues = np.maximum(_pvalues(sizes, _joint_null(found, name)), smallest)
    suffix = "" if name == "t" else f"_{name}"
    return {name: observed.reshape(shape), f"pvalues{suffix}": pvalues.reshape(shape)}


def _joint_null(found: list[dict[str, NDArray]], name: str) -> NDArray[np.float64]:
    """Largest statistic of every flip over components: nilearn flips all of them alike, as the seed is the same."""
    return np.max([component[f"h0_max_{name}"][0] for component in found], axis=0)


def _pvalues(observed: NDArray, null: NDArray) -> NDArray[np.float64]:
    """(1 + #{null ≥ observed}) / (1 + B), without a matrix of voxels by permutations."""
    tolerance = 1e-9 * np.maximum(1, np.abs(observed))
    below = np.searchsorted(np.sort(null), observed - tolerance)
    return (1 + len(null) - below) / (1 + len(null))

"""Second level: whether participants' maps agree, and their time courses."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from nibabel import Nifti1Image
from numpy.random import SeedSequence
from numpy.typing import NDArray

from neurocca.config import InferenceConfig
from neurocca.inference.checks import InferenceWarning
from neurocca.inference.group_maps import FEWEST, GroupMapResult, group_map_test
from neurocca.inference.schemes import CircularShift
from neurocca.inference.subjects import ConsistencyResult, intersubject_consistency, loading_consistency
from neurocca.steps.group_matching import Matching, unseen_variates
from neurocca.steps.group_members import Member, common_columns, common_runs
from neurocca.steps.notes import noted
from neurocca.steps.terminal import progress_bar

TFCE_PERMUTATIONS = 200
"""Most sign flips of threshold-free cluster enhancement, which takes about a thousand times as long as t."""


@dataclass(frozen=True)
class SecondLevel:
    """Maps over participants.

    Parameters
    ----------
    mean : array, shape (k, q)
        Mean loadings (back from Fisher's z).
    congruence : array, shape (S, k)
        Tucker's congruence of each participant's map with the mean of the others, whatever its sign.
    responses, mask
        What the columns are, see `neurocca.steps.group_members.common_columns`.
    test, tfce : GroupMapResult, optional
        None where there are too few participants or, for TFCE, no voxels.
    notes : list of str
        What must be said beside it.
    n_dropped : int
        Columns that not all participants have.
    """

    mean: NDArray
    congruence: NDArray
    responses: tuple[str, ...]
    mask: Nifti1Image | None
    test: GroupMapResult | None
    tfce: GroupMapResult | None
    n_dropped: int
    notes: list[str] = field(default_factory=list)


def second_level(
    members: Sequence[Member],
    matching: Matching,
    inference: InferenceConfig,
    seed: SeedSequence,
    *,
    tfce: bool = True,
    n_jobs: int = 1,
) -> SecondLevel:
    """Means of matched maps over participants, tested by sign flips where there are enough of them.

    Parameters
    ----------
    members : sequence of S Member
    matching : Matching
    inference : InferenceConfig
        Says how many sign flips.
    seed : SeedSequence
    tfce : bool
        Enhance clusters of voxels as well.
    n_jobs : int

    Raises
    ------
    DataError
        Where participants have no column in common.
    """
    stack, responses, mask = common_columns(members)
    stack = np.stack([matching.apply(maps.T, i).T for i, maps in enumerate(stack)])
    bounded = np.clip(stack, -1 + 1e-9, 1 - 1e-9)  # a loading of 1 has no Fisher transform
    mean = np.tanh(np.arctanh(bounded).mean(axis=0))
    congruence = loading_consistency(stack.transpose(0, 2, 1))
    most = max(m.maps.shape[1] for m in members)
    notes, tested, enhanced = _note_of(len(members)), None, None
    rng = np.random.default_rng(seed)
    if len(members) >= FEWEST:
        with _quiet():
            tested = group_map_test(bounded, n_permutations=inference.n_permutations, rng=rng, n_jobs=n_jobs)
            if tfce and mask is not None:
                from nilearn.maskers import NiftiMasker

                flips = min(inference.n_permutations, TFCE_PERMUTATIONS)
                masker = NiftiMasker(mask_img=mask, standardize=None).fit()
                rng = np.random.default_rng(seed)
                enhanced = group_map_test(
                    bounded, masker=masker, tfce=True, n_permutations=flips, rng=rng, n_jobs=n_jobs
                )
    return SecondLevel(mean, congruence, responses, mask, tested, enhanced, most - stack.shape[2], notes)


def _note_of(n: int) -> list[str]:
    """In plain words, what so few participants cannot show."""
    smallest = 0.5 ** (n - 1)
    if n < FEWEST:
        return [
            f"Maps were not tested: {n} participants have {2 ** (n - 1)} distinct sign flips, so that the smallest "
            f"two-sided p would be {smallest:.3g}. The maps show means."
        ]
    if smallest > 0.05:
        return [
            f"The maps cannot be significant at .05: {n} participants have {2 ** (n - 1)} distinct sign flips, and the "
            f"smallest two-sided p is 1/{2 ** (n - 1)} = {smallest:.4g}. It takes 6 participants to go below .05. "
            "Read the maps as means; that no place is significant says nothing."
        ]
    return []


def consistency(
    members: Sequence[Member], matching: Matching, inference: InferenceConfig, seed: SeedSequence, *, n_jobs: int = 1
) -> tuple[ConsistencyResult | None, list[str], list[str]]:
    """Intersubject correlation of variates that the fits have not seen.

    Returns
    -------
    result : ConsistencyResult or None
        None where participants have no run in common.
    runs : list of str
        Runs that all participants have, with the same volumes and none of them censored.
    notes : list of str
    """
    runs = common_runs(members)
    everything = list(dict.fromkeys(run for m in members for run in m.runs))
    notes = []
    if left := [run for run in everything if run not in runs]:
        notes.append(
            f"Intersubject correlations leave out run {', '.join(left)}: not all participants have it with the same "
            "volumes and none of them censored."
        )
    if not runs:
        return None, [], notes
    by_run = [unseen_variates(members, matching, run) for run in runs]
    variates = [np.concatenate(parts) for parts in zip(*by_run, strict=True)]
    labels = np.repeat(runs, [members[0].runs[run][1] for run in runs])
    n = inference.n_permutations
    with noted("intersubject correlation", notes), progress_bar(n, "intersubject correlation") as done:
        result = intersubject_consistency(
            variates,
            runs=labels,
            t_r=members[0].decomposition["RepetitionTime"],
            scheme=CircularShift(inference.min_shift),
            n_permutations=n,
            rng=np.random.default_rng(seed),
            n_jobs=n_jobs,
            progress=done,
        )
    return result, runs, notes


@contextmanager
def _quiet() -> Iterator[None]:
    """That subjects are few is said in plain words by `_note_of`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=InferenceWarning)
        yield

"""One fit of the film and all participants' BOLD, which is read again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import NDArray

from neurocca.cca.coordinates import coordinates
from neurocca.cca.linear import LinearCCA
from neurocca.cca.multiset import MultisetCCA
from neurocca.config import Config
from neurocca.inference.held_out import HeldOutResult
from neurocca.inference.left_out_subject import leave_one_subject_out_test
from neurocca.inference.matching import match
from neurocca.inference.schemes import CircularShift
from neurocca.io.recording import Recording
from neurocca.steps.assemble import Assembled
from neurocca.steps.group_joined import Joined, assemble_all, join, scaled, shrinkage_of
from neurocca.steps.group_members import Member
from neurocca.steps.notes import noted
from neurocca.steps.terminal import progress_bar

LARGEST = 2**31
"""Bytes of all participants' BOLD in one array, above which weights that are the same for all are not fitted."""

MOST_SAMPLES = 8000
"""Rows of all participants, of which more are not put into coordinates: these take arrays of rows by rows."""


@dataclass(frozen=True)
class SharedFit:
    """Components of the film and all brains.

    Parameters
    ----------
    subjects : list of str
    runs : list of str
    n_columns : list of int
        Columns of each participant's BOLD.
    columns : list of (space, feature, variant)
        Of the film.
    shared : array, shape (n, k)
        Shared time courses of the fit on all runs.
    film_loadings : array, shape (p, k)
    in_sample : array, shape (S, k)
        Correlation of the film's variates with each participant's.
    film_brain, brain_brain : arrays, shapes (S, k) and (k,)
        On left-out runs, mean over runs: of the film with each participant; of pairs of participants.
    responses : tuple of str
        Columns that all participants have.
    maps : array, shape (k, q), or None
        Mean loadings of these.
    one_map : HeldOutResult or None
        Weights that are the same for all participants, each left out in turn.
    order, alike : arrays, shape (k,)
        Which component of ``one_map`` each shared one is most like, and the correlation of their film variates.
    shrinkage : (film, BOLD)
        Medians of what the participants' analyses chose.
    skipped : dict of str
        What was not done, and why.
    left_out : dict of str
        Participants whose BOLD could not be used, and why.
    notes : list of str
    """

    subjects: list[str]
    runs: list[str]
    n_columns: list[int]
    columns: list[tuple[str, str, str]]
    shared: NDArray
    film_loadings: NDArray
    in_sample: NDArray
    film_brain: NDArray
    brain_brain: NDArray
    responses: tuple[str, ...]
    maps: NDArray | None
    one_map: HeldOutResult | None
    order: NDArray[np.intp] | None
    alike: NDArray | None
    shrinkage: tuple[float, float]
    skipped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fit_shared(
    members: Sequence[Member],
    recordings: Sequence[Recording],
    features: Path,
    config: Config,
    seed: SeedSequence,
    *,
    n_jobs: int = 1,
) -> SharedFit | str:
    """Fit the film and all participants' BOLD together; a text where that cannot be done, which says why.

    Two fits. In ``MultisetCCA`` every participant has weights of their own, and film and brains are views on the same
    footing: shared time courses, and how far film and brains hold to them in runs that were left out. With the same
    weights for all participants (`LinearCCA` on their rows below one another), each participant is left out in turn,
    and what the others' weights find there is tested.

    Parameters
    ----------
    members : sequence of Member
    recordings : sequence of Recording
        Those of the participants.
    features : Path
        Feature store.
    config : Config
        As the participants were analysed.
    seed : SeedSequence
    n_jobs : int
    """
    if config.fit.estimator != "linear":
        return f"participants were analysed by the {config.fit.estimator} estimator, and these fits are linear."
    found, left_out = assemble_all(members, recordings, features, config)
    if len(found) < 2:
        return f"BOLD of {len(found)} participant(s) could be used{_because(left_out)}."
    joined = join(found)
    if isinstance(joined, str):
        return joined
    chosen = {m.subject: m.decomposition["Shrinkage"] for m in members if m.subject in joined.subjects}
    film, bold = ([float(c[side]) for c in chosen.values()] for side in ("Features", "BOLD"))
    shrinkage = float(np.median(film)), float(np.median(bold))
    k = config.fit.n_components
    skipped: dict[str, str] = {}
    notes: list[str] = []
    lams = [shrinkage[0], *(shrinkage_of(lam, a) for lam, a in zip(bold, joined.assembled, strict=True))]
    model = MultisetCCA(k, shrinkage=lams).fit([scaled(joined.film), *joined.bold])
    film_brain, brain_brain = _left_out_runs(joined, model, lams)
    with noted("leave-one-subject-out test", notes):
        one_map, responses = _one_map(joined, shrinkage, config, seed, members[0], n_jobs, skipped)
    order = alike = None
    if one_map is not None:
        order, alike = _most_alike(model, one_map, joined)
    variates = model.transform([scaled(joined.film), *joined.bold])
    return SharedFit(
        subjects=joined.subjects,
        runs=list(dict.fromkeys(joined.runs.tolist())),
        n_columns=[len(a.responses) for a in joined.assembled],
        columns=joined.columns,
        shared=model.shared_,
        film_loadings=model.loadings_[0],
        in_sample=np.array([_paired(variates[0], v) for v in variates[1:]]),
        film_brain=film_brain,
        brain_brain=brain_brain,
        responses=responses,
        maps=_mean_loadings(model, joined, responses),
        one_map=one_map,
        order=order,
        alike=alike,
        shrinkage=shrinkage,
        skipped=skipped,
        left_out=left_out,
        notes=notes,
    )


def _because(reasons: dict[str, str]) -> str:
    return "; " + "; ".join(f"sub-{subject}: {reason}" for subject, reason in reasons.items()) if reasons else ""


def _paired(one: NDArray, other: NDArray) -> NDArray:
    """Correlation of columns, over the rows that both have."""
    here = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    a, b = (z[here] - z[here].mean(axis=0) for z in (one, other))
    return np.sum(a * b, axis=0) / np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0))


def _left_out_runs(joined: Joined, model: MultisetCCA, lams: list[float]) -> tuple[NDArray, NDArray]:
    """Correlations in every run by the fit on the others, mean over runs: film with brains, and brains in pairs."""
    film_brain, brain_brain = [], []
    labels = list(dict.fromkeys(joined.runs.tolist()))
    views = [scaled(joined.film), *joined.bold]
    reference = model.shared_
    with progress_bar(len(labels), "film and all brains, left-out runs", "run") as done:
        for label in labels:
            test = joined.runs == label
            fold = MultisetCCA(model.n_components, shrinkage=lams).fit([view[~test] for view in views])
            order, _ = match(_cross(fold.shared_, reference[~test]))
            film, *brains = [v[:, order] for v in fold.transform([view[test] for view in views])]
            film_brain.append([_paired(film, brain) for brain in brains])
            pairs = [_paired(a, b) for i, a in enumerate(brains) for b in brains[:i]]
            brain_brain.append(np.mean(pairs, axis=0))
            done(1)
    return np.mean(film_brain, axis=0), np.mean(brain_brain, axis=0)


def _cross(one: NDArray, other: NDArray) -> NDArray:
    """Correlations of columns with columns, shape (k, k)."""
    a, b = (z - z.mean(axis=0) for z in (one, other))
    return (a / np.linalg.norm(a, axis=0)).T @ (b / np.linalg.norm(b, axis=0))


def _one_map(
    joined: Joined,
    shrinkage: tuple[float, float],
    config: Config,
    seed: SeedSequence,
    member: Member,
    n_jobs: int,
    skipped: dict[str, str],
) -> tuple[HeldOutResult | None, tuple[str, ...]]:
    """Test of weights that are the same for all participants, over the columns that all of them have."""
    first = joined.assembled[0]
    shared = set.intersection(*(set(a.responses) for a in joined.assembled))
    responses = tuple(label for label in first.responses if label in shared)
    S, n, q = len(joined.bold), len(joined.film), len(responses)
    if joined.censored:
        skipped["OneMap"] = "volumes of single participants are censored, for which this test does not allow."
    elif q < config.fit.n_components:
        skipped["OneMap"] = f"participants have {q} voxel(s), vertices or parcels in common."
    elif q > S * n > MOST_SAMPLES or S * n * q * 8 > LARGEST:
        skipped["OneMap"] = f"{S} participants × {n} volumes × {q} columns are too many for one array."
    if skipped:
        return None, responses
    stacked = [_columns(a, own, responses) for a, own in zip(joined.assembled, joined.rows, strict=True)]
    wide = q > S * n
    if wide:
        stacked = np.split(coordinates([np.vstack(stacked)], S * n), S)
    estimator = LinearCCA(config.fit.n_components, shrinkage=shrinkage, scale=True, y_columns=q if wide else None)
    count = config.inference.n_permutations
    with progress_bar(count, "film and all brains, left-out participants") as done:
        test = leave_one_subject_out_test(
            estimator,
            scaled(joined.film),
            stacked,
            runs=joined.runs,
            t_r=member.decomposition["RepetitionTime"],
            scheme=CircularShift(config.inference.min_shift),
            n_permutations=count,
            rng=np.random.default_rng(seed),
            n_jobs=n_jobs,
            progress=done,
        )
    return test, responses


def _columns(assembled: Assembled, rows: NDArray[np.intp], responses: Sequence[str]) -> NDArray:
    places = {label: i for i, label in enumerate(assembled.responses)}
    everything = assembled.design.Y if assembled.wide is None else assembled.wide.all_columns()
    return np.asarray(everything)[np.ix_(rows, np.array([places[label] for label in responses]))].astype(float)


def _most_alike(model: MultisetCCA, one_map: HeldOutResult, joined: Joined) -> tuple[NDArray[np.intp], NDArray]:
    """Which component with one map each shared one is most like, by their variates of the film."""
    film = scaled(joined.film)
    own = (film - model.means_[0]) @ model.weights_[0]
    theirs = np.asarray(one_map.estimator.transform(film))
    likeness = _cross(theirs[:, : own.shape[1]], own)
    order, _ = match(likeness)
    return order, np.abs(likeness[order, np.arange(len(order))])


def _mean_loadings(model: MultisetCCA, joined: Joined, responses: Sequence[str]) -> NDArray | None:
    """Mean over participants of loadings on their own variates; None for coordinates, which are no columns."""
    if not responses or any(a.wide is not None for a in joined.assembled):
        return None
    stack = []
    for a, own in zip(joined.assembled, model.loadings_[1:], strict=True):
        places = {label: i for i, label in enumerate(a.responses)}
        stack.append(own[np.array([places[label] for label in responses])])
    return np.tanh(np.arctanh(np.clip(stack, -1 + 1e-9, 1 - 1e-9)).mean(axis=0)).T

"""Which component of each participant is which: matched by the film's side alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.inference.matching import match
from neurocca.steps.group_members import Member, common_runs

ROUNDS = 50
"""Most rounds of matching to the mean of what was matched; two or three are enough."""

WEAK = 0.5
"""Mean similarity below which participants are said not to have a component in common."""


@dataclass(frozen=True)
class Matching:
    """Participants' components in one order, with one sign.

    Parameters
    ----------
    order : array of int, shape (S, k)
        Which component of a participant each one of the group is.
    signs : array, shape (S, k)
        1 or -1, what both of its sides are to be multiplied by.
    similarity : array, shape (S, k)
        With the mean of the other participants, from -1 to 1.
    features : DataFrame, shape (p, k)
        Mean loadings of the features that all participants have.
    """

    order: NDArray[np.intp]
    signs: NDArray[np.float64]
    similarity: NDArray[np.float64]
    features: pd.DataFrame

    def apply(self, values: NDArray, i: int) -> NDArray:
        """Values of participant i, shape (…, k), in the group's order and with its signs."""
        return values[..., self.order[i]] * self.signs[i]


def match_members(members: Sequence[Member]) -> Matching:
    """Match participants' components by their stimulus side.

    A component is described by the loadings of its features, and by its stimulus-side variates on the runs that all
    participants have: the film is the same, so that variates differ only by the weights that made them. Both are
    scaled to length 1 and count the same. The participant who is most like all others comes first, the others are
    matched to it, and then, until nothing changes, each to the mean of the others. Components are ordered by their
    held-out correlation, mean over participants, and have the sign with which the largest mean loading of a feature is
    positive. None of this depends on the order, the signs or the names of participants' components.

    BOLD decides about a component's weights on the film, but not about the sign of its map: turning all BOLD of a
    participant over turns the map over, and neither the film's side nor the match. So signs that are matched here are
    no reason for maps to agree, as signs matched by maps would be.

    Raises
    ------
    DataError
        Where participants have no feature in common or different numbers of components.
    """
    profiles, index = _profiles(members)
    order, signs = _consensus(profiles)
    held_out = np.array([_held_out(m) for m in members])
    mean_held_out = np.take_along_axis(held_out, order, axis=1).mean(axis=0)
    # ties, which rounded correlations may have, go by the similarity
    best = np.lexsort((-_similarity(profiles, order, signs).mean(axis=0), -mean_held_out))
    order, signs = order[:, best], signs[:, best]
    loadings = [m.features.loc[index].to_numpy(float) for m in members]
    stacked = np.stack([table[:, o] * s for table, o, s in zip(loadings, order, signs, strict=True)])
    mean = stacked.mean(axis=0)
    turn = np.where(np.take_along_axis(mean, np.abs(mean).argmax(axis=0)[None], axis=0)[0] < 0, -1.0, 1.0)
    found = Matching(order, signs * turn, _similarity(profiles, order, signs), pd.DataFrame())
    return replace(found, features=pd.DataFrame(mean * turn, index=index))


def unseen_variates(members: Sequence[Member], matching: Matching, run: str) -> list[NDArray]:
    """BOLD-side variates of a run, shape (n, k) each, by fits that have not seen it, matched without it as well.

    On disk the components of these fits are in the order, and have the signs, of the fit on all runs. That fit knows
    the run's BOLD: signs that go along with it by chance make participants agree where there is nothing (in simulated
    noise 12 % of tests at a level of 5 %). What the weights of the fits that have not seen the run make of its film
    does not know its BOLD, and is matched here.

    Parameters
    ----------
    members : sequence of Member
    matching : Matching
        Says which component of the group each one is. That is the same choice for all participants.
    run : str
    """
    rows = [m.rows([run]) for m in members]
    profiles = np.stack([_units(_centred(m.held_out_stimulus[own])) for m, own in zip(members, rows, strict=True)])
    order, signs = _consensus(profiles)
    mean = _units(sum(p[:, o] * s for p, o, s in zip(profiles, order, signs, strict=True)))
    film = [
        _units(_centred(matching.apply(m.stimulus, i)[own]))
        for i, (m, own) in enumerate(zip(members, rows, strict=True))
    ]
    group = np.sum(film, axis=0)
    place, turn = match(mean.T @ _units(group))
    return [
        (m.held_out_bold[own][:, o] * s)[:, place] * turn
        for m, own, o, s in zip(members, rows, order, signs, strict=True)
    ]


def _held_out(member: Member) -> list[float]:
    return [float(component["HeldOutCorrelation"]) for component in member.decomposition["Components"]]


def _profiles(members: Sequence[Member]) -> tuple[NDArray, pd.Index]:
    """Descriptions of components as columns of length 1, shape (S, d, k), and the features in common."""
    numbers = {m.stimulus.shape[1] for m in members}
    if len(numbers) > 1:
        raise DataError(f"participants have {' or '.join(map(str, sorted(numbers)))} components: they must be as many.")
    index: pd.Index = members[0].features.index
    for member in members[1:]:
        index = index[index.isin(member.features.index)]
    if not len(index):
        raise DataError("no feature is in the results of all participants.")
    runs = common_runs(members)
    parts = [np.stack([_units(m.features.loc[index].to_numpy(float)) for m in members])]
    if runs:
        parts.append(np.stack([_units(_centred(m.stimulus[m.rows(runs)])) for m in members]))
    return np.concatenate(parts, axis=1) / np.sqrt(len(parts)), index


def _consensus(profiles: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Order and signs, shapes (S, k), in which participants' profiles agree best."""
    S, _, k = profiles.shape
    likeness = np.abs(np.einsum("sdi,tdj->stij", profiles, profiles))
    first = int(np.argmax([sum(_matched_sum(likeness[s, t]) for t in range(S) if t != s) for s in range(S)]))
    order, signs = np.empty((S, k), dtype=np.intp), np.empty((S, k))
    for s in range(S):
        order[s], signs[s] = match(profiles[s].T @ profiles[first])
    for _ in range(ROUNDS):
        before = order.copy(), signs.copy()
        for s in range(S):
            others = _sum_of(profiles, order, signs, leave_out=s)
            order[s], signs[s] = match(profiles[s].T @ others)
        if np.array_equal(order, before[0]) and np.array_equal(signs, before[1]):
            break
    return order, signs


def _matched_sum(likeness: NDArray) -> float:
    order, _ = match(likeness)
    return float(likeness[order, np.arange(len(order))].sum())


def _sum_of(profiles: NDArray, order: NDArray, signs: NDArray, *, leave_out: int) -> NDArray:
    others = [s for s in range(len(profiles)) if s != leave_out]
    return _units(sum(profiles[s][:, order[s]] * signs[s] for s in others))


def _similarity(profiles: NDArray, order: NDArray, signs: NDArray) -> NDArray[np.float64]:
    """Cosine of each participant's profile with the mean of the others', shape (S, k)."""
    found = [
        np.sum(profiles[s][:, order[s]] * signs[s] * _sum_of(profiles, order, signs, leave_out=s), axis=0)
        for s in range(len(profiles))
    ]
    return np.array(found)


def _centred(series: NDArray) -> NDArray:
    return series - series.mean(axis=0)


def _units(columns: NDArray) -> NDArray:
    """Columns of length 1; 0 where a column is 0."""
    norm = np.linalg.norm(columns, axis=0)
    return columns / np.where(norm > 0, norm, np.inf)

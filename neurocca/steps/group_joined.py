"""Film and BOLD of all participants, read again and brought together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.cca.spaces import rotated_shrinkage
from neurocca.config import Config
from neurocca.errors import NeuroccaError
from neurocca.io.recording import Recording
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import Assembled, assemble
from neurocca.steps.group_members import Member
from neurocca.steps.matching import match_runs


@dataclass(frozen=True)
class Joined:
    """Film and BOLD of all participants on the runs that they have in common."""

    subjects: list[str]
    runs: NDArray
    film: NDArray
    bold: list[NDArray]
    columns: list[tuple[str, str, str]]
    assembled: list[Assembled]
    rows: list[NDArray[np.intp]]
    censored: bool


def assemble_all(
    members: Sequence[Member], recordings: Sequence[Recording], path: Path, config: Config
) -> tuple[dict[str, Assembled], dict[str, str]]:
    """Designs by participant; of those that have none, why."""
    by_subject = {recording.subject: recording for recording in recordings}
    found: dict[str, Assembled] = {}
    failed: dict[str, str] = {}
    with FeatureStore(path) as store:
        for member in members:
            recording = by_subject.get(member.subject)
            if recording is None:
                failed[member.subject] = "no BOLD was found."
                continue
            try:
                found[member.subject] = assemble(match_runs(recording, store, config.align), store, config)
            except NeuroccaError as error:
                failed[member.subject] = str(error)
    return found, failed


def join(found: dict[str, Assembled]) -> Joined | str:
    """Rows that all participants have: the film must have been the same there."""
    subjects, designs = list(found), [a.design for a in found.values()]
    sizes = [{run: int(np.sum(d.runs == run)) for run in d.run_labels} for d in designs]
    runs = [run for run, n in sizes[0].items() if all(size.get(run) == n for size in sizes)]
    if len(runs) < 2:
        return f"participants have {len(runs)} run(s) with the same volumes in common: leaving one out takes two."
    columns = [c for c in found[subjects[0]].columns if all(c in a.columns for a in found.values())]
    if not columns:
        return "participants have no film feature in common."
    rows = [np.flatnonzero(np.isin(d.runs, runs)) for d in designs]
    films, bold, censored = [], [], False
    for a, own in zip(found.values(), rows, strict=True):
        films.append(a.design.X[np.ix_(own, np.array([a.columns.index(c) for c in columns]))])
        y = np.array(a.design.Y[own], dtype=float)
        if a.design.kept is not None and not a.design.kept[own].all():
            y[~a.design.kept[own]] = np.nan  # volumes that motion has spoilt are missing for this participant only
            censored = True
        bold.append(y)
    for subject, film in zip(subjects, films, strict=True):
        if not np.allclose(film, films[0], atol=1e-6):
            return (
                f"the film's features of sub-{subject} are not those of sub-{subjects[0]} at the same volumes: onsets "
                "differ, or confounds were taken out of them."
            )
    return Joined(subjects, designs[0].runs[rows[0]], films[0], bold, columns, list(found.values()), rows, censored)


def shrinkage_of(lam: float, assembled: Assembled) -> float:
    """Shrinkage of coordinates, where they stand for more columns."""
    if assembled.wide is None:
        return lam
    return rotated_shrinkage(assembled.design.Y.shape[1], assembled.wide.n_columns, lam)[0]


def scaled(film: NDArray) -> NDArray:
    """Film features of unit variance, as in the participants' fits."""
    scale = film.std(axis=0)
    return film / np.where(scale > 0, scale, 1.0)

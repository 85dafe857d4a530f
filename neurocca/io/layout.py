"""Find the recordings of a dataset, whichever layout it has."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.query import Query
from neurocca.io.recording import Recording, run_key
from neurocca.io.studyforrest_trees import (
    MASKS,
    aggregate_recordings,
    aligned_recordings,
    aligned_volumes,
    is_aggregate,
)
from neurocca.io.tables import parcel_tables, table_recordings

log = logging.getLogger(__name__)


def find_recordings(root: Path, query: Query | None = None, *, t_r: float = 0.0) -> list[Recording]:
    """Recordings of the asked participants.

    Parameters
    ----------
    root : Path
        A BIDS dataset, raw or derivative; studyforrest-data-aligned; or a folder of parcel tables
        ``sub-*/**/sub-*_task-*_run-*_{bold,timeseries}.{csv,tsv}`` such as studyforrest-data-aggregate.
    query : Query, optional
        What is asked for; everything by default.
    t_r : float
        Repetition time in seconds for data that do not say it; 0 means unknown.

    Raises
    ------
    NoInputError
        When there is nothing to read.
    ContentNotHereError
        When files of a DataLad dataset have not been fetched.
    NoMatchError
        When the dataset lacks an asked participant, task, session, run or variant.
    UsageError
        When a choice or the repetition time has to be given.
    DataError
        When files contradict each other, or, for a strict query, a participant lacks a run.
    """
    query = query or Query()
    if not root.is_dir():
        raise NoInputError(f"{root}: {'not a directory' if root.exists() else 'no such directory'}.")
    if not any(root.iterdir()):
        raise NoInputError(f"{root}: the directory is empty.")
    found = _recordings(root, query, t_r)
    if not found:
        raise NoMatchError(f"{root}: no participant has what is asked for.")
    return _with_missing(root, found, query.strict)


def _recordings(root: Path, query: Query, t_r: float) -> list[Recording]:
    about = root / "dataset_description.json"
    if about.is_file() or about.is_symlink():
        from neurocca.io.bids_recordings import bids_recordings

        return bids_recordings(root, query, t_r)
    volumes = aligned_volumes(root)
    _check_used(root, query, (MASKS,) if volumes else ())
    if volumes:
        return aligned_recordings(root, volumes, query, t_r)
    tables = parcel_tables(root)
    if not tables:
        raise NoInputError(
            f"{root}: neither a BIDS dataset (no dataset_description.json) nor parcel tables "
            "(no sub-*/**/sub-*_task-*_run-*_bold.csv)."
        )
    if is_aggregate(tables):
        return aggregate_recordings(root, tables, query, t_r)
    return table_recordings(root, tables, query, t_r)


def _check_used(root: Path, query: Query, derivatives: Sequence[str]) -> None:
    """Refuse choices that only BIDS datasets know, rather than pass them over."""
    if query.filters:
        raise UsageError(f"--bids-filter-file: {root} is no BIDS dataset, and its files are not filtered.")
    if idle := [name for name in query.derivatives if name not in derivatives]:
        read = f"only {', '.join(derivatives)} is" if derivatives else "none are"
        raise UsageError(f"--derivatives {', '.join(idle)}: {root} is no BIDS dataset: {read} read with it.")


def _with_missing(root: Path, recordings: Sequence[Recording], strict: bool) -> list[Recording]:
    """Name the runs that a participant lacks and others have."""
    labels = {run.label for recording in recordings for run in recording.runs}
    found = []
    for recording in recordings:
        missing = tuple(sorted(labels - {run.label for run in recording.runs}, key=run_key))
        if missing:
            message = f"sub-{recording.subject} has no BOLD for run {', '.join(missing)}, which other participants have"
            if strict:
                raise DataError(f"{root}: {message}.")
            log.warning("%s: going on without.", message)
        found.append(replace(recording, missing=missing))
    return found

"""What a user asks of a dataset: which recordings, and where else to look."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError

_FILTERED = ("bold", "timeseries", "mask")
_FMRIPREP_ONLY = ("fmap", "sbref", "flair", "t1w", "t2w", "roi", "xfm")
"""Of which a filter file of fMRIPrep's may speak, and nothing is read here."""

NONE = "none"
"""How a user asks for names without an entity."""


@dataclass(frozen=True)
class Query:
    """A choice of recordings; what is left empty is not restricted.

    Parameters
    ----------
    participants, sessions, runs : tuple of str
        Labels, with or without their BIDS prefixes.
    task : str, optional
        Needed where the dataset has more than one.
    space, res, desc : str, optional
        Labels in the names of preprocessed BOLD; "none" for names without that entity.
    filters : mapping
        Per suffix ("bold", "timeseries", "mask"), what pybids selects files by; see `read_filters`.
    derivatives : mapping
        Folder of each derivative dataset, by the name the user gives it.
    database : Path, optional
        Folder in which pybids keeps its index.
    strict : bool
        Whether a participant's missing run is an error, and not only said.
    """

    participants: tuple[str, ...] = ()
    task: str | None = None
    sessions: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    space: str | None = None
    res: str | None = None
    desc: str | None = None
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derivatives: Mapping[str, Path] = field(default_factory=dict)
    database: Path | None = None
    strict: bool = False


def read_filters(path: Path) -> dict[str, dict[str, Any]]:
    """Read a filter file as fMRIPrep takes it.

    Parameters
    ----------
    path : Path
        JSON: per suffix an object of pybids entities; null for "without this entity", "*" for "with any label".

    Raises
    ------
    NoInputError, DataError, UsageError
        The message names the file; suffixes that filter nothing are refused, as a misspelt one would be passed over.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoInputError(f"--bids-filter-file {path}: cannot be read: {error.strerror}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"--bids-filter-file {path}: not valid JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entities, dict) for entities in content.values()):
        raise DataError(f'--bids-filter-file {path}: expected an object per suffix, as {{"bold": {{"space": null}}}}.')
    if idle := [suffix for suffix in content if suffix not in (*_FILTERED, *_FMRIPREP_ONLY)]:
        raise UsageError(f"--bids-filter-file {path}: {', '.join(idle)}: filtered are {', '.join(_FILTERED)}.")
    return content


def named_folders(texts: Sequence[str]) -> dict[str, Path]:
    """Folders by name, from texts NAME=PATH.

    Examples
    --------
    >>> named_folders(["fmriprep=/", "xcpd=."])
    {'fmriprep': PosixPath('/'), 'xcpd': PosixPath('.')}
    """
    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(
                f"--derivatives {text}: expected NAME=PATH, for example fmriprep=/data/derivatives/fmriprep."
            )
        if name in folders:
            raise UsageError(f"--derivatives: {name!r} is given twice: {folders[name]} and {path}.")
        folders[name] = Path(path)
    for name, folder in folders.items():
        if not folder.is_dir():
            what = "not a directory" if folder.exists() else "no such directory"
            raise NoInputError(f"--derivatives {name}={folder}: {what}.")
        if not any(folder.iterdir()):
            raise NoInputError(
                f"--derivatives {name}={folder}: the directory is empty (a subdataset? Then datalad get its files)."
            )
    return folders


def choose_subjects(root: Path, subjects: Sequence[str], query: Query) -> list[str]:
    """Participants that are asked for, all by default.

    Raises
    ------
    NoMatchError
        When the dataset lacks one of them.
    """
    asked = [label.removeprefix("sub-") for label in query.participants] or list(subjects)
    for label in asked:
        if label not in subjects:
            raise NoMatchError(f"{root}: no participant {label!r}; the dataset has {', '.join(subjects)}.")
    return list(dict.fromkeys(asked))


def choose_task(root: Path, tasks: Sequence[str], query: Query) -> str:
    """The task that is asked for, or the only one.

    Raises
    ------
    NoMatchError
        When the dataset lacks it.
    UsageError
        When there are several and none is asked for.
    """
    if query.task is not None and query.task.removeprefix("task-") not in tasks:
        raise NoMatchError(f"{root}: no task {query.task!r}; the dataset has {', '.join(tasks)}.")
    if query.task is None and len(tasks) > 1:
        raise UsageError(f"{root}: tasks {', '.join(tasks)}: choose one with --task-id.")
    return tasks[0] if query.task is None else query.task.removeprefix("task-")

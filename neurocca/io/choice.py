"""Of all the BOLD that was found, the files that a query asks for: one per run and hemisphere."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurocca.errors import DataError, NoMatchError, UsageError
from neurocca.io.names import BidsName
from neurocca.io.query import NONE, Query, choose_subjects, choose_task
from neurocca.io.recording import Kind, run_key, run_label

log = logging.getLogger(__name__)

_OPTIONS: Mapping[str, str] = {"space": "--space", "res": "--res", "desc": "--desc-label"}

# pybids' words, which a filter file uses, where they differ from the keys in the names
_PYBIDS = {
    "acq": "acquisition",
    "rec": "reconstruction",
    "dir": "direction",
    "ce": "ceagent",
    "seg": "segmentation",
}


@dataclass(frozen=True)
class SeriesFile:
    """A file that holds BOLD.

    Parameters
    ----------
    path : Path
    name : BidsName
        What the file's name says.
    kind : Kind
    root : Path
        Folder of the dataset.
    source : str
        What the dataset is called.
    """

    path: Path
    name: BidsName
    kind: Kind
    root: Path
    source: str = "raw"


@dataclass(frozen=True)
class ChosenRun:
    """The files of one run: one, or the left and the right hemisphere.

    Parameters
    ----------
    label : str
        The session stands before it where runs of several sessions have the same labels.
    session : str, optional
    files : tuple of SeriesFile
    """

    label: str
    session: str | None
    files: tuple[SeriesFile, ...]


def restrict(files: Sequence[SeriesFile], query: Query, root: Path) -> list[SeriesFile]:
    """Files with the labels that a query asks for.

    Raises
    ------
    NoMatchError
        When no file has one of them; the message lists those there are.
    """
    asked = {
        "ses": [label.removeprefix("ses-") for label in query.sessions],
        "run": [run_label(label.removeprefix("run-")) for label in query.runs],
        "space": [query.space.removeprefix("space-")] if query.space else [],
        "res": [query.res.removeprefix("res-")] if query.res else [],
        "desc": [query.desc.removeprefix("desc-")] if query.desc else [],
    }
    found = list(files)
    for key, labels in asked.items():
        there = {_label(f, key) for f in found}
        for label in labels:
            if label not in there:
                raise NoMatchError(f"{root}: no BOLD with {key} {label!r}; there are {_listed(there)}.")
        if labels:
            found = [f for f in found if _label(f, key) in labels]
    return found


def choose_recordings(files: Sequence[SeriesFile], query: Query, root: Path) -> tuple[str, dict[str, list[ChosenRun]]]:
    """What a query asks for, of all files that hold BOLD.

    Participants who are not asked for by name and have nothing of what is asked for are left out.

    Returns
    -------
    task : str
    runs : dict
        Runs in order, by participant.

    Raises
    ------
    NoMatchError, UsageError, DataError
        As `choose_subjects`, `choose_task`, `restrict` and `choose_runs`.
    """
    subjects = choose_subjects(root, sorted({f.name.entities["sub"] for f in files}), query)
    task = choose_task(root, sorted({f.name.entities["task"] for f in files}), query)
    of_task = [f for f in files if f.name.entities["task"] == task and f.name.entities["sub"] in subjects]
    passed = restrict(of_task, query, root) if of_task else []
    by_subject = {subject: [f for f in passed if f.name.entities["sub"] == subject] for subject in subjects}
    # labels mean the same in all participants, whether or not each has all sessions
    with_session = any(_labels_repeat(theirs) for theirs in by_subject.values()) and len(query.sessions) > 1
    found = {}
    for subject, theirs in by_subject.items():
        if theirs:
            found[subject] = choose_runs(theirs, with_session=with_session)
        elif query.participants:
            rest = " of what is asked for" if any(f.name.entities["sub"] == subject for f in of_task) else ""
            raise NoMatchError(f"{root}: participant {subject} has no BOLD of task {task!r}{rest}.")
        else:
            log.info("participant %s has nothing of what is asked for, and is left out", subject)
    return task, found


def choose_runs(files: Sequence[SeriesFile], *, with_session: bool = False) -> list[ChosenRun]:
    """Runs of one participant and task, in order of sessions and labels.

    Parameters
    ----------
    files : sequence of SeriesFile
    with_session : bool
        Whether labels are ``session-run``.

    Raises
    ------
    UsageError
        When several files could be the one of a run, or runs of several sessions have one label; the message lists
        the choices and the option for them.
    DataError
        When runs are of different kinds or variants, or a hemisphere is missing.
    """
    by_run: dict[tuple[str, str], list[SeriesFile]] = {}
    for file in files:
        by_run.setdefault((_label(file, "ses"), _run(file)), []).append(file)
    for run in by_run.values():
        _check_one(run)
    first, *others = by_run.values()
    for run in others:
        _check_alike(first, run)
    if _labels_repeat(files) and not with_session:
        name, sessions = files[0].name, _listed({session for session, _ in by_run})
        raise UsageError(
            f"sub-{name.get('sub')}, task {name.get('task')}: sessions {sessions} have runs of the same labels: "
            "choose with --session-label; several sessions there are taken as runs labelled session-run."
        )
    return [
        ChosenRun(
            f"{session}-{run}" if with_session else run,
            by_run[session, run][0].name.get("ses"),
            tuple(sorted(by_run[session, run], key=lambda f: f.name.get("hemi") or "")),
        )
        for session, run in sorted(by_run, key=lambda key: (run_key(key[0]), run_key(key[1])))
    ]


def _labels_repeat(files: Sequence[SeriesFile]) -> bool:
    """Whether a run label stands in several sessions."""
    runs = {(f.name.get("ses"), _run(f)) for f in files}
    return len({run for _, run in runs}) < len(runs)


def _check_one(run: Sequence[SeriesFile]) -> None:
    hemispheres = {f.name.get("hemi") for f in run}
    if len(run) == len(hemispheres) and (len(run) == 1 or hemispheres == {"L", "R"}):
        return
    first = run[0].name
    what = f"sub-{first.get('sub')}, task {first.get('task')}, run {_run(run[0])}: {len(run)} BOLD files"
    keys = dict.fromkeys(key for f in run for key in f.name.entities if key != "hemi")
    # what has an option of its own is asked for first: often nothing else is left to choose then
    for key in [*_OPTIONS, *(key for key in keys if key not in _OPTIONS)]:
        there = {_label(f, key) for f in run}
        if len(there) > 1:
            raise UsageError(f"{what}: {key} {_listed(there)}: choose with {_how(key, there)}.")
    datasets = {f.source for f in run}
    if len(datasets) > 1:
        raise UsageError(f"{what}, in {_listed(datasets)}: name one of them alone with --derivatives.")
    if len(extensions := {f.name.extension for f in run}) > 1:
        raise UsageError(f"{what}: {_listed(extensions)}: choose with {_how('extension', extensions)}.")
    raise UsageError(f"{what} that their names do not tell apart: {_listed({f.path.name for f in run})}.")


def _check_alike(first: Sequence[SeriesFile], run: Sequence[SeriesFile]) -> None:
    a, b = first[0], run[0]
    if a.kind != b.kind:
        raise DataError(f"{a.path} holds {a.kind}, {b.path} {b.kind}: all runs must be of one kind.")
    for key in _OPTIONS:
        if _label(a, key) != _label(b, key):
            raise DataError(f"{a.path} and {b.path.name} differ in {key}: all runs must have the same.")
    hemispheres = {f.name.get("hemi") for f in first}, {f.name.get("hemi") for f in run}
    if hemispheres[0] != hemispheres[1]:
        lacking = a if len(hemispheres[0]) < len(hemispheres[1]) else b
        raise DataError(f"{lacking.path}: the other hemisphere is missing, which other runs have.")


def _how(key: str, labels: Iterable[str]) -> str:
    if key in _OPTIONS:
        return f"{_OPTIONS[key]} ('{NONE}' for names without {key}-)" if NONE in labels else _OPTIONS[key]
    suffix, label = "bold", next((label for label in sorted(labels) if label != NONE), NONE)
    if key in ("seg", "atlas") or label.startswith((".tsv", ".ptseries")):
        suffix = "timeseries"
    return f'--bids-filter-file, for example {{"{suffix}": {{"{_PYBIDS.get(key, key)}": "{label}"}}}}'


def _label(file: SeriesFile, key: str) -> str:
    return _run(file) if key == "run" else file.name.get(key) or NONE


def _run(file: SeriesFile) -> str:
    return file.name.get("run") or "1"


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(sorted(labels, key=run_key))

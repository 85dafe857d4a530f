"""Find the recordings of a dataset, whichever layout it has."""

import re
from collections.abc import Sequence
from pathlib import Path

from neurocca import studyforrest
from neurocca.errors import NoInputError, NoMatchError, UsageError
from neurocca.io.recording import Recording, RunFiles, run_key, run_label

_TABLE = re.compile(
    r"sub-(?P<sub>[a-zA-Z0-9]+)(_ses-[a-zA-Z0-9]+)?_task-(?P<task>[a-zA-Z0-9]+)(_run-(?P<run>[0-9]+))?"
    r"(_[a-z]+-[a-zA-Z0-9]+)*_(bold|timeseries)\.(csv|tsv)"
)


def find_recordings(
    root: Path, labels: Sequence[str] = (), *, task: str | None = None, t_r: float = 0.0
) -> list[Recording]:
    """Recordings of the asked participants.

    Parameters
    ----------
    root : Path
        A BIDS dataset, or a folder of parcel tables ``sub-*/**/sub-*_task-*_run-*_{bold,timeseries}.{csv,tsv}``
        such as studyforrest-data-aggregate.
    labels : sequence of str
        Participants, with or without ``sub-``; all by default.
    task : str, optional
        Needed where the dataset has more than one.
    t_r : float
        Repetition time in seconds for data that do not say it; 0 means unknown.

    Raises
    ------
    NoInputError
        When there is nothing to read.
    NoMatchError
        When the dataset lacks an asked participant or task.
    UsageError
        When the task or the repetition time has to be given.
    """
    if not root.is_dir():
        raise NoInputError(f"{root}: {'not a directory' if root.exists() else 'no such directory'}.")
    if not any(root.iterdir()):
        raise NoInputError(f"{root}: the directory is empty.")
    if (root / "dataset_description.json").is_file():
        from neurocca.io.bids import BidsDataset

        bids = BidsDataset(root)
        subjects, tasks = bids.subjects, bids.tasks
    else:
        tables = _parcel_tables(root)
        subjects = sorted({m["sub"] for m in tables})
        tasks = sorted({m["task"] for m in tables})
    asked = _choose_subjects(root, subjects, labels)
    task = _choose_task(root, tasks, task)
    if (root / "dataset_description.json").is_file():
        return [bids.recording(subject, task, t_r) for subject in asked]
    return [_parcel_recording(root, tables, subject, task, t_r) for subject in asked]


def _choose_subjects(root: Path, subjects: Sequence[str], labels: Sequence[str]) -> list[str]:
    asked = [label.removeprefix("sub-") for label in labels] or list(subjects)
    for label in asked:
        if label not in subjects:
            raise NoMatchError(f"{root}: no participant {label!r}; the dataset has {', '.join(subjects)}.")
    return list(dict.fromkeys(asked))


def _choose_task(root: Path, tasks: Sequence[str], task: str | None) -> str:
    if task is not None and task.removeprefix("task-") not in tasks:
        raise NoMatchError(f"{root}: no task {task!r}; the dataset has {', '.join(tasks)}.")
    if task is None and len(tasks) > 1:
        raise UsageError(f"{root}: tasks {', '.join(tasks)}: choose one with --task-id.")
    return tasks[0] if task is None else task.removeprefix("task-")


def _parcel_tables(root: Path) -> dict[re.Match, Path]:
    found = {m: path for path in sorted(root.glob("sub-*/**/*")) if (m := _TABLE.fullmatch(path.name))}
    if not found:
        raise NoInputError(
            f"{root}: neither a BIDS dataset (no dataset_description.json) nor parcel tables "
            "(no sub-*/**/sub-*_task-*_run-*_bold.csv)."
        )
    return found


def _parcel_recording(root: Path, tables: dict[re.Match, Path], subject: str, task: str, t_r: float) -> Recording:
    paths: dict[str, Path] = {}
    for match, path in tables.items():
        if (match["sub"], match["task"]) == (subject, task):
            label = run_label(match["run"] or "1")
            if label in paths:
                raise UsageError(
                    f"{path}: a second table for run {label} of sub-{subject}, beside {paths[label].name}: several "
                    "sessions or variants of a run cannot be told apart; give a folder with one table per run."
                )
            paths[label] = path
    if not paths:
        raise NoMatchError(f"{root}: participant {subject} has no task {task!r}.")
    labels = sorted(paths, key=run_key)
    if task == "avmovie" and all(p.parent.name == "shen_fconn" for p in paths.values()):
        runs = tuple(_studyforrest_run(label, paths[label]) for label in labels)
        return Recording(subject, task, "studyforrest", "parcels", studyforrest.T_R, runs)
    if t_r <= 0:
        raise UsageError(f"{root}: parcel tables do not say their repetition time: set align.t_r (seconds).")
    runs = tuple(RunFiles(label, paths[label]) for label in labels)
    return Recording(subject, task, root.resolve().name, "parcels", t_r, runs)


def _studyforrest_run(label: str, path: Path) -> RunFiles:
    if label not in studyforrest.RUNS:
        raise NoMatchError(f"{path}: run {label} is none of studyforrest's {', '.join(studyforrest.RUNS)}.")
    n_volumes = studyforrest.N_VOLUMES[studyforrest.RUNS.index(label)]
    return RunFiles(label, path, cut=studyforrest.overlap_trim(label), n_volumes=n_volumes)

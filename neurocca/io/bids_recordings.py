"""Recordings of BIDS datasets: BOLD with its masks, confounds, timing and film."""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from neurocca.errors import DataError, NoInputError, NoMatchError
from neurocca.io.annex import check_here
from neurocca.io.bids import BidsDataset, open_datasets
from neurocca.io.choice import ChosenRun, SeriesFile, choose_recordings
from neurocca.io.frame_log import check_events, is_frame_log, read_frame_log
from neurocca.io.names import BidsName, shared_files
from neurocca.io.query import Query
from neurocca.io.recording import ConfoundsKind, Recording, RunFiles
from neurocca.io.sidecars import TOLERANCE, agreed_repetition_time, read_timing
from neurocca.io.timeseries import read_table

log = logging.getLogger(__name__)

# entities that preprocessing adds to the names of what it was given
_DERIVED = ("space", "cohort", "res", "den", "hemi", "desc", "atlas", "seg", "stat")


def bids_recordings(root: Path, query: Query, t_r: float = 0.0) -> list[Recording]:
    """Recordings of a BIDS dataset or its derivatives.

    Parameters
    ----------
    root : Path
        Raw dataset, or a derivative itself.
    query : Query
    t_r : float
        Repetition time in seconds that the user says; 0 for none.

    Raises
    ------
    NeuroccaError
        One line that names the file, or lists the choices and the option for them.
    """
    datasets = _Datasets(*open_datasets(root, query.derivatives, database=query.database, filters=query.filters))
    files = datasets.series()
    if not files and any(suffix in query.filters for suffix in ("bold", "timeseries")):
        raise NoMatchError(f"{root}: the filters of --bids-filter-file select no BOLD.")
    if not files:
        raise NoInputError(f"{root}: a BIDS dataset without any sub-*_task-*_bold.nii.gz.")
    roots = {file.root for file in files}
    task, chosen = choose_recordings(files, query, roots.pop() if len(roots) == 1 else root)
    runs = {subject: [datasets.run(run) for run in theirs] for subject, theirs in chosen.items()}
    if "mask" in query.filters and not any(run.masks for theirs in runs.values() for run in theirs):
        raise NoMatchError(f"{root}: the filters of --bids-filter-file select no mask of this BOLD.")
    check_here(path for theirs in runs.values() for run in theirs for path in run.files)
    found = [datasets.recording(subject, task, theirs, runs[subject], t_r) for subject, theirs in chosen.items()]
    if found:
        datasets.say_preference(found, named=bool(query.participants))
    return found


@dataclass(frozen=True)
class _Datasets:
    """A dataset with the derivatives that the user names, and those that lie in it."""

    main: BidsDataset
    given: Sequence[BidsDataset]
    found: Sequence[BidsDataset]

    def series(self) -> list[SeriesFile]:
        """BOLD of the derivatives that have any, the named ones first; else of the dataset itself."""
        # a raw dataset may be named beside a derivative, for its events
        preferred = [d for d in self.given if d.is_derivative or not self.main.is_derivative]
        # results of this program are no input of its own, but the demo's motion parameters are
        others = [d for d in self.found if "neurocca" not in d.generators]
        for datasets in (preferred, others, [self.main], self.given):
            if files := [file for dataset in datasets for file in dataset.series()]:
                return files
        return []

    def say_preference(self, taken: Sequence[Recording], *, named: bool) -> None:
        """Say so where a dataset has BOLD and that of a derivative is taken."""
        first, own = taken[0], self.main.series()
        if first.runs[0].bold[0] in {f.path for f in own}:
            if without := [d.name for d in self.given if d.is_derivative]:
                log.warning("No BOLD in %s: it is taken from %s itself.", ", ".join(without), self.main.root)
            return
        if not own:
            return
        entities = (("space", first.space), ("res", first.res), ("desc", first.desc))
        labels = [f"{key} {label}" for key, label in entities if label is not None]
        log.warning("BOLD is taken from %s, not from %s itself.", ", ".join([first.source, *labels]), self.main.root)
        theirs = {f.name.entities["sub"] for f in own if f.name.entities["task"] == first.task}
        if not named and (left := sorted(theirs - {recording.subject for recording in taken})):
            log.warning("%s has no such BOLD of participant %s: going on without.", first.source, ", ".join(left))

    def run(self, chosen: ChosenRun) -> RunFiles:
        """Files of a run; nothing is opened yet."""
        bold = chosen.files[0]
        confounds, kind = self._confounds(bold)
        return RunFiles(
            chosen.label,
            tuple(f.path for f in chosen.files),
            confounds,
            session=chosen.session,
            confounds_kind=kind,
            masks=self._masks(bold),
            events=self._events(bold),
        )

    def recording(
        self, subject: str, task: str, chosen: Sequence[ChosenRun], runs: Sequence[RunFiles], t_r: float
    ) -> Recording:
        """All runs of a participant, with what sidecars, headers and events say."""
        timed = tuple(self._timed(run.files[0], files, t_r) for run, files in zip(chosen, runs, strict=True))
        times = {run.label: run.t_r for run in timed if run.t_r is not None}
        if max(times.values()) - min(times.values()) > TOLERANCE:
            said = ", ".join(f"run {label} {seconds:g} s" for label, seconds in times.items())
            raise DataError(f"{self.main.root}: sub-{subject} has runs of different repetition time: {said}.")
        first = chosen[0].files[0]
        return Recording(
            subject,
            task,
            str(self.main.description.get("Name", self.main.root.resolve().name)),
            first.kind,
            next(iter(times.values())),
            timed,
            source=first.source,
            space=first.name.get("space"),
            seg=first.name.get("seg") or first.name.get("atlas"),
            res=first.name.get("res"),
            desc=first.name.get("desc"),
            simulated=bool(self.main.description.get("Simulated", False)),
        )

    def _nearby(self, bold: SeriesFile) -> list[BidsDataset]:
        """Datasets in the order in which companions of a file are looked for."""
        own = [d for d in (self.main, *self.given, *self.found) if d.root == bold.root]
        return list(dict.fromkeys([*own, *self.given, *self.found, self.main]))

    def _masks(self, bold: SeriesFile) -> tuple[Path, ...]:
        if bold.kind != "voxels":
            return ()
        for dataset in self._nearby(bold):
            found = []
            for path in dataset.matching("mask", ".nii.gz"):
                name = dataset.names[path]
                # a mask of another space would be one of another grid
                same = all(name.get(key) == bold.name.get(key) for key in ("sub", "task", "space", "res"))
                if same and name.get("desc") == "brain" and name.fits(bold.name, ignore=("desc",)):
                    found.append((-len(name.entities), path))
            if found:
                return (min(found)[1],)
        return ()

    def _confounds(self, bold: SeriesFile) -> tuple[Path | None, ConfoundsKind | None]:
        if _is_denoised(bold):
            return None, None
        for dataset in self._nearby(bold):
            found = []
            for path, name in dataset.names.items():
                kind = confounds_kind(name)
                if kind is not None and {"sub", "task"} <= name.entities.keys() and name.fits(bold.name, ("desc",)):
                    found.append((kind != "fmriprep", -len(name.entities), path, kind))
            if found:
                return min(found)[2:]
        return None, None

    def _events(self, bold: SeriesFile) -> Path | None:
        for dataset in dict.fromkeys([self.main, *self._nearby(bold)]):
            if events := next(shared_files(_source_path(bold, dataset), dataset.root, "events", ".tsv"), None):
                return events
        return None

    def _timed(self, bold: SeriesFile, run: RunFiles, t_r: float) -> RunFiles:
        timing = read_timing(bold.path, bold.root)
        if timing.t_r is None and bold.kind == "parcels":
            # tables made of volumes often leave the repetition time to the sidecar of those
            timing = replace(timing, t_r=self._source_repetition_time(bold))
        run = replace(
            run,
            t_r=agreed_repetition_time(bold.path, timing, t_r),
            start_time=timing.start_time,
            slice_timing=timing.slice_timing,
        )
        if run.events is None:
            return run
        root = next(d.root for d in self._nearby(bold) if run.events.is_relative_to(d.root))
        film, onset = _film(run.events, root / "stimuli")
        return replace(run, film=film, onset=onset)

    def _source_repetition_time(self, bold: SeriesFile) -> float | None:
        for dataset in (self.main, *self.given):
            found = read_timing(_source_path(bold, dataset), dataset.root).t_r
            if found is not None:
                return found
        return None


def confounds_kind(name: BidsName) -> ConfoundsKind | None:
    """How a confounds file is written, from its name; None for another file."""
    if name.extension == ".tsv" and name.get("desc") == "confounds" and name.suffix in ("timeseries", "regressors"):
        return "fmriprep"
    if name.extension == ".par" or (name.suffix, name.extension) == ("mcparams", ".txt"):
        return "fsl"
    if name.extension == ".1D":
        return "afni"
    return "table" if name.suffix == "confounds" and name.extension in (".tsv", ".csv") else None


def _source_path(bold: SeriesFile, dataset: BidsDataset) -> Path:
    """Where the raw BOLD of a file would lie in a dataset."""
    raw = {key: label for key, label in bold.name.entities.items() if key not in _DERIVED}
    name = "_".join(f"{key}-{label}" for key, label in raw.items()) + "_bold.nii.gz"
    session = [f"ses-{raw['ses']}"] if "ses" in raw else []
    return dataset.root.joinpath(f"sub-{raw['sub']}", *session, "func", name)


def _is_denoised(bold: SeriesFile) -> bool:
    # what is cleaned already is not cleaned twice; tables of parcels are made of cleaned volumes
    return (
        bold.kind == "parcels" or re.search("denois|residual", bold.name.get("desc") or "", re.IGNORECASE) is not None
    )


def _film(events: Path, folder: Path) -> tuple[Path | None, float]:
    """Film in a folder, and its onset in seconds, where the events name one; the onset alone of a log of frames."""
    table = read_table(events, required=("onset", "duration"))
    logged = read_frame_log(events).onset if is_frame_log(table) else None
    if "stim_file" not in table or table.empty:
        return None, logged or 0.0
    if not pd.api.types.is_numeric_dtype(table["onset"]):
        raise DataError(f"{events}: column 'onset' holds values that are not numbers.")
    shown = table.dropna(subset=["stim_file"])
    if (unknown := shown["onset"].isna()).any():
        film = shown.loc[unknown, "stim_file"].iloc[0]
        raise DataError(f"{events}: when {film} began is not said: its onset is missing.")
    films = shown["stim_file"].astype(str).unique()
    if len(films) == 0:
        return None, 0.0
    if len(films) > 1:
        raise DataError(f"{events}: {len(films)} films in one run; one is expected: {', '.join(films[:3])}.")
    # by name, not by what links lead to: films are often links into an annex or to shared storage
    name = os.path.normpath(films[0])
    if os.path.isabs(name) or name.startswith(os.pardir):
        raise DataError(f"{events}: stim_file {films[0]!r} leads out of {folder}.")
    if logged is not None:
        return folder / name, logged
    check_events(events, shown)
    return folder / name, float(shown["onset"].iloc[0])

"""The studyforrest datasets that are no BIDS datasets: aligned volumes and aggregated parcels.

studyforrest-data-aligned has ``sub-01/in_bold3Tp2/sub-01_task-avmovie_run-1_bold.nii.gz`` on each participant's own
grid of 64 x 86 x 45 voxels, with FSL's motion parameters beside it; brain masks on that grid are in
studyforrest-data-templatetransforms. studyforrest-data-aggregate has ``sub-01/shen_fconn/…_bold.csv``. Neither says
when the film began: where a log of its frames, such as the raw dataset ds000113 has in
``sub-01/ses-movie/func/sub-01_ses-movie_task-movie_run-1_events.tsv``, is laid beside a run under the run's own name
(``sub-01_task-avmovie_run-1_events.tsv``), it does; else the film began with the first volume, which was so to 0.04 s.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neurocca import studyforrest
from neurocca.errors import DataError, NoMatchError
from neurocca.io.annex import check_here
from neurocca.io.choice import ChosenRun, SeriesFile, choose_recordings
from neurocca.io.frame_log import film_onset
from neurocca.io.names import parse_name
from neurocca.io.query import Query
from neurocca.io.recording import Recording, RunFiles
from neurocca.io.sidecars import TOLERANCE, Timing, agreed_repetition_time

SPACE = "bold3Tp2"
"""Each participant's own BOLD template, to which the volumes are aligned; the name of its folders, too."""

MASKS = "templatetransforms"
"""Name under which the dataset with the masks is given as a derivative."""

FILM = "avmovie"
"""Task label of the film that all of studyforrest's constants are about."""


def aligned_volumes(root: Path) -> list[SeriesFile]:
    """Volumes of studyforrest-data-aligned; none in another dataset."""
    found = []
    for path in sorted(root.glob(f"sub-*/in_{SPACE}/sub-*_bold.nii.gz")):
        name = parse_name(path.name)
        if name is not None and {"sub", "task"} <= name.entities.keys():
            found.append(SeriesFile(path, name, "voxels", root))
    return found


def aligned_recordings(root: Path, files: Sequence[SeriesFile], query: Query, t_r: float = 0.0) -> list[Recording]:
    """Recordings of studyforrest-data-aligned.

    Parameters
    ----------
    root : Path
    files : sequence of SeriesFile
        As `aligned_volumes` finds them.
    query : Query
        Masks are those of its derivative "templatetransforms"; without it they are told from the volumes.
    t_r : float
        Repetition time in seconds that the user says; 0 for none. The dataset says it in image headers only.

    Raises
    ------
    NeuroccaError
        The message names the file.
    """
    task, chosen = choose_recordings(files, query, root)
    runs = {
        subject: [_aligned_run(run, _masks(query, subject)) for run in of_subject]
        for subject, of_subject in chosen.items()
    }
    check_here(path for of_subject in runs.values() for run in of_subject for path in run.files)
    found = []
    for subject, theirs in runs.items():
        of_subject = [_with_onset(run) for run in theirs]
        times = {run.label: agreed_repetition_time(run.bold[0], Timing(), t_r) for run in of_subject}
        if max(times.values()) - min(times.values()) > TOLERANCE:
            said = ", ".join(f"run {label} {seconds:g} s" for label, seconds in times.items())
            raise DataError(f"{root}: sub-{subject} has runs of different repetition time: {said}.")
        seconds = next(iter(times.values()))
        found.append(
            Recording(
                subject, task, "studyforrest", "voxels", seconds, tuple(of_subject), source="aligned", space=SPACE
            )
        )
    return found


def is_aggregate(files: Sequence[SeriesFile]) -> bool:
    """Whether parcel tables are those of studyforrest-data-aggregate."""
    return all(f.path.parent.name == "shen_fconn" and f.name.get("task") == FILM for f in files)


def aggregate_recordings(root: Path, files: Sequence[SeriesFile], query: Query, t_r: float = 0.0) -> list[Recording]:
    """Recordings of studyforrest-data-aggregate.

    Parameters
    ----------
    root, files, query, t_r
        As for `aligned_recordings`. The dataset's repetition time is known: another one is refused.
    """
    if t_r and abs(t_r - studyforrest.T_R) > TOLERANCE:
        raise DataError(
            f"{root}: studyforrest has a repetition time of {studyforrest.T_R} s, --t-r (align.t_r) says {t_r} s."
        )
    task, chosen = choose_recordings(files, query, root)
    runs = {subject: [_aggregate_run(run) for run in theirs] for subject, theirs in chosen.items()}
    check_here(path for theirs in runs.values() for run in theirs for path in run.files)
    return [
        Recording(
            subject,
            task,
            "studyforrest",
            "parcels",
            studyforrest.T_R,
            tuple(_with_onset(run) for run in theirs),
            source="aggregate",
        )
        for subject, theirs in runs.items()
    ]


def _aligned_run(run: ChosenRun, masks: tuple[Path, ...]) -> RunFiles:
    file = run.files[0]
    motion = file.path.with_name(file.path.name.replace(".nii.gz", "_mcparams.txt"))
    there = motion.is_file() or motion.is_symlink()
    return RunFiles(
        run.label,
        (file.path,),
        motion if there else None,
        cut=_overlap(run) if file.name.get("task") == FILM else (0, 0),
        confounds_kind="fsl" if there else None,
        masks=masks,
        events=_beside(run),
        # no number of volumes: an image's header has it, so that a truncated one is found anyway
    )


def _aggregate_run(run: ChosenRun) -> RunFiles:
    cut = _overlap(run)
    n_volumes = studyforrest.N_VOLUMES[studyforrest.RUNS.index(run.label)]
    return RunFiles(
        run.label, (run.files[0].path,), cut=cut, n_volumes=n_volumes, t_r=studyforrest.T_R, events=_beside(run)
    )


def _beside(run: ChosenRun) -> Path | None:
    """Log of the film's frames that lies beside the BOLD of a run."""
    bold = run.files[0].path
    path = bold.with_name(f"{bold.name.partition('_bold.')[0]}_events.tsv")
    return path if path.is_file() or path.is_symlink() else None


def _with_onset(run: RunFiles) -> RunFiles:
    return run if run.events is None else replace(run, onset=film_onset(run.events))


def _overlap(run: ChosenRun) -> tuple[int, int]:
    if run.label not in studyforrest.RUNS:
        runs = ", ".join(studyforrest.RUNS)
        raise NoMatchError(f"{run.files[0].path}: run {run.label} is none of studyforrest's {runs}.")
    return studyforrest.overlap_trim(run.label)


def _masks(query: Query, subject: str) -> tuple[Path, ...]:
    if MASKS not in query.derivatives:
        return ()
    return (query.derivatives[MASKS] / f"sub-{subject}" / SPACE / "brain_mask.nii.gz",)

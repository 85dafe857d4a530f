"""Folders of parcel tables that are no BIDS datasets."""

from pathlib import Path

from neurocca.errors import UsageError
from neurocca.io.annex import check_here
from neurocca.io.choice import SeriesFile, choose_recordings
from neurocca.io.names import parse_name
from neurocca.io.query import Query
from neurocca.io.recording import Recording, RunFiles


def parcel_tables(root: Path) -> list[SeriesFile]:
    """Tables ``sub-*/**/sub-*_task-*_[run-*_]{bold,timeseries}.{csv,tsv}``."""
    found = []
    for path in sorted(root.glob("sub-*/**/*.[ct]sv")):
        name = parse_name(path.name)
        if name is None or name.suffix not in ("bold", "timeseries") or not {"sub", "task"} <= name.entities.keys():
            continue
        if name.get("desc") != "confounds":
            found.append(SeriesFile(path, name, "parcels", root))
    return found


def table_recordings(root: Path, files: list[SeriesFile], query: Query, t_r: float) -> list[Recording]:
    """Recordings of any lab's parcel tables.

    Parameters
    ----------
    root : Path
    files : list of SeriesFile
        As `parcel_tables` finds them.
    query : Query
    t_r : float
        Repetition time in seconds, which tables do not say.

    Raises
    ------
    UsageError
        When the repetition time is 0.
    """
    task, chosen = choose_recordings(files, query, root)
    check_here(file.path for runs in chosen.values() for run in runs for file in run.files)
    if t_r <= 0:
        raise UsageError(f"{root}: parcel tables do not say their repetition time: set align.t_r (seconds), or --t-r.")
    return [
        Recording(
            subject,
            task,
            root.resolve().name,
            "parcels",
            t_r,
            tuple(RunFiles(r.label, (r.files[0].path,), session=r.session, t_r=t_r) for r in runs),
            source="tables",
            seg=runs[0].files[0].name.get("seg") or runs[0].files[0].name.get("atlas"),
            desc=runs[0].files[0].name.get("desc"),
        )
        for subject, runs in chosen.items()
    ]

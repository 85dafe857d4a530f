"""What was found, as text: what ``--dry-run`` prints."""

import os
from collections.abc import Iterable
from pathlib import Path

from neurocca.config import Config
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.recording import Recording, RunFiles
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import match_runs
from neurocca.steps.participant import check_folders


def describe_inputs(
    bids_dir: Path, output_dir: Path, config: Config, query: Query, features: Path | None = None
) -> str:
    """Participants, runs and files that an analysis would read; nothing is written.

    Parameters
    ----------
    bids_dir, output_dir : Path
    config : Config
    query : Query
    features : Path, optional
        Feature store; with it, runs that it lacks are marked.

    Raises
    ------
    NeuroccaError
        As the analysis itself would, where an input is missing or contradictory.
    """
    check_folders(bids_dir, output_dir)
    recordings = find_recordings(bids_dir, query, t_r=config.align.t_r)
    first = recordings[0]
    lines = [f"{first.dataset} ({bids_dir}), task {first.task}: {_counted(len(recordings), 'participant')}"]
    lines += [f"derivative {name}: {folder}" for name, folder in query.derivatives.items()]
    used: dict[str, set[str]] = {}
    if features is not None:
        with FeatureStore(features) as store:
            lines.append(f"features {features}:")
            lines += [f"  {space}: runs {', '.join(store.runs(space))}" for space in store.spaces]
            for recording in recordings:
                matched = match_runs(recording, store, config.align, strict=query.strict)
                used[recording.subject] = {run.label for run in matched.runs}
    for recording in recordings:
        lines += ["", _headline(recording), _table(recording, bids_dir, used.get(recording.subject))]
    return "\n".join(lines)


def _headline(recording: Recording) -> str:
    words = [recording.kind, f"from {recording.source}"]
    pairs = (("space", recording.space), ("res", recording.res), ("desc", recording.desc))
    words += [f"{key} {label}" for key, label in pairs if label is not None]
    words.append(f"TR {recording.t_r:g} s")
    if recording.missing:
        words.append(f"missing runs {', '.join(recording.missing)}")
    return f"sub-{recording.subject}: {_counted(len(recording.runs), 'run')}, {', '.join(words)}"


def _table(recording: Recording, root: Path, used: set[str] | None) -> str:
    rows = [_row(run, root, used) for run in recording.runs]
    # columns that say nothing of any run are left out
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    cells = [columns, *([row[column] for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(f"  {line}" for line in lines)


def _row(run: RunFiles, root: Path, used: set[str] | None) -> dict[str, str]:
    kind = f" ({run.confounds_kind})" if run.confounds_kind else ""
    return {
        "run": run.label,
        "session": run.session or "",
        "bold": _names(run.bold, root),
        "mask": _names(run.masks, root),
        "confounds": _names([run.confounds] if run.confounds else [], root) + kind,
        "film": run.film.name if run.film else "",
        "onset": f"{run.onset:g} s" if run.film else "",
        "cut": f"{run.cut[0]}+{run.cut[1]}" if any(run.cut) else "",
        "slices": f"at {run.start_time:g} s" if run.start_time is not None else "timed" if run.slice_timing else "",
        "features": "" if used is None else "yes" if run.label in used else "no",
    }


def _names(paths: Iterable[Path], root: Path) -> str:
    base = root.absolute()
    return ", ".join(
        path.relative_to(base).as_posix() if path.is_relative_to(base) else os.path.relpath(path, root)
        for path in paths
    )


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"

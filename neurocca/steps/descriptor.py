"""What was found, as text: what ``--dry-run`` prints."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from neurocca.config import AlignConfig, Config
from neurocca.errors import DataError
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.recording import Recording, RunFiles
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import check_runs
from neurocca.steps.content import named_inputs
from neurocca.steps.estimate import Estimate, estimate
from neurocca.steps.matching import match_runs
from neurocca.steps.participant import check_folders


def describe_inputs(
    bids_dir: Path,
    output_dir: Path,
    config: Config,
    query: Query,
    features: Path | None = None,
    memory: int | None = None,
) -> str:
    """Participants, runs and files that an analysis would read; nothing is written.

    Parameters
    ----------
    bids_dir, output_dir : Path
    config : Config
    query : Query
    features : Path, optional
        Feature store; with it, runs that it lacks are marked.
    memory : int, optional
        Bytes that there are.

    Raises
    ------
    NeuroccaError
        As the analysis itself would, where an input is missing or contradictory.
    """
    check_folders(bids_dir, output_dir)
    found = find_recordings(bids_dir, query, t_r=config.align.t_r)
    named_inputs(features, config.align)
    recordings = [recording.shifted(config.align.onset_shift) for recording in found]
    first = recordings[0]
    lines = [f"{first.dataset} ({bids_dir}), task {first.task}: {_counted(len(recordings), 'participant')}"]
    lines += [f"derivative {name}: {folder}" for name, folder in query.derivatives.items()]
    lines += _parcels(config.align)
    used: dict[str, set[str]] = {}
    if features is not None:
        with FeatureStore(features) as store:
            lines.append(f"features {features}:")
            lines += [f"  {space}: runs {', '.join(store.runs(space))}" for space in store.spaces]
            for recording in found:
                matched = match_runs(recording, store, config.align, asked=query.runs, strict=query.strict)
                used[recording.subject] = {run.label for run in matched.runs}
    for recording in recordings:
        lines += ["", _headline(recording), *_folders(recording, bids_dir)]
        lines.append(_table(recording, used.get(recording.subject)))
        expected = estimate(recording, config, features)
        lines.append(f"  {_expected(expected)}")
        n_runs = len(used.get(recording.subject, recording.runs))
        lines += [f"  would be refused: {reason}" for reason in _refusals(recording, n_runs, config)]
        if memory is not None and expected.low_memory > memory:
            lines.append(f"  --mem {memory / 2**30:.1f} GiB is less than that")
    return "\n".join(lines)


def _refusals(recording: Recording, n_runs: int, config: Config) -> list[str]:
    """What an analysis would end with, as far as names and headers say it."""
    found = []
    try:
        check_runs(n_runs, config.fit)
    except DataError as error:
        found.append(str(error))
    if config.align.smoothing_fwhm and recording.kind != "voxels":
        found.append(f"--smoothing-fwhm smooths volumes, and these are {recording.kind}.")
    return found


def _expected(found: Estimate) -> str:
    minutes = f"{found.seconds / 60:.0f} min" if found.seconds >= 90 else f"{found.seconds:.0f} s"
    if found.seconds >= 3 * 3600:
        minutes = f"{found.seconds / 3600:.0f} h"
    usual, low = (f"{size / 2**30:.1f} GiB" for size in (found.memory, found.low_memory))
    return f"roughly {minutes} on one core, {usual} of memory ({low} with --low-mem)"


def _parcels(align: AlignConfig) -> list[str]:
    """The mask and the atlases that the configuration names, which must be there."""
    from neurocca.io.atlas import read_atlas
    from neurocca.io.masks import read_mask

    found = []
    if align.mask:
        found.append(f"mask {align.mask}: {_counted(int(np.count_nonzero(read_mask(align.mask).dataobj)), 'voxel')}")
    for name, source in (("atlas", align.atlas), ("label atlas", align.label_atlas)):
        if source:
            found.append(f"{name} {source}: {_counted(len(read_atlas(source).labels), 'parcel')}")
    return found


def _headline(recording: Recording) -> str:
    words = [recording.kind, f"from {recording.source}"]
    pairs = (("space", recording.space), ("res", recording.res), ("desc", recording.desc))
    words += [f"{key} {label}" for key, label in pairs if label is not None]
    words.append(f"TR {recording.t_r:g} s")
    if recording.missing:
        words.append(f"missing runs {', '.join(recording.missing)}")
    return f"sub-{recording.subject}: {_counted(len(recording.runs), 'run')}, {', '.join(words)}"


def _folders(recording: Recording, root: Path) -> list[str]:
    """Where the files lie, said once: names in the table then fit into a line."""
    columns = {
        "bold": [path for run in recording.runs for path in run.bold],
        "mask": list(recording.masks),
        "confounds": [run.confounds for run in recording.runs if run.confounds],
        "film": [run.film for run in recording.runs if run.film],
    }
    named = {column: dict.fromkeys(_relative(path.parent, root) for path in paths) for column, paths in columns.items()}
    return [f"  {column} in {', '.join(folders)}" for column, folders in named.items() if folders]


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(path.absolute(), root.absolute())


def _table(recording: Recording, used: set[str] | None) -> str:
    rows = [_row(recording, run, used) for run in recording.runs]
    # columns that say nothing of any run are left out
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    cells = [columns, *([row[column] for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(f"  {line}" for line in lines)


def _row(recording: Recording, run: RunFiles, used: set[str] | None) -> dict[str, str]:
    shared = [f"sub-{recording.subject}_", f"ses-{run.session}_", f"task-{recording.task}_"]
    return {
        "run": run.label,
        "session": run.session or "",
        "bold": _names(run.bold, shared),
        "mask": _names(run.masks, shared),
        "confounds": f"{_names([run.confounds], shared)} ({run.confounds_kind})" if run.confounds else "",
        "film": "" if run.film is None else run.film.name if run.film.is_file() else f"{run.film.name} (not here)",
        "onset": f"{run.onset:g} s" if run.film or run.onset else "",
        "cut": f"{run.cut[0]}+{run.cut[1]}" if any(run.cut) else "",
        "slices": f"at {run.start_time:g} s" if run.start_time is not None else "timed" if run.slice_timing else "",
        "features": "" if used is None else "yes" if run.label in used else "no",
    }


def _names(paths: Iterable[Path], shared: Iterable[str]) -> str:
    """File names without what those of all runs begin with."""
    names = [path.name for path in paths]
    for prefix in shared:
        names = [name.removeprefix(prefix) for name in names]
    return ", ".join(names)


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"

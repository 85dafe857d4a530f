"""Sources of features that are no films: events, tables, and what studyforrest published of its film."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from neurocca import studyforrest
from neurocca.config import FeaturesConfig
from neurocca.design import FeatureSeries
from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.features.annotations import event_features, event_names, events_features, location_features
from neurocca.features.loudness import loudness_from_published
from neurocca.io.annotations import is_events, read_events, read_series, says_when
from neurocca.io.recording import run_label
from neurocca.io.timeseries import read_table

log = logging.getLogger(__name__)

Spaces = dict[str, dict[str, FeatureSeries]]
"""Feature series by space and run label."""

FRAME_MEASURES = {
    "lowlevel": (
        ("brmean", "brlr", "brud", "normdiff"),
        ("luminance", "left_right", "up_down", "perceptual_difference"),
    ),
    "audio": (("rms", "lrdiff"), ("loudness", "loudness_left_right")),
}
"""By feature space, the per-frame measures in studyforrest-data-confoundsannotation that are read, and the columns that
they become: in the units of `neurocca.features.lowlevel.FrameMeasures` and `neurocca.features.audio.SoundMeasures`."""

TABLES = (".tsv", ".tsv.gz", ".csv", ".npy")
"""How the names of tables of features end."""


def read_source(
    source: Path,
    config: FeaturesConfig,
    *,
    run: str | None = None,
    durations: Mapping[str, float] | None = None,
    columns: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Spaces, list[Path]]:
    """Features of a source that is no film, and the files that they were read from.

    Parameters
    ----------
    source : Path
        BIDS events, a table of features (.tsv, .csv, .npy), or a clone of studyforrest-data-confoundsannotation or
        studyforrest-data-annotations.
    config : FeaturesConfig
        Its ``annotation_rate`` is that of regressors of events, and of tables that do not say when their samples are.
    run : str, optional
        Run label of a file; told from its name by default.
    durations : mapping, optional
        Seconds of the film of each run, which regressors of events last as long as.
    columns : mapping, optional
        Names of the features that the events of all runs have in common, by space, of `event_columns`.

    Raises
    ------
    NoInputError
        When the source does not exist or is of no known kind.
    DataError
        When one of its files cannot be used.
    """
    if not source.exists():
        raise NoInputError(f"{source}: no such file or directory.")
    if source.is_file():
        label = run or run_of(source)
        space = table_space(source)
        series = _table_features(source, config, (durations or {}).get(label), (columns or {}).get(space))
        return {space: {label: series}}, [source]
    if run is not None:
        raise UsageError(f"{source}: a folder of all runs, which no run label can be given to.")
    if (source / "annotation" / "visual").is_dir():
        return _frame_measures(source / "annotation")
    if (source / "researchcut").is_dir():
        return _annotations(source / "researchcut", config.annotation_rate)
    raise NoInputError(
        f"{source}: holds neither annotation/visual (studyforrest-data-confoundsannotation) nor researchcut "
        "(studyforrest-data-annotations), and is not a film."
    )


def event_columns(sources: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Names of the features that the events of several runs have in common, by space."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for source in sources:
        if source.is_file() and not is_film(source) and is_events(source):
            tables.setdefault(table_space(source), []).append(read_events(source))
    return {space: event_names(of_space) for space, of_space in tables.items()}


def is_film(source: Path) -> bool:
    """Whether a source is to be read as a film: every file that is not named as a table."""
    return not source.is_dir() and not source.name.lower().endswith(TABLES)


def run_of(source: Path) -> str:
    """Run label in a name: ``run-2`` is run 2, studyforrest's ``seg1`` is run 2 too; 1 by default."""
    if match := re.search(r"run-?0*(\d+)", source.name):
        return run_label(match[1])
    match = re.search(r"seg(\d+)$", source.stem)
    return str(int(match[1]) + 1) if match else "1"


def table_space(source: Path) -> str:
    """Name of the space that a table of features makes: its BIDS ``desc``, or what is left without run and suffix.

    Examples
    --------
    >>> table_space(Path("sub-01_task-movie_run-1_desc-words_timeseries.tsv")), table_space(Path("ratings_run-02.npy"))
    ('words', 'ratings')
    >>> table_space(Path("sub-01_task-movie_run-1_events.tsv"))
    'events'
    """
    stem = re.sub("(" + "|".join(map(re.escape, TABLES)) + ")$", "", source.name, flags=re.IGNORECASE)
    if match := re.search(r"(?:^|_)desc-([A-Za-z0-9]+)", stem):
        return match[1]
    parts = [part for part in stem.split("_") if not re.match(r"(sub|ses|task|acq|run|recording)-|run-?\d+$", part)]
    return "_".join(parts) or "features"


def _table_features(
    source: Path, config: FeaturesConfig, duration: float | None, names: tuple[str, ...] | None
) -> FeatureSeries:
    if not is_events(source):
        rate = None if says_when(source) else config.annotation_rate
        if rate == FeaturesConfig().annotation_rate:  # nobody may have asked for it
            log.warning("%s: does not say when its samples are; taken as %g per second", source, rate)
        return read_series(source, rate=rate)
    events = read_events(source)
    if duration is None:
        duration = float((events["onset"] + events["duration"].fillna(0)).max())
    return events_features(events, config.annotation_rate, duration, names)


def _frame_measures(folder: Path) -> tuple[Spaces, list[Path]]:
    spaces: Spaces = {space: {} for space in FRAME_MEASURES}
    files: list[Path] = []
    for segment, run in enumerate(studyforrest.RUNS):
        for space, (measures, names) in FRAME_MEASURES.items():
            modality = "visual" if space == "lowlevel" else "audio"
            paths = [folder / modality / f"fg_av_ger_seg{segment}_{measure}.tsv" for measure in measures]
            columns = [_frame_values(path) for path in paths]
            files += paths
            n_frames = _common_length(paths, columns, run)
            data = _brightness_from_published(*columns) if space == "lowlevel" else loudness_from_published(*columns)
            times = np.arange(n_frames) / studyforrest.FPS
            spaces[space][run] = FeatureSeries(data, times, names)
    return spaces, files


def _brightness_from_published(
    brmean: np.ndarray, brlr: np.ndarray, brud: np.ndarray, normdiff: np.ndarray
) -> np.ndarray:
    """Fractions of full scale from grey levels, shape (t, 4); differences are published as sums of two quadrants."""
    return np.column_stack([brmean / 255, brlr / 510, brud / 510, normdiff])


def _common_length(paths: list[Path], columns: list[np.ndarray], run: str) -> int:
    """Number of frames that all measures of a run have; at least what was scanned."""
    needed = round(studyforrest.N_VOLUMES[studyforrest.RUNS.index(run)] * studyforrest.T_R * studyforrest.FPS)
    for path, column in zip(paths, columns, strict=True):
        if len(column) != len(columns[0]):
            raise DataError(f"{path}: {len(column)} frames, but {paths[0].name} has {len(columns[0])}.")
        if len(column) < needed:
            raise DataError(f"{path}: {len(column)} frames, expected at least the {needed} of run {run} (truncated?).")
    return len(columns[0])


def _frame_values(path: Path) -> np.ndarray:
    table = read_table(path, required=("onset", "duration"))
    values = table[[c for c in table if c not in ("onset", "duration")]]
    if values.shape[1] != 1 or not np.issubdtype(values.dtypes.iloc[0], np.number):
        raise DataError(f"{path}: one column of numbers beside onset and duration is expected.")
    column = values.iloc[:, 0].to_numpy(dtype=float)
    if not np.isfinite(column).all():
        line = int(np.flatnonzero(~np.isfinite(column))[0]) + 2
        raise DataError(f"{path}: column {values.columns[0]!r} is NaN or infinite on line {line}.")
    return column


def _annotations(folder: Path, rate: float) -> tuple[Spaces, list[Path]]:
    """Annotations of the whole film, cut into runs here.

    The per-run files that are published beside them lack the last 16 s of every run but the last.
    """
    shots_path, emotions_path, music_path = (
        folder / f"{name}.tsv" for name in ("locations", "emotions_av_1s_events", "music")
    )
    shots = read_table(shots_path, ("onset", "duration", "setting", "locale", "int_or_ext", "flow_of_time"))
    emotions = read_table(emotions_path, ("onset", "duration", "arousal"))
    music = read_table(music_path, ("onset", "duration", "fg")).assign(on=1.0)
    emotion_columns = {str(c): _emotion_name(str(c)) for c in emotions if c not in ("onset", "duration", "character")}
    spaces: Spaces = {"locations": {}, "emotions": {}, "music": {}}
    for run, n_volumes in zip(studyforrest.RUNS, studyforrest.N_VOLUMES, strict=True):
        duration = n_volumes * studyforrest.T_R
        shift = studyforrest.research_cut_to_segment(0.0, run)

        def in_run(table, shift=shift):  # type: ignore[no-untyped-def]
            return table.assign(onset=table["onset"] + shift)

        spaces["locations"][run] = location_features(in_run(shots), rate, duration)
        spaces["emotions"][run] = event_features(in_run(emotions), emotion_columns, rate, duration)
        spaces["music"][run] = event_features(in_run(music), {"on": "music", "fg": "music_foreground"}, rate, duration)
    return spaces, [shots_path, emotions_path, music_path]


def _emotion_name(column: str) -> str:
    prefixes = {"c_": "cue_", "d_": "directed_at_", "e_": ""}
    prefix = next((p for p in prefixes if column.startswith(p)), "")
    return prefixes.get(prefix, "") + column.removeprefix(prefix)

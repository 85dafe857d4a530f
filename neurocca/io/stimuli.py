"""Feature sources: film files, and studyforrest's published measures and annotations of its film."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurocca import studyforrest
from neurocca.config import FeaturesConfig
from neurocca.design import FeatureSeries
from neurocca.errors import DataError, NoInputError
from neurocca.features.annotations import event_features, location_features
from neurocca.io.recording import run_label
from neurocca.io.timeseries import read_table

Spaces = dict[str, dict[str, FeatureSeries]]
"""Feature series by space and run label."""

FRAME_MEASURES = {
    "lowlevel": {
        "brmean": "luminance",
        "brlr": "left_right",
        "brud": "up_down",
        "normdiff": "perceptual_difference",
    },
    "audio": {"rms": "loudness", "lrdiff": "loudness_left_right"},
}
"""Names of the per-frame measures in studyforrest-data-confoundsannotation, by feature space."""

Progress = Callable[[int], object]


def read_source(source: Path, config: FeaturesConfig, progress: Progress | None = None) -> tuple[Spaces, list[Path]]:
    """Features of one source, and the files that they were read from.

    Parameters
    ----------
    source : Path
        A film, or a clone of studyforrest-data-confoundsannotation or studyforrest-data-annotations.
    config : FeaturesConfig
    progress : callable, optional
        Called with 1 after every run.

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
        from neurocca.io.movie import film_features

        series = film_features(source, config.rate)
        return {space: {film_run(source): s} for space, s in series.items()}, [source]
    if (source / "annotation" / "visual").is_dir():
        return _frame_measures(source / "annotation", progress)
    if (source / "researchcut").is_dir():
        return _annotations(source / "researchcut", config.annotation_rate, progress)
    raise NoInputError(
        f"{source}: holds neither annotation/visual (studyforrest-data-confoundsannotation) nor researchcut "
        "(studyforrest-data-annotations), and is not a film."
    )


def film_run(film: Path) -> str:
    """Run label in a film's name: ``run-2`` is run 2, studyforrest's ``seg1`` is run 2 too; 1 by default."""
    if match := re.search(r"run-?0*(\d+)", film.stem):
        return run_label(match[1])
    match = re.search(r"seg(\d+)$", film.stem)
    return str(int(match[1]) + 1) if match else "1"


def _frame_measures(folder: Path, progress: Progress | None) -> tuple[Spaces, list[Path]]:
    spaces: Spaces = {space: {} for space in FRAME_MEASURES}
    files: list[Path] = []
    for segment, run in enumerate(studyforrest.RUNS):
        for space, measures in FRAME_MEASURES.items():
            modality = "visual" if space == "lowlevel" else "audio"
            paths = [folder / modality / f"fg_av_ger_seg{segment}_{measure}.tsv" for measure in measures]
            columns = [_frame_values(path) for path in paths]
            files += paths
            n_frames = _common_length(paths, columns, run)
            data = np.column_stack(columns)
            times = np.arange(n_frames) / studyforrest.FPS
            spaces[space][run] = FeatureSeries(data, times, tuple(measures.values()))
        if progress:
            progress(1)
    return spaces, files


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


def _annotations(folder: Path, rate: float, progress: Progress | None) -> tuple[Spaces, list[Path]]:
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
        if progress:
            progress(1)
    return spaces, [shots_path, emotions_path, music_path]


def _emotion_name(column: str) -> str:
    prefixes = {"c_": "cue_", "d_": "directed_at_", "e_": ""}
    prefix = next((p for p in prefixes if column.startswith(p)), "")
    return prefixes.get(prefix, "") + column.removeprefix(prefix)

"""Real data written as a user would have them: BIDS with volumes, or folders of parcel tables, and features per run."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

SHERLOCK_RUNS = (946, 1030)
"""Volumes of the two runs."""

SHERLOCK_OPTIONS = ("--onset-shift", "-4.5")
"""The authors moved BOLD three volumes back: what stands at the first volume was measured 4.5 s later."""

_SHERLOCK_CONFIG = """
[align]
t_r = 1.5
trim = [26, 3]      # the first 26 volumes are a cartoon; after the last three there is no film that could explain them
[fit]
n_components = 3
shrinkage_x = [0.1] # two runs: one is left out, and no further one is there to choose the shrinkage
shrinkage_y = [0.3]
"""

_TABLES_CONFIG = """
[align]
response = "none"   # the features are aligned with BOLD, or convolved, by their authors
t_r = {t_r}
[fit]
n_components = 3
"""

SONG_WINDOW = slice(443, 1043)
"""Seconds of the episode that are as long as the rest."""


def write_sherlock(data: Path, folder: Path) -> None:
    """Two subjects' posterior medial cortex as BIDS in ``dataset``; mask, features and configuration beside it."""
    root = folder / "dataset"
    _text(root / "dataset_description.json", json.dumps({"Name": "Sherlock", "BIDSVersion": "1.10.1"}))
    _text(root / "task-sherlock_bold.json", json.dumps({"RepetitionTime": 1.5, "TaskName": "sherlock"}))
    starts = np.cumsum([0, *SHERLOCK_RUNS])
    for subject in ("1", "2"):
        image = nib.load(data / f"s{subject}_pmc_movie_bold.nii.gz")
        for run, (start, stop) in enumerate(pairwise(starts), 1):
            path = root / f"sub-0{subject}" / "func" / f"sub-0{subject}_task-sherlock_run-{run}_bold.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.slicer[..., start:stop].to_filename(path)
    shutil.copyfile(data / "mask_pmc_nn.nii.gz", folder / "mask.nii.gz")
    _sherlock_features(data, folder)


def write_sherlock_regions(data: Path, folder: Path) -> None:
    """Tables of six regions of 17 viewers and their mean."""
    held = np.load(data / "roi_mean_ts_17subj_1976tr_6roi.npz")
    subjects = {str(s).removeprefix("s"): series for s, series in zip(held["subjects"], held["ts"], strict=True)}
    starts = np.cumsum([0, *SHERLOCK_RUNS])
    rows = {str(run): slice(start, stop) for run, (start, stop) in enumerate(pairwise(starts), 1)}
    _responses(folder, subjects, [str(name) for name in held["rois"]], rows)
    _sherlock_features(data, folder)


def _sherlock_features(data: Path, folder: Path) -> None:
    table = pd.read_csv(data / "features_1976tr.csv")
    for run, rows in table.groupby("run"):
        # during the cartoon four measures are missing; its volumes are cut off
        _features(folder, str(run), rows.drop(columns=["TR", "run", "scene_id_30"]).bfill(), 1.5)
    _text(folder / "config.toml", _SHERLOCK_CONFIG)


def write_song(data: Path, folder: Path, what: str) -> None:
    """Parcel tables of one of "film", "window" (600 s of it) and "rest", and the episode's features of that time.

    One scan is cut into runs, 20 s apart. ``sub-mean`` is the mean of all subjects.
    """
    scan = "rest1" if what == "rest" else "sitcomep1"
    held = np.load(data / f"{scan}_ts_subj_x_tr_x_schaefer200.npz")
    series, features = held["ts"], np.load(data / "sitcomep1_input_pc.npy")
    if what == "window":
        series = series[:, SONG_WINDOW]
    if what != "film":
        features = features[SONG_WINDOW]
    names = pd.read_csv(data / "schaefer200_7networks_centroids.csv")["name"].str.removeprefix("7Networks_")
    subjects = [str(subject).removeprefix("sub-") for subject in held["subjects"]]
    table = pd.DataFrame(features, columns=[f"pc{i}" for i in range(features.shape[1])])
    _tables(folder, dict(zip(subjects, series, strict=True)), list(names), table, 1.0, 5 if what == "film" else 3, 20)


def write_alice(data: Path, folder: Path) -> None:
    """Tables of six regions of 27 listeners and their mean, and 13 predictors of the story."""
    held = np.load(data / "alice_27subj_362tr_6roi.npz")
    table = pd.DataFrame(held["generic"], columns=[str(name) for name in held["generic_names"]])
    table["sound_power"] = held["sound_power"].mean(axis=0)
    series = dict(zip(map(str, held["subjects"]), held["ts_6mm"], strict=True))
    _tables(folder, series, [str(name) for name in held["rois"]], table, 2.0, 3, 10)


def _tables(
    folder: Path,
    series: dict[str, np.ndarray],
    names: list[str],
    features: pd.DataFrame,
    t_r: float,
    n_runs: int,
    gap: int,
) -> None:
    length = (len(features) - (n_runs - 1) * gap) // n_runs
    starts = (run * (length + gap) for run in range(n_runs))
    rows = {str(run): slice(start, start + length) for run, start in enumerate(starts, 1)}
    _responses(folder, series, names, rows)
    for run, of_run in rows.items():
        _features(folder, run, features.iloc[of_run], t_r)
    _text(folder / "config.toml", _TABLES_CONFIG.format(t_r=t_r))


def _responses(folder: Path, series: dict[str, np.ndarray], names: list[str], rows: dict[str, slice]) -> None:
    """One table per subject and run, and of ``sub-mean``."""
    standard = [(s - s.mean(axis=0)) / s.std(axis=0) for s in series.values()]
    for subject, data in {**series, "mean": np.mean(standard, axis=0)}.items():
        for run, of_run in rows.items():
            path = folder / "dataset" / f"sub-{subject}" / f"sub-{subject}_task-film_run-{run}_timeseries.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(data[of_run], columns=names).to_csv(path, sep="\t", index=False)


def _features(folder: Path, run: str, table: pd.DataFrame, t_r: float) -> None:
    path = folder / f"run-{run}_desc-annotations_timeseries.tsv"
    table.to_csv(path, sep="\t", index=False)
    _text(path.with_suffix(".json"), json.dumps({"SamplingFrequency": 1 / t_r, "StartTime": 0}))


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

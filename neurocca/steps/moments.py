"""Film moments: when in the film a component's stimulus-side variate is highest and lowest."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurocca.cca.linear_base import LinearModel
from neurocca.config import AlignConfig, Config
from neurocca.inference.fits import winner
from neurocca.inference.held_out import HeldOutResult
from neurocca.io.analyses import Analysis
from neurocca.io.derivatives import Results
from neurocca.io.moments import COLUMNS, write_moments
from neurocca.io.recording import Recording, RunFiles
from neurocca.io.store import FeatureStore
from neurocca.io.timeseries import read_kernel
from neurocca.steps.matching import chosen_spaces, read_features
from neurocca.steps.storyboard import write_storyboards
from neurocca.temporal.align import align_features, aligned_names
from neurocca.temporal.attribution import Attribution, attribute

N_MOMENTS = 10
"""Most moments of a sign and component."""

MIN_DISTANCE = 10.0
"""Seconds of film between two moments of a sign and component."""

DELAY = (
    "The haemodynamic delay is undone without deconvolution: the variate at a volume is a sum of what the seconds of "
    "the film before it add (their features, times the weights, times the response so long after). The moment is the "
    "second that adds most, after averaging over a Gaussian with a standard deviation of 0.5 s."
)

NEAREST = " Variates of this estimator are no such sums: weights are those of the sum that is nearest to them."


def film_weights(held: HeldOutResult, X: NDArray) -> dict[str, NDArray[np.float64]]:
    """Weights of the features in the fit that has not seen a run, by run label, each of shape (p, k).

    Components are matched, in order and sign, to the fit on all runs, as their variates are. Where variates are no sums
    of features, weights are those of the sums that are nearest to them.
    """
    return {
        str(run): _weights(winner(model), X)[:, order] * signs
        for run, model, order, signs in zip(held.fold_labels, held.estimators, held.order, held.signs, strict=True)
    }


def _weights(model: Any, X: NDArray) -> NDArray[np.float64]:
    if isinstance(model, LinearModel):
        return np.asarray(model.x_weights_)
    variates = np.asarray(model.transform(X))
    return np.linalg.lstsq(X - X.mean(axis=0), variates - variates.mean(axis=0))[0]


def add_moments(
    folder: Path, results: Results, recording: Recording, store: FeatureStore, config: Config, bids_dir: Path
) -> list[Path]:
    """Write the table of film moments and, where the film is there, storyboards of the components that were found.

    Parameters
    ----------
    folder : Path
        Output directory, which may be staged; holds the participant's other results.
    results : Results
    recording : Recording
    store : FeatureStore
    config : Config
    bids_dir : Path
        The dataset, in which films are told by their paths.

    Returns
    -------
    list of Path
        The files, relative to the folder.
    """
    analysis = Analysis.of(results.decomposition)
    moments = find_moments(results, recording, store, config.align)
    about, found = {}, {}
    for run in recording.runs:
        about[run.label], path = _film(run, store, config.align, bids_dir)
        if path is not None:
            found[run.label] = path
    delay = DELAY if config.fit.estimator == "linear" else DELAY + NEAREST
    files = write_moments(folder, results, moments, {run: film for run, film in about.items() if film}, delay)
    files += write_storyboards(folder, analysis, moments, found, results.decomposition)
    return [file.relative_to(folder) for file in files]


def find_moments(results: Results, recording: Recording, store: FeatureStore, config: AlignConfig) -> pd.DataFrame:
    """Seconds of the film that lead to the highest and lowest values of the held-out stimulus-side variates.

    Local extremes of every run are taken in the order of their height, each with the second of the film that adds most
    to it; one that lies within MIN_DISTANCE of one taken before is left out.

    Parameters
    ----------
    results : Results
        With weights of the features.
    recording : Recording
    store : FeatureStore
    config : AlignConfig

    Returns
    -------
    DataFrame
        Columns component, sign ("high", "low"), rank, run, seconds (of the run's film) and value (z).
    """
    names, variates = list(results.held_out_stimulus), results.held_out_stimulus.to_numpy(float)
    runs = _runs(results, recording, store, config)
    ends = np.cumsum([run.n_kept for run in runs])
    parts = [part - part.mean(axis=0) for part in np.split(variates, ends[:-1])]
    spread = np.vstack(parts).std(axis=0)
    z = [part / np.where(spread > 0, spread, 1.0) for part in parts]
    rows = [row for k, name in enumerate(names) for sign in (1, -1) for row in _ranked(str(name), k, sign, runs, z)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Run:
    """One run's film, its attribution and what was kept of its volumes."""

    def __init__(self, label: str, attribution: Attribution, quality: Mapping[str, Any]) -> None:
        self.label, self._attribution = label, attribution
        self.n_kept, self._first, self._film_seconds = quality["Kept"], quality["FirstKept"], quality["FilmSeconds"]

    def moment(self, row: int, component: int) -> float:
        """Second of the film that a kept volume's variate owes most to."""
        return self._attribution.moment(self._first + row, component, self._film_seconds)


def _ranked(name: str, k: int, sign: int, runs: Sequence[_Run], z: Sequence[NDArray]) -> list[tuple]:
    heights = [(sign * part[row, k], i, row) for i, part in enumerate(z) for row in _peaks(sign * part[:, k])]
    taken: list[tuple] = []
    for height, i, row in sorted(heights, key=lambda one: (-one[0], one[1:])):
        if len(taken) == N_MOMENTS or height <= 0:
            break
        run, seconds = runs[i], runs[i].moment(row, k)
        if all(other != run.label or abs(seconds - at) >= MIN_DISTANCE for *_, other, at, _ in taken):
            word = "high" if sign > 0 else "low"
            taken.append((name, word, len(taken) + 1, run.label, round(seconds, 2), round(sign * height, 3)))
    return taken


def _peaks(course: NDArray) -> NDArray[np.intp]:
    """Rows that are higher than both neighbours; a run's first and last are none, as what comes beside is unknown."""
    inner = course[1:-1]
    return np.flatnonzero((inner > course[:-2]) & (inner >= course[2:])) + 1


def _runs(results: Results, recording: Recording, store: FeatureStore, config: AlignConfig) -> list[_Run]:
    kept, weights = results.feature_loadings[["space", "feature", "delay"]], results.film_weights
    place = {tuple(column): i for i, column in enumerate(kept.itertuples(index=False))}
    spaces, t_r = chosen_spaces(store, config), recording.t_r
    kernel = read_kernel(Path(config.kernel)) if config.response == "kernel" else None
    series = read_features(store, recording, config)
    columns = [place.get((spaces[i], feature, variant)) for i, feature, variant in aligned_names(series[0], config)]
    found = []
    for run, of_run, quality in zip(recording.runs, series, results.decomposition["Runs"], strict=True):
        timing = {"onset": run.onset, "reference": quality["Reference"], "kernel": kernel}
        full = np.zeros((len(columns), results.held_out_stimulus.shape[1]))
        used = [i for i, column in enumerate(columns) if column is not None]
        full[used] = weights[run.label][[column for column in columns if column is not None]]
        if config.standardize == "run":  # weights are of columns that were divided by their spread over the run
            cut = (quality["FirstKept"], quality["Volumes"] - quality["FirstKept"] - quality["Kept"])
            raw = replace(config, standardize="train", partial=False)
            spread = align_features(of_run, quality["Volumes"], t_r, raw, cut=cut, **timing).std(axis=0)
            full /= np.where(spread > 0, spread, 1.0)[:, None]
        found.append(_Run(run.label, attribute(of_run, full, quality["Volumes"], t_r, config, **timing), quality))
    return found


def _film(
    run: RunFiles, store: FeatureStore, config: AlignConfig, bids_dir: Path
) -> tuple[dict[str, str], Path | None]:
    """What is known of a run's film, for the sidecar, and where it is: as events or, by its name, the features say."""
    records = [store.provenance(space, run.label).get("film") for space in chosen_spaces(store, config)]
    record = next((record for record in records if record), None)
    path = run.film
    if path is None and record is not None and (bids_dir / "stimuli" / record["name"]).is_file():
        path = bids_dir / "stimuli" / record["name"]
    about = {"Name": record["name"], "SHA256": record["sha256"]} if record else {}
    if path is not None:
        about |= {"Name": path.name, "Path": Path(os.path.relpath(path, bids_dir)).as_posix()}
    return about, path if path is not None and path.is_file() else None

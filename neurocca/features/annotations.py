"""Annotated events (shots, emotions, music) as regular time series."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurocca.design import FeatureSeries


def interval_regressors(
    onsets: ArrayLike, durations: ArrayLike, values: ArrayLike, rate: float, duration: float
) -> NDArray[np.float64]:
    """Regressors that hold each event's values while it lasts.

    A sample is the mean over its interval [k / rate, (k + 1) / rate), so that an event which covers half of it
    counts half; events that overlap add up; what lies outside the run is cut off.

    Parameters
    ----------
    onsets, durations : arrays, shape (m,)
        Seconds since the run's film began.
    values : array, shape (m, f)
        One column per regressor.
    rate : float
        Samples per second.
    duration : float
        Length of the regressors in seconds.

    Returns
    -------
    array, shape (floor(duration * rate), f)
    """
    starts = np.asarray(onsets, dtype=float)
    stops = starts + np.asarray(durations, dtype=float)
    values = np.asarray(values, dtype=float)
    n = int(np.floor(duration * rate + 1e-9))
    # the integral of all events up to each border, differenced: exact for any onset, without a loop over samples
    borders = np.arange(n + 1) / rate
    covered = np.clip(borders[:, None], starts, stops) - starts
    return np.diff(covered @ values, axis=0) * rate


def onset_regressor(onsets: ArrayLike, rate: float, duration: float) -> NDArray[np.float64]:
    """Number of events that begin in each sample's interval, shape (floor(duration * rate),)."""
    n = int(np.floor(duration * rate + 1e-9))
    samples = np.floor(np.asarray(onsets, dtype=float) * rate + 1e-6).astype(int)
    return np.bincount(samples[(samples >= 0) & (samples < n)], minlength=n).astype(float)


def location_features(shots: pd.DataFrame, rate: float, duration: float) -> FeatureSeries:
    """Cuts and places of a film from a table of its shots.

    Parameters
    ----------
    shots : DataFrame
        One row per shot: onset and duration in seconds, setting, locale, int_or_ext, flow_of_time, time_of_day.
    rate : float
        Samples per second.
    duration : float
        Seconds.
    """
    changes = {
        "cut": np.ones(len(shots), dtype=bool),
        "setting_change": (shots["setting"] != shots["setting"].shift()).to_numpy(),
        "locale_change": (shots["locale"] != shots["locale"].shift()).to_numpy(),
        "time_jump": (shots["flow_of_time"].astype(str) != "0").to_numpy(),
    }
    states = {"exterior": shots["int_or_ext"] == "ext", "night": shots["time_of_day"] == "night"}
    onsets = shots["onset"].to_numpy()
    columns = [onset_regressor(onsets[chosen], rate, duration) for chosen in changes.values()]
    held = interval_regressors(onsets, shots["duration"], np.column_stack(list(states.values())), rate, duration)
    return _series(np.column_stack([*columns, held]), [*changes, *states], rate)


def event_features(events: pd.DataFrame, columns: dict[str, str], rate: float, duration: float) -> FeatureSeries:
    """Numeric columns of a table of events as regressors.

    Parameters
    ----------
    events : DataFrame
        onset and duration in seconds, and the columns.
    columns : dict
        Name of the feature by name of the column.
    rate : float
        Samples per second.
    duration : float
        Seconds.
    """
    values = events[list(columns)].to_numpy(dtype=float)
    data = interval_regressors(events["onset"], events["duration"], values, rate, duration)
    return _series(data, list(columns.values()), rate)


def _series(data: NDArray, names: list[str], rate: float) -> FeatureSeries:
    return FeatureSeries(data, np.arange(len(data)) / rate, tuple(names))

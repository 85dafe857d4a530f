"""Annotated events (shots, emotions, music) as regular time series."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurocca.design import FeatureSeries
from neurocca.errors import DataError, UsageError

NOT_FEATURES = ("onset", "duration", "sample", "HED", "stim_file", "channel")
"""Columns of BIDS events that place or tag an event and do not say how much of anything there is."""

MAX_LEVELS = 100
"""Most levels of a column of words; more are a transcript or identifiers, and no categories."""


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
    starts = np.asarray(onsets, dtype=float) * rate
    stops = starts + np.asarray(durations, dtype=float) * rate
    values = np.asarray(values, dtype=float)
    n = int(np.floor(duration * rate + 1e-9))
    starts, stops = np.clip(starts, 0, n), np.clip(stops, 0, n)
    # a step up at each start and down at each stop, summed over time; a step within a sample is split between this
    # sample and the next, so that the sample has the mean. No table of samples by events: both can be many
    steps = np.zeros((n + 2, values.shape[1]))
    first, last = np.floor(starts).astype(int), np.floor(stops).astype(int)
    np.add.at(steps, first, values * (1 - (starts - first))[:, None])
    np.add.at(steps, first + 1, values * (starts - first)[:, None])
    np.add.at(steps, last, -values * (1 - (stops - last))[:, None])
    np.add.at(steps, last + 1, -values * (stops - last)[:, None])
    return np.cumsum(steps[:n], axis=0)


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


def event_names(tables: Sequence[pd.DataFrame], columns: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the features that the events of several runs have in common, whichever run a category occurs in.

    Parameters
    ----------
    tables : sequence of DataFrame
        Events of one run each, with onset and duration in seconds.
    columns : sequence of str, optional
        Columns to take; all but `NOT_FEATURES` by default. ``trial_type=face`` takes one category only.

    Returns
    -------
    tuple of str
        The name of a column of numbers; ``column=category`` for each category of a column of words and of
        ``trial_type``, sorted; ``event`` when there are no columns but onset and duration.

    Raises
    ------
    UsageError
        When a chosen column is missing or empty in all tables, or has more than `MAX_LEVELS` categories.

    Examples
    --------
    >>> runs = [pd.DataFrame({"onset": [0], "duration": [1], "trial_type": [word]}) for word in ("house", "face")]
    >>> event_names(runs)
    ('trial_type=face', 'trial_type=house')
    """
    found = list(dict.fromkeys(str(column) for table in tables for column in table))
    names: list[str] = []
    for column in columns if columns is not None else [c for c in found if c not in NOT_FEATURES]:
        if column not in found and "=" in column:
            names.append(column)
            continue
        parts = [table[column].dropna() for table in tables if column in table]
        parts = [part for part in parts if len(part)]
        if parts:
            names += _column_names(column, pd.concat(parts))
        elif columns is not None:
            raise UsageError(f"events: column {column!r} has no values; columns are {', '.join(found)}.")
    return tuple(names) or ("event",)


def events_features(
    events: pd.DataFrame, rate: float, duration: float, names: Sequence[str] | None = None
) -> FeatureSeries:
    """Regressors of a run's events: one per category, and one per column of numbers.

    A category is 1 while one of its events lasts, a number is held while its event lasts; events that overlap add
    up, and a sample has the mean over its interval. An event whose value is missing is left out of that column. An
    event without a duration (0, or missing) counts as if it filled the sample that holds its onset.

    Parameters
    ----------
    events : DataFrame
        Onset and duration in seconds since the run's film began, and further columns.
    rate : float
        Samples per second.
    duration : float
        Seconds.
    names : sequence of str, optional
        As `event_names` gives them, for the runs to have the same features; those of this table by default.

    Returns
    -------
    FeatureSeries
        floor(duration · rate) samples.

    Raises
    ------
    UsageError
        When a name is that of no column.
    DataError
        When an onset is missing, a duration is negative, or a column with the name of a number holds words.

    Examples
    --------
    >>> events = pd.DataFrame({"onset": [0, 2], "duration": [1, 0], "trial_type": ["face", "house"]})
    >>> series = events_features(events, rate=1, duration=4)
    >>> series.names, series.data.T.tolist()
    (('trial_type=face', 'trial_type=house'), [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    """
    names = event_names([events]) if names is None else tuple(names)
    onsets, durations = _event_times(events, rate)
    columns = [np.zeros((int(np.floor(duration * rate + 1e-9)), 0))]
    for name in names:
        values = _event_values(events, name)
        held = ~np.isnan(values)
        columns.append(interval_regressors(onsets[held], durations[held], values[held, None], rate, duration))
    return _series(np.hstack(columns), list(names), rate)


def category_labels(values: pd.Series) -> pd.Series:
    """Categories as text, those coded by whole numbers without a decimal point; missing ones stay missing.

    Examples
    --------
    >>> category_labels(pd.Series([1, 2.5, float("nan")])).tolist()
    ['1', '2.5', nan]
    """
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return values.map(lambda value: f"{value:.15g}" if number else str(value), na_action="ignore").astype(object)


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


def _column_names(column: str, values: pd.Series) -> list[str]:
    if pd.api.types.is_numeric_dtype(values) and column != "trial_type":
        return [column]
    categories = sorted(set(category_labels(values)))
    if len(categories) > MAX_LEVELS:
        raise UsageError(
            f"events: column {column!r} has {len(categories)} different words, more than the {MAX_LEVELS} that can be "
            "categories: choose other columns."
        )
    return [f"{column}={category}" for category in categories]


def _event_times(events: pd.DataFrame, rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Onsets and durations in seconds, events without a duration moved to fill a sample."""
    onsets, durations = events["onset"].to_numpy(dtype=float), events["duration"].to_numpy(dtype=float)
    bad = ~np.isfinite(onsets) | np.isinf(durations) | (durations < 0)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"events: number {row + 1} has the onset {onsets[row]:g} and the duration {durations[row]:g}: expected an "
            "onset in seconds, and no negative duration."
        )
    moments = ~(durations > 0)
    starts = np.floor(onsets * rate + 1e-6) / rate
    return np.where(moments, starts, onsets), np.where(moments, 1 / rate, durations)


def _event_values(events: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """What each event adds to a feature, shape (m,); NaN where that is not known."""
    column, _, category = name.partition("=")
    if name == "event" and name not in events:
        return np.ones(len(events))
    if name not in events and column in events:
        return np.where(category_labels(events[column]) == category, 1.0, 0.0)
    if name not in events:
        raise UsageError(f"events: there is no column {column!r}; columns are {', '.join(map(str, events))}.")
    values = pd.to_numeric(events[name], errors="coerce").to_numpy(dtype=float)
    if np.any(~np.isfinite(values) & events[name].notna().to_numpy()):
        raise DataError(f"events: column {name!r} holds words or infinite values, and numbers are expected.")
    return values

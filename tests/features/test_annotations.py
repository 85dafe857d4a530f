import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocca.errors import DataError, UsageError
from neurocca.features.annotations import (
    category_labels,
    event_features,
    event_names,
    events_features,
    interval_regressors,
    location_features,
    onset_regressor,
)

events = st.lists(st.tuples(st.floats(-5, 20), st.floats(0, 15), st.floats(-2, 2)), min_size=1, max_size=6)


@given(events, st.sampled_from([1.0, 2.5, 10.0]))
def test_the_area_of_an_event_within_the_run_is_kept(events, rate):
    onsets, durations, values = map(np.array, zip(*events, strict=True))
    regressor = interval_regressors(onsets, durations, values[:, None], rate, 12.0)
    inside = np.clip(onsets + durations, 0, 12) - np.clip(onsets, 0, 12)
    assert regressor.shape == (12 * rate, 1)
    assert regressor.sum() / rate == pytest.approx(np.sum(inside * values), abs=1e-9)


@given(events, st.sampled_from([0.7, 2.5, 10.0]))
def test_every_sample_is_the_mean_over_its_interval(events, rate):
    onsets, durations, values = map(np.array, zip(*events, strict=True))
    regressor = interval_regressors(onsets, durations, values[:, None], rate, 12.0)[:, 0]
    borders = np.arange(len(regressor) + 1) / rate
    covered = np.clip(borders[:, None], onsets, onsets + durations) - onsets
    np.testing.assert_allclose(regressor, np.diff(covered @ values) * rate, atol=1e-9)


def test_many_events_of_a_long_film_need_no_table_of_both():
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.uniform(0, 7200, 200_000))
    regressor = interval_regressors(onsets, np.full(200_000, 0.3), np.ones((200_000, 1)), 25, 7200.0)
    assert regressor.shape == (180_000, 1)
    assert regressor.sum() / 25 == pytest.approx(60_000, rel=1e-4)


def test_half_a_sample_counts_half_and_overlaps_add_up():
    regressor = interval_regressors([0.5, 1.0], [1.0, 1.0], [[2.0], [1.0]], 1.0, 3.0)
    np.testing.assert_allclose(regressor[:, 0], [1.0, 2.0, 0.0])


def test_onsets_on_a_border_begin_the_next_sample():
    np.testing.assert_array_equal(
        onset_regressor([0.0, 0.3, 0.30, 0.95, 1.0, -0.1], 10, 1.0), [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    )


def test_cuts_places_and_jumps():
    shots = pd.DataFrame(
        {
            "onset": [0.0, 2.0, 4.0],
            "duration": [2.0, 2.0, 2.0],
            "setting": ["bench", "bench", "house"],
            "locale": ["bus stop", "bus stop", "hall"],
            "int_or_ext": ["ext", "ext", "int"],
            "flow_of_time": ["0", "++", "0"],
            "time_of_day": ["day", "day", "night"],
        }
    )
    series = location_features(shots, 0.5, 6.0)
    frame = pd.DataFrame(series.data, columns=series.names)
    assert frame["cut"].tolist() == [1, 1, 1]
    assert frame["setting_change"].tolist() == [1, 0, 1]
    assert frame["time_jump"].tolist() == [0, 1, 0]
    assert frame["exterior"].tolist() == [1, 1, 0]
    assert frame["night"].tolist() == [0, 0, 1]


def test_named_columns_become_features():
    events = pd.DataFrame({"onset": [0.0], "duration": [1.0], "fg": [1], "skip": ["x"]})
    series = event_features(events, {"fg": "foreground"}, 2.0, 2.0)
    assert series.names == ("foreground",)
    np.testing.assert_array_equal(series.data[:, 0], [1, 1, 0, 0])


# events with columns of any kind


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "onset": [0.0, 1.5, 2.0, 4.0],
            "duration": [1.0, 1.0, 2.0, 0.0],
            "trial_type": ["face", "house", "face", np.nan],
            "arousal": [0.5, np.nan, 2.0, 3.0],
            "stim_file": ["a.png", "b.png", "c.png", "d.png"],
        }
    )


def test_categories_and_numbers_by_hand(table):
    series = events_features(table, 1, 6)
    assert series.names == ("trial_type=face", "trial_type=house", "arousal")
    expected = [[1, 0, 1, 1, 0, 0], [0, 0.5, 0.5, 0, 0, 0], [0.5, 0, 2, 2, 3, 0]]
    np.testing.assert_allclose(series.data.T, expected)
    np.testing.assert_array_equal(series.times, np.arange(6))


def test_numbers_are_added_up_where_events_overlap_and_cut_where_the_film_ends():
    events = pd.DataFrame({"onset": [-1.0, 0.0, 2.5], "duration": [2.0, 2.0, 9.0], "loud": [1, 10, 100]})
    np.testing.assert_allclose(events_features(events, 1, 4).data[:, 0], [11, 10, 50, 100])


@pytest.mark.parametrize("rate", [1.0, 4.0, 30 / 1.001])
def test_a_moment_fills_the_sample_that_holds_it(rate):
    events = pd.DataFrame({"onset": [0.0, 3 / rate, 5.99 / rate], "duration": [0.0, np.nan, 0.0], "x": [1, 2, 4]})
    data = events_features(events, rate, 8 / rate).data[:, 0]
    np.testing.assert_allclose(data, [1, 0, 0, 2, 0, 4, 0, 0], atol=1e-9)
    np.testing.assert_allclose(onset_regressor(events["onset"], rate, 8 / rate), data > 1e-9)


def test_columns_and_single_categories_can_be_chosen(table):
    assert event_names([table], ["stim_file"])[0] == "stim_file=a.png"
    assert event_names([table], ["arousal", "trial_type=house"]) == ("arousal", "trial_type=house")
    series = events_features(table, 1, 6, ["trial_type=house", "trial_type=tree"])
    np.testing.assert_allclose(series.data.T, [[0, 0.5, 0.5, 0, 0, 0], np.zeros(6)])


def test_runs_have_the_same_features_whatever_occurs_in_them(table):
    other = table.iloc[:1].assign(trial_type="tree", arousal=np.nan)
    names = event_names([other, table])
    assert names == ("trial_type=face", "trial_type=house", "trial_type=tree", "arousal")
    assert names == event_names([table, other])
    data = events_features(other, 1, 3, names).data
    np.testing.assert_array_equal(data, [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def test_events_without_columns_are_one_feature():
    events = pd.DataFrame({"onset": [1.0], "duration": [1.0]})
    series = events_features(events, 1, 3)
    assert (series.names, series.data[:, 0].tolist()) == (("event",), [0, 1, 0])


def test_codes_are_categories_without_a_decimal_point():
    events = pd.DataFrame({"onset": [0.0, 1.0, 2.0], "duration": 1.0, "trial_type": [2.0, np.nan, 10.0]})
    assert event_names([events]) == ("trial_type=10", "trial_type=2")
    np.testing.assert_array_equal(events_features(events, 1, 3).data.T, [[0, 0, 1], [1, 0, 0]])
    assert category_labels(pd.Series([True, False])).tolist() == ["True", "False"]


def test_a_yes_or_no_is_a_number():
    events = pd.DataFrame({"onset": [0.0, 1.0], "duration": 1.0, "face": [True, False]})
    series = events_features(events, 1, 2)
    assert (series.names, series.data[:, 0].tolist()) == (("face",), [1, 0])


def test_refuses_events_that_cannot_be_features(table):
    with pytest.raises(UsageError, match="no column 'colour'; columns are onset, duration, trial_type"):
        events_features(table, 1, 6, ["colour"])
    with pytest.raises(UsageError, match="column 'colour' has no values; columns are onset"):
        event_names([table], ["colour"])
    with pytest.raises(UsageError, match="column 'word' has 101 different words, more than the 100"):
        event_names([pd.DataFrame({"onset": np.arange(101.0), "duration": 1.0, "word": [f"w{k}" for k in range(101)]})])
    with pytest.raises(DataError, match="column 'trial_type' holds words or infinite values, and numbers"):
        events_features(table, 1, 6, ["trial_type"])
    with pytest.raises(DataError, match="column 'arousal' holds words or infinite values"):
        events_features(table.assign(arousal=np.inf), 1, 6)
    with pytest.raises(DataError, match="number 2 has the onset nan and the duration 1"):
        events_features(table.assign(onset=[0, np.nan, 1, 2]), 1, 6)
    with pytest.raises(DataError, match="number 3 has the onset 2 and the duration -1"):
        events_features(table.assign(duration=[0, 1, -1, 2]), 1, 6)


@pytest.mark.realdata
def test_derived_runs_agree_with_the_published_ones_where_those_have_events(studyforrest_data):
    """Per-run cuts from the whole film's table meet the published per-run tables, one lead-in frame later."""
    from neurocca import studyforrest as sf

    folder = studyforrest_data / "annotations"
    whole = pd.read_csv(folder / "researchcut" / "locations.tsv", sep="\t")
    for run in sf.RUNS:
        published = pd.read_csv(folder / "segments" / "avmovie" / f"locations_run-{run}_events.tsv", sep="\t")
        ours = sf.research_cut_to_segment(whole["onset"].to_numpy(), run)
        gaps = np.abs(ours[:, None] - (published["onset"].to_numpy() + 0.04)).min(axis=0)
        assert np.median(gaps) < 1e-6
        assert gaps[1:].max() < 0.05

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocca.features.annotations import event_features, interval_regressors, location_features, onset_regressor

events = st.lists(st.tuples(st.floats(-5, 20), st.floats(0, 15), st.floats(-2, 2)), min_size=1, max_size=6)


@given(events, st.sampled_from([1.0, 2.5, 10.0]))
def test_the_area_of_an_event_within_the_run_is_kept(events, rate):
    onsets, durations, values = map(np.array, zip(*events, strict=True))
    regressor = interval_regressors(onsets, durations, values[:, None], rate, 12.0)
    inside = np.clip(onsets + durations, 0, 12) - np.clip(onsets, 0, 12)
    assert regressor.shape == (12 * rate, 1)
    assert regressor.sum() / rate == pytest.approx(np.sum(inside * values), abs=1e-9)


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

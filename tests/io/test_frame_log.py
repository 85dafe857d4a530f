"""Onsets of films from logs of frames, as studyforrest has them, and events that cannot be."""

import gzip

import numpy as np
import pandas as pd
import pytest

from neurocca.errors import DataError
from neurocca.io.frame_log import check_events, is_frame_log, read_frame_log
from neurocca.io.timeseries import read_kernel, read_table


def write(path, onset, duration=None, frame=None, newline="\r\n"):
    table = pd.DataFrame({"onset": onset})
    table["duration"] = np.append(np.diff(onset), 110.6) if duration is None else duration
    table["frameidx"] = np.arange(1, len(onset) + 1) if frame is None else frame
    path.write_bytes(table.to_csv(sep="\t", index=False, lineterminator=newline, float_format="%.3f").encode())
    return path


@pytest.fixture
def onsets(rng):
    """Frames of 25 per second from 0.1 s on, drawn at refreshes of the screen, with stalls and a late last row."""
    times = 0.1 + np.arange(2000) / 25
    shown = np.ceil(times * 60) / 60 - 1 / 120
    shown[500:503] = shown[503] - [0.03, 0.02, 0.01]
    shown[-1] += 1.9
    return shown


def test_line_through_frames_finds_onset_and_rate(tmp_path, onsets):
    log = read_frame_log(write(tmp_path / "x_events.tsv", onsets))
    assert log.onset == pytest.approx(0.1, abs=0.01)
    assert log.rate == pytest.approx(25, abs=0.01)
    assert (log.n_frames, log.n_late) == (2000, 1)
    assert log.jitter < 0.01


def test_frames_that_were_dropped_do_not_matter(tmp_path, onsets, rng):
    shown = np.flatnonzero(rng.random(2000) > 0.1)
    log = read_frame_log(write(tmp_path / "x_events.tsv", onsets[shown], frame=shown + 1))
    assert log.onset == pytest.approx(0.1, abs=0.01)
    assert log.rate == pytest.approx(25, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[::-1], "onset does not ascend: .* on line 3 comes after"),
        (lambda t: t.assign(frameidx=t.frameidx.to_numpy()[::-1]), "frameidx does not ascend: 1999 on line 3"),
        (lambda t: t.assign(duration=1.0), "events overlap: the one on line 2 ends at 1.092 s"),
        (lambda t: t.assign(onset=t.onset.where(t.index < 1000, t.onset + 30)), "1000 of 2000 frames|of 2000 frames"),
        (lambda t: t.head(5), "5 frames are too few"),
        (lambda t: t.assign(onset="now"), "column 'onset' holds values that are not numbers"),
        (lambda t: t.drop(columns="frameidx"), "column 'frameidx' is missing"),
        (lambda t: t.assign(onset=t.onset.where(t.index != 3)), "'onset' is missing or infinite on line 5"),
    ],
)
def test_logs_that_cannot_be_used_end_in_one_line(tmp_path, onsets, change, message):
    path = write(tmp_path / "x_events.tsv", onsets)
    change(pd.read_csv(path, sep="\t")).to_csv(path, sep="\t", index=False)
    with pytest.raises(DataError, match=message) as error:
        read_frame_log(path)
    assert str(path) in str(error.value)


def test_events_out_of_order_or_over_one_another_are_named(tmp_path):
    path = tmp_path / "x_events.tsv"
    good = pd.DataFrame({"onset": [0.0, 5.0, 9.0], "duration": [5.0, np.nan, 100.0]})
    check_events(path, good)
    assert not is_frame_log(good)
    with pytest.raises(DataError, match=r"x_events.tsv: onset does not ascend: 5 on line 4 comes after 9"):
        check_events(path, good.iloc[[0, 2, 1]].reset_index(drop=True))
    with pytest.raises(DataError, match="events overlap: the one on line 2 ends at 6 s, and the next one begins at 5"):
        check_events(path, good.assign(duration=6.0))


@pytest.mark.realdata
def test_real_logs_of_studyforrest(studyforrest_data, tmp_path):
    found = sorted(studyforrest_data.glob("repos/ds000113/sub-*/ses-movie/func/*_events.tsv.gz"))
    assert found
    for packed in found:
        path = tmp_path / packed.name.removesuffix(".gz")
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        assert is_frame_log(read_table(path))
        log = read_frame_log(path)
        assert log.onset == pytest.approx(0.02, abs=0.02)
        assert log.rate == pytest.approx(25, abs=0.001)
        assert log.n_late <= 1
        assert log.jitter < 0.01


def test_responses_in_one_column(tmp_path):
    path = tmp_path / "hrf.tsv"
    for text in ("response\n0\n1\n0.5\n", "0\n1\n0.5\n", "0\r\n1\r\n0.5"):
        path.write_text(text)
        np.testing.assert_array_equal(read_kernel(path), [0, 1, 0.5])
    for text, message in [("a\n0\nx\n", "line 3 is not one number: 'x'"), ("a\n", "0 values"), ("a\nnan\n", "finite")]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_kernel(path)

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.features.annotations import events_features
from neurocca.io.annotations import is_events, read_events, read_series, read_sidecar


def written(path, text, **sidecar):
    """The path, after writing a text (compressed when it is to be) and a sidecar."""
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    if sidecar:
        (path.parent / (path.name.split(".")[0] + ".json")).write_text(json.dumps(sidecar))
    return path


# events


def test_events_become_regressors(tmp_path):
    path = written(
        tmp_path / "sub-01_task-movie_run-1_events.tsv",
        "onset\tduration\ttrial_type\tarousal\tcode\n0\t1\tface\t0.5\t1\n2\t1\thouse\tn/a\t2\n3\tn/a\tface\t1\tn/a\n",
        code={"Levels": {"1": "near", "2": "far"}},
        arousal={"Units": "arbitrary"},
    )
    series = events_features(read_events(path), 1, 4)
    assert series.names == ("trial_type=face", "trial_type=house", "arousal", "code=1", "code=2")
    np.testing.assert_array_equal(
        series.data.T, [[1, 0, 0, 1], [0, 0, 1, 0], [0.5, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    )


def test_trial_types_are_categories_also_where_they_are_numbers(tmp_path):
    path = written(tmp_path / "events.tsv", "onset\tduration\ttrial_type\n0\t1\t2\n1\t1\tn/a\n2\t1\t10\n")
    assert read_events(path)["trial_type"].dropna().tolist() == ["2", "10"]
    assert is_events(path)
    assert not is_events(tmp_path / "sub-01_timeseries.tsv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onset\ttrial_type\n0\ta\n", "column 'duration' is missing"),
        ("onset\tduration\n", "a header, but no events"),
        ("onset\tduration\n0\t1\nn/a\t1\n", "column 'onset' is missing or infinite on line 3"),
        ("onset\tduration\n0\t1\nsoon\t1\n", "column 'onset' holds 'soon' on line 3"),
        ("onset\tduration\n0\t1\n1\tlong\n", "column 'duration' holds 'long' on line 3"),
        ("onset\tduration\n0\tn/a\n1\t-2\n", "column 'duration' is negative on line 3"),
        ("onset\tduration\n0\tinf\n", "column 'duration' is missing or infinite on line 2"),
    ],
)
def test_bad_events_are_named_with_line_and_column(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as error:
        read_events(written(tmp_path / "a_events.tsv", text))
    assert "a_events.tsv" in str(error.value)
    assert "\n" not in str(error.value)


# a user's own features


def test_times_come_from_a_column(tmp_path):
    path = written(tmp_path / "a.csv", "time,warm,cold\n0.5,1,2\n1.0,3,4\n2.5,5,6\n")
    series = read_series(path)
    np.testing.assert_array_equal(series.times, [0.5, 1, 2.5])
    np.testing.assert_array_equal(series.data, [[1, 2], [3, 4], [5, 6]])
    assert series.names == ("warm", "cold")


def test_onset_and_duration_are_no_features(tmp_path):
    path = written(tmp_path / "a.tsv", "onset\tduration\trms\n0.00\t0.04\t0.5\n0.04\t0.04\t0.25\n")
    series = read_series(path)
    assert series.names == ("rms",)
    assert series.times.tolist() == [0, 0.04]
    # beside regular times a duration is a measure like others
    path = written(tmp_path / "b.tsv", "time\tduration\n0\t0.5\n1\t0.5\n")
    assert read_series(path).names == ("duration",)


def test_times_come_from_a_sidecar(tmp_path):
    path = written(
        tmp_path / "x_timeseries.tsv", "a\tb\n1\t2\n3\t4\n", SamplingFrequency=4, StartTime=-0.5, a={"Units": "V"}
    )
    series = read_series(path)
    assert series.times.tolist() == [-0.5, -0.25]
    np.testing.assert_array_equal(read_series(path, rate=4).times, series.times)
    with pytest.raises(UsageError, match="its sidecar says 4 samples per second, and the rate given is 2"):
        read_series(path, rate=2)


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz"])
@pytest.mark.parametrize("header", ["", "a\tb\n"])
def test_continuous_recordings_have_their_columns_in_the_sidecar(tmp_path, ending, header):
    path = tmp_path / f"x_stim{ending}"
    written(path, header + "1\t2\n3\t4\n5\t6\n", SamplingFrequency=10.0, StartTime=0, Columns=["a", "b"])
    series = read_series(path)
    assert series.names == ("a", "b")
    np.testing.assert_array_equal(series.data, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_allclose(series.times, [0, 0.1, 0.2])


def test_compressed_tables_can_have_a_header_of_their_own(tmp_path):
    series = read_series(written(tmp_path / "x.tsv.gz", "a\tb\n1\t2\n3\t4\n"), rate=2)
    assert (series.names, series.times.tolist()) == (("a", "b"), [0, 0.5])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "bool"])
def test_arrays_need_a_rate(tmp_path, dtype):
    array = np.arange(6).reshape(3, 2).astype(dtype)
    np.save(tmp_path / "mine.npy", array)
    series = read_series(tmp_path / "mine.npy", rate=4)
    np.testing.assert_array_equal(series.data, array)
    assert series.names == ("mine_0", "mine_1")
    assert series.times.tolist() == [0, 0.25, 0.5]
    assert series.data.dtype == ("float32" if dtype == "float32" else "float64")
    with pytest.raises(UsageError, match="how many samples per second"):
        read_series(tmp_path / "mine.npy")
    np.save(tmp_path / "one.npy", array[:, 1])
    one = read_series(tmp_path / "one.npy", rate=4)
    assert (one.data.shape, one.names) == ((3, 1), ("one",))


def test_a_written_series_is_read_back(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(20, 3))
    frame = pd.DataFrame(data, columns=["a", "b", "c"])
    frame.assign(onset=np.arange(20) / 4).to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    series = read_series(tmp_path / "x.tsv", rate=4)
    np.testing.assert_array_equal(series.data, data)
    np.testing.assert_array_equal(series.times, np.arange(20) / 4)


@pytest.mark.parametrize(
    ("name", "text", "sidecar", "error", "message"),
    [
        ("a.tsv", "a\tb\n1\t2\n", {}, UsageError, "how many samples per second.* no column time or onset"),
        ("a.tsv", "", {}, DataError, "not a readable table"),
        ("a.tsv", "time\ta\n", {}, DataError, "holds no samples"),
        ("a.tsv", "time\n1\n2\n", {}, DataError, "holds no columns of features"),
        (
            "a.tsv",
            "time\ta\n0\t1\n1\t2\n1\t3\n",
            {},
            DataError,
            "'time' does not ascend on line 4: 1 s is not after 1 s",
        ),
        ("a.tsv", "time\ta\n0\t1\n2\t2\n1\t3\n", {}, DataError, "does not ascend on line 4: 1 s is not after 2 s"),
        ("a.csv", "time,a,b\n0,1,2\n1,nan,4\n", {}, DataError, "column 'a' is missing or infinite on line 3"),
        ("a.csv", "time,a,b\n0,1,2\n1,3,n/a\n2,3,n/a\n", {}, DataError, r"'b' is missing .* line 3.*\(2 such values"),
        ("a.csv", "time,a\n0,1\n1,inf\n", {}, DataError, "column 'a' is missing or infinite on line 3"),
        ("a.csv", "time,a\nn/a,1\n1,2\n", {}, DataError, "column 'time' is missing or infinite on line 2"),
        ("a.csv", "time,a\n0,1\n1,red\n", {}, DataError, "column 'a' holds 'red' on line 3"),
        ("a.csv", "time,a,b\n0,1,2\n1,3\n", {}, DataError, "column 'b' is missing or infinite on line 3"),
        ("a.csv", "time,a,b\n0,1,2\n1,3,4,5\n", {}, DataError, "not a readable table"),
        ("a.csv", "0,1\n1,2\n", {}, DataError, "line 1 holds numbers"),
        ("a.tsv", "a\n1\n", {"SamplingFrequency": "4"}, DataError, "SamplingFrequency is '4'"),
        ("a.tsv", "a\n1\n", {"SamplingFrequency": 0}, DataError, "SamplingFrequency is 0"),
        ("a.tsv", "a\n1\n", {"SamplingFrequency": 4, "StartTime": None}, DataError, "StartTime None"),
        (
            "a.tsv.gz",
            "1\t2\n",
            {"Columns": ["a"], "SamplingFrequency": 1},
            DataError,
            "2 columns, but its sidecar names 1",
        ),
        ("a.tsv.gz", "1\t2\n3\t4\n", {}, DataError, "line 1 holds numbers"),
        (
            "a.tsv.gz",
            "1\t2\n3\tx\n",
            {"Columns": ["a", "b"], "SamplingFrequency": 1},
            DataError,
            "'b' holds 'x' on line 2",
        ),
        (
            "a.tsv.gz",
            "1\t2\n3\n",
            {"Columns": ["a", "b"], "SamplingFrequency": 1},
            DataError,
            "'b' is missing .* line 2",
        ),
        ("a.txt", "time a\n0 1\n", {}, UsageError, r"a name that ends in \.tsv, \.csv, \.tsv\.gz, \.npy is expected"),
    ],
)
def test_bad_tables_are_named_with_line_and_column(tmp_path, name, text, sidecar, error, message):
    path = written(tmp_path / name, text, **sidecar)
    with pytest.raises(error, match=message) as caught:
        read_series(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_rate_that_is_none_or_another_than_the_times_is_refused(tmp_path):
    path = written(tmp_path / "a.tsv", "time\ta\n0\t1\n1\t2\n")
    with pytest.raises(UsageError, match="rate=0 must be a positive number"):
        read_series(path, rate=0)
    with pytest.raises(UsageError, match="samples are 1 s apart, and the rate given is 4"):
        read_series(path, rate=4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2)), r"float64 of shape \(2, 2, 2\): numbers of shape \(samples, features\)"),
        (np.array(["a"]), "holds <U1"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.array(3.0), r"shape \(\)"),
        (np.array([1 + 2j]), "complex128"),
        (np.array([[0, 1], [2, np.nan]]), "NaN or infinite in row 1, column 1"),
    ],
)
def test_bad_arrays(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=message):
        read_series(tmp_path / "x.npy", rate=1)


def test_pickles_and_broken_files_are_not_opened(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "y.npy").write_bytes(b"no array")
    (tmp_path / "z.npy").write_bytes(b"")
    for name in "xyz":
        with pytest.raises(DataError, match="not a readable array of numbers"):
            read_series(tmp_path / f"{name}.npy", rate=1)
    whole = gzip.compress(b"a\tb\n" + b"1\t2\n" * 5000)
    (tmp_path / "t.tsv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "u.tsv.gz").write_bytes(b"a\tb\n1\t2\n")
    for name in "tu":
        with pytest.raises(DataError, match="not a readable table"):
            read_series(tmp_path / f"{name}.tsv.gz", rate=1)
    with pytest.raises(NoInputError, match="no such file"):
        read_series(tmp_path / "none.tsv")


def test_bad_sidecars(tmp_path):
    path = written(tmp_path / "x.tsv", "a\n1\n")
    assert read_sidecar(path) == {}
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(DataError, match=r"x\.json: not readable JSON"):
        read_series(path)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match="a JSON object is expected"):
        read_series(path)


@pytest.mark.realdata
def test_published_measures_are_a_users_own_table(studyforrest_data):
    path = studyforrest_data / "confoundsannotation" / "annotation" / "audio" / "fg_av_ger_seg0_rms.tsv"
    series = read_series(path)
    assert series.names == ("rms",)
    assert series.period == pytest.approx(0.04)
    assert len(series.times) == 22653


@pytest.mark.realdata
def test_published_events_become_regressors(studyforrest_data):
    folder = studyforrest_data / "annotations" / "segments" / "avmovie"
    events = read_events(folder / "locations_run-1_events.tsv")
    series = events_features(events, 4, 902, ["int_or_ext=ext", "time_of_day=night"])
    assert series.data.shape == (3608, 2)
    ext = events[events["int_or_ext"] == "ext"]
    assert series.data[:, 0].sum() / 4 == pytest.approx(ext["duration"].sum(), rel=1e-6)

import h5py
import numpy as np
import pytest

from neurocca import FeatureSeries
from neurocca.errors import DataError, NoInputError, OutputError
from neurocca.io.store import BlockedSeries, FeatureStore, stored_blocks, write_store


def spaces(rng: np.random.Generator) -> dict:
    def series(n: int) -> FeatureSeries:
        return FeatureSeries(rng.standard_normal((n, 2)), np.arange(n) / 25, ("Ängste", "b/c"))

    return {"lowlevel": {run: series(5 + i) for i, run in enumerate(["1", "2", "10"])}, "audio": {"1": series(4)}}


def test_what_is_written_is_read(tmp_path, rng):
    written = spaces(rng)
    write_store(tmp_path / "sub" / "f.h5", written, {"audio": {"1": {"film": "a film"}}})
    with FeatureStore(tmp_path / "sub" / "f.h5") as store:
        assert store.spaces == ["audio", "lowlevel"]
        assert store.runs("lowlevel") == ["1", "2", "10"]
        assert store.provenance("audio", "1") == {"film": "a film"}
        assert store.provenance("lowlevel", "2") == {}
        assert store.shape("lowlevel", "10") == (7, 2)
        assert store.runs("absent") == []
        series = store.read("lowlevel", "10")
    np.testing.assert_array_equal(series.data, written["lowlevel"]["10"].data)
    assert series.names == ("Ängste", "b/c")


def test_equal_content_gives_equal_bytes_and_plain_h5py_reads_it(tmp_path, rng):
    written = spaces(rng)
    for name in ("a.h5", "b.h5"):
        write_store(tmp_path / name, written, {"audio": {"1": {"x": 1, "a": 2}}})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["lowlevel/run-2/data"].shape == (6, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_broken_files_are_named(tmp_path, rng):
    path = tmp_path / "f.h5"
    write_store(path, spaces(rng))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"f\.h5: not a readable HDF5 file"):
        FeatureStore(path)
    with pytest.raises(NoInputError, match="no such file"):
        FeatureStore(tmp_path / "absent.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(DataError, match="not a neurocca feature store 2"):
        FeatureStore(tmp_path / "other.h5")


def test_odd_stores_are_named(tmp_path, rng):
    path = tmp_path / "f.h5"
    for damage, message in (
        (lambda file: file["audio/run-1"].__delitem__("names"), "space 'audio', run 1 is damaged"),
        (lambda file: file["audio/run-1/times"].__setitem__(0, np.nan), "space 'audio', run 1 is damaged"),
        (lambda file: file["audio/run-1"].__delitem__("data"), "space 'audio', run 1 is damaged"),
    ):
        write_store(path, spaces(rng))
        with h5py.File(path, "r+") as file:
            damage(file)
        with FeatureStore(path) as store, pytest.raises(DataError, match=message):
            store.read("audio", "1")
    write_store(path, {})
    with FeatureStore(path) as store, pytest.raises(DataError, match="holds no feature space"):
        print(store.spaces)


def test_nan_is_refused_by_name(tmp_path):
    series = FeatureSeries(np.array([[1.0, np.nan], [2.0, 1.0]]), np.arange(2.0), ("good", "bad"))
    write_store(tmp_path / "f.h5", {"film": {"1": series}})
    with FeatureStore(tmp_path / "f.h5") as store, pytest.raises(DataError, match=r"run 1 holds NaN.* in: bad"):
        store.read("film", "1")


def test_a_failed_write_leaves_the_old_store_and_nothing_else(tmp_path, rng):
    path = tmp_path / "f.h5"
    write_store(path, spaces(rng))
    before = path.read_bytes()
    broken = {"film": {"1": FeatureSeries(np.array([["a"]]), np.arange(1.0), ("x",))}}
    with pytest.raises(TypeError):
        write_store(path, broken)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5"]
    with pytest.raises(OutputError, match="cannot be written"):
        write_store(path / "beneath" / "a_file.h5", spaces(rng))


def test_series_that_come_in_blocks_are_written_as_one(tmp_path, rng):
    data, names = rng.standard_normal((1000, 3)).astype(np.float32), ("a", "b", "c")
    blocked = BlockedSeries(lambda: iter(np.split(data, [10, 400])), np.arange(1000) / 4, names)
    write_store(tmp_path / "f.h5", {"film": {"1": blocked}})
    with FeatureStore(tmp_path / "f.h5") as store:
        series = store.read("film", "1")
    np.testing.assert_array_equal(series.data, data)
    assert series.data.dtype == np.float32
    np.testing.assert_array_equal(np.vstack(list(stored_blocks(tmp_path / "f.h5", "film", "1", 300))), data)
    with pytest.raises(ValueError, match="1000 rows came for 999 sample times"):
        write_store(tmp_path / "g.h5", {"film": {"1": BlockedSeries(blocked.blocks, np.arange(999) / 4, names)}})
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5"]


def test_what_is_kept_is_taken_over_unchanged(tmp_path, rng):
    path, written = tmp_path / "f.h5", spaces(rng)
    arrays = {"components": rng.standard_normal((2, 2))}
    write_store(path, written, {"audio": {"1": {"x": 1}}}, reductions={"lowlevel": (arrays, {"kind": "pca"})})
    fresh = spaces(rng)["audio"]
    write_store(path, {"audio": {"2": fresh["1"]}}, keep={"lowlevel": ["1", "10"], "audio": ["1"]})
    with FeatureStore(path) as store:
        assert store.runs("lowlevel") == ["1", "10"]
        assert store.runs("audio") == ["1", "2"]
        assert store.provenance("audio", "1") == {"x": 1}
        np.testing.assert_array_equal(store.read("lowlevel", "10").data, written["lowlevel"]["10"].data)
        kept, description = store.reduction("lowlevel")
        assert store.reduction("audio") is None
    assert description == {"kind": "pca"}
    np.testing.assert_array_equal(kept["components"], arrays["components"])


def test_ten_thousand_names_fit(tmp_path):
    names = tuple(f"c{i}_y0x0" for i in range(20_000))
    write_store(tmp_path / "f.h5", {"film": {"1": FeatureSeries(np.zeros((2, 20_000)), np.arange(2.0), names)}})
    with FeatureStore(tmp_path / "f.h5") as store:
        assert store.read("film", "1").names == names

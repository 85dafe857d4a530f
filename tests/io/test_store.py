import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurocca import FeatureSeries
from neurocca.errors import DataError, NoInputError, OutputError
from neurocca.io.store import BlockedSeries, FeatureStore, write_store

FILM = {"film": {"name": "a film", "sha256": "12ab"}}


def spaces(rng: np.random.Generator) -> dict:
    def series(n: int) -> FeatureSeries:
        return FeatureSeries(rng.standard_normal((n, 2)), np.arange(n) / 25, ("Ängste", "b/c"))

    return {"lowlevel": {run: series(5 + i) for i, run in enumerate(["1", "2", "10"])}, "audio": {"1": series(4)}}


def test_what_is_written_is_read(tmp_path, rng):
    written = spaces(rng)
    write_store(tmp_path / "sub" / "f.h5", written, {"audio": {"1": FILM}})
    with FeatureStore(tmp_path / "sub" / "f.h5") as store:
        assert store.spaces == ["audio", "lowlevel"]
        assert store.runs("lowlevel") == ["1", "2", "10"]
        assert store.provenance("audio", "1") == FILM
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


# writes a store of 40 runs, 3 of them kept, in a forked process per limit to the size of files, and says how each ends
FULL_DISK = """
import os, resource, sys
from pathlib import Path
import numpy as np
from neurocca import FeatureSeries
from neurocca.errors import NeuroccaError
from neurocca.io.store import BlockedSeries, write_store

path, rng = Path(sys.argv[1]), np.random.default_rng(0)
data = rng.standard_normal((2000, 60)).astype(np.float32)
blocks, names = lambda: iter(np.split(data, range(512, 2000, 512))), tuple(map(str, range(60)))
big = BlockedSeries(blocks, np.arange(2000) / 25, names)
small = FeatureSeries(data[:50, :3].copy(), np.arange(50) / 4, ("a", "b", "c"))
write_store(path, {"old": {"1": big, "2": small, "3": small}})
new = {"big": {"1": big}, "small": {str(run): small for run in range(36)}}
for limit in map(int, sys.argv[2:]):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = 0
        try:
            fitted = {"big": ({"w": data[:60]}, {"kind": "pca"})}
            write_store(path, new, keep={"old": ["1", "2", "3"]}, reductions=fitted)
        except NeuroccaError as error:
            print(limit, error)
            code = error.exit_code
        sys.exit(code)  # through all that Python does at its end
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(limit, code)
    print(limit, *sorted(p.name for p in path.parent.iterdir()))
"""


def test_no_room_at_any_place_of_the_file_is_one_line_and_leaves_the_old_store(tmp_path):
    path = tmp_path / "f.h5"
    limits = [0, 90, 800, 2100, 4000, 9000, *range(20_000, 1_400_000, 40_000)]
    command = [sys.executable, "-c", FULL_DISK, str(path), *map(str, limits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for limit in limits:
        said = [line.removeprefix(f"{limit} ") for line in lines if line.startswith(f"{limit} ")]
        if said[-2] != "0":
            assert said == [f"output {tmp_path}: cannot be written: File too large.", "73", "f.h5"]
    codes = [line.split()[1] for line in lines if line.split()[1] in ("0", "73")]
    assert codes == sorted(codes, reverse=True)
    assert set(codes) == {"0", "73"}
    with FeatureStore(path) as store:  # that of the last, which had room
        assert store.spaces == ["big", "old", "small"]
        assert store.read("big", "1").data.shape == store.read("old", "1").data.shape == (2000, 60)


def test_a_disk_without_room_leaves_the_old_store_byte_by_byte(tmp_path, rng):
    """The real thing, where the kernel lets us have a small disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=260k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    try:
        path = disk / "f.h5"
        write_store(path, spaces(rng))
        before = path.read_bytes()
        series = FeatureSeries(rng.standard_normal((2000, 40)), np.arange(2000.0), tuple(map(str, range(40))))
        with pytest.raises(OutputError, match=r"^output .*disk: cannot be written: No space left on device\.$"):
            write_store(path, {"film": {"1": series}}, keep={"audio": ["1"]})
        assert path.read_bytes() == before
        assert [p.name for p in disk.iterdir()] == ["f.h5"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


INTERRUPTED = """
import sys, time
from pathlib import Path
import numpy as np
from neurocca.io.store import BlockedSeries, write_store

data = np.random.default_rng(0).standard_normal((512, 300)).astype(np.float32)
def blocks():
    for k in range(100):
        if k == 3:
            print("writing", flush=True)
        yield data
print("ready", flush=True)
try:
    series = BlockedSeries(blocks, np.arange(51200.0), tuple(map(str, range(300))))
    write_store(Path(sys.argv[1]), {"film": {"1": series}})
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1])
def test_an_interrupt_while_it_is_written_leaves_nothing(tmp_path, delay):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "f.h5")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "writing\n"]
        time.sleep(delay)
        child.send_signal(signal.SIGINT)
        _, complaints = child.communicate(timeout=60)
    assert (child.returncode, complaints) == (130, "")
    assert list(tmp_path.iterdir()) == []


def test_damage_in_the_middle_is_one_line(tmp_path, rng):
    """Whatever h5py makes of bytes that were lost, it is said to be damage, or does not matter."""
    path = tmp_path / "f.h5"
    write_store(path, spaces(rng), {"audio": {"1": FILM}}, reductions={"audio": ({"w": np.eye(2)}, {"kind": "pca"})})
    whole, messages = path.read_bytes(), set()
    # not in the root group: HDF5 itself can go round in circles there
    for start in range(2000, len(whole) - 64, len(whole) // 100):
        damaged = whole[:start] + bytes(64) + whole[start + 64 :]
        for use in (_read_all, _keep_all):
            path.write_bytes(damaged)
            try:
                use(path)
            except DataError as error:
                messages.add(str(error))
                assert path.read_bytes() == damaged
    assert len(messages) > 8
    for message in messages:
        assert message.startswith(f"features {path}: ")
        assert "is damaged: " in message
        assert "\n" not in message
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5"]


def _read_all(path: Path) -> None:
    with FeatureStore(path) as store:
        for space in store.spaces:
            store.reduction(space)
            for run in store.runs(space):
                for read in (store.shape, store.times, store.provenance, store.read):
                    read(space, run)


def _keep_all(path: Path) -> None:
    write_store(path, {}, keep={"lowlevel": ["1", "2", "10"], "audio": ["1"]})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1, 2], r"provenance is \[1, 2\], not a JSON object"),
        ("a", 'provenance is "a", not a JSON object'),
        ({"film": 3}, "film is 3, not a JSON object"),
        ({"film": {"name": "a film"}}, "'sha256'"),
        ({"film": {"name": "a film", "sha256": 3}}, "where text is expected for name, sha256"),
        ({"files": [{"name": "a"}]}, "'sha256'"),
        ({"files": 3}, "not iterable"),
        ({"settings": [1]}, r"settings is \[1\], not a JSON object"),
        ({"engine": {"device": "cpu"}}, "'precision'"),
        ({"weights": "pretrained"}, 'weights is "pretrained", not a JSON object'),
    ],
)
def test_a_provenance_of_another_kind_is_damage(tmp_path, rng, record, message):
    path = tmp_path / "f.h5"
    write_store(path, spaces(rng))
    with h5py.File(path, "r+") as file:
        file["audio/run-1"].attrs["provenance"] = json.dumps(record)
    with (
        FeatureStore(path) as store,
        pytest.raises(DataError, match=f"space 'audio', run 1 is damaged: .*{message}"),
    ):
        store.provenance("audio", "1")


def test_a_store_of_another_version_is_told_by_its_version(tmp_path, rng):
    path = tmp_path / "old.h5"
    write_store(path, spaces(rng))
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "neurocca feature store 1"
    with pytest.raises(DataError, match="a neurocca feature store 1, but not a neurocca feature store 2: make it anew"):
        FeatureStore(path)

import subprocess
import sys

import numpy as np
import pytest

from neurocca.errors import OutputError
from neurocca.io.parts import Parts, parts_folder


def test_blocks_are_counted_and_read_in_order(tmp_path, rng):
    parts = Parts(tmp_path / "job")
    assert len(parts) == 0
    blocks = [rng.standard_normal((n, 2)) for n in (4, 4, 1)]
    for index, block in enumerate(blocks):
        parts.save(index, {"film": block, "state:before": np.array(index)})
    assert len(Parts(tmp_path / "job")) == 3
    np.testing.assert_array_equal(np.vstack(list(parts.array("film"))), np.vstack(blocks))
    assert parts.load(1)["state:before"] == 1
    assert list(parts.array("other")) == []
    assert parts.about() is None
    parts.finish({"n_rows": 9})
    assert parts.about() == {"n_rows": 9}


def test_a_gap_or_a_torn_last_block_is_made_again(tmp_path):
    parts = Parts(tmp_path / "job")
    for index in range(4):
        parts.save(index, {"film": np.full((3, 1), index)})
    last = tmp_path / "job" / "block-000003.npz"
    last.write_bytes(last.read_bytes()[:-40])
    assert len(parts) == 3
    (tmp_path / "job" / "block-000001.npz").unlink()
    assert len(parts) == 1


def test_the_folder_goes_with_its_last_blocks_and_stays_with_those_of_others(tmp_path):
    output = tmp_path / "new" / "features.h5"

    def interrupted():
        with parts_folder(output) as folder:
            Parts(folder / "job").save(0, {"film": np.zeros(1)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with parts_folder(output) as folder:
        assert len(Parts(folder / "job")) == 1
        Parts(folder / "other").save(0, {"film": np.zeros(1)})
        Parts(folder / "other").remove()
    with parts_folder(output) as folder:
        assert len(Parts(folder / "job")) == 1
        Parts(folder / "job").remove()
    assert list(output.parent.iterdir()) == []


def test_nothing_is_left_where_nothing_was_done(tmp_path):
    with pytest.raises(RuntimeError), parts_folder(tmp_path / "new" / "features.h5"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_make_the_same_store(tmp_path):
    code = (
        "import sys; from pathlib import Path; from neurocca.io.parts import parts_folder\n"
        "with parts_folder(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    output = tmp_path / "features.h5"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "in\n"
        with pytest.raises(OutputError, match=r"features\.h5: another process is making it"), parts_folder(output):
            pass
    finally:
        child.communicate()
    with parts_folder(output):
        pass


def test_a_full_disk_is_one_line_and_keeps_the_blocks(tmp_path):
    """A file where the folder of the job should be stands for a disk that takes no more."""
    parts = Parts(tmp_path / "job")
    parts.save(0, {"film": np.zeros(3)})
    (tmp_path / "job" / ".writing-000001.npz").mkdir()
    with pytest.raises(OutputError, match=r"cannot be written: .* run again to go on"):
        parts.save(1, {"film": np.zeros(3)})
    assert len(parts) == 1

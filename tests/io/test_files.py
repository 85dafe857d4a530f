import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neurocca.errors import OutputError
from neurocca.io.files import sha256, staged, write_text


def test_files_appear_together_at_the_end(tmp_path):
    out = tmp_path / "a" / "out"
    with staged(out) as folder:
        write_text(folder / "sub" / "x.txt", "x")
        assert not (out / "sub").exists()
    assert (out / "sub" / "x.txt").read_text() == "x"
    assert [p.name for p in out.iterdir()] == ["sub"]


def test_a_failure_leaves_nothing_behind_and_keeps_what_was(tmp_path):
    def broken(destination: Path) -> None:
        with staged(destination) as folder:
            write_text(folder / "x.txt", "new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
    write_text(tmp_path / "out" / "x.txt", "old")
    with pytest.raises(RuntimeError):
        broken(tmp_path / "out")
    assert (tmp_path / "out" / "x.txt").read_text() == "old"


def test_a_link_into_an_annex_is_replaced_and_its_content_left_alone(tmp_path):
    content = tmp_path / "annex" / "object"
    content.parent.mkdir()
    content.write_text("annexed")
    content.chmod(0o444)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").symlink_to(content)
    with staged(tmp_path / "out") as folder:
        write_text(folder / "x.txt", "new")
    assert content.read_text() == "annexed"
    assert (tmp_path / "out" / "x.txt").read_text() == "new"
    assert not (tmp_path / "out" / "x.txt").is_symlink()


def test_several_processes_may_make_the_same_folder(tmp_path):
    def make_and_leave(_: int) -> None:
        with staged(tmp_path / "a" / "out"):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make_and_leave, range(400)))
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "a"])


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "x.txt", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "x.txt").stat().st_mode & 0o777 == 0o640


def test_an_unwritable_destination_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/out: cannot be written"), staged(tmp_path / "file" / "out"):
        pass


def test_digest(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# says where it writes, and waits to be killed
WRITING = """
import sys, time
from pathlib import Path
from neurocca.io.files import staged
with staged(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path):
    (tmp_path / ".tmp-of-others").mkdir()
    children = [
        subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        left, used = (Path(child.stdout.readline().strip()) for child in children)
        write_text(tmp_path / "x.txt", "x")
        assert (left / "half.txt").exists()  # while it lives
        children[0].kill()
        children[0].wait()
        assert left.exists()
        write_text(tmp_path / "x.txt", "x")
        assert not left.exists()
        assert (used / "half.txt").read_text() == "half"
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([".tmp-of-others", used.name, "x.txt"])
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_sweeping_takes_nothing_from_processes_that_begin(tmp_path):
    """Many at once in one folder, all of which sweep: everything that was written arrives."""

    def write(number: int) -> None:
        with staged(tmp_path) as folder:
            (folder / f"{number}.txt").write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(300)))
    assert sorted(int(p.stem) for p in tmp_path.iterdir()) == list(range(300))


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(OutputError) as error, staged(tmp_path / "out"):
        raise OSError("of a library:\n   time = now\n")
    assert str(error.value) == f"output {tmp_path / 'out'}: cannot be written: of a library: time = now."
    assert list(tmp_path.iterdir()) == []

"""``neurocca fetch`` from a dataset on the same disk, and by several at once."""

import json
import shutil
import subprocess
import sys

import pytest

from neurocca.cli import main
from tests.cli.fetching import BOLD, annexed_object, asked, fails, here
from tests.io.published import Published

pytestmark = pytest.mark.usefixtures("at_home")
NAME = BOLD.split("/", 2)[2]


def n_links(path):
    return path.stat().st_nlink


def test_content_is_shared_where_that_is_asked_for(copied, tmp_path):
    source = copied.origin("derivative/aligned_mri") / NAME
    for folder, options, number in (("own", (), 1), ("shared", ("--share",), 2)):
        assert main(asked(copied, tmp_path / folder, "--what", "bold", *options)) == 0
        assert n_links(tmp_path / folder / BOLD) == n_links(source) == number


@pytest.mark.parametrize(
    "command",
    [
        "git annex unlock {name} && echo more >> {name}",
        "datalad run -m more -o {name} 'echo more > {name}'",
        "git annex unlock {name} && echo more > {name} && datalad save -m more && git annex lock {name}",
        "git annex drop {name}",
        "rm {name} && echo more > {name}",
    ],
)
def test_what_is_done_to_a_clone_leaves_its_source_alone(copied, tmp_path, shell, command):
    source = copied.origin("derivative/aligned_mri") / NAME
    before, mode = source.read_bytes(), source.stat().st_mode
    assert main(asked(copied, tmp_path / "data", "--what", "bold", "--share")) == 0
    shell(f"cd {tmp_path}/data/derivative/aligned_mri && {command.format(name=NAME)}")
    assert (source.read_bytes(), source.stat().st_mode) == (before, mode)


def test_a_source_that_writes_in_place_is_copied(copied, tmp_path, shell):
    origin = copied.origin("derivative/aligned_mri")
    shell(f"git -C {origin} config annex.thin true")
    assert main(asked(copied, tmp_path / "thin", "--what", "bold", "--share")) == 0
    assert n_links(tmp_path / "thin" / BOLD) == 1
    shell(f"git -C {origin} config annex.thin false")
    (origin / NAME).resolve().chmod(0o644)
    assert main(asked(copied, tmp_path / "writable", "--what", "bold", "--share")) == 0
    assert n_links(tmp_path / "writable" / BOLD) == 1
    assert n_links(tmp_path / "writable" / BOLD.replace("run-1", "run-2")) == 2


def test_damaged_content_is_not_shared(copied, tmp_path, capsys):
    damaged = annexed_object(copied.origin("derivative/aligned_mri"), NAME)
    damaged.write_bytes(damaged.read_bytes()[:-4] + bytes(4))
    damaged.chmod(0o444)
    words = asked(copied, tmp_path / "data", "--what", "bold", "--share")
    fails(capsys, words, 65, r"run-1_bold\.nii\.gz: its content at the source is damaged")
    assert len(here(tmp_path / "data")) == 2


def test_a_mirror_that_has_moved(copied, tmp_path, capsys):
    """What is cloned already asks the new place for content, and what is not is cloned from there."""
    dest = tmp_path / "data"
    assert main(asked(copied, dest, "--what", "masks")) == 0
    moved = Published(shutil.move(copied.folder, tmp_path / "moved"))
    words = ("--what", "masks", "bold")
    fails(capsys, asked(copied, dest, *words, label="02"), 66, "no such directory")
    assert main(asked(moved, dest, *words, label="02")) == 0
    masks = "derivative/image_space_transformations/sub-02/bold3Tp2/brain_mask.nii.gz"
    assert {masks, BOLD.replace("sub-01", "sub-02")} <= here(dest)


def test_two_at_once_take_turns(copied, tmp_path):
    dest = tmp_path / "data"
    program = [sys.executable, "-m", "neurocca"]
    running = [
        subprocess.Popen([*program, *asked(copied, dest, "--what", kind)], stderr=subprocess.PIPE, text=True)
        for kind in ("bold", "confounds")
    ]
    said = [child.communicate()[1] for child in running]
    assert [child.returncode for child in running] == [0, 0]
    assert sorted("another fetch is at work there: waiting for it" in text for text in said) == [False, True]
    assert len(here(dest)) == len(json.loads((dest / ".neurocca/fetch.json").read_text())["Files"]) == 6
    assert {path.name for path in tmp_path.iterdir()} == {"data", "published"}

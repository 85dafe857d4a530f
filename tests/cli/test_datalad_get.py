"""An analysis of a clone without content gets what it needs, says where it came from, and lets go of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurocca.cli import main
from neurocca.io.annex import is_unfetched
from tests.io.published import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("home"))


@pytest.fixture
def clone(parcel_dataset, shell, monkeypatch):
    """Clone, without content, of a dataset whose tables are annexed."""
    monkeypatch.setenv("HOME", str(shell.home))
    origin = parcel_dataset / "origin"
    shutil.move(parcel_dataset / "dataset", origin)
    annex = "git -c annex.largefiles=include=*.csv annex add -q . && git commit -qm tables"
    shell(f"cd {origin} && git init -q && git annex init -q && echo tables > README && git add README && {annex}")
    assert main(["fetch", str(origin), str(parcel_dataset / "dataset"), "--include", "README"]) == 0
    return parcel_dataset / "dataset"


def analysis(folder: Path, *extra: str, out: str = "out") -> list[str]:
    given = ["--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml")]
    asked = ["participant", "--participant-label", "01", *given, *extra]
    return [str(folder / "dataset"), str(folder / out), *asked]


def tables(clone: Path, label: str) -> list[bool]:
    """Which tables of a participant are without content."""
    return [is_unfetched(path) for path in sorted(clone.glob(f"sub-{label}/func/*.csv"))]


def test_what_is_missing_comes_and_is_named_as_source(clone, shell):
    folder = clone.parent
    assert tables(clone, "01") == [True] * 3
    assert main(analysis(folder)) == 0
    assert tables(clone, "01") == [False] * 3
    assert tables(clone, "02") == [True] * 3
    commit = shell(f"git -C {clone} rev-parse HEAD").strip()
    sources = [{"URL": (folder / "origin").as_uri(), "Version": commit}]
    assert json.loads((folder / "out/dataset_description.json").read_text())["SourceDatasets"] == sources
    decomposition = folder / "out/sub-01/func/sub-01_task-film_desc-cca_decomposition.json"
    assert json.loads(decomposition.read_text())["SourceDatasets"] == sources
    page = (folder / "out/sub-01_task-film.html").read_text()
    assert f"{sources[0]['URL']}</span>, commit <code>{commit}</code>" in page


def test_files_that_options_name_come_too(clone, shell, capsys):
    """Features and kernel of another dataset, without content."""
    folder = clone.parent
    other = folder / "other"
    other.mkdir()
    shutil.move(folder / "features.h5", other)
    (other / "kernel.tsv").write_text("response\n1\n0.5\n")
    shell(f"cd {other} && git init -q && git annex init -q && git annex add -q --force-large . && git commit -qm files")
    shell(f"git clone -q {other} {folder}/named")
    config = folder / "config.toml"
    text = config.read_text().replace('response = "delays"', 'response = "kernel"').replace("delays = [1, 2, 3]\n", "")
    kernel = f'kernel = "{folder}/named/kernel.tsv"\nkernel_step = 2.0\n'
    config.write_text(text.replace("[fit]", f"{kernel}[fit]"))
    command = analysis(folder, "--features", str(folder / "named/features.h5"))
    capsys.readouterr()
    for option in ("--no-datalad-get", "--dry-run"):
        assert main([*command, option]) == 75
        assert re.search(
            r"(features\.h5|run-1_bold\.csv): its content and that of .* get it with", capsys.readouterr().err
        )
    assert main(command) == 0
    assert not is_unfetched(folder / "named/kernel.tsv")


def test_two_at_once_get_the_same_files(clone):
    paths = sorted(clone.glob("sub-*/func/*.csv"))
    program = (
        "import sys; from pathlib import Path; from neurocca.io.annex import check_here; "
        "from neurocca.steps.content import MissingContent; "
        "MissingContent().reading(lambda: check_here(map(Path, sys.argv[1:])))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, *paths]) for _ in range(2)]
    assert [child.wait() for child in running] == [0, 0]
    assert tables(clone, "01") == tables(clone, "02") == [False] * 3


def test_what_came_is_dropped_and_nothing_else(clone, shell):
    folder = clone.parent
    first = "sub-01/func/sub-01_task-film_run-1_bold.csv"
    shell(f"cd {clone} && git annex get -q {first}")
    assert main(analysis(folder, "--datalad-drop")) == 0
    assert tables(clone, "01") == [False, True, True]
    # also when the analysis fails
    (folder / "features.h5").write_text("not a store")
    assert main(analysis(folder, "--datalad-drop", out="other")) == 65
    assert tables(clone, "01") == [False, True, True]


def test_not_asked_to(clone, capsys):
    folder = clone.parent
    assert main(analysis(folder, "--no-datalad-get")) == 75
    error = capsys.readouterr().err
    assert "and that of 2 other files is not here: get it with: cd " in error
    assert tables(clone, "01") == [True] * 3
    assert not (folder / "out").exists()


def test_content_that_cannot_be_had(clone, capsys):
    folder = clone.parent
    gone = (folder / "origin/sub-01/func/sub-01_task-film_run-2_bold.csv").resolve()
    gone.parent.chmod(0o755)
    gone.unlink()
    assert main(analysis(folder)) == 75
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert re.search(r"run-2_bold\.csv: its content cannot be had now: ", error)
    assert tables(clone, "01") == [False, True, False]
    assert not (folder / "out").exists()


def test_links_without_their_dataset(clone, capsys):
    folder = clone.parent
    shutil.move(clone / ".git", folder / "elsewhere")
    assert main(analysis(folder)) == 75
    assert "is not here: get it with: cd " in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_dataset_that_is_not_to_be_written_to(clone, capsys):
    clone.chmod(0o555)
    assert main(analysis(clone.parent)) == 75
    assert "is not here: get it with: cd " in capsys.readouterr().err
    clone.chmod(0o755)

"""An analysis of a clone without content gets what it needs, says where it came from, and lets go of it."""

import json
import os
import re
import shutil
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

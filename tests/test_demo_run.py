"""The demo through the command line: film, features, BOLD, components, report; and its files against the validator."""

import base64
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.demo import make_dataset
from tests.bids_validator import errors, validate


def config(folder: Path) -> list[str]:
    return ["--config-file", str(folder / "config.toml")]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    make_dataset(folder / "dataset", n_subjects=1, n_runs=3, n_volumes=120, seed=0)
    (folder / "config.toml").write_text('[features]\nspaces = ["lowlevel", "audio"]\n')
    command = [str(folder / "dataset"), str(folder / "out"), "participant", "-w", str(folder / "work")]
    assert main([*command, *config(folder), "--n-permutations", "99", "--n-components", "3"]) == 0
    return folder


def func(study: Path, name: str) -> Path:
    return study / "out" / "sub-01" / "func" / f"sub-01_task-movie_{name}"


def test_the_two_planted_components_are_found_and_no_third(study):
    decomposition = json.loads(func(study, "desc-cca_decomposition.json").read_text())
    p = [c["PValueHeldOut"] for c in decomposition["Components"]]
    assert p[0] == p[1] == 0.01
    assert p[2] > 0.05
    recovery = pd.read_csv(func(study, "desc-cca_recovery.tsv"), sep="\t")
    assert set(recovery["component"]) == {"cca_00", "cca_01"}
    assert recovery["map_r"].min() > 0.5
    assert recovery["timecourse_r"].min() > 0.5


def test_the_report_says_that_the_data_are_simulated(study):
    page = (study / "out" / "sub-01_task-movie.html").read_text()
    text = re.sub(r"<[^>]+>", " ", page)
    assert "SIMULATED DATA" in text
    assert "Were the planted components recovered?" in text
    assert len(page) < 5_000_000
    assert not re.search(r'(src|href)="https?://(?!doi\.org)', page)


def test_the_storyboards_of_what_was_found_are_on_the_page(study):
    boards = sorted((study / "out" / "sub-01" / "figures").glob("*Storyboard_plot.jpg"))
    assert [re.search("cca0.", board.name)[0] for board in boards] == ["cca00", "cca01"]
    page = (study / "out" / "sub-01_task-movie.html").read_text()
    for board in boards:
        assert base64.b64encode(board.read_bytes()).decode() in page


def test_films_of_the_dataset_are_found_for_a_reel(study, tmp_path):
    board = tmp_path / "board.jpg"
    assert main(["reel", str(study / "out"), "--participant", "01", "--component", "1", "-o", str(board)]) == 0
    figures = study / "out" / "sub-01" / "figures"
    assert board.read_bytes() == next(figures.glob("*cca01Storyboard_plot.jpg")).read_bytes()


def test_derivatives_are_valid_bids_as_they_are_and_with_the_drafts_looked_at(study, tmp_path):
    found = validate(study / "out")
    assert [issue for issue in found["issues"]["issues"] if issue["severity"] == "error"] == []
    assert errors(study / "out", tmp_path) == []


def test_the_validator_sees_a_wrong_name_a_column_without_words_and_a_file_without_a_description(study, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(study / "out", out)
    folder = out / "sub-01" / "func"
    (folder / "sub-01_task-movie_desc-cca_mixing.tsv").rename(folder / "sub-01_desc-cca_task-movie_mixing.tsv")
    sidecar = folder / "sub-01_task-movie_desc-ccaStimulus_loadings.json"
    content = json.loads(sidecar.read_text())
    del content["delay"], content["Description"]
    sidecar.write_text(json.dumps(content))
    codes = {issue["code"] for issue in errors(out, tmp_path)}
    assert {"TSV_ADDITIONAL_COLUMNS_MUST_DEFINE", "SIDECAR_KEY_REQUIRED", "FILENAME_MISMATCH"} <= codes


def test_film_features_are_kept_and_used_again_with_relative_paths_too(study, capfd, monkeypatch):
    store = study / "work" / "features.h5"
    before = store.stat().st_mtime_ns
    monkeypatch.chdir(study)
    command = ["dataset", "again", "participant", "-w", "work", "-v"]
    # permutations change no map, and of what no p-value of these few can find there is less to draw
    assert main([*command, *config(study), "--n-permutations", "19", "--n-components", "3"]) == 0
    assert store.stat().st_mtime_ns == before
    assert "up to date" in capfd.readouterr().err
    for name in ("desc-cca_components.nii.gz", "stat-r_desc-ccaStimulus_statmap.nii.gz", "desc-cca_mixing.tsv"):
        again = study / "again" / "sub-01" / "func" / f"sub-01_task-movie_{name}"
        assert again.read_bytes() == func(study, name).read_bytes()


def test_a_film_that_is_not_there_is_named(study, capsys, tmp_path):
    film = study / "dataset" / "stimuli" / "demo_run-2.mp4"
    film.rename(tmp_path / "away.mp4")
    try:
        code = main([str(study / "dataset"), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")])
    finally:
        (tmp_path / "away.mp4").rename(film)
    assert code == 66
    assert re.search(r"demo_run-2\.mp4: no such file; events\.tsv of sub-01, run 2", capsys.readouterr().err)
    assert not (tmp_path / "work").exists()


def test_a_damaged_volume_is_named(study, capsys, tmp_path):
    bold = study / "dataset" / "sub-01" / "func" / "sub-01_task-movie_run-2_bold.nii.gz"
    whole = bold.read_bytes()
    bold.write_bytes(whole[: len(whole) // 2])
    try:
        code = main(
            [str(study / "dataset"), str(tmp_path / "out"), "participant", "-w", str(study / "work"), *config(study)]
        )
    finally:
        bold.write_bytes(whole)
    error = capsys.readouterr().err.strip()
    assert code == 65
    assert len(error.splitlines()) == 1
    assert "run-2_bold.nii.gz: cannot be read" in error
    assert not (tmp_path / "out").exists()

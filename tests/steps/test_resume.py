"""What is there is not done again; what is not, or is damaged, or made of something else, is."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neurocca
from neurocca.cli import main
from neurocca.io.analyses import Analysis
from neurocca.io.group import GroupAnalysis
from neurocca.io.leftovers import remove_leftovers
from tests.conftest import make_parcel_dataset, results_of


def command(folder: Path, *options: str) -> list[str]:
    files = ("--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml"))
    return [str(folder / "dataset"), str(folder / "out"), "participant", *files, "--n-jobs", "1", *options]


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in results_of(folder / "out")}


def times(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in results_of(folder / "out") if p.is_file() and "sub-01" in str(p)}


@pytest.fixture
def analysed(quick_dataset, capsys):
    """One participant's results."""
    assert main(command(quick_dataset, "--participant-label", "01")) == 0
    capsys.readouterr()
    return quick_dataset


@pytest.fixture(scope="module")
def repaired(tmp_path_factory):
    """One participant's results for tests that leave them as they were."""
    folder = make_parcel_dataset(tmp_path_factory.mktemp("repaired"), n_components=1, n_permutations=19)
    assert main(command(folder, "--participant-label", "01")) == 0
    return folder


def again(folder: Path, capsys, *options: str) -> bool:
    """Whether the same command does the work again."""
    before = times(folder)
    assert main(command(folder, "--participant-label", "01", *options)) == 0
    said = "as before: nothing has changed" in capsys.readouterr().out
    is_same = times(folder) == before
    assert said == is_same
    return not is_same


def test_nothing_is_done_twice(analysed, capsys):
    before = contents(analysed)
    assert not again(analysed, capsys)
    assert contents(analysed) == before
    assert len(list((analysed / "out/logs").glob("*/neurocca.log"))) == 1  # of the call that did something
    assert not again(analysed, capsys, "--n-jobs", "2")
    assert again(analysed, capsys, "--no-resume")
    assert main(command(analysed, "--participant-label", "01", "02")) == 0  # the other one is added
    assert capsys.readouterr().out.count("as before") == 1
    assert (analysed / "out/sub-02_task-film.html").is_file()


def test_what_results_depend_on_makes_them_anew(analysed, capsys, monkeypatch):
    table = analysed / "dataset/sub-01/func/sub-01_task-film_run-2_bold.csv"
    bold = pd.read_csv(table)
    os.utime(table, (0, 0))
    assert not again(analysed, capsys)  # times say nothing
    bold.iloc[5, 3] += 1
    bold.to_csv(table, index=False)
    assert again(analysed, capsys)
    assert again(analysed, capsys, "--random-seed", "3")
    assert again(analysed, capsys)
    monkeypatch.setattr(neurocca, "__version__", "99")
    assert again(analysed, capsys)


def test_nothing_of_an_earlier_fit_is_left_beside_the_new_one(parcel_dataset):
    assert main(command(parcel_dataset, "--participant-label", "01")) == 0
    before = {path.name for path in results_of(parcel_dataset / "out")}
    assert any("stat-p_" in name for name in before)
    assert main(command(parcel_dataset, "--participant-label", "01", "--n-components", "1", "--shrinkage", "0.3")) == 0
    after = {path.name for path in results_of(parcel_dataset / "out")}
    gone = before - after
    assert any("cca01" in name for name in gone)
    assert not any("cca01" in name for name in after)
    assert {name for name in gone if "hrinkage" in name}


def test_what_is_of_others_and_of_other_spaces_stays(tmp_path):
    func, figures = tmp_path / "sub-01/func", tmp_path / "sub-01/figures"
    own = [func / f"sub-01_task-film_{name}" for name in ("stat-p_desc-ccaFWE_statmap.tsv", "desc-cca_mixing.tsv")]
    own += [figures / "sub-01_task-film_desc-cca01Null_plot.svg", tmp_path / "sub-01_task-film.html"]
    others = [func / "sub-01_task-film_space-T1w_desc-cca_mixing.tsv", func / "sub-01_task-rest_desc-cca_mixing.tsv"]
    others += [tmp_path / "task-film_desc-ccaGroup_matches.tsv", tmp_path / "sub-02/func/sub-02_task-film_x.tsv"]
    for path in (*own, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    remove_leftovers(tmp_path, Analysis("01", "film"), [own[1].relative_to(tmp_path)])
    assert [path.is_file() for path in own] == [False, True, False, False]
    assert all(path.is_file() for path in others)
    remove_leftovers(tmp_path, GroupAnalysis("film"), [])
    assert [path.is_file() for path in others] == [True, True, False, True]


@pytest.mark.parametrize("name", ["desc-cca_mixing.tsv", "desc-cca_decomposition.json", "desc-cca_components.tsv"])
def test_damaged_and_missing_results_are_made_anew(repaired, capsys, name):
    before = contents(repaired)
    path = repaired / "out/sub-01/func" / f"sub-01_task-film_{name}"
    path.write_bytes(path.read_bytes()[:-20])
    assert again(repaired, capsys)
    assert contents(repaired) == before
    path.unlink()
    assert main(command(repaired, "--participant-label", "01")) == 0
    assert contents(repaired) == before


def test_a_missing_page_and_a_mark_that_says_nothing_make_results_anew(repaired, capsys):
    before = contents(repaired)
    (repaired / "out/sub-01_task-film.html").unlink()
    assert main(command(repaired, "--participant-label", "01")) == 0
    assert contents(repaired) == before
    (repaired / "out/logs/sub-01_task-film_finished.json").write_text("{}")
    capsys.readouterr()
    assert again(repaired, capsys)
    assert contents(repaired) == before


def test_results_outlive_a_report_that_fails(quick_dataset, capsys, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no ink")

    monkeypatch.setattr("neurocca.steps.report.render_with_figures", broken)
    assert main(command(quick_dataset, "--participant-label", "01")) == 1
    assert "unexpected RuntimeError: no ink" in capsys.readouterr().err
    out = quick_dataset / "out"
    assert (out / "sub-01/func/sub-01_task-film_desc-cca_decomposition.json").is_file()
    assert not (out / "sub-01_task-film.html").exists()
    (crash,) = out.glob("logs/*/crash-sub-01.txt")
    assert "no ink" in crash.read_text()
    monkeypatch.undo()
    assert main(["report", str(out)]) == 0
    assert (out / "sub-01_task-film.html").is_file()
    assert main(command(quick_dataset, "--participant-label", "01")) == 0


def test_killed_at_any_moment_and_begun_again_gives_the_same_bytes(quick_dataset):
    whole = [sys.executable, "-m", "neurocca", *command(quick_dataset)]
    start = time.monotonic()
    subprocess.run(whole, capture_output=True, check=True)
    duration = time.monotonic() - start
    expected = contents(quick_dataset)
    for path in expected:
        path.unlink()
    for moment in np.random.default_rng(0).uniform(0.2, 1, 4) * duration:
        process = subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(whole, capture_output=True, check=True)
    assert contents(quick_dataset) == expected
    out = quick_dataset / "out"
    assert not [path for path in out.rglob("*") if path.name.startswith(".tmp")]
    for mark in out.glob("logs/*_finished.json"):
        assert json.loads(mark.read_text())["MadeOf"]["Version"] == neurocca.__version__

"""The real command on real files: what it writes, and what it says when the input is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.io.store import FeatureStore, write_store
from tests.conftest import results_of
from tests.io import trees


def run(dataset: Path, *extra: str, out: str = "out", labels: tuple[str, ...] = ("01",)) -> list[str]:
    return [
        *(str(dataset / "dataset"), str(dataset / out), "participant", "--features", str(dataset / "features.h5")),
        *("--participant-label", *labels, "--config-file", str(dataset / "config.toml"), *extra),
    ]


def fails(capsys: pytest.CaptureFixture, arguments: list[str], code: int, message: str, *absent: Path) -> None:
    """The command ends with one line and the exit code, and writes nothing."""
    assert main(arguments) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert re.search(message, error[0]), error[0]
    for path in absent:
        assert not path.exists()


def csv(dataset: Path, run: int, subject: str = "01") -> Path:
    return dataset / "dataset" / f"sub-{subject}" / "func" / f"sub-{subject}_task-film_run-{run}_bold.csv"


def test_sessions_of_one_film_do_not_write_over_each_other(quick_dataset, capsys):
    """The same run labels in two sessions: each session, and both together, have files of their own."""
    with FeatureStore(quick_dataset / "features.h5") as store:
        spaces = {"film": {run: store.read("film", run) for run in "123"}}
    spaces["film"] |= {f"{session}-{run}": series for session in "ab" for run, series in spaces["film"].items()}
    write_store(quick_dataset / "features.h5", spaces, {})
    for path in [csv(quick_dataset, run) for run in (1, 2, 3)]:
        for session, scale in (("a", 1.0), ("b", 0.5)):
            other = path.parents[1] / f"ses-{session}" / "func" / path.name.replace("_task", f"_ses-{session}_task")
            other.parent.mkdir(parents=True, exist_ok=True)
            (scale * pd.read_csv(path) + np.sin(np.arange(90) * scale)[:, None]).to_csv(other, index=False)
        path.unlink()
    stems = {"a": "sub-01_ses-a_task-film", "b": "sub-01_ses-b_task-film", "a b": "sub-01_task-film"}
    for sessions in stems:
        assert main(run(quick_dataset, "--session-label", *sessions.split())) == 0
    out = quick_dataset / "out"
    for sessions, stem in stems.items():
        folder = out / "sub-01" if " " in sessions else out / "sub-01" / f"ses-{sessions}"
        record = json.loads((folder / "func" / f"{stem}_desc-cca_decomposition.json").read_text())
        assert record["Dataset"]["Session"] == (None if " " in sessions else sessions)
        assert len(record["Runs"]) == 3 * len(sessions.split())
        assert (folder / "func" / f"{stem}_desc-cca_components.tsv").is_file()
        assert (out / "sub-01" / "figures" / f"{stem}_desc-heldOut_plot.svg").is_file()
    index = (out / "index.html").read_text()
    assert "session a" in index
    assert all(f'href="{stem}.html"' in index for stem in stems.values())
    assert "session b" in (out / "sub-01_ses-b_task-film.html").read_text()
    capsys.readouterr()
    assert main(["report", str(out)]) == 0
    assert (out / "index.html").read_text() == index
    assert len(capsys.readouterr().out.split()) == 3


def test_from_tables_to_report(parcel_dataset, capsys):
    assert main(run(parcel_dataset, labels=("sub-01", "02"))) == 0
    out = parcel_dataset / "out"
    printed = capsys.readouterr().out
    for subject in ("01", "02"):
        assert str(out / f"sub-{subject}_task-film.html") in printed
        func = out / f"sub-{subject}" / "func"
        decomposition = json.loads((func / f"sub-{subject}_task-film_desc-cca_decomposition.json").read_text())
        first = decomposition["Components"][0]
        assert first["PValueHeldOut"] == 0.01
        assert first["HeldOutCorrelation"] > 0.6
        loadings = pd.read_csv(func / f"sub-{subject}_task-film_desc-cca_components.tsv", sep="\t")
        assert set(loadings.reindex(loadings["cca_00"].abs().nlargest(1).index)["parcel"]) <= {"p0", "p1"}
        null = pd.read_csv(func / f"sub-{subject}_task-film_desc-ccaHeldOut_permutations.tsv", sep="\t")
        assert len(null) == 100
        assert null["cca_00"][0] == pytest.approx(first["HeldOutCorrelation"], abs=1e-5)
        assert (out / f"sub-{subject}_task-film.html").read_text().lower().startswith("<!doctype html>")
        figures = out / f"sub-{subject}" / "figures"
        for figure in ("heldOut", "shrinkage", "cca00HeldOutNull", "cca00Series", "cca00Features", "cca01Parcels"):
            svg = ElementTree.parse(figures / f"sub-{subject}_task-film_desc-{figure}_plot.svg").getroot()
            assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [p for p in out.rglob("*") if p.name.startswith(".tmp")]
    assert not (parcel_dataset / "work").exists()


def test_the_same_command_gives_the_same_bytes(quick_dataset, monkeypatch):
    for folder in ("a", "b"):
        (quick_dataset / folder).mkdir()
        monkeypatch.chdir(quick_dataset / folder)
        jobs = "1" if folder == "a" else "2"
        command = [
            "../dataset",
            "out",
            "participant",
            "--features",
            "../features.h5",
            "--config-file",
            "../config.toml",
        ]
        assert main([*command, "--n-jobs", jobs]) == 0
    first, second = (
        {p.relative_to(quick_dataset / f): p.read_bytes() for p in results_of(quick_dataset / f)} for f in ("a", "b")
    )
    assert first.keys() == second.keys()
    different = [
        path for path in first if first[path].replace(b"--n-jobs 1", b"") != second[path].replace(b"--n-jobs 2", b"")
    ]
    assert different == []


def test_reports_can_be_made_again_alone(quick_dataset, capsys):
    assert main(run(quick_dataset)) == 0
    page = quick_dataset / "out" / "sub-01_task-film.html"
    before = page.read_bytes()
    page.unlink()
    assert main(["report", str(quick_dataset / "out")]) == 0
    assert page.read_bytes() == before
    fails(capsys, ["report", str(quick_dataset / "dataset")], 66, "no neurocca results")


def test_damaged_results_are_named_when_a_report_is_made_again(quick_dataset, capsys):
    assert main(run(quick_dataset)) == 0
    capsys.readouterr()
    func = quick_dataset / "out" / "sub-01" / "func"
    mixing = func / "sub-01_task-film_desc-cca_mixing.tsv"
    mixing.write_text("".join(mixing.read_text().splitlines(keepends=True)[:50]))
    fails(capsys, ["report", str(quick_dataset / "out")], 65, "results of sub-01_task-film are damaged")
    fails(
        capsys, ["report", str(quick_dataset / "out"), "--participant-label", "09"], 18, "no results of participant 09"
    )


def test_two_tasks_share_an_output_directory(quick_dataset):
    for n in (1, 2, 3):
        other = csv(quick_dataset, n).with_name(f"sub-01_task-other_run-{n}_bold.csv")
        other.write_text(csv(quick_dataset, n, "02").read_text())
    assert main(run(quick_dataset, "--task-id", "film")) == 0
    assert main(run(quick_dataset, "--task-id", "other")) == 0
    out = quick_dataset / "out"
    assert "task other" in (out / "sub-01_task-other.html").read_text()
    assert "task film" in (out / "sub-01_task-film.html").read_text()
    assert all(f"sub-01_task-{task}.html" in (out / "index.html").read_text() for task in ("film", "other"))


def test_the_command_line_wins_over_the_file(parcel_dataset):
    assert main(run(parcel_dataset, "--n_components", "1", "--n-permutations", "19", "--random-seed", "5")) == 0
    config = (parcel_dataset / "out" / "logs" / "sub-01_task-film_config.toml").read_text()
    assert "n_components = 1" in config
    assert "n_permutations = 19" in config
    assert "seed = 5" in config
    assert main(["participant"]) == 64


def test_cleaning_is_chosen_on_the_command_line(quick_dataset):
    options = ("--confounds", "none", "--high_pass", "60", "--fd-threshold", "0.5", "--dvars_threshold", "2")
    assert main(run(quick_dataset, *options, "--n-permutations", "19")) == 0
    config = (quick_dataset / "out" / "logs" / "sub-01_task-film_config.toml").read_text()
    for line in ("confounds = []", "high_pass = 60.0", "fd_threshold = 0.5", "dvars_threshold = 2.0", 'atlas = ""'):
        assert line in config


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent", "out", "participant"], 66, "absent: no such directory"),
        (["empty", "out", "participant"], 66, "empty: the directory is empty"),
        (["dataset", "out", "session"], 17, "analysis level 'session' is none of participant"),
        (["dataset", "out", "participant", "--participant-label", "77"], 18, "no participant '77'; .* 01, 02"),
        (["dataset", "dataset", "participant"], 64, "output directory is the input directory .*derivatives/neurocca"),
        (["dataset", "out", "participant", "-w", "dataset/work"], 64, "working directory .* lies in the input"),
        (["dataset", "out", "participant", "--features", "absent.h5"], 66, r"absent\.h5: no such file"),
        (["dataset", "out", "participant"], 66, "no --features given, and no events.tsv names a film"),
        (["dataset", "out", "participant", "--run-label", "8"], 18, "no BOLD with run '8'; there are 1, 2, 3"),
        (["dataset", "out", "participant", "--session_label", "a"], 18, "no BOLD with ses 'a'; there are none"),
        (["dataset", "out", "participant", "-d", "a=.", "--derivatives", "a=/"], 64, "'a' is given twice: . and /"),
        (["dataset", "out", "participant", "-d", "dataset"], 64, "--derivatives dataset: expected NAME=PATH"),
        (["dataset", "out", "participant", "-d", "a=absent"], 66, "a=absent: no such directory"),
        (["dataset", "out", "participant", "--bids-filter-file", "features.h5"], 65, "features.h5: not valid JSON"),
        (["dataset", "out", "participant", "--bids_filter_file", "absent"], 66, "absent: cannot be read: No such file"),
        (["dataset", "out", "participant", "--t-r", "soon"], 64, "--t-r.*invalid float value: 'soon'"),
        (["dataset", "out", "participant", "--t_r", "-1"], 64, r"align\.t_r=-1\.0 must be in seconds"),
        (["dataset", "out", "participant", "--high-pass", "-5"], 64, r"align\.high_pass=-5\.0 must be a period"),
        (["dataset", "out", "participant", "--smoothing-fwhm", "-1"], 64, r"align\.smoothing_fwhm=-1\.0 must be milli"),
        (["dataset", "out", "participant", "--fd-threshold", "x"], 64, "--fd-threshold.*invalid float value: 'x'"),
        (
            ["dataset", "out", "participant", "--atlas", "no.nii.gz", "--features", "features.h5"],
            66,
            "no.nii.gz: no such",
        ),
        (["dataset", "out", "participant", "--n-components", "many"], 64, "invalid int value"),
        (["dataset", "out", "participant", "--n-jobs", "0"], 64, "--n-jobs 0"),
        (["dataset", "out"], 64, "analysis_level"),
        (["dataset", "out", "participant", "--config-file", "absent.toml"], 66, "no such file"),
        (["features", "absent", "-o", "f.h5"], 66, "absent: no such file or directory"),
        (["features", "dataset", "-o", "f.h5"], 66, "holds neither annotation/visual"),
        (["features", "features.h5"], 64, "-o/--output"),
    ],
)
def test_wrong_calls(parcel_dataset, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(parcel_dataset)
    (parcel_dataset / "empty").mkdir()
    if "--config-file" not in arguments and "participant" in arguments:
        arguments = [*arguments, "--config-file", "config.toml"]
    fails(capsys, arguments, code, message, parcel_dataset / "out", parcel_dataset / "f.h5", parcel_dataset / "work")


def test_wrong_configurations(parcel_dataset, capsys):
    out, config = parcel_dataset / "out", parcel_dataset / "config.toml"
    good = config.read_text()
    for text, code, message in (
        ("[fitt]\n", 64, r"config\.toml: unknown key 'fitt'; the nearest valid one is 'fit'"),
        (good + "n_permutation = 3\n", 64, "'inference.n_permutation'.*'inference.n_permutations'"),
        ("[fit\n", 65, "not valid TOML"),
        (good.replace("n_components = 2", "n_components = 7"), 64, "n_components=7 .* 6 features and 6 responses"),
        (good.replace("[align]\n", '[align]\nspaces = ["cnn"]\n'), 64, "no space 'cnn'; there are film"),
        (
            good + "min_shift = 95.0\n",
            64,
            r"run 1 has 90 volumes: shifts of inference.min_shift=95 s \(48 volumes\) .* at least 96 volumes",
        ),
        (good.replace("t_r = 2.0", ""), 64, r"set align\.t_r"),
        (good.replace("[align]\n", "[align]\nhigh_pass = 7.0\n"), 64, "high_pass=7.0 s would take more than half"),
        (good.replace("delays = [1, 2, 3]", "delays = [1, 99]"), 64, "reach beyond run 1 of 90 volumes"),
        (good.replace("[align]\n", "[align]\nmax_excess = -1\n"), 64, "max_excess=-1.0 must be seconds"),
        (good + "[features]\nrate = 0\n", 64, "features.rate=0.0 must be samples per second"),
        (good.replace("t_r = 2.0", "t_r = inf"), 64, "align.t_r=inf must be finite"),
        (good.replace("[align]\n", '[align]\nspaces = ["film", "film"]\n'), 64, "spaces=.* repeat"),
        (good.replace("[align]\n", "[align]\ntrim = [50, 50]\n"), 65, "run 1: .* leaves nothing of a run of 90"),
    ):
        config.write_text(text)
        fails(capsys, run(parcel_dataset), code, message, out)


def test_runs_and_features_must_go_together(quick_dataset, capsys):
    out, last = quick_dataset / "out", csv(quick_dataset, 3)
    content, strict = last.read_text(), run(quick_dataset, "--stop-on-first-crash")
    last.unlink()
    fails(capsys, strict, 65, "sub-01 has no BOLD for run 3, for which .*features.h5 has", out)
    last.write_text(content)
    csv(quick_dataset, 4).write_text(content)
    fails(capsys, strict, 65, "no features for run 4 of sub-01 .it has runs 1, 2, 3.", out)
    csv(quick_dataset, 4).unlink()
    last.write_text("".join(content.splitlines(keepends=True)[:61]))
    fails(capsys, run(quick_dataset), 65, r"run 3: features end at 180\.0 s, but .* end at 120\.0 s", out)
    last.write_text(content + "".join(content.splitlines(keepends=True)[1:21]))
    fails(capsys, run(quick_dataset), 65, r"run 3: features end at 180\.0 s, but .* end at 220\.0 s", out)


def test_missing_runs_are_named_and_left_out(quick_dataset, capfd):
    for n in (4, 5):
        csv(quick_dataset, n).write_text(csv(quick_dataset, 3).read_text())
    features = FeatureStore(quick_dataset / "features.h5")
    with features as store:
        spaces = {"film": {run: store.read("film", run) for run in store.runs("film")}}
    spaces["film"] |= {"4": spaces["film"]["3"], "6": spaces["film"]["3"]}
    write_store(quick_dataset / "features.h5", spaces, {})
    out = quick_dataset / "out"
    fails(
        capfd,
        run(quick_dataset, "--stop-on-first-crash", labels=("01", "02")),
        65,
        "sub-02 has no BOLD for run 4",
        out,
    )
    assert main(run(quick_dataset, labels=("01", "02"))) == 0
    said = capfd.readouterr().err
    assert "sub-02 has no BOLD for run 4, 5, which other participants have: going on without." in said
    assert "'film' has no features for run 5 of sub-01 (it has runs 1, 2, 3, 4, 6): going on without." in said
    assert re.search("sub-01 has no BOLD for run 6, for which .*features.h5 has features", said)
    for subject, runs in (("01", "1234"), ("02", "123")):
        path = out / f"sub-{subject}/func/sub-{subject}_task-film_desc-cca_decomposition.json"
        record = json.loads(path.read_text())
        assert [r["Run"] for r in record["Runs"]] == list(runs)
        left = "5" if subject == "01" else "4, 5"
        assert record["Warnings"][0] == f"Runs without BOLD or without features were left out: {left}."


def test_no_run_has_both_bold_and_features(parcel_dataset, capsys):
    with h5py.File(parcel_dataset / "features.h5", "r+") as file:
        for n in (1, 2, 3):
            file.move(f"film/run-{n}", f"film/run-{n + 3}")
    fails(
        capsys,
        run(parcel_dataset),
        65,
        "no features for run 1, 2, 3 of sub-01 .it has runs 4, 5, 6",
        parcel_dataset / "out",
    )


def test_two_tables_of_one_run_are_not_told_apart(parcel_dataset, capsys):
    twin = csv(parcel_dataset, 2).with_name("sub-01_task-film_run-02_desc-x_bold.csv")
    twin.write_text(csv(parcel_dataset, 2).read_text())
    fails(
        capsys,
        run(parcel_dataset),
        64,
        "run 2: 2 BOLD files: desc none, x: choose with --desc-label",
        parcel_dataset / "out",
    )


def test_features_must_have_the_same_names_in_every_run(parcel_dataset, capsys):
    with h5py.File(parcel_dataset / "features.h5", "r+") as file:
        del file["film/run-2/names"]
        file["film/run-2/names"] = np.array([b"motion", b"brightness"])
    fails(capsys, run(parcel_dataset), 65, "other features in run 2 .motion, brightness", parcel_dataset / "out")


def test_constant_features_are_left_out_and_named(quick_dataset, capfd):
    store = quick_dataset / "features.h5"
    with h5py.File(store, "r+") as file:
        for n in (1, 2, 3):
            group = file[f"film/run-{n}"]
            data = np.column_stack([group["data"][()], np.full(90, 0.1)])
            del group["data"], group["names"]
            group["data"], group["names"] = data, np.array([b"brightness", b"motion", b"still"])
    for n, response in enumerate(('response = "delays"', 'response = "hrf"')):
        config = quick_dataset / "config.toml"
        config.write_text(re.sub(r"response = .*", response, config.read_text()))
        assert main(run(quick_dataset, out=f"out{n}")) == 0
        loadings = (quick_dataset / f"out{n}/sub-01/func/sub-01_task-film_desc-ccaStimulus_loadings.tsv").read_text()
        assert "still" not in loadings
        assert "constant features were left out: film:still" in capfd.readouterr().err


def test_other_datasets_are_not_written_into(parcel_dataset, capsys):
    out = parcel_dataset / "theirs"
    out.mkdir()
    (out / "dataset_description.json").write_text('{"Name": "their study", "BIDSVersion": "1.10.0"}')
    fails(capsys, run(parcel_dataset, out="theirs"), 73, "belongs to the dataset 'their study'")
    assert [p.name for p in out.iterdir()] == ["dataset_description.json"]
    fails(capsys, run(parcel_dataset, out="."), 64, "output directory .* holds the input directory")


def test_an_output_that_cannot_be_written_is_found_before_the_analysis(parcel_dataset, capsys, monkeypatch):
    (parcel_dataset / "file").write_text("")
    monkeypatch.setattr("neurocca.steps.participant.each_participant", None)
    fails(capsys, run(parcel_dataset, out="file/out"), 73, "file/out: cannot be written")


def test_a_page_that_cannot_be_replaced_leaves_no_half_output(quick_dataset, capsys):
    (quick_dataset / "out" / "sub-01_task-film.html").mkdir(parents=True)
    fails(capsys, run(quick_dataset), 73, "sub-01_task-film.html: cannot be written: a directory is in its place")
    assert [p.name for p in (quick_dataset / "out").iterdir()] == ["sub-01_task-film.html"]
    (quick_dataset / "out2").mkdir()
    (quick_dataset / "out2" / "sub-01").write_text("a file")
    fails(capsys, run(quick_dataset, out="out2"), 73, "sub-01: cannot be written: a file is in its place")
    assert [p.name for p in (quick_dataset / "out2").iterdir()] == ["sub-01"]


def test_feature_files_do_not_replace_films(parcel_dataset, capsys):
    film = parcel_dataset / "film.mp4"
    film.write_bytes(b"a film")
    (parcel_dataset / "other.mp4").write_bytes(b"another")
    fails(
        capsys, ["features", str(parcel_dataset / "other.mp4"), "-o", str(film)], 73, "exists and is no feature store"
    )
    assert film.read_bytes() == b"a film"


def test_permutations_are_counted_where_runs_allow_only_a_few(parcel_dataset):
    config = parcel_dataset / "config.toml"
    config.write_text(config.read_text() + "min_shift = 88.0\n")
    assert main(run(parcel_dataset)) == 0
    func = parcel_dataset / "out" / "sub-01" / "func"
    decomposition = json.loads((func / "sub-01_task-film_desc-cca_decomposition.json").read_text())
    assert decomposition["Inference"]["NumberOfPermutations"] == 27
    assert decomposition["Components"][0]["PValueHeldOut"] >= 1 / 28 - 1e-6
    assert "27 permutations" in (parcel_dataset / "out" / "sub-01_task-film.html").read_text()


def test_an_unexpected_failure_is_one_line(parcel_dataset, capsys, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("neurocca.steps.participant.find_recordings", broken)
    fails(capsys, run(parcel_dataset), 1, "unexpected RuntimeError: two lines")


def test_two_runs_are_too_few(parcel_dataset, capsys):
    for subject in ("01", "02"):
        csv(parcel_dataset, 3, subject).unlink()
    with h5py.File(parcel_dataset / "features.h5", "r+") as file:
        del file["film/run-3"]
    fails(capsys, run(parcel_dataset), 65, "2 runs: .* at least 3", parcel_dataset / "out")


def test_two_runs_are_enough_where_no_shrinkage_is_chosen(parcel_dataset, capsys):
    csv(parcel_dataset, 3).unlink()
    with (parcel_dataset / "config.toml").open("a") as config:
        config.write("[fit]\nn_components = 1\nshrinkage_x = [0.1]\nshrinkage_y = [0.2]\n")
    text = (parcel_dataset / "config.toml").read_text().replace("[fit]\nn_components = 2\n", "")
    (parcel_dataset / "config.toml").write_text(text)
    with h5py.File(parcel_dataset / "features.h5", "r+") as file:
        del file["film/run-3"]
    assert main(run(parcel_dataset)) == 0
    record = record_of(parcel_dataset / "out")
    assert record["Components"][0]["HeldOutCorrelation"] > 0.6
    assert record["Components"][0]["PValueHeldOut"] < 0.05
    assert [(f["Features"], f["BOLD"]) for f in record["Shrinkage"]["PerFold"]] == [(0.1, 0.2)] * 2


def record_of(out: Path, subject: str = "01") -> dict:
    func = out / f"sub-{subject}" / "func"
    return json.loads((func / f"sub-{subject}_task-film_desc-cca_decomposition.json").read_text())


def test_bold_that_was_moved_back_is_aligned_by_the_onset_shift(quick_dataset, capsys):
    """Two volumes are cut off the start of every run, as authors do who take out the haemodynamic delay."""
    assert main(run(quick_dataset)) == 0
    peak = record_of(quick_dataset / "out")["Lag"]["Peak"]
    for number in (1, 2, 3):
        table = pd.read_csv(csv(quick_dataset, number))
        table[2:].to_csv(csv(quick_dataset, number), index=False)
    assert main(run(quick_dataset, out="moved")) == 0
    assert record_of(quick_dataset / "moved")["Lag"]["Peak"] == peak - 4
    capsys.readouterr()
    assert main(run(quick_dataset, "--onset-shift", "-4", "--dry-run")) == 0
    assert re.search(r"run +bold +onset +features\n +1 .* -4 s", capsys.readouterr().out)
    assert main(run(quick_dataset, "--onset-shift", "-4", out="shifted")) == 0
    assert "Its onset was set 4 s earlier than" in (quick_dataset / "shifted/sub-01_task-film.html").read_text()
    assert record_of(quick_dataset / "shifted")["Lag"]["Peak"] == peak
    text = "features end at 172.0 s, but the run's volumes end at 176.0 s"
    fails(capsys, run(quick_dataset, "--onset-shift", "-8", out="later"), 65, text)
    (quick_dataset / "config.toml").write_text(
        (quick_dataset / "config.toml").read_text().replace("[align]", "[align]\ntrim = [0, 2]")
    )
    assert main(run(quick_dataset, "--onset-shift", "-8", out="trimmed")) == 0
    assert record_of(quick_dataset / "trimmed")["Lag"]["Peak"] == peak + 4


def test_damaged_files_are_named(parcel_dataset, capsys):
    out, path = parcel_dataset / "out", csv(parcel_dataset, 2)
    good = pd.read_csv(path)
    path.write_text(path.read_text().rsplit(",", 2)[0])
    fails(capsys, run(parcel_dataset), 65, r"run-2_bold\.csv: truncated: line 91 has 4 values, expected 6", out)
    good.assign(p3=good["p3"].where(good.index > 0)).to_csv(path, index=False)
    fails(capsys, run(parcel_dataset), 65, r"run-2_bold\.csv: parcel 'p3' is NaN or infinite on line 2", out)
    good.drop(columns="p3").to_csv(path, index=False)
    fails(
        capsys,
        run(parcel_dataset),
        65,
        r"run-2_bold\.csv: its 5 parcels are not the 6 of the first run: 'p3' is missing",
        out,
    )
    good.to_csv(path, index=False)
    store = parcel_dataset / "features.h5"
    with h5py.File(store, "r+") as file:
        file["film/run-2/data"][3, 1] = np.nan
    fails(capsys, run(parcel_dataset), 65, "run 2 holds NaN or infinity in: motion", out)
    store.write_bytes(store.read_bytes()[:-900])
    fails(capsys, run(parcel_dataset), 65, r"features\.h5: not a readable HDF5 file", out)


def test_results_that_exist_survive_a_failing_run(quick_dataset, capsys):
    assert main(run(quick_dataset)) == 0
    before = {p: p.read_bytes() for p in results_of(quick_dataset / "out")}
    csv(quick_dataset, 2).write_text("p0\n")
    capsys.readouterr()
    fails(capsys, run(quick_dataset), 65, "no volumes")
    index = quick_dataset / "out/index.html"
    assert {p: p.read_bytes() for p in results_of(quick_dataset / "out") if p != index} | {
        index: before[index]
    } == before
    assert "no volumes" in index.read_text()


def test_constant_columns_are_left_out_with_a_warning(quick_dataset, capfd):
    for n in (1, 2, 3):
        table = pd.read_csv(csv(quick_dataset, n))
        table.assign(p4=0.1 if n == 2 else table["p4"]).to_csv(csv(quick_dataset, n), index=False)
    assert main(run(quick_dataset)) == 0
    assert "1 constant or missing responses were left out: p4" in capfd.readouterr().err
    page = (quick_dataset / "out" / "sub-01_task-film.html").read_text()
    assert "1 constant or missing responses were left out: p4" in page


def test_parcels_without_data_in_a_run_are_left_out_with_a_warning(quick_dataset, capfd):
    path = csv(quick_dataset, 2)
    pd.read_csv(path).assign(p4=np.nan).to_csv(path, index=False, na_rep="n/a")  # too little coverage, as XCP-D says it
    assert main(run(quick_dataset)) == 0
    assert "1 constant or missing responses were left out: p4" in capfd.readouterr().err


def test_help_and_version_are_quick_to_import():
    """Heavy libraries are loaded when they are needed, not for --help."""
    code = (
        "import sys; from neurocca.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'nilearn', 'sklearn', 'pandas', 'matplotlib', 'bids', 'datalad')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, loaded = done.stdout.strip().splitlines()
    assert version.startswith("neurocca ")
    assert loaded == "[]"


def test_parcels_of_a_derivative_give_what_plain_tables_give(quick_dataset):
    raw, xcpd = quick_dataset / "raw", quick_dataset / "xcpd"
    for events in trees.raw(raw).glob("sub-01/func/*_events.tsv"):
        events.write_text(events.read_text().replace("4.0", "0.0"))
    trees.description(xcpd, "XCP-D", "xcp_d")
    for n in (1, 2, 3):
        path = xcpd / f"sub-01/func/sub-01_task-film_run-{n}_space-fsLR_seg-Gordon_stat-mean_timeseries.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.read_csv(csv(quick_dataset, n)).to_csv(path, sep="\t", index=False)
    # the repetition time comes from the raw data's sidecar
    config = quick_dataset / "config.toml"
    config.write_text(config.read_text().replace("t_r = 2.0", ""))
    options = ["participant", "--features", str(quick_dataset / "features.h5"), "--config-file", str(config)]
    assert main([str(raw), str(quick_dataset / "a"), *options, "-d", f"xcpd={xcpd}"]) == 0
    tables = [str(quick_dataset / "dataset"), str(quick_dataset / "b"), *options]
    assert main([*tables, "--t-r", "2", "--participant_label", "01"]) == 0
    # the parcels of a derivative have a name, which the results keep
    names = {"a": "sub-01_task-film_space-fsLR_seg-Gordon", "b": "sub-01_task-film"}
    first, second = (
        json.loads((quick_dataset / out / f"sub-01/func/{stem}_desc-cca_decomposition.json").read_text())
        for out, stem in names.items()
    )
    assert first["Components"] == second["Components"]
    assert (first["RepetitionTime"], first["Dataset"]["Source"]) == (2.0, "xcpd")
    assert first["Inputs"][0]["Path"].startswith("../xcpd/sub-01/func/")


def tree_of(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in results_of(folder)}


def test_a_dry_run_says_what_would_be_read_and_writes_nothing(parcel_dataset, monkeypatch, capsys):
    monkeypatch.chdir(parcel_dataset)
    csv(parcel_dataset, 3, "02").unlink()
    csv(parcel_dataset, 4).write_text(csv(parcel_dataset, 3).read_text())
    before = tree_of(parcel_dataset)
    assert main(["dataset", "out", "participant", "--features", "features.h5", "--t-r", "1.5", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "dataset (dataset), task film: 2 participants" in printed
    assert "features features.h5:\n  film: runs 1, 2, 3\n" in printed
    assert "sub-01: 4 runs, parcels, from tables, TR 1.5 s\n" in printed
    assert "sub-02: 2 runs, parcels, from tables, TR 1.5 s, missing runs 3, 4\n" in printed
    assert "  bold in sub-02/func\n" in printed
    assert re.search(r"^  4 +run-4_bold\.csv +no$", printed, re.MULTILINE)
    assert re.search(r"^  3 +run-3_bold\.csv +yes$", printed, re.MULTILINE)
    assert tree_of(parcel_dataset) == before
    assert sorted(p.name for p in parcel_dataset.iterdir()) == ["config.toml", "dataset", "features.h5"]


def test_a_dry_run_of_preprocessed_volumes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trees.raw(tmp_path / "raw")
    trees.fmriprep(tmp_path / "prep")
    command = ["raw", "out", "participant", "-d", "fmriprep=prep", "--dry_run"]
    fails(capsys, command, 64, "space MNI152NLin2009cAsym, T1w, fsLR, fsaverage5: choose with --space")
    assert main([*command, "--space", "T1w", "--desc_label", "preproc", "--bids_database_dir", "index"]) == 0
    printed = capsys.readouterr().out
    assert "derivative fmriprep: prep" in printed
    assert "sub-01: 3 runs, voxels, from fmriprep, space T1w, desc preproc, TR 2 s" in printed
    for folder in ("bold in ../prep/sub-01/func", "mask in ../prep/sub-01/func", "film in stimuli"):
        assert f"\n  {folder}\n" in printed
    row = r"^  2 +run-2_space-T1w_desc-preproc_bold\.nii\.gz +run-2_space-T1w_desc-brain_mask\.nii\.gz +"
    row += r"run-2_desc-confounds_timeseries\.tsv \(fmriprep\) +film_run-2\.mp4 \(not here\) +4 s +at 0\.95 s$"
    assert re.search(row, printed, re.MULTILINE), printed
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_the_aligned_tree(tmp_path, capsys):
    aligned, tnt = trees.aligned(tmp_path / "aligned"), trees.templatetransforms(tmp_path / "tnt")
    command = [str(aligned), str(tmp_path / "out"), "participant", "-t", "avmovie", "--dry-run"]
    assert main([*command, "-d", f"templatetransforms={tnt}"]) == 0
    printed = capsys.readouterr().out
    assert "sub-01: 8 runs, voxels, from aligned, space bold3Tp2, TR 2 s" in printed
    assert "  mask in ../tnt/sub-01/bold3Tp2\n" in printed
    assert re.search(
        r"^  8 +run-8_bold\.nii\.gz +brain_mask\.nii\.gz +.*mcparams\.txt \(fsl\) +4\+0$", printed, re.MULTILINE
    )
    (tnt / "sub-01/bold3Tp2/brain_mask.nii.gz").unlink()
    (tnt / "sub-01/bold3Tp2/brain_mask.nii.gz").symlink_to("../../.git/annex/objects/a/b/MD5E-s1--0/MD5E-s1--0")
    fails(
        capsys, [*command, "-d", f"templatetransforms={tnt}"], 75, "get it with: cd .* && datalad get brain_mask.nii.gz"
    )


def test_an_interrupt_is_not_a_traceback(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("neurocca.cli.app._bids_app", interrupted)
    fails(capsys, ["a", "b", "participant"], 130, "interrupted")

"""Options of an analysis: what they set, and what they refuse."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from neurocca.cli import main
from neurocca.cli.analysis import add_analysis_options, analysis_config, memory_size
from neurocca.cli.app import _bids_parser
from neurocca.cli.data import as_query
from neurocca.config import Config
from neurocca.errors import UsageError
from neurocca.steps.work_folder import clean_work


def config(*options: str) -> Config:
    return analysis_config(_bids_parser().parse_args(["in", "out", "participant", *options]))


def test_without_options_the_configuration_is_the_default():
    assert config() == Config()


def test_options_reach_the_configuration():
    found = config(
        "--spaces", "audio", "cnn", "--delays", "1", "3", "--scheme", "phase_randomize", "--nuisance", "none"
    )
    assert found.align.spaces == ("audio", "cnn")
    assert (found.align.response, found.align.delays) == ("delays", (1, 3))
    assert found.inference.scheme == "phase_randomize"
    assert found.align.confounds == ()
    found = config("--hrf", "glover")
    assert (found.align.response, found.align.hrf) == ("hrf", "glover")


def test_coverage_is_that_of_parcels():
    with pytest.raises(UsageError, match=r"--min-coverage 0.9: goes with the parcels of --atlas"):
        config("--min-coverage", "0.9")
    assert config("--min-coverage", "0.9", "--atlas", "atlas.nii.gz").align.min_coverage == 0.9


@pytest.mark.parametrize(
    ("words", "grids"),
    [
        (["0.2"], ((0.2,), (0.2,))),
        ([".1", ".3"], ((0.1,), (0.3,))),
        (["auto"], (Config().fit.shrinkage_x, Config().fit.shrinkage_y)),
        (["auto", "1"], (Config().fit.shrinkage_x, (1.0,))),
    ],
)
def test_shrinkage_of_both_views_or_of_each(words, grids):
    fit = config("--shrinkage", *words).fit
    assert (fit.shrinkage_x, fit.shrinkage_y) == grids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shrinkage", "x"], "a number from 0 to 1, or auto"),
        (["--shrinkage", "2"], r"values between 0 \(CCA\) and 1 \(PLS\)"),
        (["--shrinkage", "0", "0", "0"], "one value for both views"),
        (["--hrf", "spm", "--delays", "1"], "give one of them"),
        (["--hrf", "x"], "is none of"),
        (["--scheme", "x"], "is none of"),
        (["--delays", "-1"], "must be volumes >= 0"),
        (["--mem", "much"], "is no size"),
        (["--task", "film"], "unrecognized arguments: --task"),
    ],
)
def test_what_cannot_be_is_one_line(options, message, capsys):
    assert main(["in", "out", "participant", *options]) == 64
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    with pytest.raises(UsageError, match=message):
        config(*options)


@pytest.mark.parametrize(("text", "size"), [("1", 2**20), ("1.5G", 3 * 2**29), ("2gb", 2**31), ("64 M", 2**26)])
def test_sizes(text, size):
    assert memory_size(text) == size


def test_every_option_has_both_spellings_and_help():
    parser = argparse.ArgumentParser()
    add_analysis_options(parser)
    for action in parser._actions:
        assert action.help, action.option_strings
        for flag in action.option_strings:
            assert flag.startswith("--no-") or f"--{flag[2:].replace('-', '_')}" in [*action.option_strings, "--"]


def test_memory_that_is_not_there_takes_one_run_at_a_time(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--features", "features.h5", "--config-file", "config.toml"]
    assert main([*command, "--mem", "8G", "--participant-label", "01"]) == 0
    assert not (parcel_dataset / "work").exists()
    assert main([*command, "--mem", "100", "--participant-label", "02"]) == 0
    assert len(list((parcel_dataset / "work/cleaned").iterdir())) == 3  # runs wait there for their turn


def test_quiet_and_reports_only(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--participant-label", "01"]
    given = ("--features", "features.h5", "--config-file", "config.toml")
    assert main([*command, "--reports-only"]) == 66
    capsys.readouterr()
    assert main([*command, *given, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    page = parcel_dataset / "out/sub-01_task-film.html"
    before = page.read_bytes()
    page.unlink()
    assert main([*command, "--reports-only"]) == 0
    assert page.read_bytes() == before


def test_boilerplate_alone(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--participant-label", "01"]
    assert main([*command, "--boilerplate-only"]) == 66
    assert "no neurocca results" in capsys.readouterr().err
    assert main([*command, "--features", "features.h5", "--config-file", "config.toml", "-q"]) == 0
    files = [parcel_dataset / f"out/logs/CITATION.{ending}" for ending in ("md", "bib")]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    assert main([*command, "--boilerplate-only"]) == 0
    assert capsys.readouterr().out.split() == ["out/logs/CITATION.md", "out/logs/CITATION.bib"]
    assert [file.read_bytes() for file in files] == before
    assert main([*command, "--boilerplate-only", "--reports-only"]) == 64


def test_the_validator_is_asked_where_one_wants_to_know(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["participant", "--features", "features.h5", "--bids-validation"]
    assert main(["dataset", "out", *command]) == 16
    said = capsys.readouterr().err
    assert "is not valid BIDS: " in said
    assert said.count("\n") == 1
    assert not (parcel_dataset / "out").exists()
    valid = parcel_dataset / "valid"
    (valid / "sub-01/beh").mkdir(parents=True)
    (valid / "README").write_text("A dataset of one participant, simulated, to be looked at by a validator.\n" * 4)
    (valid / "dataset_description.json").write_text('{"Name": "valid", "BIDSVersion": "1.10.0", "DatasetType": "raw"}')
    (valid / "sub-01/beh/sub-01_task-film_beh.json").write_text("{}")
    (valid / "sub-01/beh/sub-01_task-film_beh.tsv").write_text("trial\n1\n")
    assert main(["valid", "out", *command]) == 66  # valid, and without BOLD
    monkeypatch.setattr("neurocca.io.bids_validation.PROGRAMS", ("no-such-validator",))
    assert main(["valid", "out", *command]) == 66
    assert "pip install bids-validator-deno" in capsys.readouterr().err


def test_a_dry_run_says_what_it_takes(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--features", "features.h5", "--config-file", "config.toml"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("roughly 15 s on one core, 0.3 GiB of memory") == 2
    assert main([*command, "--dry-run", "--estimator", "deep", "--n-permutations", "1000"]) == 0
    assert capsys.readouterr().out.count("roughly 4 min on one core") == 2  # networks take their time


@pytest.mark.parametrize("output", ["dataset/out", "dataset/sub-01/out", "dataset/derivatives"])
def test_results_do_not_go_among_the_input(parcel_dataset, capsys, monkeypatch, output):
    monkeypatch.chdir(parcel_dataset)
    assert main(["dataset", output, "participant", "--features", "features.h5"]) == 64
    assert "lies in the input directory" in capsys.readouterr().err
    assert not (parcel_dataset / "dataset/derivatives").exists()


def test_labels_may_be_given_in_several_options(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--features", "features.h5", "--config-file", "config.toml"]
    assert main([*command, "--dry-run", "--participant-label", "01", "--participant_label", "02"]) == 0
    printed = capsys.readouterr().out
    assert "sub-01" in printed
    assert "sub-02" in printed


@pytest.mark.parametrize("both", [("--dry-run", "--reports-only"), ("--bids-validation", "--skip-bids-validation")])
def test_options_that_contradict_each_other_are_refused(parcel_dataset, capsys, monkeypatch, both):
    monkeypatch.chdir(parcel_dataset)
    assert main(["dataset", "out", "participant", *both]) == 64
    assert "not allowed with" in capsys.readouterr().err


def test_other_names_of_options_and_jobs_for_content(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--features", "features.h5", "--model", "config.toml", "--notrack"]
    assert main([*command, "--dry-run", "--datalad-jobs", "2"]) == 0
    assert main([*command, "--datalad_jobs", "0"]) == 64
    assert "--datalad-jobs 0: at least 1" in capsys.readouterr().err


def test_a_dry_run_says_what_would_be_refused_and_does_not_fit(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    command = ["dataset", "out", "participant", "--features", "features.h5", "--dry-run", "--mem", "100"]
    config = parcel_dataset / "config.toml"
    assert main([*command, "--config-file", str(config), "--run-label", "1", "--smoothing-fwhm", "6"]) == 0
    printed = capsys.readouterr().out
    assert "would be refused: 1 run: leaving one out" in printed
    assert "would be refused: --smoothing-fwhm smooths volumes, and these are parcels." in printed
    assert "--mem 0.1 GiB is less than that" in printed
    assert main([*command, "--config-file", str(config), "--mem", "4G"]) == 0
    assert "would be refused" not in capsys.readouterr().out


def test_a_program_that_runs_apps_can_read_what_they_take(tmp_path, capsys):
    assert main(["--bids-exec-spec"]) == 0
    described = tmp_path / "descriptor.json"
    described.write_text(capsys.readouterr().out)
    bosh = Path(sys.executable).with_name("bosh")
    subprocess.run([bosh, "validate", described], check=True)
    asked = tmp_path / "invocation.json"
    values = {"bids_dir": str(tmp_path), "output_dir": "out", "analysis_level": "participant"}
    asked.write_text(json.dumps(values | {"run_label": ["1", "2"], "no_datalad_get": True, "n_permutations": 99}))
    told = [bosh, "exec", "simulate", described, "-i", asked]
    command = subprocess.run(told, check=True, capture_output=True, text=True).stdout.split()
    args = _bids_parser().parse_args(command[command.index("neurocca") + 1 :])
    assert (args.run_label, args.datalad_get, args.n_permutations) == (["1", "2"], False, 99)


def test_the_work_directory_is_cleaned_of_what_is_ours(parcel_dataset, capsys, monkeypatch):
    monkeypatch.chdir(parcel_dataset)
    work = parcel_dataset / "w"
    (work / "cleaned").mkdir(parents=True)
    (work / ".features.h5.parts").mkdir()
    for name in ("features.h5", "cleaned/run-0.h5", "cleaned/mine", ".features.h5.parts/old", "mine"):
        (work / name).write_text("old")
    command = ["dataset", "out", "participant", "--features", "features.h5", "--config-file", "config.toml"]
    command += ["-w", "w", "--clean-workdir"]
    assert main([*command, "--dry-run"]) == 0
    assert main([*command, "--participant-label", "77"]) == 18
    assert (work / "cleaned/run-0.h5").exists()
    assert main([*command, "--participant-label", "01", "-q"]) == 0
    # a store of one's own is given: another one in the folder is not what earlier calls have left
    left = [".features.h5.parts", "cleaned", "features.h5", "mine"]
    assert sorted(path.name for path in work.iterdir()) == left
    assert (work / "cleaned/mine").exists()
    assert not (work / "cleaned/run-0.h5").exists()
    clean_work(work, None)
    assert sorted(path.name for path in work.iterdir()) == ["cleaned", "mine"]
    assert main(["dataset", "out", "group", "--clean-workdir"]) == 64


def test_few_permutations_for_a_trial():
    assert config("--sloppy").inference.n_permutations == 99
    with pytest.raises(UsageError, match="not allowed with"):
        config("--sloppy", "--n-permutations", "5")


@pytest.mark.parametrize("options", [["--no-datalad-get", "--no-resume"], ["--no_datalad_get", "--no_resume"]])
def test_both_spellings_of_what_is_not_wanted(options):
    args = _bids_parser().parse_args(["in", "out", "participant", *options])
    assert not args.datalad_get
    assert not args.resume
    assert args.shared_fit


def test_shrinkage_that_an_estimator_does_not_have():
    with pytest.raises(UsageError, match="networks"):
        config("--estimator", "deep", "--shrinkage", "0.1")
    with pytest.raises(UsageError, match="one shrinkage for both views"):
        config("--estimator", "kernel", "--shrinkage", "0.1", "0.2")


def test_options_of_other_apps_change_nothing():
    assert config("--omp-nthreads", "4", "--md-only-boilerplate", "--notrack") == Config()


def test_options_of_data_and_running_reach_what_reads_them():
    options = ["--res", "2", "--bids-database-dir", "index", "--nprocs", "3", "--no-tfce", "--session_label", "a"]
    args = _bids_parser().parse_args(["in", "out", "group", *options])
    query = as_query(args)
    assert (query.res, query.database, query.sessions) == ("2", Path("index"), ("a",))
    assert (args.n_jobs, args.tfce, args.shared_fit) == (3, False, True)

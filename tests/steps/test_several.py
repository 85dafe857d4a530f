"""Several participants at the same time: the same results, one error, and nothing left behind."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from joblib import cpu_count
from threadpoolctl import threadpool_info, threadpool_limits

from neurocca.cli import main
from neurocca.errors import DataError, NeuroccaError
from neurocca.io.recording import Recording
from neurocca.steps.several import each_participant
from tests.conftest import results_of


def participants(n: int) -> list[Recording]:
    return [Recording(f"{k:02d}", "film", "simulated", "parcels", 2.0, ()) for k in range(1, n + 1)]


def who(recording: Recording, n_jobs: int) -> tuple[str, int, int, int]:
    threads = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return recording.subject, os.getpid(), n_jobs, max(threads)


def fail(recording: Recording, n_jobs: int, *, bad: str) -> str:
    if recording.subject == bad:
        raise DataError(f"sub-{bad}: is broken.")
    return recording.subject


def die(recording: Recording, n_jobs: int) -> None:
    if recording.subject == "02":
        os.kill(os.getpid(), signal.SIGKILL)


def speak(recording: Recording, n_jobs: int) -> None:
    logging.getLogger("neurocca.steps").warning("speaks.")


def test_linear_algebra_has_one_thread_and_jobs_the_cores():
    with threadpool_limits(4):
        (alone,) = each_participant(who, participants(1), 6)
        (by_default,) = each_participant(who, participants(1))
        in_turn, at_once, more = (list(each_participant(who, participants(2), n)) for n in (1, 2, 5))
    assert alone.result == ("01", os.getpid(), 6, 1)
    assert by_default.result == ("01", os.getpid(), cpu_count(), 1)
    runs = [[outcome.result for outcome in outcomes] for outcomes in (in_turn, at_once, more)]
    assert [[found[0] for found in run] for run in runs] == 3 * [["01", "02"]]
    assert {found[1] for found in runs[0]} == {os.getpid()}
    assert os.getpid() not in {found[1] for found in runs[1]}
    assert [{found[2] for found in run} for run in runs] == [{1}, {1}, {2}]
    assert {found[3] for run in runs for found in run} == {1}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_that_fails_leaves_the_others_alone(n_jobs):
    outcomes = list(each_participant(partial(fail, bad="03"), participants(4), n_jobs))
    assert [outcome.result for outcome in outcomes] == ["01", "02", None, "04"]
    error = outcomes[2].error
    assert isinstance(error, DataError)
    assert str(error) == "sub-03: is broken."
    assert "in fail" in error.__notes__[0]  # where it happened, in another process too


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(NeuroccaError, match=r"ended from outside, most likely for want of memory: fewer --n-jobs"):
        list(each_participant(die, participants(2), 2))


def test_messages_say_whose_they_are(capfd):
    list(each_participant(speak, participants(2), 2))
    assert sorted(capfd.readouterr().err.splitlines()) == [f"neurocca: [sub-{k}] speaks." for k in ("01", "02")]


def command(folder: Path, *options: str) -> list[str]:
    files = ("--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml"))
    return [str(folder / "dataset"), str(folder / "out"), "participant", *files, *options]


def damaged(dataset: Path, subject: str = "01") -> Path:
    """A table of a participant that holds no numbers."""
    table = dataset / f"dataset/sub-{subject}/func/sub-{subject}_task-film_run-2_bold.csv"
    table.write_text(table.read_text().replace("0", "x"))
    return table


@pytest.mark.parametrize("stop", [False, True])
def test_one_participant_fails_and_is_named_and_the_others_are_done(quick_dataset, stop):
    table = damaged(quick_dataset)
    # in a process of its own: what those that are given up leave to Python is complained about when it ends
    options = ("--n-jobs", "2", *(["--stop-on-first-crash"] if stop else []))
    whole = [sys.executable, "-m", "neurocca", *command(quick_dataset, *options)]
    printed = subprocess.run(whole, capture_output=True, text=True, check=False)
    out = quick_dataset / "out"
    assert printed.returncode == 65
    assert len(printed.stderr.splitlines()) == 1, printed.stderr
    assert "1 of 2 participants failed: " in printed.stderr
    assert str(table) in printed.stderr
    assert not (out / "sub-01").exists()
    if stop:
        return
    assert str(out / "sub-02_task-film.html") in printed.stdout
    assert (out / "sub-02/func").is_dir()
    index = (out / "index.html").read_text()
    assert "sub-02" in index
    assert "<b>sub-01</b>, task film: " in index  # and how it failed
    assert not [path for path in out.iterdir() if path.name.startswith(".tmp")]
    (log,) = out.glob("logs/*_*/neurocca.log")
    assert "sub-01: failed after" in log.read_text()
    assert "sub-02: done in" in log.read_text()
    assert "Traceback" in (log.parent / "crash-sub-01.txt").read_text()


def test_nothing_is_left_where_all_fail(quick_dataset, capfd):
    table, other = damaged(quick_dataset), damaged(quick_dataset, "02")
    assert main(command(quick_dataset, "--n-jobs", "2")) == 65
    printed = capfd.readouterr().err
    assert "2 of 2 participants failed: " in printed
    assert str(table) in printed
    assert str(other) in printed
    assert not (quick_dataset / "out").exists()


def test_several_at_once_share_a_work_directory(quick_dataset):
    plain = {}
    for jobs in ("1", "2"):
        work = quick_dataset / f"work{jobs}"
        assert main(command(quick_dataset, "--n-jobs", jobs, "-w", str(work), "--low-mem")) == 0
        out = quick_dataset / "out"
        plain[jobs] = {str(p.relative_to(out)): p.read_bytes() for p in results_of(out)}
        shutil.rmtree(out)
        assert len(list((work / "cleaned").iterdir())) == 6
    replaced = {
        path: content.replace(b"--n-jobs 2", b"--n-jobs 1").replace(b"/work2", b"/work1")
        for path, content in plain["2"].items()
    }
    assert replaced == plain["1"]


def test_runs_without_features_are_one_participants_failure_and_the_index_names_it(quick_dataset, capsys):
    func = quick_dataset / "dataset/sub-02/func"
    for run in (1, 2, 3):
        (func / f"sub-02_task-film_run-{run}_bold.csv").rename(func / f"sub-02_task-film_run-{run + 6}_bold.csv")
    files = ["--features", str(quick_dataset / "features.h5"), "--config-file", str(quick_dataset / "config.toml")]
    command = [str(quick_dataset / "dataset"), str(quick_dataset / "out"), "participant", *files, "-q"]
    named = "has no features for run 7, 8, 9 of sub-02"
    # the second time the others have nothing to do, and the index still says who failed
    for _ in range(2):
        assert main(command) == 65
        assert named in capsys.readouterr().err
        assert (quick_dataset / "out/sub-01_task-film.html").is_file()
        assert named in (quick_dataset / "out/index.html").read_text().replace("&#39;", "'")
        (quick_dataset / "out/index.html").unlink()
    assert main([*command, "--stop-on-first-crash", "--no-resume"]) == 65
    assert not (quick_dataset / "out/index.html").exists()
    assert main([*command, "--participant-label", "02"]) == 65

"""Several participants at the same time: the same results, one error, and nothing left behind."""

import logging
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from neurocca.cli import main
from neurocca.errors import DataError, NeuroccaError
from neurocca.io.recording import Recording
from neurocca.steps.several import each_participant


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


@pytest.mark.parametrize("available", [1, 4])
def test_threads_do_not_depend_on_the_number_of_jobs(available):
    with threadpool_limits(available):
        (alone,) = each_participant(who, participants(1), 6)
        in_turn, at_once, more = (list(each_participant(who, participants(2), n)) for n in (1, 2, 5))
    assert alone == ("01", os.getpid(), 6, available)
    assert [found[0] for found in in_turn] == [found[0] for found in at_once] == ["01", "02"]
    assert {found[1] for found in in_turn} == {os.getpid()}
    assert os.getpid() not in {found[1] for found in at_once}
    assert [{found[2] for found in some} for some in (in_turn, at_once, more)] == [{1}, {1}, {2}]
    # the share of two, of the cores there are
    assert len({found[3] for found in [*in_turn, *at_once, *more]}) == 1
    assert in_turn[0][3] <= available


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_those_before_one_that_fails_are_done(n_jobs):
    results = each_participant(partial(fail, bad="03"), participants(4), n_jobs)
    assert [next(results), next(results)] == ["01", "02"]
    with pytest.raises(DataError, match=r"^sub-03: is broken\.$"):
        next(results)


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(NeuroccaError, match=r"ended from outside, most likely for want of memory: fewer --n-jobs"):
        list(each_participant(die, participants(2), 2))


def test_messages_say_whose_they_are(capfd):
    list(each_participant(speak, participants(2), 2))
    assert sorted(capfd.readouterr().err.splitlines()) == [f"neurocca: [sub-{k}] speaks." for k in ("01", "02")]


def command(folder: Path, *options: str) -> list[str]:
    files = ("--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml"))
    return [str(folder / "dataset"), str(folder / "out"), "participant", *files, *options]


def test_a_participant_that_fails_ends_the_command(parcel_dataset, capfd):
    shutil.copytree(parcel_dataset / "dataset/sub-01", parcel_dataset / "dataset/sub-00")
    func = parcel_dataset / "dataset/sub-00/func"
    for path in list(func.iterdir()):
        path.rename(func / path.name.replace("sub-01", "sub-00"))
    table = parcel_dataset / "dataset/sub-01/func/sub-01_task-film_run-2_bold.csv"
    table.write_text(table.read_text().replace("0", "x"))
    assert main(command(parcel_dataset, "--n-jobs", "2")) == 65
    printed = capfd.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert str(table) in printed.err
    assert str(parcel_dataset / "out/sub-00_task-film.html") in printed.out
    assert (parcel_dataset / "out/sub-00/func").is_dir()
    assert not (parcel_dataset / "out/sub-01").exists()
    assert not [path for path in (parcel_dataset / "out").iterdir() if path.name.startswith(".tmp")]
    assert "sub-00" in (parcel_dataset / "out/index.html").read_text()


def test_nothing_is_left_where_the_first_fails(parcel_dataset, capfd):
    table = parcel_dataset / "dataset/sub-01/func/sub-01_task-film_run-2_bold.csv"
    table.write_text(table.read_text().replace("0", "x"))
    (parcel_dataset / "dataset/sub-02/func/sub-02_task-film_run-1_bold.csv").write_text("p0\nx\n")
    assert main(command(parcel_dataset, "--n-jobs", "2")) == 65
    assert str(table) in capfd.readouterr().err
    assert not (parcel_dataset / "out").exists()


def test_several_at_once_share_a_work_directory(parcel_dataset):
    plain = {}
    for jobs in ("1", "2"):
        work = parcel_dataset / f"work{jobs}"
        assert main(command(parcel_dataset, "--n-jobs", jobs, "-w", str(work), "--low-mem")) == 0
        out = parcel_dataset / "out"
        plain[jobs] = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        shutil.rmtree(out)
        assert len(list((work / "cleaned").iterdir())) == 6
    replaced = {
        path: content.replace(b"--n-jobs 2", b"--n-jobs 1").replace(b"/work2", b"/work1")
        for path, content in plain["2"].items()
    }
    assert replaced == plain["1"]

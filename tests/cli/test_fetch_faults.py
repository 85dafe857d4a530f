"""``neurocca fetch`` where something is wrong: one line, the exit code, and what could be had is here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neurocca.cli import main
from neurocca.io import clones, git_programs
from neurocca.io.annex import is_unfetched
from neurocca.io.fetch import fetch
from neurocca.io.fetch_choice import Choice
from neurocca.io.fetch_plan import planned
from tests.cli.fetching import BOLD, annexed_object, asked, fails, here

pytestmark = pytest.mark.usefixtures("at_home")


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """What tests read is what the command says."""


@pytest.fixture
def served(copied, shell):
    """Address of a server of the datasets."""
    shell(f"git -C {copied.origin('derivative/aligned_mri')} update-server-info")
    handler = partial(Silent, directory=copied.folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_content_that_is_gone(copied, tmp_path, capsys):
    origin = copied.origin("derivative/aligned_mri")
    annexed_object(origin, BOLD.split("/", 2)[2]).unlink()
    dest = tmp_path / "data"
    began = time.monotonic()
    fails(capsys, asked(copied, dest), 75, r"run-1_bold\.nii\.gz: its content cannot be had now: .*same command")
    assert time.monotonic() - began < 60  # the silent server was not waited for
    assert BOLD not in here(dest)
    assert BOLD.replace("run-1", "run-2") in here(dest)
    files = [item["Path"] for item in json.loads((dest / ".neurocca/fetch.json").read_text())["Files"]]
    assert BOLD not in files
    assert BOLD.replace("run-1", "run-2") in files


@pytest.mark.parametrize("n_bytes", [0, 100])
def test_content_that_is_cut_short(copied, tmp_path, capsys, n_bytes):
    os.truncate(annexed_object(copied.origin("derivative/aligned_mri"), BOLD.split("/", 2)[2]), n_bytes)
    words = asked(copied, tmp_path / "data", "--what", "bold")
    fails(capsys, words, 65, r"run-1_bold\.nii\.gz: its content at the source is damaged")
    assert len(here(tmp_path / "data")) == 2


def test_content_that_is_damaged_here(published, tmp_path, capsys, shell):
    dest = tmp_path / "data"
    assert main(asked(published, dest, "--what", "bold")) == 0
    os.truncate(annexed_object(dest, BOLD), 100)
    fails(capsys, asked(published, dest, "--what", "bold"), 65, r"run-1_bold\.nii\.gz: its content here is damaged: ")
    assert BOLD not in (dest / ".neurocca/fetch.json").read_text()
    shell(f"cd {dest}/derivative/aligned_mri && (git annex fsck --fast {BOLD.split('/', 2)[2]} || true)")
    assert main(asked(published, dest, "--what", "bold")) == 0


def test_damaged_content_is_not_used(copied, tmp_path, capsys):
    name = BOLD.split("/", 2)[2]
    damaged = annexed_object(copied.origin("derivative/aligned_mri"), name)
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:-4] + bytes(4))
    dest = tmp_path / "data"
    fails(
        capsys, asked(copied, dest, "--what", "bold"), 65, r"run-1_bold\.nii\.gz: its content at the source is damaged"
    )
    assert is_unfetched(dest / BOLD)
    assert len(here(dest)) == 2
    damaged.write_bytes(intact)
    assert main(asked(copied, dest, "--what", "bold")) == 0
    assert (dest / BOLD).read_bytes() == intact


def test_a_server_that_sends_damaged_content(copied, served, tmp_path, capsys):
    aligned = copied.origin("derivative/aligned_mri")
    dest = tmp_path / "data"
    words = ["fetch", f"{served}/{aligned.name}/.git", str(dest), "--include", "**/sub-01*avmovie*_bold.nii.gz"]
    damaged = annexed_object(aligned, BOLD.split("/", 2)[2])
    intact = damaged.read_bytes()
    for content in (intact[:-4] + bytes(4), intact[:100]):
        damaged.write_bytes(content)
        fails(capsys, words, 65, r"run-1_bold\.nii\.gz: its content at the source is damaged")
        assert len(here(dest)) == 2
    damaged.write_bytes(intact)
    assert main(words) == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_and_taken_up_again(copied, tmp_path, shell, signum):
    origin = copied.origin("derivative/aligned_mri")
    large = origin / "sub-01/in_bold3Tp2/sub-01_task-avmovie_run-9_bold.nii.gz"
    large.write_bytes(os.urandom(2_000_000))
    shell(f"cd {origin} && git annex add -q {large} && git commit -qm large")
    commit = shell(f"git -C {origin} rev-parse HEAD").strip()
    path = "derivative/aligned_mri"
    shell(f"cd {copied.superdataset} && git update-index --cacheinfo 160000,{commit},{path} && git commit -qm large")
    dest = tmp_path / "data"
    assert main(asked(copied, dest, "--what", "confounds")) == 0
    clone = dest / path
    shell(f"git -C {clone} config annex.bwlimit 200kb")
    command = [sys.executable, "-m", "neurocca", *asked(copied, dest, "--what", "bold")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    partial = clone / ".git/annex/tmp" / large.readlink().name
    while not partial.is_file() or partial.stat().st_size < 200_000:
        assert child.poll() is None
        time.sleep(0.05)
    while child.poll() is None:  # one interrupt may come where Python cannot raise it
        child.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            child.wait(2)
    assert child.wait() == (130 if signum == signal.SIGINT else -signal.SIGKILL)
    # what it had started ends with it
    seen = -1
    while seen != (arrived := partial.stat().st_size):
        seen = arrived
        time.sleep(1)
    assert 200_000 <= arrived < 2_000_000
    assert is_unfetched(dest / path / large.relative_to(origin))
    shell(f"git -C {clone} config --unset annex.bwlimit")
    came = []
    choice = Choice(participants=("01",), kinds=("bold",))
    with planned("studyforrest", dest, choice, source=str(copied.superdataset)) as plan:
        size = plan.size
        fetch(plan, progress=came.append)
    assert sum(came) == size  # with what had come before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "published"}
    assert (clone / large.relative_to(origin)).read_bytes() == large.read_bytes()


def test_a_clone_that_was_killed_leaves_nothing_behind(published, tmp_path):
    left = tmp_path / f".data.clone-{os.uname().nodename}-999999999"
    (left / ".git").mkdir(parents=True)
    assert main(asked(published, tmp_path / "data", "--what", "aggregate")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_dataset_that_cannot_be_cloned(published, tmp_path, capsys):
    dest = tmp_path / "data"
    words = ["--include", "derivative/visual_areas/**", "derivative/aligned_mri/**/*run-1_bold.nii.gz"]
    fails(capsys, asked(published, dest, *words), 75, r"\S*-data-visualrois cannot be cloned: .*is here")
    assert BOLD in here(dest)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--participant-label", "07", "--what", "bold"), 18, r"participant 07; there are those of 01, 02"),
        (("--include", "derivative/aligned_mri/nothing/*"), 18, "no such files"),
        (("--participant-label", ""), 64, "labels are letters and digits"),
        (("--what", "film"), 64, "--what: film is none of bold, confounds"),
        (("--include", "../other/*"), 64, "no pattern of paths within"),
        (("--include", "/etc/*"), 64, "no pattern of paths within"),
        (("--include=--upload-pack=touch x",), 64, "no pattern of paths within"),
        (("--include", "[z-a]"), 64, "no pattern of paths"),
        (("--dry-run", "--drop"), 64, "one of them"),
        (("--jobs", "0"), 64, "--jobs 0"),
        (("--source", "ext::sh -c touch% x"), 64, "runs a program is refused"),
        (("--source=--upload-pack=touch x",), 64, "neither a URL nor a path"),
        (("--source", "https:///nowhere"), 64, "malformed URL"),
        (("--source", "https://-oProxyCommand=x/y"), 64, "malformed URL"),
        (("--source", "-oProxyCommand=x:y"), 64, "expected one argument"),
        (("--source", "gopher://example.org/x"), 64, "none of the kinds of URL"),
        (("--source", "/no/such/folder"), 66, "no such directory"),
        (("--source", "http://127.0.0.1:9/none.git"), 75, "cannot be cloned: fatal: unable to access"),
        (
            ("--source", "https://me:secret@127.0.0.1:9/none.git"),
            75,
            r"error: https://127\.0\.0\.1:9/none\.git cannot ",
        ),
    ],
)
def test_what_cannot_be_asked_for(published, tmp_path, capsys, words, code, message):
    dest = tmp_path / "data"
    given = ["--source", str(published.superdataset)] if not words[0].startswith("--source") else []
    fails(capsys, ["fetch", "studyforrest", str(dest), *given, *words], code, message)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("url", ["ext::touch x", "--upload-pack=touch x", "osf://f5j3e", "../../../../nowhere"])
def test_a_dataset_inside_with_an_address_that_is_none(tmp_path, capsys, shell, url):
    origin = tmp_path / "origin"
    link = f"git update-index --add --cacheinfo 160000,{'1' * 40},inside"
    shell(f"mkdir {origin} && cd {origin} && git init -q && touch a.nii.gz && git add . && {link}")
    (origin / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = inside\n\turl = "{url}"\n')
    shell(f"cd {origin} && git add .gitmodules && git commit -qm data")
    dest = tmp_path / "data"
    words = ["fetch", str(origin), str(dest), "--include", "inside/**", "*.nii.gz"]
    fails(capsys, words, 75, r"cannot be cloned: .* is here\.")
    assert (dest / "a.nii.gz").is_file()
    assert not (tmp_path / "x").exists()


def test_a_server_that_does_not_answer(tmp_path, capsys, monkeypatch, silent):
    with monkeypatch.context() as patch:
        patch.setattr(clones, "_PATIENCE", 0.5)
        words = ["fetch", f"{silent}/dataset.git", str(tmp_path / "data")]
        fails(capsys, words, 75, r"cannot be cloned: no answer within 0\.5 s")
    monkeypatch.setitem(git_programs._NO_QUESTIONS, "GIT_HTTP_LOW_SPEED_TIME", "1")
    fails(capsys, ["fetch", f"{silent}/dataset.git", str(tmp_path / "data")], 75, "cannot be cloned: .*too slow")
    assert not list(tmp_path.iterdir())


def test_names_that_git_would_take_for_options(tmp_path, capsys):
    fails(capsys, ["fetch", "--upload-pack=touch x", "y"], 64, "neither a URL nor a path")
    fails(capsys, ["fetch", "-u", "y", "z"], 64, "unrecognized arguments: -u")
    fails(capsys, ["fetch", "--", "--upload-pack=touch x", "y"], 64, "neither a URL nor a path")
    fails(capsys, ["fetch", "ext::touch x", "y"], 64, "runs a program is refused")
    fails(capsys, ["fetch", "a\nb", "y"], 64, "neither a URL nor a path")


def test_places_that_cannot_be_written_to(published, tmp_path, capsys):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    fails(capsys, asked(published, full), 73, "not empty, and no dataset")
    fails(capsys, asked(published, full / "thesis.txt"), 73, "not a directory")
    fails(capsys, asked(published, full / "thesis.txt/data"), 73, "cannot be written")
    other = tmp_path / "other"
    aggregate = published.origin("derivative/aggregate_fmri_timeseries")
    assert main(["fetch", str(aggregate), str(other), "--include", "*"]) == 0
    fails(capsys, asked(published, other), 73, "holds another dataset")


def test_the_disk_is_too_small(copied, tmp_path, capsys, shell):
    origin = copied.origin("derivative/aligned_mri")
    name = "sub-01/in_bold3Tp2/sub-01_task-avmovie_run-9_bold.nii.gz"
    shell(f"cd {origin} && git annex fromkey -q --force MD5E-s900000000000000--{'0' * 32}.nii.gz {name}")
    shell(f"cd {origin} && git commit -qm large")
    dest = tmp_path / "data"
    fails(capsys, ["fetch", str(origin), str(dest), "--include", "*_bold.nii.gz"], 73, r"900\.00 TB are to come")
    assert not here(dest)


def test_without_git_annex(published, tmp_path, capsys, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(shutil.which("git"))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(programs))
    fails(
        capsys,
        asked(published, tmp_path / "data"),
        75,
        r"git-annex.* is missing: \S*python\S* -m pip install git-annex$",
    )
    # datasets of git alone do without
    assert main(asked(published, tmp_path / "other", "--what", "aggregate")) == 0


def test_an_environment_that_is_not_activated(published, tmp_path):
    python = Path(sys.prefix) / "bin/python"
    command = [python, "-m", "neurocca", *asked(published, tmp_path / "data", "--what", "bold")]
    environment = {"HOME": os.environ["HOME"], "PATH": os.path.dirname(shutil.which("git"))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_git_without_an_identity(published, tmp_path, capsys, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    fails(
        capsys, asked(published, tmp_path / "data"), 64, r"mend it with: git config --global user\.name 'Your Name' && "
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_source_of_somebody_else(copied, tmp_path, capsys, shell):
    shell(f"chown -R 12345 {copied.folder}")
    fails(
        capsys,
        asked(copied, tmp_path / "data"),
        64,
        r"belongs to another user: mend it with: git config --global --add ",
    )

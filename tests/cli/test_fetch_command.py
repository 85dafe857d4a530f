"""``neurocca fetch`` on real DataLad datasets in the shape in which studyforrest is published."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurocca.cli import main
from neurocca.io import content, git_programs
from neurocca.io.annex import is_unfetched
from tests.io.published import SUBDATASETS, Published, Shell, name_remote, publish, publish_super, published_url

BOLD = "derivative/aligned_mri/sub-01/in_bold3Tp2/sub-01_task-avmovie_run-1_bold.nii.gz"
SILENT = "aaaaaaaa-0000-4000-8000-000000000001"
STORE = "aaaaaaaa-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def silent():
    """Address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def published(tmp_path_factory, shell, silent):
    there = publish(tmp_path_factory.mktemp("published"), shell)
    for path in ("derivative/aligned_mri", "derivative/image_space_transformations", "original/phase2"):
        about = f"autoenable=true location={silent}/studyforrest/.git name=mddatasrc type=git"
        name_remote(there.origin(path), shell, SILENT, about)
    return there


@pytest.fixture
def copied(published, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(published.folder, tmp_path / "published", symlinks=True)
    return Published(tmp_path / "published")


@pytest.fixture(autouse=True)
def at_home(monkeypatch, shell):
    monkeypatch.setenv("HOME", str(shell.home))
    monkeypatch.setattr(content, "_PATIENCE", 1.0)


def asked(there: Published, dest: Path, *words: str, label: str = "01") -> list[str]:
    source = ["--source", str(there.superdataset)]
    return ["fetch", "studyforrest", str(dest), *source, *(["--participant-label", label] if label else []), *words]


def fails(capsys, arguments: list[str], code: int, message: str) -> None:
    capsys.readouterr()
    assert main(arguments) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert re.search(message, error[0]), error[0]


def here(dest: Path) -> set[str]:
    """Annexed files with content."""
    links = [path for path in dest.rglob("*") if path.is_symlink() and ".git" not in path.parts]
    return {path.relative_to(dest).as_posix() for path in links if not is_unfetched(path)}


def state(dest: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file's content and of the record."""
    paths = [dest / name for name in here(dest)] + [dest / ".neurocca/fetch.json"]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def annexed_object(origin: Path, name: str) -> Path:
    path = (origin / name).resolve()
    path.parent.chmod(0o755)
    path.chmod(0o644)
    return path


def test_only_what_is_asked_for_comes(published, tmp_path, capsys, shell):
    dest = tmp_path / "data"
    assert main(asked(published, dest)) == 0
    assert "mk_movie_stimulus.sh" in capsys.readouterr().out
    stem = "derivative/aligned_mri/sub-01/in_bold3Tp2/sub-01_task-avmovie_run"
    expected = {f"{stem}-{r}_bold{end}" for r in "123" for end in (".nii.gz", "_mcparams.txt")}
    assert here(dest) == {*expected, "derivative/image_space_transformations/sub-01/bold3Tp2/brain_mask.nii.gz"}
    assert (dest / "stimulus/curated_annotations/researchcut/locations.csv").is_file()
    # datasets that nothing was asked of are not even cloned
    cloned = {p.parent.relative_to(dest).as_posix() for p in dest.glob("*/*/.git")}
    assert cloned == {
        "derivative/aligned_mri",
        "derivative/image_space_transformations",
        "stimulus/curated_annotations",
    }
    # nothing about it looks changed, and the remote that does not answer was not touched
    assert shell(f"git -C {dest} status --porcelain") == ""
    assert "mddatasrc" not in shell(f"git -C {dest}/derivative/aligned_mri remote")
    # DataLad knows the datasets inside
    assert "derivative/aligned_mri" in shell(f"datalad -f json subdatasets -d {dest} --state present")


def test_again_moves_nothing(published, tmp_path, capsys):
    dest = tmp_path / "data"
    assert main(asked(published, dest)) == 0
    before = state(dest)
    capsys.readouterr()
    assert main(asked(published, dest)) == 0
    assert "0 B came" in capsys.readouterr().out
    assert state(dest) == before
    # what was removed comes back
    (dest / BOLD).unlink()
    assert main(asked(published, dest)) == 0
    assert BOLD in here(dest)
    # more of the same dataset adds to the record
    assert main(asked(published, dest, "--what", "bold", label="02")) == 0
    assert {name: state(dest)[name] for name in before if "fetch.json" not in name}.items() <= before.items()
    files = [item["Path"] for item in json.loads((dest / ".neurocca/fetch.json").read_text())["Files"]]
    assert {BOLD, BOLD.replace("sub-01", "sub-02")} <= set(files)


def test_the_record_says_what_is_here(published, tmp_path, shell):
    dest = tmp_path / "data"
    assert main(asked(published, dest, "--what", "bold", "aggregate")) == 0
    record = json.loads((dest / ".neurocca/fetch.json").read_text())
    assert record["Dataset"] == "studyforrest"
    datasets = {item["Path"]: item for item in record["Datasets"]}
    aligned = datasets["derivative/aligned_mri"]
    origin = published.origin("derivative/aligned_mri")
    assert aligned["Commit"] == shell(f"git -C {origin} rev-parse HEAD").strip()
    assert aligned["DatasetId"] == "c8ec2919-493b-4af5-9271-cbe9ebd08c43"
    for item in record["Files"]:
        path = dest / item["Path"]
        assert path.stat().st_size == item["Size"]
        assert item["Key"] == (path.readlink().name if path.is_symlink() else "")
    assert len(record["Files"]) == 6
    again = tmp_path / "again"
    assert main(asked(published, again, "--what", "bold", "aggregate")) == 0
    assert (again / ".neurocca/fetch.json").read_bytes() == (dest / ".neurocca/fetch.json").read_bytes()


@pytest.mark.parametrize("more", ["git commit -q --amend -m other", "git commit -q --allow-empty -m m", "true"])
@pytest.mark.parametrize("head", ["true", "git checkout -q --detach"])
def test_the_commit_that_belongs_to_it(copied, tmp_path, shell, more, head):
    origin = copied.origin("derivative/aggregate_fmri_timeseries")
    commit = shell(f"git -C {origin} rev-parse HEAD").strip()
    shell(f"cd {origin} && {more} && {head}")
    assert main(asked(copied, tmp_path / "data", "--what", "aggregate")) == 0
    clone = tmp_path / "data/derivative/aggregate_fmri_timeseries"
    assert shell(f"git -C {clone} rev-parse HEAD").strip() == commit
    assert shell(f"git -C {clone} status --porcelain") == ""


def test_a_dataset_inside_one_inside(published, tmp_path, shell):
    inner = tmp_path / "data/stimulus/curated_annotations/src/confounds"
    assert main(asked(published, tmp_path / "data", "--what", "annotations", label="")) == 0
    assert not (inner / ".git").exists()
    assert main(asked(published, tmp_path / "data", "--what", "measures", label="")) == 0
    assert (inner / "segments/avmovie/low_level/fg_seg0.tsv").is_file()
    assert shell(f"git -C {tmp_path}/data/stimulus/curated_annotations status --porcelain") == ""
    record = json.loads((tmp_path / "data/.neurocca/fetch.json").read_text())
    url = (published.folder / "studyforrest-data-confoundsannotation").as_uri()
    assert (record["Datasets"][-1]["Path"], record["Datasets"][-1]["URL"]) == (
        "stimulus/curated_annotations/src/confounds",
        url,
    )


def test_patterns_and_any_dataset(published, tmp_path, capsys):
    origin = published.origin("derivative/aligned_mri")
    dest = tmp_path / "aligned"
    words = ["--include", "sub-*/**/*task-avmovie*_bold.nii.gz", "--exclude", "*run-[23]*"]
    assert main(["fetch", str(origin), str(dest), *words]) == 0
    assert here(dest) == {f"sub-{s}/in_bold3Tp2/sub-{s}_task-avmovie_run-1_bold.nii.gz" for s in ("01", "02")}
    # patterns enter the datasets inside that they lead to
    inside = tmp_path / "inside"
    assert main(asked(published, inside, "--include", "original/phase2/sub-*/ses-movie/**/*run-2_events.tsv")) == 0
    assert here(inside) == {"original/phase2/sub-01/ses-movie/func/sub-01_ses-movie_task-movie_run-2_events.tsv"}
    assert not list(inside.glob("derivative/*/.git"))


def test_dry_run_changes_nothing(published, tmp_path, capsys):
    dest = tmp_path / "data"
    assert main(asked(published, dest, "--dry-run", "--what", "bold", "raw", label="")) == 0
    printed = capsys.readouterr().out
    assert not dest.exists()
    assert "derivative/aligned_mri: 6 files" in printed
    assert "original/phase2: 6 files" in printed
    size = (published.origin("derivative/aligned_mri") / BOLD.split("/", 2)[2]).stat().st_size
    assert re.search(rf"^ +{size}  {BOLD}$", printed, re.MULTILINE)
    assert main(asked(published, dest, "--what", "bold")) == 0
    before = state(dest)
    capsys.readouterr()
    assert main(asked(published, dest, "--dry-run", "--what", "bold", "raw")) == 0
    printed = capsys.readouterr().out
    assert state(dest) == before
    assert re.search(rf"^ +here  {BOLD}$", printed, re.MULTILINE)
    assert not (dest / "original/phase2/.git").exists()


def test_what_only_another_remote_has(copied, tmp_path, shell):
    origin = copied.origin("derivative/aligned_mri")
    store = tmp_path / "store"
    shell(f"git clone -q {origin} {store} && cd {store} && git annex init -q --no-autoenable && git annex get -q .")
    shell(f"git -C {store} push -q origin git-annex:synced/git-annex && cd {origin} && git annex merge -q")
    uuid = shell(f"git -C {store} config annex.uuid").strip()
    name_remote(origin, shell, uuid, f"autoenable=true location={store}/.git name=mirror type=git")
    shell(f"chmod -R u+w {origin}/.git/annex/objects && rm -r {origin}/.git/annex/objects")
    dest = tmp_path / "data"
    assert main(asked(copied, dest, "--what", "bold")) == 0
    assert BOLD in here(dest)


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


def test_damaged_content_is_not_used(copied, tmp_path, capsys):
    name = BOLD.split("/", 2)[2]
    damaged = annexed_object(copied.origin("derivative/aligned_mri"), name)
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:-4] + b"XXXX")
    dest = tmp_path / "data"
    fails(
        capsys, asked(copied, dest, "--what", "bold"), 65, r"run-1_bold\.nii\.gz: its content at the source is damaged"
    )
    assert is_unfetched(dest / BOLD)
    assert len(here(dest)) == 2
    damaged.write_bytes(intact)
    assert main(asked(copied, dest, "--what", "bold")) == 0
    assert (dest / BOLD).read_bytes() == intact


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
    child.send_signal(signum)
    assert child.wait() == (130 if signum == signal.SIGINT else -signal.SIGKILL)
    # what it had started ends with it
    seen = -1
    while seen != (arrived := partial.stat().st_size):
        seen = arrived
        time.sleep(1)
    assert 200_000 <= arrived < 2_000_000
    assert is_unfetched(dest / path / large.relative_to(origin))
    shell(f"git -C {clone} config --unset annex.bwlimit")
    assert main(asked(copied, dest, "--what", "bold")) == 0
    assert (clone / large.relative_to(origin)).read_bytes() == large.read_bytes()


def test_a_clone_that_was_killed_leaves_nothing_behind(published, tmp_path):
    left = tmp_path / f".data.clone-{os.uname().nodename}-999999999"
    (left / ".git").mkdir(parents=True)
    assert main(asked(published, tmp_path / "data", "--what", "aggregate")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_letting_go(published, tmp_path, capsys):
    dest = tmp_path / "data"
    assert main(asked(published, dest)) == 0
    assert main(asked(published, dest, "--what", "bold", "--drop")) == 0
    assert is_unfetched(dest / BOLD)
    assert len(here(dest)) == 4
    files = [item["Path"] for item in json.loads((dest / ".neurocca/fetch.json").read_text())["Files"]]
    assert BOLD not in files
    assert len(files) == 5
    assert main(asked(published, dest)) == 0
    assert BOLD in here(dest)


def test_the_last_copy_is_kept(copied, tmp_path, capsys):
    dest = tmp_path / "data"
    assert main(asked(copied, dest, "--what", "bold")) == 0
    annexed_object(copied.origin("derivative/aligned_mri"), BOLD.split("/", 2)[2]).unlink()
    fails(capsys, asked(copied, dest, "--what", "bold", "--drop"), 75, r"run-1_bold\.nii\.gz: its content is kept: ")
    assert here(dest) == {BOLD}


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


def test_the_environment_stays_as_it_is(published, tmp_path):
    before = dict(os.environ)
    assert main(asked(published, tmp_path / "data", "--what", "bold")) == 0
    assert dict(os.environ) == before
    assert not any(name.split(".")[0] == "datalad" for name in sys.modules)


@pytest.mark.realdata
def test_the_superdataset_is_the_published_one(studyforrest_data, shell):
    modules = studyforrest_data / "repos/studyforrest-data/gitmodules.txt"
    listed = [
        line.partition(" ") for line in shell(f"git config --file {modules} --list").replace("=", " ").splitlines()
    ]
    settings = {name: value for name, _, value in listed}
    for path, name, identifier in SUBDATASETS:
        about = f"submodule.{path}"
        assert settings[f"{about}.path"] == path
        assert settings[f"{about}.url"] == published_url(name, identifier)
        assert settings[f"{about}.datalad-id"] == identifier
        assert (f"{about}.datalad-recursiveinstall" in settings) == (not name)
    assert len([name for name in settings if name.endswith(".path")]) == len(SUBDATASETS)


@pytest.mark.realdata
def test_all_films_of_the_published_lists(studyforrest_data, tmp_path, capsys, shell):
    """A dataset whose links are those of the published file lists, without any content."""
    folder = Published(tmp_path / "published")
    lists = {
        "derivative/aligned_mri": "aligned/ANNEX_KEYS_avmovie.tsv",
        "derivative/image_space_transformations": "templatetransforms/ANNEX_KEYS_bold3Tp2.tsv",
        "original/phase2": "phase2/ANNEX_KEYS_ses-movie.tsv",
    }
    for path, name in lists.items():
        listed = (studyforrest_data / f"repos/studyforrest-data-{name}").read_text().splitlines()[1:]
        for line in listed:
            file, key, _ = line.split("\t")
            link = folder.origin(path) / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(f"{'../' * file.count('/')}.git/annex/objects/Xx/Yy/{key}/{key}")
    publish_super(folder, shell, annexed=False)
    words = ["--what", "bold", "confounds", "masks", "raw", "--dry-run"]
    assert main(asked(folder, tmp_path / "data", *words, label="")) == 0
    printed = capsys.readouterr().out
    assert "derivative/aligned_mri: 240 files, 12.08 GB, of which 12.08 GB to come" in printed
    assert "original/phase2: 120 files, 7.54 GB, of which 7.54 GB to come" in printed
    assert "derivative/image_space_transformations: 15 files" in printed
    assert (
        len(re.findall(r"^ +\d+  derivative/aligned_mri/.*_task-avmovie_run-\d_bold\.nii\.gz$", printed, re.M)) == 120
    )
    assert not (tmp_path / "data").exists()
    assert main(asked(folder, tmp_path / "data", "--what", "bold", "--dry-run", label="")) == 0
    assert "derivative/aligned_mri: 120 files, 12.08 GB" in capsys.readouterr().out

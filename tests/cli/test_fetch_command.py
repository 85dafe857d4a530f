"""``neurocca fetch`` on real DataLad datasets in the shape in which studyforrest is published."""

import json
import os
import re
import sys

import pytest

from neurocca.cli import main
from neurocca.io.annex import is_unfetched
from tests.cli.fetching import BOLD, annexed_object, asked, fails, here, state
from tests.io.published import SUBDATASETS, Published, name_remote, publish_super, published_url

pytestmark = pytest.mark.usefixtures("at_home")


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

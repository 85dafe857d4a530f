"""Files whose content was not fetched, in real DataLad datasets."""

import os
import subprocess
import sysconfig

import pytest

from neurocca.errors import ContentNotHereError, NoInputError
from neurocca.io.annex import check_here, get_command, is_unfetched
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from tests.io import trees


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Run a shell command as somebody with DataLad installed and no network would."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\nname = A Tester\nemail = tester@example.org\n[init]\ndefaultBranch = main\n"
    )
    environment = {
        "HOME": str(home),
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "DATALAD_UI_PROGRESSBAR": "none",
        "GIT_TERMINAL_PROMPT": "0",
    }

    def run(command: str) -> str:
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def clone(tmp_path_factory, shell):
    """Clone of a dataset in which content is tracked by git-annex and descriptions by git."""
    folder = tmp_path_factory.mktemp("annex")
    trees.raw(folder / "origin", runs="12")
    trees.aligned(folder / "origin/aligned tree", runs="1")
    annexed = "annex.largefiles=((include=*.nii.gz)or(include=*.txt)or(include=sub-*.tsv))"
    shell(
        f"cd {folder}/origin && git init -q && git annex init -q && git -c {annexed!r} annex add -q . && "
        f"git commit -qm data && git clone -q . ../clone && cd ../clone && git annex init -q"
    )
    return folder / "clone"


def command_of(error: pytest.ExceptionInfo) -> str:
    assert error.value.exit_code == 75
    assert "\n" not in str(error.value)
    return str(error.value).split("get it with: ")[1]


def test_the_command_that_is_named_fetches_what_is_missing(clone, shell):
    bold = clone / "sub-01/func/sub-01_task-film_run-1_bold.nii.gz"
    assert bold.is_symlink()
    with pytest.raises(
        ContentNotHereError, match=r"run-1_bold\.nii\.gz: its content and that of 3 other files is not"
    ) as e:
        find_recordings(clone)
    shell(command_of(e))
    (found,) = find_recordings(clone)
    assert [run.onset for run in found.runs] == [4.0, 4.0]
    tree = clone / "aligned tree"
    with pytest.raises(
        ContentNotHereError, match=r"datalad get 'aligned tree/sub-01/in_bold3Tp2/.*mcparams\.txt'"
    ) as e:
        find_recordings(tree, Query(task="avmovie"))
    shell(command_of(e))
    assert find_recordings(tree, Query(task="avmovie"))[0].runs[0].confounds_kind == "fsl"


def test_unlocked_files_without_content(clone, shell):
    mask = clone / "aligned tree/sub-01/in_bold3Tp2/sub-01_task-retmapexp_run-1_bold.nii.gz"
    shell(f"cd {clone} && git annex unlock -q '{mask}'")
    assert not mask.is_symlink()
    assert is_unfetched(mask)
    with pytest.raises(ContentNotHereError, match="datalad get"):
        check_here([mask])
    shell(get_command([mask]))
    check_here([mask])


def test_a_sidecar_without_content_is_fetched_for_its_repetition_time(tmp_path):
    root = trees.raw(tmp_path, runs="1")
    trees.volume(root / "sub-01/func/sub-01_task-film_run-1_bold.nii.gz", t_r=None)
    sidecar = root / "sub-01/func/sub-01_task-film_run-1_bold.json"
    sidecar.symlink_to("../../.git/annex/objects/x1/y2/MD5E-s9--0.json/MD5E-s9--0.json")
    # what is said elsewhere is enough
    assert find_recordings(root)[0].t_r == 2.0
    (root / "task-film_bold.json").unlink()
    with pytest.raises(ContentNotHereError, match=r"run-1_bold\.json: .* nothing else says the repetition time"):
        find_recordings(root)
    assert find_recordings(root, t_r=2.0)[0].t_r == 2.0


def test_other_dead_links_are_not_for_datalad(tmp_path):
    dead = tmp_path / "dead.nii.gz"
    dead.symlink_to("nowhere.nii.gz")
    with pytest.raises(NoInputError, match=r"dead\.nii\.gz: a link that leads nowhere") as error:
        check_here([dead])
    assert error.value.exit_code == 66
    with pytest.raises(NoInputError, match="no such file"):
        check_here([tmp_path / "absent"])


def test_one_command_for_every_dataset(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / ".git").mkdir(parents=True)
    paths = [tmp_path / "a/x/1.nii", tmp_path / "b/2.nii", tmp_path / "a/3.nii"]
    assert get_command(paths) == (
        f"cd {tmp_path}/a && datalad get x/1.nii 3.nii && cd {tmp_path}/b && datalad get 2.nii"
    )

"""studyforrest as it is published, small: a superdataset and real DataLad datasets in it, with files of a few bytes."""

import os
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from neurocca.io.fetch_choice import STUDYFORREST
from tests.io import trees

GITHUB = "https://github.com/psychoinformatics-de/"
PRIVATE = "http://studyforrest.ds.inm7.de/"
# path, name of the repository on GitHub (or of the private store), identifier
SUBDATASETS = (
    ("artifact/7T_audiomovie", "", "d4759300-5563-467d-be5f-e5b164fb3060"),
    ("artifact/3T_movie_eyetracking", "", "d5dd3da0-a631-4c0c-a4a9-de55dfc4620f"),
    ("artifact/3T_visuallocalizer", "", "6075c0fa-ab72-4bab-9888-3b597f0e63b1"),
    ("derivative/aggregate_fmri_timeseries", "aggregate", "7fcd8812-d0fe-11e7-8db2-a0369f7c647e"),
    ("derivative/aligned_mri", "aligned", "c8ec2919-493b-4af5-9271-cbe9ebd08c43"),
    ("artifact/3T_structural_mri", "", "ad9b6c66-4413-4b4f-b6da-b7f25d0d6397"),
    ("artifact/movie_eyetracking", "", "126cd950-377c-4600-a921-045cf408bd9f"),
    ("artifact/media", "", "da15d84c-9c8b-11e9-a3fb-f0d5bf7b5561"),
    ("artifact/7T_musicperception", "", "c08af312-e05b-43b3-b499-db0d2ad46bf6"),
    ("original/7T_multiresolution_fmri", "multires7t", "3a8648b3-7df8-413f-8efb-4d39040ac174"),
    ("original/3T_multiresolution_fmri", "multires3t", "5b1081d6-84d7-11e8-b00a-a0369fb55db0"),
    ("stimulus/curated_annotations", "annotations", "45b9ab26-07fc-11e8-8c71-f0d5bf7b5561"),
    ("stimulus/computational_annotations", "", "4c536c4a-ec61-11e6-9440-00b56d060aa7"),
    ("derivative/cortical_surfaces_freesurfer", "freesurfer", "3304e775-5f5f-435a-b68e-d98c9f5fb72a"),
    ("code/conversion_qa", "gumpdata", "0f66b1ba-e9a9-46fd-b9d9-2e64fe94d307"),
    ("original/phase2", "phase2", "5eaff716-54eb-11e8-803d-a0369f7c647e"),
    ("derivative/retinotopic_maps", "retinotopy", "2d05f277-94b0-470b-8e11-4e56691d5b89"),
    ("original/3T_structural_mri", "structural", "1882e2e6-fbbf-4ade-a65f-3a1615235f51"),
    ("derivative/image_space_transformations", "templatetransforms", "ceb007ac-ef05-4392-98d2-35c02a774a21"),
    ("derivative/visual_areas", "visualrois", "92e65958-4a5a-4c34-a4f4-ee070f7a123b"),
)
ANNEXED = "annex.largefiles=((include=*.nii.gz)or(include=*.txt)or(include=sub-*.json)or(include=sub-*.tsv))"


def published_url(name: str, identifier: str) -> str:
    """Address in the published ``.gitmodules``."""
    if name == "gumpdata":
        return "https://github.com/mih/gumpdata.git"
    return f"{GITHUB}studyforrest-data-{name}.git" if name else f"{PRIVATE}{identifier[:3]}/{identifier[3:]}"


@dataclass
class Shell:
    """Runs commands as somebody with git-annex and an identity, and nothing else, would."""

    home: Path

    def __post_init__(self) -> None:
        text = "[user]\nname = A Tester\nemail = tester@example.org\n[init]\ndefaultBranch = main\n"
        # git-annex would not even try servers on this machine
        text += '[annex "security"]\nallowed-ip-addresses = all\n'
        trees.text(self.home / ".gitconfig", text)

    def __call__(self, command: str) -> str:
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        environment = {"HOME": str(self.home), "PATH": path, "DATALAD_UI_PROGRESSBAR": "none"}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@dataclass
class Published:
    """Where the datasets lie."""

    folder: Path

    @property
    def superdataset(self) -> Path:
        return self.folder / "studyforrest-data"

    def origin(self, path: str) -> Path:
        """Origin of the subdataset of a path."""
        return self.folder / next(f"studyforrest-data-{name}" for of, name, _ in SUBDATASETS if of == path)


def publish(folder: Path, shell: Shell) -> Published:
    """Make superdataset and subdatasets."""
    there = Published(folder)
    aligned = there.origin("derivative/aligned_mri")
    masks = there.origin("derivative/image_space_transformations")
    aggregate = there.origin("derivative/aggregate_fmri_timeseries")
    raw = there.origin("original/phase2")
    annotations = there.origin("stimulus/curated_annotations")
    for number, label in enumerate(("01", "02")):
        for run in "123":
            stem = f"sub-{label}/in_bold3Tp2/sub-{label}_task-avmovie_run-{run}_bold"
            trees.volume(aligned / f"{stem}.nii.gz", seed=10 * number + int(run))
            rows = [" ".join(f"{10 * number + int(run) + i / 7 + j:.3f}" for j in range(6)) for i in range(6)]
            trees.text(aligned / f"{stem}_mcparams.txt", "\n".join(rows))
            stem = f"sub-{label}/ses-movie/func/sub-{label}_ses-movie_task-movie_run-{run}"
            trees.volume(raw / f"{stem}_bold.nii.gz", seed=50 + 10 * number + int(run))
            trees.text(raw / f"{stem}_bold.json", f'{{"RepetitionTime": 2.0, "Run": {number}{run}}}')
            trees.text(raw / f"{stem}_events.tsv", f"onset\tduration\n{number}.{run}\t1\n")
            parcels = f"sub-{label}/shen_fconn/sub-{label}_task-avmovie_run-{run}_bold.csv"
            trees.text(aggregate / parcels, f"1,2\n{number},{run}\n")
        trees.volume(
            aligned / f"sub-{label}/in_bold3Tp2/sub-{label}_task-retmapexp_run-1_bold.nii.gz", seed=90 + number
        )
        trees.mask(masks / f"sub-{label}/bold3Tp2/brain_mask.nii.gz", shape=(3, 3, 3 + number))
    trees.text(raw / "task-movie_bold.json", '{"RepetitionTime": 2.0}')
    trees.text(annotations / "researchcut/locations.csv", "time,place\n0,street\n")
    _measures_inside(annotations, there.folder / "studyforrest-data-confoundsannotation", shell)
    publish_super(there, shell)
    return there


def publish_super(there: Published, shell: Shell, *, annexed: bool = True) -> None:
    """Make datasets of the folders that are there, and the superdataset that names all; git-annex is for content."""
    for path, name, identifier in SUBDATASETS:
        if (origin := there.origin(path)).is_dir() and name:
            _dataset(origin, identifier, shell, annexed=annexed and name != "annotations")
    modules, links = [], []
    for path, name, identifier in SUBDATASETS:
        # those that are not made here are as dead as the private ones are for everybody; the folder can be copied
        url = f"../{there.origin(path).name}" if name else published_url(name, identifier)
        skip = "" if name else "\tdatalad-recursiveinstall = skip\n"
        modules.append(
            f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n\tdatalad-id = {identifier}\n'
            f'\tdatalad-url = "ria+http://studyforrest.ds.inm7.de#{identifier}"\n{skip}'
        )
        made = name and there.origin(path).is_dir()
        commit = shell(f"git -C {there.origin(path)} rev-parse HEAD").strip() if made else "1" * 40
        links.append(f"git update-index --add --cacheinfo 160000,{commit},{path}")
    trees.text(there.superdataset / ".gitmodules", "".join(modules))
    trees.text(there.superdataset / "README.md", "The studyforrest superdataset\n")
    _dataset(there.superdataset, STUDYFORREST, shell, annexed=annexed, more=" && ".join(links))


def _measures_inside(annotations: Path, measures: Path, shell: Shell) -> None:
    """The dataset of the film's measures, which that of the annotations names."""
    trees.text(measures / "segments/avmovie/low_level/fg_seg0.tsv", "luminance\n1\n")
    _dataset(measures, "c0ffee00-0000-11e8-8c71-f0d5bf7b5561", shell, annexed=False)
    inside = f"path = src/confounds\n\turl = ../{measures.name}"
    trees.text(annotations / ".gitmodules", f'[submodule "confounds"]\n\t{inside}\n')
    commit = shell(f"git -C {measures} rev-parse HEAD").strip()
    (annotations / "src/confounds").mkdir(parents=True)
    shell(f"cd {annotations} && git init -q && git update-index --add --cacheinfo 160000,{commit},src/confounds")


def _dataset(root: Path, identifier: str, shell: Shell, *, annexed: bool, more: str = "true") -> None:
    trees.text(root / ".datalad/config", f'[datalad "dataset"]\n\tid = {identifier}\n')
    annex = f"git annex init -q --no-autoenable here && git -c {ANNEXED!r} annex add -q ." if annexed else "git add ."
    shell(f"cd {root} && git init -q && {annex} && git add . && {more} && git commit -qm data")


def name_remote(root: Path, shell: Shell, uuid: str, about: str) -> None:
    """Name a special remote in a dataset, as `git annex initremote` would where the remote answers."""
    line = f"{uuid} {about} timestamp=1681400000.0s"
    shell(
        f"cd {root} && export GIT_INDEX_FILE={root}/.git/index-remotes && git read-tree git-annex && "
        f"log=$( (git show git-annex:remote.log 2>/dev/null; echo '{line}') | git hash-object -w --stdin) && "
        f"git update-index --add --cacheinfo 100644,$log,remote.log && "
        f"git update-ref refs/heads/git-annex $(git commit-tree -p git-annex -m remote $(git write-tree))"
    )

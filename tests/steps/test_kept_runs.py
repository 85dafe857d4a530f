"""Cleaned runs in the work directory: used where nothing has changed, made anew where anything has, never trusted."""

import functools
import json
import logging
import os
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.config import Config
from neurocca.io.cleaned import RunCache
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.store import FeatureStore
from neurocca.steps.analysis import analyse
from neurocca.steps.assemble import assemble
from tests import planted
from tests.conftest import results_of

N_VOLUMES = 60
"""Of a run: four runs hold fewer volumes than there are voxels."""

CONFIG = """
[align]
fd_threshold = 1.0
[fit]
n_components = 2
shrinkage_x = [0.1]
shrinkage_y = [0.1, 0.5]
[inference]
n_permutations = 19
"""
PREP = "derivatives/fmriprep"
FUNC = f"{PREP}/sub-01/func/sub-01_task-film_run-2"
VOLUME = f"{FUNC}_space-MNI152NLin2009cAsym_res-2"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planted, "N_VOLUMES", N_VOLUMES)
        planted.write_fmriprep(folder / "raw", planted.simulate(folder / "features.h5"))
    (folder / "config.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def own(dataset, tmp_path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(dataset, tmp_path / "own")


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in results_of(folder)}


def command(folder: Path, out: Path, *options: str) -> list[str]:
    files = ("--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml"))
    space = ("--space", "MNI152NLin2009cAsym")
    return [str(folder / "raw"), str(out), "participant", *files, *space, *options]


def record_of(out: Path) -> dict:
    (path,) = out.glob("sub-01/func/sub-01_task-film*_desc-cca_decomposition.json")
    return json.loads(path.read_text())


def assembled(folder: Path, cache: Path | None, **align):
    """The design of the volumes, and the names of the files that are kept."""
    config = Config.from_dict({"align": {"fd_threshold": 1.0, **align}})
    (recording,) = find_recordings(folder / "raw", Query(space="MNI152NLin2009cAsym"))
    with FeatureStore(folder / "features.h5") as store:
        found = assemble(recording, store, config, cache=None if cache is None else RunCache(cache))
    return found, set() if cache is None else {path.name for path in cache.iterdir()}


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(sides(first), sides(second), strict=True)) and first.qc == second.qc


def sides(found) -> tuple:
    return found.design.X, found.design.Y, found.design.kept, found.responses


def test_a_second_call_takes_what_was_kept_and_writes_the_same_bytes(dataset, tmp_path, capfd):
    one = ("--n-components", "1")  # what is cleaned does not depend on them
    call = command(dataset, tmp_path / "out", "-w", str(tmp_path / "work"), "-v", *one)
    assert main(call) == 0
    assert "cleaned BOLD is that of" not in capfd.readouterr().err
    first, kept = tree_of(tmp_path / "out"), {p: p.stat().st_mtime_ns for p in (tmp_path / "work/cleaned").iterdir()}
    assert len(kept) == planted.N_RUNS
    shutil.rmtree(tmp_path / "out")
    assert main(call) == 0
    messages = capfd.readouterr().err
    for run in planted.RUNS:
        assert f"sub-01 run {run}: cleaned BOLD is that of {tmp_path / 'work/cleaned/run-'}" in messages
    assert tree_of(tmp_path / "out") == first
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    shutil.rmtree(tmp_path / "out")
    # without a work directory, nothing is kept, to the same end
    assert main(command(dataset, tmp_path / "out", *one)) == 0
    plain = tree_of(tmp_path / "out")
    assert plain.keys() == first.keys()
    assert [path for path in plain if plain[path] != first[path]] == [
        path for path in plain if b"--work-dir" in first[path] or b" -w " in first[path]
    ]


def test_content_counts_and_not_names_or_times(dataset, own, tmp_path):
    found, names = assembled(dataset, tmp_path / "work")
    for path in (own / "raw").rglob("*"):
        os.utime(path, (0, 0))
    again, same_names = assembled(own, tmp_path / "work")
    assert names == same_names
    assert same(found, again)


def rewrite(path: Path, change) -> None:
    image = nib.load(path)
    data = np.asarray(image.dataobj).copy()
    change(data)
    nib.Nifti1Image(data, image.affine, image.header).to_filename(path)


def bold(folder: Path) -> None:
    rewrite(folder / f"raw/{VOLUME}_desc-preproc_bold.nii.gz", lambda data: data.__setitem__((5, 5, 4, 7), 1000))


def mask(folder: Path) -> None:
    # that the runs' masks have in common is analysed: a voxel less
    rewrite(folder / f"raw/{VOLUME}_desc-brain_mask.nii.gz", lambda data: data.__setitem__((5, 5, 4), 0))


def confounds(folder: Path) -> None:
    path = folder / f"raw/{FUNC}_desc-confounds_timeseries.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[9, "trans_x"] += 0.1
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")


@pytest.mark.parametrize(("change", "n_new"), [(bold, 1), (confounds, 1), (mask, 4)])
def test_changed_inputs_are_cleaned_anew(dataset, own, tmp_path, change, n_new):
    _, before = assembled(dataset, tmp_path / "work")
    change(own)
    found, after = assembled(own, tmp_path / "work")
    assert len(after - before) == n_new
    assert same(found, assembled(own, None)[0])
    assert not same(found, assembled(dataset, None)[0])


@pytest.mark.parametrize(
    "align",
    [
        {"confounds": ["motion24"]},
        {"high_pass": 90.0},
        {"low_pass": 5.0},
        {"drift": "polynomial:2"},
        {"fd_threshold": 1.5},
        {"dvars_threshold": 1.3},
        {"standardize_bold": "psc"},
        {"trim": [4, 4]},
        {"smoothing_fwhm": 8.0},
        {"atlas": "atlas.nii.gz"},
    ],
    ids=str,
)
def test_changed_options_are_cleaned_anew(dataset, tmp_path, align):
    align = {name: str(dataset / value) if name == "atlas" else value for name, value in align.items()}
    _, before = assembled(dataset, tmp_path / "work")
    found, after = assembled(dataset, tmp_path / "work", **align)
    assert len(after - before) == planted.N_RUNS
    assert same(found, assembled(dataset, None, **align)[0])
    assert same(found, assembled(dataset, tmp_path / "work", **align)[0])
    # what only the film's side depends on, or the fit
    assert assembled(dataset, tmp_path / "work", **align, response="delays", standardize="run")[1] == after


def test_another_atlas_of_the_same_name_is_another(dataset, own, tmp_path):
    path = str(own / "atlas.nii.gz")
    _, before = assembled(own, tmp_path / "work", atlas=path)
    rewrite(own / "atlas.nii.gz", lambda data: data.__setitem__((5, 5, 4), 0))
    found, after = assembled(own, tmp_path / "work", atlas=path)
    assert len(after - before) == planted.N_RUNS
    assert same(found, assembled(own, None, atlas=path)[0])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other(path: Path) -> None:
    """The run of another key, whole in itself."""
    path.write_bytes(next(p for p in sorted(path.parent.iterdir()) if p != path).read_bytes())


def flipped(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [half, empty, other, *(functools.partial(flipped, place=p) for p in (0, 0.5, 0.8, 0.95))]
)
def test_damaged_files_are_made_anew(dataset, tmp_path, caplog, damage):
    whole, names = assembled(dataset, tmp_path / "work")
    path = tmp_path / "work" / sorted(names)[0]
    content = path.read_bytes()
    damage(path)
    with caplog.at_level(logging.WARNING):
        found, after = assembled(dataset, tmp_path / "work")
    assert f"{path}: is damaged, and made anew." in caplog.messages
    assert same(found, whole)
    assert after == names
    assert path.read_bytes() == content


def test_a_full_disk_is_one_line_and_leaves_nothing(dataset, tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[0][1]))
    try:
        code = main(command(dataset, tmp_path / "out", "-w", str(tmp_path / "work")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[0])
        signal.signal(signal.SIGXFSZ, before[1])
    error = capsys.readouterr().err.strip().splitlines()
    assert code == 73
    assert len(error) == 1
    assert f"output {tmp_path / 'work/cleaned'}: cannot be written: File too large" in error[0]
    assert tree_of(tmp_path) == {}


def maps(out: Path, name: str) -> np.ndarray:
    (path,) = (out / "sub-01/func").glob(f"*{name}.nii.gz")
    return nib.load(path).get_fdata()


def test_coordinates_give_what_all_columns_give(dataset):
    config = Config.from_toml(dataset / "config.toml")
    (recording,) = find_recordings(dataset / "raw", Query(space="MNI152NLin2009cAsym"))
    with FeatureStore(dataset / "features.h5") as store:
        wide = assemble(recording, store, config)
    assert wide.wide is not None
    columns = replace(wide.design, Y=wide.wide.all_columns(), y_names=wide.responses)
    usual, found = (analyse(recording, of, config) for of in (replace(wide, design=columns, wide=None), wide))
    for one, other in zip(usual.decomposition["Components"], found.decomposition["Components"], strict=True):
        for name in one:
            assert other[name] == pytest.approx(one[name], abs=2e-6), name
        assert (one["PValueHeldOut"], one["PValueInSample"]) == (other["PValueHeldOut"], other["PValueInSample"])
    assert usual.decomposition["Shrinkage"]["PerFold"] == found.decomposition["Shrinkage"]["PerFold"]
    sides = ("bold_variates", "stimulus_variates", "held_out_bold", "held_out_stimulus")
    for name in ("response_loadings", "cross_loadings", *sides, "null", "held_out_null"):
        np.testing.assert_allclose(getattr(found, name), getattr(usual, name), atol=1e-5)


@pytest.mark.parametrize("atlas", [(), ("--atlas", "atlas.nii.gz")])
def test_low_memory_gives_the_same_bytes(dataset, tmp_path, monkeypatch, atlas):
    monkeypatch.chdir(dataset)
    assert main(command(dataset, tmp_path / "out", *atlas)) == 0
    assert main(command(dataset, tmp_path / "low", *atlas, "--low-mem", "-w", str(tmp_path / "work"))) == 0
    usual, low = tree_of(tmp_path / "out"), tree_of(tmp_path / "low")
    assert usual.keys() == low.keys()
    assert [path for path in usual if usual[path] != low[path]] == [path for path in usual if b"--low-mem" in low[path]]


def test_low_memory_takes_standardised_series(dataset, tmp_path, capsys):
    (tmp_path / "config.toml").write_text('[align]\nstandardize_bold = "psc"\n')
    call = command(dataset, tmp_path / "out", "--low-mem", "-w", str(tmp_path / "work"))
    assert main([*call, "--config-file", str(tmp_path / "config.toml")]) == 64
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "--low-mem takes align.standardize_bold='zscore', not 'psc'" in error[0]
    assert not (tmp_path / "out").exists()


def test_smoothing_is_written_down(dataset, tmp_path):
    (tmp_path / "config.toml").write_text("[fit]\nn_components = 1\nshrinkage_x = [0.1]\nshrinkage_y = [0.5]\n")
    quick = ("--config-file", str(tmp_path / "config.toml"), "--n-permutations", "19")
    assert main(command(dataset, tmp_path / "out", *quick, "--smoothing-fwhm", "9.5")) == 0
    assert record_of(tmp_path / "out")["Alignment"]["SmoothingFWHM"] == 9.5
    sidecars = [p.with_name(p.name.replace(".nii.gz", ".json")) for p in (tmp_path / "out").rglob("*.nii.gz")]
    assert [json.loads(path.read_text())["SmoothingFWHM"] for path in sidecars] == [9.5] * 3
    (page,) = (path.read_text() for path in (tmp_path / "out").glob("sub-01_task-film*.html"))
    assert "Volumes were smoothed with a Gaussian of 9.5 mm full width at half maximum." in page


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--atlas", "atlas.nii.gz"), "means of an atlas"),
        (("--space", "fsaverage5"), "surfaces (GIFTI)"),
        (("--space", "fsLR"), "CIFTI"),
    ],
)
def test_only_voxels_are_smoothed(dataset, tmp_path, capsys, options, kind):
    options = [str(dataset / option) if option.endswith(".gz") else option for option in options]
    assert main(command(dataset, tmp_path / "out", *options, "--smoothing-fwhm", "6")) == 64
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert f"smoothing goes with voxels of volumes (NIfTI), not with {kind}" in error[0]
    assert not (tmp_path / "out").exists()

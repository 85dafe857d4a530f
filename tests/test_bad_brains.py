"""Damaged BOLD through the real command: one line that names what is wrong, the right code, nothing written."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.config import Config
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.store import FeatureStore
from neurocca.steps.assemble import assemble
from tests import planted

CONFIG = """
[align]
trim = [4, 4]
[fit]
n_components = 1
shrinkage_x = [0.1]
shrinkage_y = [0.5]
[inference]
n_permutations = 19
"""
PREP = Path("raw/derivatives/fmriprep")
RUN = PREP / "sub-01/func/sub-01_task-film_run-2"
VOLUMES = Path(f"{RUN}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz")
SIDECAR = VOLUMES.with_name(VOLUMES.name.replace(".nii.gz", ".json"))
MASK = VOLUMES.with_name(VOLUMES.name.replace("preproc_bold", "brain_mask"))
CONFOUNDS = Path(f"{RUN}_desc-confounds_timeseries.tsv")
EVENTS = Path("raw/sub-01/func/sub-01_task-film_run-2_events.tsv")
SURFACE = Path(f"{RUN}_hemi-L_space-fsaverage5_bold.func.gii")
DENSE = Path(f"{RUN}_space-fsLR_den-91k_bold.dtseries.nii")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset with nothing wrong."""
    folder = tmp_path_factory.mktemp("whole")
    planted.write_fmriprep(folder / "raw", planted.simulate(folder / "features.h5"))
    (folder / "config.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def dataset(whole, tmp_path, monkeypatch):
    """A copy to damage, which is the working directory."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*options, space="MNI152NLin2009cAsym"):
    options = ("--features", "features.h5", "--config-file", "config.toml", "--space", space, *options)
    return main(["raw", "out", "participant", "-d", f"fmriprep={PREP}", *options])


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def image(path, change, move=0.0):
    old = nib.load(path)
    affine = old.affine + np.eye(4) * [move, 0, 0, 0]
    nib.Nifti1Image(change(old.get_fdata()).astype(np.float32), affine, old.header).to_filename("new.nii.gz")
    os.replace("new.nii.gz", path)


def table(path, change):
    change(pd.read_csv(path, sep="\t")).to_csv(path, sep="\t", index=False, na_rep="n/a")


def shorten(n):
    image(VOLUMES, lambda data: data[..., :n])
    table(CONFOUNDS, lambda rows: rows[:n])


def move(*runs):
    for run in runs:
        path = CONFOUNDS.with_name(CONFOUNDS.name.replace("run-2", f"run-{run}"))
        table(path, lambda rows: rows.assign(framewise_displacement=3.0))


def link(path, target):
    path.unlink()
    path.symlink_to(target)


def events(*rows):
    EVENTS.write_text("\n".join(["onset\tduration\tstim_file", *rows]) + "\n")


DAMAGE = {
    "half an image": (lambda: halve(VOLUMES), 65, "run-2.*cannot be read: Compressed file ended"),
    "another byte": (lambda: flip(VOLUMES), 65, "run-2.*cannot be read"),
    "no content": (lambda: VOLUMES.write_bytes(b""), 65, "run-2.*cannot be read: Empty file"),
    "no image": (lambda: VOLUMES.write_text("hello"), 65, "run-2.*not a gzip file"),
    "one volume": (lambda: image(VOLUMES, lambda x: x[..., 0]), 65, r"has shape \(10, 11, 8\), but 4 dim"),
    "another shape": (lambda: image(VOLUMES, lambda x: x[1:]), 65, r"run-2.*\(9, 11, 8\).*run-1.*\(10, 11, 8\)"),
    "another place": (lambda: image(VOLUMES, lambda x: x, 1), 65, "run-2.*5 x 6 x 6 mm.*run-1.*6 x 6 x 6 mm"),
    "a mask's shape": (lambda: image(MASK, lambda x: x[1:]), 65, r"mask.*\(9, 11, 8\).*run-1.*\(10, 11, 8\)"),
    "a mask's place": (lambda: image(MASK, lambda x: x, 1), 65, "mask.*5 x 6 x 6 mm.*run-1.*6 x 6 x 6 mm"),
    "an empty mask": (lambda: image(MASK, lambda x: 0 * x), 65, "mask.*run-2.*no voxel is inside"),
    "masks apart": (lambda: image(MASK, lambda x: 1 - x), 65, "masks.*run-1.*run-2"),
    "another TR": (lambda: SIDECAR.write_text('{"RepetitionTime": 1.5}'), 65, r"sidecar.*1\.5 s, the header.*2\.0 s"),
    "no TR": (lambda: SIDECAR.write_text('{"RepetitionTime": 0}'), 65, "RepetitionTime is 0; seconds are expected"),
    "half a sidecar": (lambda: halve(SIDECAR), 65, "run-2.*not valid JSON"),
    "fewer confounds": (lambda: table(CONFOUNDS, lambda x: x[:-3]), 65, "147 rows of confounds for 150 volumes"),
    "a gap": (lambda: table(CONFOUNDS, lambda x: x.assign(rot_x=x.rot_x.mask(x.index == 9))), 65, "'rot_x'.* line 11"),
    "no parameters": (lambda: table(CONFOUNDS, lambda x: x.drop(columns="rot_z")), 65, "no column 'rot_z'"),
    "no confounds": (CONFOUNDS.unlink, 65, "no confounds for run 2, which other runs have.*--confounds none"),
    "three volumes": (lambda: shorten(3), 65, "run 2:.*of 3 volumes"),
    "twenty volumes": (lambda: shorten(20), 65, r"features end at 300\.0 s, but the run's volumes end at 40\.0 s"),
    "a bad run": (lambda: move(2), 65, "run-2.*all 150 volumes are censored"),
    "bad runs": (lambda: move(1, 2, 3, 4), 65, "run-1.*all 150 volumes are censored"),
    "events by chance": (lambda: events("50\t9\ta.mp4", "0\t9\ta.mp4"), 65, "run-2_events.*line 3"),
    "events at once": (lambda: events("0\t90\ta.mp4", "50\t90\ta.mp4"), 65, "run-2_events.*overlap"),
    "two films": (lambda: events("0\t9\ta.mp4", "50\t9\tb.mp4"), 65, "2 films in one run"),
    "no onset": (lambda: events("n/a\t9\ta.mp4"), 65, r"when a\.mp4 began is not said"),
    "a late film": (lambda: events("900\t9\ta.mp4"), 65, r"features end at 1200\.0 s"),
    "bytes": (lambda: EVENTS.write_bytes(bytes(range(256))), 65, "run-2_events.*not a readable table"),
    "no annex": (lambda: link(VOLUMES, ".git/annex/objects/a/b/MD5E-s1--c/MD5E-s1--c"), 75, "datalad get sub-01_task"),
    "a broken link": (lambda: link(VOLUMES, "/nowhere/bold.nii.gz"), 66, "a link that leads nowhere"),
    "constant": (lambda: image(VOLUMES, lambda x: 0 * x + 7), 65, "every column .* is constant or missing in run 2"),
    "not a number": (
        lambda: image(VOLUMES, lambda x: x * np.nan),
        65,
        "every column .* is constant or missing in run 2",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(dataset, capsys, name):
    damage, code, message = DAMAGE[name]
    damage()
    assert command("--fd-threshold", "2.9") == code
    *_, line = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert line.startswith("neurocca: error: ")
    assert not [path for path in Path("out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("space", "damage", "message"),
    [
        ("fsaverage5", lambda: halve(SURFACE), "hemi-L.*cannot be read"),
        ("fsaverage5", SURFACE.unlink, "hemi-R.*the other hemisphere is missing"),
        ("fsLR", lambda: halve(DENSE), "dtseries.*cannot be read"),
    ],
)
def test_other_kinds_are_damaged_too(dataset, capsys, space, damage, message):
    damage()
    assert command(space=space) == 65
    assert re.search(message, capsys.readouterr().err.splitlines()[-1])


EACH_SHUT = """
import sys
from pathlib import Path
from neurocca.cli import main
for path in map(Path, sys.argv[1].split()):
    mode = path.stat().st_mode
    path.chmod(0)
    print(main(sys.argv[2:]), flush=True)
    path.chmod(mode)
"""


def test_files_that_may_not_be_read_are_named(dataset):
    paths = [VOLUMES, SIDECAR, MASK, CONFOUNDS, EVENTS, Path("features.h5"), Path("atlas.nii.gz")]
    # root may read them all the same, unless that right is taken away
    bare = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"] if os.geteuid() == 0 else []
    call = ["raw", "out", "participant", "-d", f"fmriprep={PREP}", "--mask", "atlas.nii.gz"]
    call += ["--features", "features.h5", "--space", "MNI152NLin2009cAsym", "--dry-run"]
    each = [sys.executable, "-c", EACH_SHUT, " ".join(map(str, paths)), *call]
    done = subprocess.run([*bare, *each], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["66"] * len(paths)
    said = [line for line in done.stderr.splitlines() if line.startswith("neurocca: error: ")]
    for path, line in zip(paths, said, strict=True):
        assert re.search(f"{re.escape(path.name)}: cannot be read.*ermission denied", line), line


def test_events_without_a_row_name_no_film(dataset, capsys):
    events()
    assert command("--dry-run") == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "no events name the film of run 2" in said


def test_results_of_other_options_are_not_replaced_in_silence(dataset, capsys):
    half = nib.load("atlas.nii.gz")
    for name, side in (("left", slice(0, 5)), ("right", slice(5, 10))):
        region = np.zeros(half.shape, np.uint8)
        region[side] = 1
        nib.Nifti1Image(region, half.affine).to_filename(f"{name}.nii.gz")
    assert command("--mask", "left.nii.gz") == 0
    assert "replaced" not in capsys.readouterr().err
    assert command("--mask", "right.nii.gz", "--random-seed", "1") == 0
    assert "with another align.mask, inference.seed are replaced" in capsys.readouterr().err


def test_confounds_that_parcels_do_not_need_are_said_to_be_left(dataset, capsys):
    planted.write_xcpd(Path("xcpd"), planted.simulate(Path("again.h5")))
    options = ("-d", "raw=raw", "--features", "features.h5", "--dry-run", "--confounds")
    for name, said in (("motion24", True), ("motion6", False), ("none", False)):
        assert main(["xcpd", "out", "participant", *options, name]) == 0
        assert ("parcels are cleaned already: no confounds (motion24)" in capsys.readouterr().err) == said


def test_the_lag_is_that_of_the_time_that_sidecars_say(dataset):
    """They say the middle of the volume, which is the default where they say nothing."""
    (recording,) = find_recordings(Path("raw"), Query(derivatives={"fmriprep": PREP}, space="MNI152NLin2009cAsym"))
    tables = tomllib.loads(CONFIG)
    with FeatureStore(Path("features.h5")) as store:
        curves = [
            assemble(recording, store, Config.from_dict({**tables, "align": {"slice_reference": part}})).lag
            for part in (0.5, 0.0)
        ]
    np.testing.assert_array_equal(curves[0].correlations, curves[1].correlations)


def test_a_missing_run_is_left_out_or_ends_it_all(dataset, capsys):
    VOLUMES.unlink()
    assert command("--stop-on-first-crash") == 65
    assert "sub-01 has no BOLD for run 2" in capsys.readouterr().err
    assert command() == 0
    assert "sub-01 has no BOLD for run 2" in capsys.readouterr().err
    (path,) = Path("out").rglob("*_desc-cca_decomposition.json")
    record = json.loads(path.read_text())
    assert [run["Run"] for run in record["Runs"]] == ["1", "3", "4"]


def test_a_run_that_is_not_asked_for_is_not_missing(dataset, capsys):
    strict = ("--stop-on-first-crash", "--dry-run", "--run-label")
    assert command(*strict, "run-1", "2", "3") == 0
    assert capsys.readouterr().err == ""
    VOLUMES.unlink()
    assert command(*strict, "1", "2", "3", "4") == 65
    assert "sub-01 has no BOLD for run 2" in capsys.readouterr().err


def test_partial_correlations_are_said_to_be_tested_too_lightly(dataset, capsys):
    Path("config.toml").write_text(CONFIG.replace("[align]", "[align]\npartial = true"))
    assert command() == 0
    assert "p-values are too small" in capsys.readouterr().err


def test_what_could_not_be_done_is_said(dataset, capsys):
    MASK.unlink()
    EVENTS.unlink()
    for path in PREP.rglob("*confounds*"):
        path.unlink()
    assert command("--fd-threshold", "0.5") == 0
    said = capsys.readouterr().err
    assert "no events name the film of run 2, as they do for others" in said
    (record,) = Path("out").rglob("*_desc-cca_decomposition.json")
    warned = json.loads(record.read_text())["Warnings"]
    starts = ("No confounds are there to censor", "No confounds are there (motion6): drift alone", "No events name")
    assert [text.startswith(start) for text, start in zip(warned, starts, strict=False)] == [True] * 3
    assert "no confounds are there to censor volumes by: none is censored" in said
    assert "no confounds are there (motion6): drift alone is taken out" in said
    assert "no mask for run 2: that of the other runs is taken" in said


def test_an_atlas_of_names_is_used_or_it_is_said_why_not(dataset, capsys):
    assert command("--label-atlas", "atlas.nii.gz", space="fsaverage5") == 64
    assert "names peaks of voxelwise maps, and these are surface." in capsys.readouterr().err
    atlas = nib.load("atlas.nii.gz")
    nib.Nifti1Image(np.asarray(atlas.dataobj), atlas.affine + np.eye(4)[:, [1, 2, 3, 0]] * 900).to_filename(
        "far.nii.gz"
    )
    assert command("--label-atlas", "far.nii.gz") == 0
    assert "No peak lies in a parcel of far.nii.gz" in capsys.readouterr().err
    (path,) = Path("out").rglob("*_desc-cca_decomposition.json")
    assert any("far.nii.gz" in text for text in json.loads(path.read_text())["Warnings"])


def test_a_filter_of_masks_that_selects_none_is_not_passed_over(dataset, capsys):
    Path("filter.json").write_text('{"mask": {"desc": "tissue"}}')
    assert command("--bids-filter-file", "filter.json") == 18
    assert "select no mask of this BOLD" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--mask", "--atlas", "--label-atlas"])
def test_a_dry_run_looks_for_masks_and_atlases(dataset, capsys, option):
    assert command("--dry-run", option, "atlas.nii.gz") == 0
    assert f"{option[2:].replace('-', ' ')} atlas.nii.gz: " in capsys.readouterr().out
    assert command("--dry-run", option, "nowhere.nii.gz") == 66
    assert "nowhere.nii.gz: no such file" in capsys.readouterr().err


def test_a_region_of_one_voxel_goes_through_in_silence(dataset, capsys):
    atlas = nib.load("atlas.nii.gz")
    region = np.zeros(atlas.shape, np.uint8)
    region[4, 5, 4] = 1
    nib.Nifti1Image(region, atlas.affine).to_filename("region.nii.gz")
    assert command("--mask", "region.nii.gz") == 0
    assert "Warning" not in capsys.readouterr().err

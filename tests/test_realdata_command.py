"""Real voxels and parcels through the command line, laid out as a user would have them."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks import real_layouts as layouts
from neurocca.cli import main

pytestmark = pytest.mark.realdata


def analyse(folder: Path, *options: str) -> dict[str, dict]:
    """Records of the participants, by label."""
    tables = sorted(map(str, folder.glob("run-*_timeseries.tsv")))
    store = folder / "features.h5"
    assert store.exists() or main(["features", *tables, "-o", str(store)]) == 0
    files = ["--features", str(store), "--config-file", str(folder / "config.toml"), "--n-permutations", "99"]
    out = folder / f"out{len(list(folder.glob('out*')))}"
    assert main([str(folder / "dataset"), str(out), "participant", *files, *options]) == 0
    records = [json.loads(path.read_text()) for path in sorted(out.glob("sub-*/func/*_decomposition.json"))]
    return {record["Subject"]: record for record in records}


@pytest.fixture(scope="module")
def sherlock(studyforrest_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sherlock")
    layouts.write_sherlock(studyforrest_data.parent / "sherlock", folder)
    return folder


def held_out(record: dict) -> list[float]:
    return [component["HeldOutCorrelation"] for component in record["Components"]]


def test_the_film_is_found_in_the_voxels_of_two_viewers(sherlock, capsys):
    """Single voxels' patterns of an area that hears and sees nothing: weak, but beyond chance in both."""
    mask = sherlock / "mask.nii.gz"
    records = analyse(sherlock, "--mask", str(mask), *layouts.SHERLOCK_OPTIONS)
    assert sorted(records) == ["01", "02"]
    for record in records.values():
        assert record["NumberOfResponses"] == np.count_nonzero(nib.load(mask).dataobj) == 481
        assert record["NumberOfVolumes"] == sum(layouts.SHERLOCK_RUNS) - 2 * (26 + 3)
        assert record["NumberOfFeatures"] == 20
        first, second, third = record["Components"]
        assert max(first["PValueHeldOut"], second["PValueHeldOut"]) < 0.05 < third["PValueHeldOut"]
        assert 0.1 < np.mean(held_out(record)[:2]) < 0.3
        # in-sample correlations are large with 481 voxels, whatever there is to find
        assert first["InSampleCorrelation"] > 0.5


def test_a_mask_of_other_voxels_is_refused(sherlock, tmp_path, capsys):
    image = nib.load(sherlock / "mask.nii.gz")
    affine = image.affine.copy()
    affine[0, 3] += 1
    nib.Nifti1Image(np.asarray(image.dataobj), affine).to_filename(tmp_path / "moved.nii.gz")
    arguments = [
        str(sherlock / "dataset"),
        str(tmp_path / "out"),
        "participant",
        "--mask",
        str(tmp_path / "moved.nii.gz"),
    ]
    main(["features", *map(str, sorted(sherlock.glob("run-*.tsv"))), "-o", str(tmp_path / "features.h5")])
    capsys.readouterr()
    config = ["--config-file", str(sherlock / "config.toml"), *layouts.SHERLOCK_OPTIONS]
    assert main([*arguments, "--features", str(tmp_path / "features.h5"), *config]) == 65
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "its grid is of (61, 73, 61) voxels of 3 x 3 x 3 mm from (-89, -126, -72), theirs" in said
    assert "of (9, 11, 9) voxels of 3 x 3 x 3 mm from (-12, -69, 15)" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["window", "rest"])
def test_the_sitcom_is_found_in_its_viewers_and_not_at_rest(studyforrest_data, tmp_path, what):
    layouts.write_song(studyforrest_data.parent / "song", tmp_path, what)
    with (tmp_path / "config.toml").open("a") as config:
        config.write("shrinkage_x = [0.1, 0.9]\nshrinkage_y = [0.1, 0.9]\n")  # of the table [fit]; fewer are faster
    # ten minutes are too few for some of the single viewers
    labels = ["mean"] if what == "window" else ["mean", "001"]
    records = analyse(tmp_path, "--participant-label", *labels)
    first = [record["Components"][0] for record in records.values()]
    if what == "rest":
        assert all(component["PValueHeldOut"] > 0.05 for component in first)
        assert max(held_out(records["mean"])) < 0.2
    else:
        assert first[0]["PValueHeldOut"] < 0.02
        assert first[0]["HeldOutCorrelation"] > 0.3


def test_the_story_is_found_in_the_listeners_mean(studyforrest_data, tmp_path):
    layouts.write_alice(studyforrest_data.parent / "alice", tmp_path)
    mean = analyse(tmp_path, "--participant-label", "mean")["mean"]
    assert held_out(mean)[0] > 0.35
    assert mean["Components"][0]["PValueHeldOut"] < 0.02

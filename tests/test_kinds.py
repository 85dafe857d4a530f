"""The same subject in every kind and layout of BOLD, through the real command: the same components and maps."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca import studyforrest
from neurocca.cli import main
from tests import planted
from tests.bids_validator import errors
from tests.conftest import results_of

# the trim is studyforrest's between runs, here for every kind and run: all hold the same volumes then
CONFIG = """
[align]
fd_threshold = 1.0
trim = [4, 4]
[fit]
n_components = 2
shrinkage_x = [0.1]
shrinkage_y = [0.1, 0.5]
[inference]
n_permutations = 19
"""
COLUMNS = ("volumes", "surface", "grayordinates", "xcpd", "aligned", "aggregate")
"""Kinds that hold the same columns; "atlas" holds their means."""


@dataclass(frozen=True)
class Analysed:
    """What the command wrote of one kind."""

    root: Path

    @property
    def func(self) -> Path:
        return self.root / "sub-01" / "func"

    @property
    def record(self) -> dict:
        (path,) = self.func.glob("*_desc-cca_decomposition.json")
        return json.loads(path.read_text())

    @property
    def page(self) -> str:
        (path,) = self.root.glob("sub-*.html")
        return path.read_text()

    @property
    def held_out(self) -> np.ndarray:
        return np.array([component["HeldOutCorrelation"] for component in self.record["Components"]])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The subject, and what the command wrote of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    subject = planted.simulate(folder / "features.h5")
    planted.write_fmriprep(folder / "raw", subject)
    planted.write_xcpd(folder / "xcpd", subject)
    planted.write_aligned(folder / "aligned", folder / "tnt", subject)
    planted.write_aggregate(folder / "aggregate", subject)
    (folder / "config.toml").write_text(CONFIG)
    prep = ("-d", f"fmriprep={folder / 'raw/derivatives/fmriprep'}", "--space")
    commands = {
        "volumes": ("raw", *prep, "MNI152NLin2009cAsym", "--label-atlas", str(folder / "atlas.nii.gz")),
        "atlas": ("raw", *prep, "MNI152NLin2009cAsym", "--atlas", str(folder / "atlas.nii.gz")),
        "surface": ("raw", *prep, "fsaverage5"),
        "grayordinates": ("raw", *prep, "fsLR"),
        "xcpd": ("xcpd", "-d", f"raw={folder / 'raw'}"),
        "aligned": ("aligned", "-d", f"templatetransforms={folder / 'tnt'}"),
        "aggregate": ("aggregate",),
    }
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        # tables of the published lengths would take long
        patch.setattr(studyforrest, "N_VOLUMES", (planted.N_VOLUMES,) * 8)
        for kind, (root, *options) in commands.items():
            out = folder / f"out-{kind}"
            files = ["--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml")]
            assert main([str(folder / root), str(out), "participant", *files, *options]) == 0, kind
            found[kind] = Analysed(out)
    return subject, found


@pytest.mark.parametrize("kind", COLUMNS)
def test_the_same_components_come_out_of_every_kind(study, kind):
    """Denoised tables hold values between the censored volumes' neighbours, where the others leave 16 of 600 out."""
    _, found = study
    np.testing.assert_allclose(found[kind].held_out, found["volumes"].held_out, atol=0.02)
    assert [c["PValueHeldOut"] for c in found[kind].record["Components"]] == [0.05, 0.05]


def test_means_of_an_atlas_have_the_same_components(study):
    """Means lose the noise of single voxels, a small part of what limits the correlations; these grow a little."""
    _, found = study
    gained = found["atlas"].held_out - found["volumes"].held_out
    assert np.all((gained > -0.02) & (gained < 0.05)), gained


@pytest.mark.parametrize("name", ["desc-cca_components", "stat-r_desc-ccaStimulus_statmap"])
@pytest.mark.parametrize("kind", [*COLUMNS, "atlas"])
def test_the_planted_maps_are_in_the_files(study, kind, name):
    subject, found = study
    maps = planted.read_map(found[kind].func, name, subject)
    expected = subject.maps
    if kind == "atlas":
        of_parcel = [subject.maps[:, subject.parcels == label].mean(axis=1) for label in np.unique(subject.parcels)]
        expected = np.array(of_parcel).T
    r = np.abs([np.corrcoef(a, b)[0, 1] for a, b in zip(maps, expected, strict=True)])
    assert np.all(r >= 0.9), r


@pytest.mark.parametrize("kind", COLUMNS)
def test_corrected_maps_find_the_planted_columns_and_hardly_others(study, kind):
    subject, found = study
    p = planted.read_map(found[kind].func, "stat-p_desc-ccaFWE_statmap", subject)
    assert np.all((p >= 0.0499) & (p <= 1))
    strongest = np.argsort(-subject.maps, axis=1)[:, :20]
    assert all(p[i, columns].max() <= 0.051 for i, columns in enumerate(strongest))
    untouched = (subject.maps < 0.02).all(axis=0)
    assert np.mean(p[:, untouched] <= 0.051) < 0.01
    record = found[kind].record
    assert list(record["Maps"]["Significant"].values()) == (p <= 0.051).sum(axis=1).tolist()
    assert record["Maps"]["NumberOfPermutations"] == 19


def test_maps_are_named_after_the_space_and_lie_on_its_grid(study):
    subject, found = study
    names = {kind: {path.name for path in found[kind].func.glob("*_components.*")} for kind in found}
    stem = "sub-01_task-film_space-MNI152NLin2009cAsym_res-2_desc-cca_components"
    assert names["volumes"] == {f"{stem}.nii.gz", f"{stem}.json"}
    parcels = stem.replace("_res", "_seg-atlas_res")
    assert names["atlas"] == {f"{parcels}.nii.gz", f"{parcels}.tsv", f"{parcels}.json"}
    assert "sub-01_task-film_hemi-R_space-fsaverage5_desc-cca_components.func.gii" in names["surface"]
    assert "sub-01_task-film_space-fsLR_desc-cca_components.dscalar.nii" in names["grayordinates"]
    assert "sub-01_task-avmovie_space-bold3Tp2_desc-cca_components.nii.gz" in names["aligned"]
    image = nib.load(found["volumes"].func / f"{stem}.nii.gz")
    np.testing.assert_array_equal(image.affine, planted.AFFINE)
    assert not image.get_fdata()[~subject.mask].any()


def test_what_was_cleaned_is_in_the_record(study):
    subject, found = study
    spiked = [int(np.sum(run.displacement > 1)) for run in subject.runs]
    for kind in ("volumes", "atlas", "surface", "grayordinates", "aligned"):
        runs = found[kind].record["Runs"]
        assert [run["Confounds"] for run in runs] == [6] * 4
        assert all(run["Censored"] >= n for run, n in zip(runs, spiked, strict=True)), kind
    assert [run["Confounds"] for run in found["xcpd"].record["Runs"]] == [0] * 4
    assert found["xcpd"].record["DroppedResponses"] == ["Nowhere"]
    said = (
        "16 volumes with too much motion (framewise displacement above 1 mm, and short stretches between) were left out"
    )
    assert said in found["surface"].page
    assert "6 confound regressors per run (motion6)" in found["surface"].page
    inputs = {Path(file["Path"]).name for file in found["volumes"].record["Inputs"]}
    assert "sub-01_task-film_run-1_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz" in inputs
    assert "../atlas.nii.gz" in {file["Path"] for file in found["atlas"].record["Inputs"]}


def test_film_and_brain_are_aligned_in_all_kinds(study):
    _, found = study
    for kind, analysed in found.items():
        lag = analysed.record["Lag"]
        assert lag["Peak"] in (4.0, 6.0), kind
        assert lag["Warning"] == ""
        assert max(lag["HeldOutCorrelation"]) > 0.3
        assert f"best at a lag of <b>{lag['Peak']:g}&nbsp;s</b>" in analysed.page
        figures = analysed.root / "sub-01" / "figures"
        (svg,) = figures.glob("*_desc-lag_plot.svg")
        assert svg.name.startswith(next(analysed.root.glob("sub-*.html")).stem)


WORDS = {
    "volumes": "voxels",
    "atlas": "parcels",
    "surface": "vertices",
    "grayordinates": "grayordinates",
    "xcpd": "parcels",
    "aligned": "voxels",
    "aggregate": "parcels",
}


@pytest.mark.parametrize("kind", list(WORDS))
def test_the_report_calls_columns_what_they_are(study, kind):
    _, found = study
    page = re.sub(r'(id|href|clip-path)="[^"]*"', "", found[kind].page.partition('id="about"')[0])
    n = found[kind].record["NumberOfResponses"]
    assert f"BOLD time series of {n} {WORDS[kind]}" in page
    others = set(WORDS.values()) - {WORDS[kind]}
    assert not [word for word in others if re.search(rf"\b{word}\b", page)]
    assert ("MNI space" in page) == (kind == "volumes")


def test_peaks_are_where_the_maps_are_largest(study):
    subject, found = study
    (path,) = found["volumes"].func.glob("*_desc-cca_peaks.tsv")
    peaks = pd.read_csv(path, sep="\t")
    maps = planted.read_map(found["volumes"].func, "desc-cca_components", subject)
    voxels = np.argwhere(subject.mask)
    for name, row in zip(("cca_00", "cca_01"), maps, strict=True):
        of_map = peaks[peaks["component"] == name]
        largest = of_map.loc[of_map["value"].abs().idxmax()]
        j = np.abs(row).argmax()
        assert largest["value"] == pytest.approx(row[j], abs=1e-6)
        np.testing.assert_allclose(
            largest[["x", "y", "z"]].astype(float), nib.affines.apply_affine(planted.AFFINE, voxels[j])
        )
        assert largest["label"] == f"parcel_{subject.parcels[j]}"
    assert json.loads(path.with_suffix(".json").read_text())["x"]["Units"] == "mm"
    assert "Peaks of the map" in found["volumes"].page
    assert not list(found["surface"].func.glob("*_peaks.*"))
    assert "the hemispheres have" in found["surface"].page
    assert "the mesh of space fsLR does not come with neurocca" in found["grayordinates"].page


def test_a_subject_in_several_spaces_keeps_all_in_one_folder(study, tmp_path):
    """What each call wrote alone is there, byte for byte but for the command, and in the index."""
    _, found = study
    kinds = ("volumes", "atlas", "surface", "grayordinates")
    folder, out = found["volumes"].root.parent, tmp_path / "out"
    prep = ("-d", f"fmriprep={folder / 'raw/derivatives/fmriprep'}", "--space")
    labels = ("--label-atlas", str(folder / "atlas.nii.gz"))
    spaces = {"volumes": ("MNI152NLin2009cAsym", *labels), "surface": ("fsaverage5",), "grayordinates": ("fsLR",)}
    spaces["atlas"] = ("MNI152NLin2009cAsym", "--atlas", str(folder / "atlas.nii.gz"))
    files = ["--features", str(folder / "features.h5"), "--config-file", str(folder / "config.toml")]
    for kind in kinds:
        assert main([str(folder / "raw"), str(out), "participant", *files, *prep, *spaces[kind]]) == 0
    for kind in kinds:
        for path in results_of(found[kind].root):
            again = out / path.relative_to(found[kind].root)
            assert again.is_file(), again
            if path.suffix == ".tsv" or path.name.endswith(".gz"):
                assert again.read_bytes() == path.read_bytes()
    index = (out / "index.html").read_text()
    assert all(f'href="{next(found[kind].root.glob("sub-*.html")).name}"' in index for kind in kinds)
    assert "1 participant" in index
    assert "of 4 analyses" in index
    assert "space MNI152NLin2009cAsym, parcels atlas, resolution 2" in index
    assert main(["report", str(out)]) == 0
    assert (out / "index.html").read_text() == index


def test_derivatives_are_valid_bids(study, tmp_path):
    _, found = study
    for kind in found:
        (tmp_path / kind).mkdir()
    # side by side: each takes a second to start
    with ThreadPoolExecutor() as pool:
        problems = pool.map(lambda kind: errors(found[kind].root, tmp_path / kind), found)
        assert dict(zip(found, problems, strict=True)) == {kind: [] for kind in found}

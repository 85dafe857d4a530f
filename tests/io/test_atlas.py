import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io.atlas import read_atlas
from neurocca.io.brains import open_brain, usable_columns
from neurocca.io.masks import read_mask
from neurocca.io.peaks import peak_table
from neurocca.io.volumes import Voxels
from tests.io.brain_files import save_nifti

AFFINE = np.array([[-4.0, 0, 0, 40], [0, 4, 0, -44], [0, 0, 4, -30], [0, 0, 0, 1]])
SHAPE = (16, 18, 14)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def bold(tmp_path, rng):
    return save_nifti(tmp_path / "bold.nii.gz", rng.normal(100, 9, (*SHAPE, 40)).astype(np.float32), AFFINE)


@pytest.fixture
def labels():
    """Boxes 1, 2, 4 and 9 in SHAPE."""
    data = np.zeros(SHAPE, dtype=np.int16)
    data[1:5, 2:8, 3:9], data[6:9, 2:8, 3:9], data[10:14, 3:6, 3:9], data[10:14, 9:15, 3:9] = 1, 2, 4, 9
    return data


@pytest.fixture
def atlas_path(tmp_path, labels):
    return save_nifti(tmp_path / "tpl-X_atlas-A_res-4_dseg.nii.gz", labels, AFFINE)


@pytest.fixture
def maps(rng):
    """Five smooth overlapping maps, shape (*SHAPE, 5)."""
    grid = np.indices(SHAPE)[..., None] / np.array(SHAPE)[:, None, None, None, None]
    centres = rng.uniform(0.3, 0.7, (3, 1, 1, 1, 5))
    weights = np.exp(-np.square(grid - centres).sum(axis=0) / 0.02)
    return np.where(weights > 0.1, weights, 0).astype(np.float32)


def _mask(path, labels):
    inside = np.ones(SHAPE, dtype=np.uint8)
    inside[:3] = 0
    return save_nifti(path, inside, AFFINE)


def test_label_means_are_those_of_nilearn(bold, atlas_path, labels, tmp_path):
    from nilearn.maskers import NiftiLabelsMasker

    mask = _mask(tmp_path / "mask.nii.gz", labels)
    for masks in ([], [mask]):
        brain = open_brain([(bold,)], masks, read_atlas(atlas_path))
        masker = NiftiLabelsMasker(atlas_path, mask_img=masks[0] if masks else None, standardize=None)
        np.testing.assert_allclose(brain.read((bold,)), masker.fit_transform(bold), rtol=1e-5)
    assert brain.labels == ("parcel_1", "parcel_2", "parcel_4", "parcel_9")


def test_probabilistic_series_are_those_of_nilearn(bold, maps, tmp_path):
    from nilearn.maskers import NiftiMapsMasker

    path = save_nifti(tmp_path / "tpl-X_atlas-P_probseg.nii.gz", maps, AFFINE)
    pd.DataFrame({"index": range(5), "name": list("abcde")}).to_csv(path.with_name("atlas-P_probseg.tsv"), sep="\t")
    atlas = read_atlas(path)
    assert atlas.labels == tuple("abcde")
    brain = open_brain([(bold,)], atlas=atlas)
    expected = NiftiMapsMasker(path, standardize=None).fit_transform(bold)
    np.testing.assert_allclose(brain.read((bold,)), expected, rtol=1e-5, atol=1e-3)
    kept = np.array([True, False, True, True, False])
    np.testing.assert_array_equal(brain.narrowed(kept).read((bold,)), brain.read((bold,))[:, kept])
    assert brain.narrowed(kept).labels == ("a", "c", "d")
    peak = np.unravel_index(maps[..., 2].argmax(), SHAPE)
    assert atlas.names_at([nib.affines.apply_affine(AFFINE, peak), [900, 0, 0]]) == ["c", ""]


def test_voxels_are_those_of_nilearn(bold, labels, tmp_path):
    from nilearn.maskers import NiftiMasker

    mask = read_mask(_mask(tmp_path / "mask.nii.gz", labels))
    rows = Voxels(mask).read((bold,))
    np.testing.assert_allclose(rows, NiftiMasker(mask, standardize=None).fit_transform(bold), rtol=1e-6)


def test_an_atlas_on_another_grid_is_brought_to_the_volumes(bold, labels, maps, tmp_path):
    from nilearn.maskers import NiftiLabelsMasker, NiftiMapsMasker

    fine = AFFINE.copy()
    fine[:3, :3] /= 2
    fine[:3, 3] += [1.2, 0.7, -1.1]
    path = save_nifti(tmp_path / "fine_dseg.nii.gz", labels.repeat(2, 0).repeat(2, 1).repeat(2, 2), fine)
    masker = NiftiLabelsMasker(path, resampling_target="data", standardize=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = masker.fit_transform(bold)
    np.testing.assert_allclose(open_brain([(bold,)], atlas=read_atlas(path)).read((bold,)), expected, rtol=1e-5)
    path = save_nifti(tmp_path / "fine_probseg.nii.gz", maps.repeat(2, 0).repeat(2, 1).repeat(2, 2), fine)
    ours = open_brain([(bold,)], atlas=read_atlas(path)).read((bold,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = NiftiMapsMasker(path, resampling_target="data", standardize=None).fit_transform(bold)
    # nilearn moves weights with splines, which overshoot; ours stay between their neighbours
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, reference.T, strict=True)) > 0.97


def test_unusable_voxels_are_left_out_of_the_mean(tmp_path, bold, atlas_path, labels):
    image = nib.load(bold)
    data = image.get_fdata(dtype=np.float32)
    expected = np.column_stack([data[labels == value].mean(axis=0) for value in (1, 2, 4)])
    data[labels == 9] = 12  # a whole parcel without data
    data[1, 2, 3, 5], data[1, 2, 4, 0], data[1, 2, 5] = np.nan, np.inf, 3
    path = save_nifti(tmp_path / "spoilt.nii.gz", data, AFFINE)
    parcel = (labels == 1).copy()
    parcel[1, 2, 3:6] = False
    expected[:, 0] = data[parcel].mean(axis=0)
    brain = open_brain([(path,)], atlas=read_atlas(atlas_path))
    series = brain.read((path,))
    np.testing.assert_allclose(series[:, :3], expected, rtol=1e-5)
    assert np.isnan(series[:, 3]).all()
    narrow = brain.narrowed(usable_columns(series))
    assert narrow.labels == ("parcel_1", "parcel_2", "parcel_4")
    painted = nib.load(narrow.write([[1, 2, 3]], tmp_path / "m", ["a"], {})[1]).get_fdata()[..., 0]
    np.testing.assert_array_equal(painted, np.select([labels == 1, labels == 2, labels == 4], [1, 2, 3], 0))


def test_overlapping_maps_are_painted_by_weight(bold, maps, tmp_path):
    path = save_nifti(tmp_path / "x_probseg.nii.gz", maps, AFFINE)
    brain = open_brain([(bold,)], atlas=read_atlas(path))
    values = np.arange(1, 6)
    painted = nib.load(brain.write([values], tmp_path / "m", ["a"], {})[1]).get_fdata()[..., 0]
    total = maps.sum(axis=3)
    np.testing.assert_allclose(painted[total > 0], (maps @ values)[total > 0] / total[total > 0], rtol=1e-5)
    assert not painted[total == 0].any()


def test_parcels_without_voxels_are_dropped_and_named(bold, atlas_path, tmp_path, caplog):
    table = pd.DataFrame({"index": [0, 1, 2, 4, 9, 30], "name": ["bg", "V1", "V1", "A1", "FEF", "elsewhere"]})
    table.to_csv(tmp_path / "atlas-A_dseg.tsv", sep="\t", index=False)
    inside = np.ones(SHAPE, dtype=np.uint8)
    inside[:6] = 0
    mask = save_nifti(tmp_path / "mask.nii.gz", inside, AFFINE)
    brain = open_brain([(bold,)], [mask], read_atlas(atlas_path))
    assert brain.labels == ("V1_2", "A1", "FEF")
    assert brain.dropped == brain.narrowed(np.array([True, False, True])).dropped == ("V1_1", "elsewhere")
    assert "2 parcels have no voxel" in caplog.text
    assert "V1_1, elsewhere" in caplog.text


@pytest.mark.parametrize("weighted", [False, True])
def test_parcels_of_too_little_coverage_are_left_out(labels, tmp_path, rng, weighted, caplog):
    """Box 1 loses three quarters to the mask, box 2 a third; box 9 loses half to the edge of the images."""
    data = rng.normal(100, 9, (*SHAPE, 20)).astype(np.float32)[:, :12]
    bold = save_nifti(tmp_path / "cut_bold.nii.gz", data, AFFINE)
    inside = np.ones(data.shape[:3], np.uint8)
    inside[1:4], inside[6] = 0, 0
    mask = save_nifti(tmp_path / "mask.nii.gz", inside, AFFINE)
    if weighted:
        path = save_nifti(
            tmp_path / "a_probseg.nii.gz",
            np.stack([labels == v for v in (1, 2, 4, 9)], axis=-1) * np.float32(0.7),
            AFFINE,
        )
    else:
        path = save_nifti(tmp_path / "a_dseg.nii.gz", labels, AFFINE)
    atlas = read_atlas(path)
    covered = dict(zip(atlas.labels, (0.25, 2 / 3, 1, 0.5), strict=True))
    for least in (0, 0.25, 0.3, 0.5, 0.51, 0.7, 1):
        brain = open_brain([(bold,)], [mask], atlas, min_coverage=least)
        assert brain.labels == tuple(name for name, share in covered.items() if share >= least)
        assert brain.dropped == tuple(name for name, share in covered.items() if share < least)
    assert "3 parcels have less than 100 % of their voxels in" in caplog.text
    whole = open_brain([(bold,)], [mask], atlas)
    np.testing.assert_array_equal(brain.read((bold,))[:, 0], whole.read((bold,))[:, 2])


def test_parcels_whose_voxels_do_not_vary_are_missing_in_that_run(labels, atlas_path, tmp_path, rng):
    data = rng.normal(100, 9, (*SHAPE, 20)).astype(np.float32)
    data[1:4] = 0  # three quarters of box 1, as outside of a field of view
    bold = save_nifti(tmp_path / "b_bold.nii.gz", data, AFFINE)
    atlas = read_atlas(atlas_path)
    for least, missing in ((0, []), (0.25, []), (0.26, [0]), (1, [0])):
        series = open_brain([(bold,)], atlas=atlas, min_coverage=least).read((bold,))
        assert np.flatnonzero(np.isnan(series).any(axis=0)).tolist() == missing
    np.testing.assert_allclose(series[:, 1], data[labels == 2].mean(axis=0), rtol=1e-6)
    inside = np.zeros(SHAPE, np.uint8)
    inside[1, 2, 3] = 1
    mask = save_nifti(tmp_path / "one.nii.gz", inside, AFFINE)
    with pytest.raises(DataError, match=r"no parcel has 50 % of its voxels in .*b_bold\.nii\.gz"):
        open_brain([(bold,)], [mask], atlas, min_coverage=0.5)


def test_names_at_points(atlas_path):
    atlas = read_atlas(atlas_path)
    points = nib.affines.apply_affine(AFFINE, [[1, 2, 3], [13, 14, 8], [0, 0, 0], [-3, 0, 0], [5.4, 4, 4], [5.6, 4, 4]])
    assert atlas.names_at(points) == ["parcel_1", "parcel_9", "", "", "", "parcel_2"]


def test_bad_atlases(bold, labels, tmp_path, atlas_path):
    def written(name, data, affine=AFFINE):
        return save_nifti(tmp_path / name, data, affine)

    away = AFFINE + 500 * np.eye(4, k=3)
    halves = labels.astype(np.float32) / 2
    for call, message in [
        (lambda: read_atlas(written("h.nii.gz", halves)), r"h\.nii\.gz: holds 0\.5, and labels are whole numbers"),
        (lambda: read_atlas(written("e.nii.gz", 0 * labels)), r"e\.nii\.gz: holds no label"),
        (lambda: read_atlas(written("f.nii.gz", labels[:, :, 0])), r"f\.nii\.gz: has shape \(16, 18\)"),
        (
            lambda: open_brain([(bold,)], atlas=read_atlas(written("a.nii.gz", labels, away))),
            r"a\.nii\.gz: none of its parcels lies in the volumes of .*bold\.nii\.gz: .* from \(540, -44, -30\), the "
            r"volumes of .* from \(40, -44, -30\)",
        ),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    table = tmp_path / "names.tsv"
    for text, message in [
        ("index\tname\n1\ta\n1\tb\n", r"names\.tsv: index 1 repeats"),
        ("index\tname\n1\t\n", r"names\.tsv: index 1 has no name"),
        ("index\tname\n1.5\ta\n", r"names\.tsv: column 'index' holds values that are not whole"),
        ("index\tlabel\n1\ta\n", r"names\.tsv: column 'name' is missing"),
    ]:
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            read_atlas(atlas_path, table)
    table.write_text("index\tname\n1\ta\n")
    with pytest.raises(DataError, match="has 2 maps, but its table names 1 parcels"):
        read_atlas(written("p_probseg.nii.gz", np.ones((*SHAPE, 2), np.float32)), table)
    with pytest.raises(NoInputError, match=r"absent\.nii\.gz: no such file"):
        read_atlas(tmp_path / "absent.nii.gz")
    (tmp_path / "annexed.nii.gz").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match=r"datalad get .*annexed\.nii\.gz"):
        read_atlas(tmp_path / "annexed.nii.gz")


def test_tables_are_found_by_the_rules_of_bids(atlas_path, tmp_path):
    def names(file, prefix):
        pd.DataFrame({"index": [1, 2, 4, 9], "name": [f"{prefix}{i}" for i in range(4)]}).to_csv(
            tmp_path / file, sep="\t", index=False
        )

    names("atlas-B_dseg.tsv", "wrong")
    names("dseg.tsv", "wrong")
    assert read_atlas(atlas_path).labels[0] == "parcel_1"
    names("atlas-A_dseg.tsv", "general")
    assert read_atlas(atlas_path).labels[0] == "general0"
    names("tpl-X_atlas-A_dseg.tsv", "closer")
    assert read_atlas(atlas_path).labels[0] == "closer0"
    names("tpl-X_atlas-A_res-4_dseg.tsv", "own")
    assert read_atlas(atlas_path).labels[0] == "own0"
    names("given.tsv", "given")
    assert read_atlas(atlas_path, tmp_path / "given.tsv").labels[0] == "given0"


def test_named_atlases_come_from_the_cache_and_never_from_the_net(tmp_path, labels, monkeypatch):
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(
        NoInputError, match=r"schaefer_2018:100: not in nilearn's cache .*fetch_atlas_schaefer_2018\(n_rois"
    ):
        read_atlas("schaefer_2018:100")
    for name in ("harvard_oxford:cort-maxprob-thr25-2mm", "difumo:64"):
        with pytest.raises(NoInputError, match="nothing is downloaded here"):
            read_atlas(name)
    with pytest.raises(
        UsageError, match=r"atlas brainnetome: no such file, and no known atlas; known are schaefer_2018"
    ):
        read_atlas("brainnetome")
    for name in ("schaefer_2018", "schaefer_2018:many"):
        with pytest.raises(UsageError, match="has the form schaefer_2018:N_ROIS:YEO_NETWORKS:RESOLUTION_MM"):
            read_atlas(name)
    schaefer = tmp_path / "cache" / "schaefer_2018"
    schaefer.mkdir(parents=True)
    stem = "Schaefer2018_100Parcels_7Networks_order"
    save_nifti(schaefer / f"{stem}_FSLMNI152_1mm.nii.gz", labels, AFFINE)
    lines = [f"{i}\t7Networks_LH_Vis_{i}\t120\t18\t{i}\t0" for i in (1, 2, 4, 9)]
    (schaefer / f"{stem}.txt").write_text("\n".join(lines) + "\n")
    assert read_atlas("schaefer_2018:100").labels == tuple(f"7Networks_LH_Vis_{i}" for i in (1, 2, 4, 9))
    oxford = tmp_path / "cache" / "fsl" / "data" / "atlases"
    (oxford / "HarvardOxford").mkdir(parents=True)
    small = np.where(labels > 2, 0, labels)
    save_nifti(oxford / "HarvardOxford" / "HarvardOxford-cort-maxprob-thr25-2mm.nii.gz", small, AFFINE)
    (oxford / "HarvardOxford-Cortical.xml").write_text(
        '<atlas><data><label index="0">Frontal Pole</label><label index="1">Insular Cortex</label></data></atlas>'
    )
    assert read_atlas("harvard_oxford:cort-maxprob-thr25-2mm").labels == ("Frontal Pole", "Insular Cortex")


def test_peaks_lie_where_they_were_planted(tmp_path, atlas_path, labels):
    mask = read_mask(_mask(tmp_path / "mask.nii.gz", labels))
    brain = Voxels(mask)
    image = np.zeros(SHAPE, dtype=np.float32)
    image[11:13, 4:6, 5:7], image[11, 4, 5] = 0.4, 0.7  # in label 4
    image[7:9, 12:14, 10:12], image[7, 13, 11] = -0.5, -0.8  # in none
    image[5, 15, 2] = 0.9  # one voxel
    row = image[np.asarray(mask.dataobj) != 0]
    table = peak_table(row, brain, read_atlas(atlas_path), threshold=0.3, min_voxels=2)
    places = nib.affines.apply_affine(AFFINE, [[11, 4, 5], [7, 13, 11]])
    np.testing.assert_allclose(table[["x", "y", "z"]], places)
    np.testing.assert_allclose(table["value"], [0.7, -0.8], rtol=1e-6)
    np.testing.assert_allclose(table["volume"], [8 * 64, 8 * 64])
    assert table["label"].tolist() == ["parcel_4", ""]
    assert len(peak_table(row, brain, threshold=0.3)) == 3
    assert peak_table(row, brain, threshold=0.95).empty
    assert peak_table(0 * row, brain, read_atlas(atlas_path)).empty


def test_peaks_of_parcels_and_of_what_has_no_coordinates(tmp_path, bold, atlas_path):
    brain = open_brain([(bold,)], atlas=read_atlas(atlas_path))
    table = peak_table([0.1, 0.2, -0.6, 0.3], brain, read_atlas(atlas_path), threshold=0.25)
    assert table.groupby("label")["value"].first().round(6).to_dict() == {"parcel_4": -0.6, "parcel_9": 0.3}
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t2\n2\t4\n")
    with pytest.raises(UsageError, match="peaks are found in volumes, not in parcels without coordinates"):
        peak_table([1, 2], open_brain([(path,)]))

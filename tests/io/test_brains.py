import json
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io import images
from neurocca.io.atlas import read_atlas
from neurocca.io.brains import open_brain, usable_columns
from neurocca.io.masks import read_mask
from tests.io import brain_files as files

KINDS = ["nifti", "gifti", "dense", "parcellated", "table", "atlas"]
EXTENSIONS = {
    "nifti": [".nii.gz"],
    "gifti": [".func.gii", ".func.gii"],
    "dense": [".dscalar.nii"],
    "parcellated": [".pscalar.nii"],
    "table": [".tsv"],
    "atlas": [".tsv", ".nii.gz"],
}


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(4)
    return [rng.normal(100, 5, (length, files.N)).astype(np.float32) for length in (9, 12)]


@pytest.fixture(scope="module")
def subject(tmp_path_factory, columns):
    root = tmp_path_factory.mktemp("subject")
    return root, files.write_subject(root, columns)


def _open(subject, kind, runs=None):
    root, kinds = subject
    atlas = read_atlas(root / "tpl-X_atlas-one_res-3_dseg.nii.gz") if kind == "atlas" else None
    masks = [root / "mask.nii.gz"] if kind in ("nifti", "atlas") else []
    return open_brain(runs or kinds[kind], masks, atlas)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_numbers(subject, columns, kind):
    brain = _open(subject, kind)
    for run, expected in zip(subject[1][kind], columns, strict=True):
        data = brain.read(run)
        assert data.dtype == np.float32
        np.testing.assert_array_equal(data, expected)
        assert brain.n_volumes(run) == len(expected)
        assert brain.repetition_time(run) == (None if kind == "table" else files.T_R)
    assert len(brain.labels) == len(set(brain.labels)) == files.N
    assert brain.dropped == ()
    assert brain.kind == {"nifti": "voxels", "gifti": "surface", "dense": "grayordinates"}.get(kind, "parcels")


@pytest.mark.parametrize("kind", KINDS)
def test_reading_and_narrowing_commute(subject, kind):
    brain, (_, run) = _open(subject, kind), subject[1][kind]
    rng = np.random.default_rng(5)
    kept = rng.random(files.N) < 0.6
    narrow = brain.narrowed(kept)
    np.testing.assert_array_equal(narrow.read(run), brain.read(run)[:, kept])
    assert narrow.labels == tuple(np.array(brain.labels)[kept])
    assert narrow.kind == brain.kind
    again = rng.random(kept.sum()) < 0.6
    np.testing.assert_array_equal(narrow.narrowed(again).read(run), narrow.read(run)[:, again])
    np.testing.assert_array_equal(brain.narrowed(np.ones(files.N, dtype=bool)).read(run), brain.read(run))


def _maps(paths, kind, stem):
    """Maps as plain libraries read them, shape (k, everything the file has a place for), and their names."""
    if kind == "gifti":
        images = [nib.load(path) for path in paths[:2]]
        names = [array.meta["Name"] for array in images[0].darrays]
        return np.hstack([np.vstack(image.agg_data()) for image in images]), names
    if kind in ("dense", "parcellated"):
        image = nib.load(paths[0])
        return image.get_fdata(), list(image.header.get_axis(0).name)
    if kind == "nifti":
        return nib.load(paths[0]).get_fdata()[files.inside()].T, json.loads(paths[-1].read_text())["MapNames"]
    table = pd.read_csv(paths[0], sep="\t")
    return table.iloc[:, 1:].to_numpy().T, list(table.columns[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_found_again_in_their_places(subject, tmp_path, kind):
    kept = np.ones(files.N, dtype=bool)
    kept[[2, 17, 33]] = False
    brain = _open(subject, kind).narrowed(kept)
    rows = np.random.default_rng(6).uniform(-1, 1, (2, kept.sum())).astype(np.float32)
    stem = tmp_path / "new" / "sub-01_task-film_space-X_desc-cca_components"
    paths = brain.write(rows, stem, ["cca_00", "cca_01"], {"Description": "loadings"})
    assert all(path.is_file() for path in paths)
    assert sorted(paths) == sorted(stem.parent.iterdir())
    ends = ["." + path.name.split(".", 1)[1] for path in paths]
    assert ends == EXTENSIONS[kind] + [".json"] * (2 if kind == "gifti" else 1)
    maps, names = _maps(paths, kind, stem)
    assert names == ["cca_00", "cca_01"]
    if kind in ("table", "atlas"):
        np.testing.assert_allclose(maps, rows, atol=1e-6)
        assert tuple(pd.read_csv(paths[0], sep="\t")["parcel"]) == brain.labels
    else:
        np.testing.assert_array_equal(maps[:, kept], rows)
        assert (np.isnan(maps[:, ~kept]) if kind == "parcellated" else maps[:, ~kept] == 0).all()
    for path in paths:
        if path.suffix == ".json":
            assert json.loads(path.read_text()) == {"MapNames": ["cca_00", "cca_01"], "Description": "loadings"}


@pytest.mark.parametrize("kind", KINDS)
def test_writing_is_byte_stable_and_all_or_nothing(subject, tmp_path, kind):
    brain = _open(subject, kind)
    rows = np.random.default_rng(7).normal(size=(1, files.N))
    written = [brain.write(rows, tmp_path / folder / "map", ["m"], {}) for folder in "ab"]
    for one, two in zip(*written, strict=True):
        assert one.read_bytes() == two.read_bytes()
    with pytest.raises(ValueError, match=r"maps have shape \(1, 36\), but 2 names"):
        brain.write(rows, tmp_path / "c" / "map", ["m", "n"], {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        brain.write(rows, tmp_path / "c" / "map", ["m"], {"Value": float("nan")})
    assert not (tmp_path / "c").exists()


def test_headers_of_written_maps(subject, tmp_path):
    rows = np.ones((2, files.N))
    names = ["first", "second"]
    image = nib.load(_open(subject, "nifti").write(rows, tmp_path / "a", names, {})[0])
    np.testing.assert_array_equal(image.affine, files.AFFINE)
    assert image.shape == (*files.SHAPE, 2)
    assert image.header.get_xyzt_units()[0] == "mm"
    painted = nib.load(_open(subject, "atlas").write(rows, tmp_path / "b", names, {})[1])
    np.testing.assert_array_equal(painted.affine, files.AFFINE)
    np.testing.assert_array_equal(painted.get_fdata()[..., 0], files.inside())
    left, right, *_ = _open(subject, "gifti").write(rows, tmp_path / "sub-01_task-x_den-10k_c", names, {})
    assert (left.name, right.name) == tuple(f"sub-01_task-x_hemi-{h}_den-10k_c.func.gii" for h in "LR")
    assert nib.load(left).meta["AnatomicalStructurePrimary"] == "CortexLeft"
    assert nib.load(right).meta["AnatomicalStructurePrimary"] == "CortexRight"
    for kind, code in [
        ("dense", "NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS"),
        ("parcellated", "CONNECTIVITY_PARCELLATED_SCA"),
    ]:
        image = nib.load(_open(subject, kind).write(rows, tmp_path / kind, names, {})[0])
        assert image.header.get_axis(1) == nib.load(subject[1][kind][0][0]).header.get_axis(1)
        assert nib.nifti1.intent_codes.niistring[int(image.nifti_header["intent_code"])].find(code) >= 0


def test_usable_columns_are_finite_and_vary():
    data = np.random.default_rng(8).normal(size=(5, 6)).astype(np.float32)
    data[:, 1] = 3.3
    data[2, 2], data[0, 3], data[4, 4] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(usable_columns(data), [True, False, False, False, False, True])


@pytest.mark.parametrize("kind", KINDS)
def test_constant_and_missing_columns_come_back_as_such(tmp_path, columns, kind):
    # a medial wall, a voxel outside the field of view, a parcel with too little coverage
    data = columns[0].copy()
    data[:, 5] = np.nan
    data[:, 20] = 7
    root = tmp_path
    subject = root, files.write_subject(root, [data, columns[1]])
    brain = _open(subject, kind)
    usable = usable_columns(brain.read(subject[1][kind][0]))
    np.testing.assert_array_equal(np.flatnonzero(~usable), [5, 20])
    narrow = brain.narrowed(usable)
    np.testing.assert_array_equal(narrow.read(subject[1][kind][0]), data[:, usable])


def test_runs_must_be_of_one_kind(subject):
    root, kinds = subject
    with pytest.raises(UsageError, match=r"run-1_timeseries\.tsv: not of the same format as .*run-1_bold\.nii\.gz"):
        open_brain([kinds["nifti"][0], kinds["table"][0]])
    with pytest.raises(DataError, match=r"x\.mgz: of a format that is not read"):
        open_brain([(Path("x.mgz"),)])
    with pytest.raises(UsageError, match=r"a mask goes with volumes"):
        open_brain(kinds["table"], [root / "mask.nii.gz"])
    with pytest.raises(UsageError, match=r"an atlas goes with volumes"):
        open_brain(kinds["gifti"], atlas=read_atlas(root / "tpl-X_atlas-one_res-3_dseg.nii.gz"))
    with pytest.raises(UsageError, match="two files are expected, left and right"):
        open_brain([kinds["gifti"][0][:1]])
    with pytest.raises(UsageError, match="is of hemisphere R, where L is expected"):
        open_brain([kinds["gifti"][0][::-1]])


def test_runs_must_fit_to_each_other(subject, tmp_path, columns):
    root, kinds = subject
    mask = files.inside()
    fewer = columns[0][:, :-1]
    other_axis = files.dense_axis(mask)[:-1]
    shorter = files.save_gifti(tmp_path / "hemi-R_bold.func.gii", columns[0][:5, : files.N_RIGHT])
    for kind, run, message in [
        ("gifti", (kinds["gifti"][0][0], shorter), r"hemi-R_bold.func.gii: has 5 volumes, but .* has 9"),
        (
            "gifti",
            (kinds["gifti"][0][0], files.save_gifti(tmp_path / "right.func.gii", columns[0][:, :5])),
            r"right.func.gii: has 5 vertices, but the first run has 22",
        ),
        (
            "dense",
            (files.save_cifti(tmp_path / "x.dtseries.nii", fewer, other_axis),),
            r"x.dtseries.nii: its 35 grayordinates are not the 36 grayordinates",
        ),
        ("parcellated", kinds["dense"][0], r"its 36 grayordinates are not the 36 parcels of the first run"),
    ]:
        with pytest.raises(DataError, match=message):
            _open(subject, kind).read(run)
    renamed = pd.read_csv(kinds["table"][0][0], sep="\t").rename(columns={"p03": "q"})
    renamed.to_csv(tmp_path / "r.tsv", sep="\t", index=False)
    with pytest.raises(DataError, match=r"r\.tsv: its 36 parcels are not the 36 of the first run: 'q' is not one"):
        _open(subject, "table").read((tmp_path / "r.tsv",))
    shifted = files.AFFINE + 3 * np.eye(4, k=3)
    moved = files.save_nifti(tmp_path / "m.nii.gz", files.volume(columns[0], mask), shifted)
    with pytest.raises(
        DataError, match=r"m\.nii\.gz: its voxel grid .*from \(15, -9, -6\) is not that .*\(12, -9, -6\)"
    ):
        open_brain([*kinds["nifti"], (moved,)])
    with pytest.raises(DataError, match=r"m\.nii\.gz: its voxel grid .* is not that of the mask .*mask\.nii\.gz"):
        open_brain([(moved,)], [root / "mask.nii.gz"])
    assert open_brain(kinds["nifti"]).read(kinds["nifti"][0]).shape == columns[0].shape  # the mask told from them


def test_a_region_may_show_more_of_the_brain_than_the_volumes(subject, columns, tmp_path, caplog):
    """The same voxels in a larger or a smaller box: nothing is interpolated, and what lies outside is counted."""
    root, kinds = subject
    whole = np.random.default_rng(8).random(files.SHAPE) < 0.6
    there = whole & files.inside()
    path = files.save_nifti(
        tmp_path / "region.nii.gz", np.pad(whole.astype(np.uint8), ((2, 1), (0, 3), (4, 0))), _moved(-2, 0, -4)
    )
    brain = open_brain(kinds["nifti"], [root / "mask.nii.gz"], region=path)
    np.testing.assert_array_equal(brain.read(kinds["nifti"][0]), columns[0][:, there[files.inside()]])
    assert brain.labels == tuple("voxel_{}_{}_{}".format(*ijk) for ijk in np.argwhere(there))
    assert not caplog.messages
    alone = open_brain(kinds["nifti"], region=path)
    assert len(alone.labels) == whole.sum()
    part = files.save_nifti(tmp_path / "part.nii.gz", np.ones((4, 4, 4), np.uint8), _moved(4, -1, 0))
    assert len(open_brain(kinds["nifti"], region=part).labels) == 2 * 3 * 4
    assert "40 voxels lie outside of" in caplog.text


def test_a_region_of_other_voxels_is_refused(subject, tmp_path):
    root, kinds = subject
    ones = np.ones(files.SHAPE, np.uint8)
    finer = files.AFFINE @ np.diag([0.5, 1, 1, 1])
    for affine, message in [
        (
            _moved(0.5, 0, 0),
            r"r\.nii\.gz: its voxels are not those of .*: its grid is .* \(10.5, -9, -6\), theirs .* \(12, -9",
        ),
        (finer, r"of 1.5 x 3 x 3 mm .*, theirs .* of 3 x 3 x 3 mm"),
        (_moved(50, 0, 0), r"r\.nii\.gz: no voxel of it lies in .*bold\.nii\.gz: its grid is .*, theirs"),
    ]:
        path = files.save_nifti(tmp_path / "r.nii.gz", ones, affine)
        with pytest.raises(DataError, match=message):
            open_brain(kinds["nifti"], region=path)
    nowhere = files.save_nifti(tmp_path / "n.nii.gz", (~files.inside()).astype(np.uint8))
    with pytest.raises(DataError, match=r"masks .*mask\.nii\.gz and .*n\.nii\.gz: no voxel is inside all of them"):
        open_brain(kinds["nifti"], [root / "mask.nii.gz"], region=nowhere)
    with pytest.raises(UsageError, match="a mask goes with volumes"):
        open_brain(kinds["table"], region=nowhere)


def _moved(*voxels: float) -> np.ndarray:
    """Affine of a grid whose first voxel is where the subject's would have these indices."""
    affine = files.AFFINE.copy()
    affine[:3, 3] = nib.affines.apply_affine(files.AFFINE, voxels)
    return affine


@pytest.mark.parametrize("kind", ["nifti", "gifti", "dense", "parcellated", "table"])
def test_broken_files_are_named_in_one_line(subject, tmp_path, kind):
    run = subject[1][kind][0]
    brain = _open(subject, kind)
    content = run[-1].read_bytes()
    broken = tmp_path / run[-1].name
    third = len(content) // 3
    damages = [content[:third], content[: 2 * third], content[:-9], content[:90], b"", b"not an image\n" * 30]
    for damage in damages:
        broken.write_bytes(damage)
        with pytest.raises(DataError) as caught:
            brain.read((*run[:-1], broken))
        assert str(broken) in str(caught.value)
        assert "\n" not in str(caught.value)
    broken.unlink()
    with pytest.raises(NoInputError, match="no such file"):
        brain.read((*run[:-1], broken))
    broken.symlink_to(tmp_path / ".git/annex/objects/MD5E-s100--abc")
    for call in (brain.read, brain.n_volumes):
        with pytest.raises(NoInputError, match=rf"content is not here .*datalad get .*{broken.name} fetches it"):
            call((*run[:-1], broken))


@pytest.mark.filterwarnings("ignore:Extension size is not a multiple of 16 bytes")
@pytest.mark.parametrize("kind", ["nifti", "gifti", "dense", "parcellated"])
def test_damaged_bytes_never_end_in_another_error(subject, tmp_path, kind):
    run = subject[1][kind][0]
    brain = _open(subject, kind)
    content = np.frombuffer(run[-1].read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(9)
    for _ in range(60):
        damaged = content.copy()
        places = rng.integers(0, len(damaged), 3)
        damaged[places] = rng.integers(0, 256, 3)
        path = tmp_path / run[-1].name
        path.write_bytes(damaged.tobytes())
        try:
            brain.read((*run[:-1], path))
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017 - uncompressed numbers may change without a trace


def test_other_gifti_forms(tmp_path, columns):
    from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData

    data = columns[0][:, : files.N_RIGHT]
    matrix = GiftiDataArray(
        np.ascontiguousarray(data.T), intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32"
    )
    run = (tmp_path / "l.gii", tmp_path / "r.gii")
    for path in run:  # one array of (vertices, volumes), TR in seconds in the header of the file
        GiftiImage(meta=GiftiMetaData(TimeStep="0.8"), darrays=[matrix]).to_filename(path)
    brain = open_brain([run])
    np.testing.assert_array_equal(brain.read(run), np.hstack([data, data]))
    assert (brain.n_volumes(run), brain.repetition_time(run)) == (9, 0.8)
    mesh = GiftiDataArray(np.zeros((5, 3), np.float32), intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32")
    GiftiImage(darrays=[mesh]).to_filename(run[0])
    with pytest.raises(DataError, match=r"l\.gii: holds a pointset, not a time series"):
        open_brain([run])
    files.save_gifti(run[0], data, t_r=None)
    files.save_gifti(run[1], data, t_r=None)
    assert brain.repetition_time(run) is None


def test_a_map_is_no_series(subject, tmp_path):
    path = _open(subject, "dense").write(np.ones((1, files.N)), tmp_path / "map", ["m"], {})[0]
    series = path.rename(tmp_path / "map.dtseries.nii")
    with pytest.raises(DataError, match=r"not a series of grayordinates or parcels but scalar x brainmodel"):
        open_brain([(series,)])


def test_tables_with_parcels_of_too_little_coverage(tmp_path):
    path = tmp_path / "xcpd_timeseries.tsv"
    path.write_text("a\tb\tc\n1\tn/a\tn/a\n2\tn/a\tn/a\n")
    brain = open_brain([(path,)])
    np.testing.assert_array_equal(brain.read((path,)), [[1, np.nan, np.nan], [2, np.nan, np.nan]])
    for text, message in [
        ("a\tb\tc\n1\tn/a\t2\n2\tn/a\tn/a\n", r"truncated: line 3 has 1 values"),
        ("a\tb\tc\n1\tn/a\t2\nn/a\tn/a\t3\n", r"parcel 'a' is NaN or infinite on line 3 \(1 such"),
        ("a\tb\tc\n1\t2\n3\t4\n", r"line 2 has 2 values, expected 3"),
        ("a\tb\nn/a\tn/a\nn/a\tn/a\n", r"all 2 parcels are n/a"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            brain.read((path,))


@pytest.mark.realdata
def test_real_volumes_of_two_subjects(studyforrest_data):
    folder = studyforrest_data.parent / "sherlock"
    runs = [(folder / f"{subject}_pmc_movie_bold.nii.gz",) for subject in ("s1", "s2")]
    # the volumes are cut to the region that the mask shows in the whole brain
    inside = np.asarray(read_mask(folder / "mask_pmc_nn.nii.gz", grid_of=runs[0][0]).dataobj) != 0
    for run in runs:
        brain = open_brain([run])
        data = brain.read(run)
        assert data.shape == (1976, 481)
        assert brain.repetition_time(run) == 1.5
        np.testing.assert_array_equal(data, nib.load(run[0]).get_fdata(dtype=np.float32)[inside].T)
    with pytest.raises(DataError, match=r"of \(9, 11, 9\) voxels .* is not that of the mask .* of \(61, 73, 61\)"):
        open_brain(runs, [folder / "mask_pmc_nn.nii.gz"])


def test_a_run_is_in_memory_once(tmp_path):
    shape, length = (64, 64, 30), 100
    data = np.zeros((*shape, length), dtype=np.int16)
    data[20:50, 20:50, 5:25] = np.arange(length)
    path = files.save_nifti(tmp_path / "run.nii.gz", data)
    mask = files.save_nifti(tmp_path / "mask.nii.gz", (data[..., 1] != 0).astype(np.uint8))
    brain = open_brain([(path,)], [mask])
    brain.read((path,))  # what is loaded at first use
    tracemalloc.start()
    try:
        series = brain.read((path,))
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(series, np.broadcast_to(np.arange(length)[:, None], series.shape))
    # a slab of the file, and its voxels inside
    assert held < series.nbytes + 2.5 * images._SLAB
    assert held < data.nbytes


def test_a_cifti_series_over_something_else_than_time_has_no_repetition_time(tmp_path, columns):
    axis = files.dense_axis(files.inside())
    series = nib.cifti2.SeriesAxis(0, 2, len(columns[0]), unit="METER")
    path = tmp_path / "x.dtseries.nii"
    nib.Cifti2Image(columns[0], header=(series, axis)).to_filename(path)
    assert open_brain([(path,)]).repetition_time((path,)) is None

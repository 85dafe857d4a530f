import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from neurocca.errors import DataError, NoInputError
from neurocca.io import images, masks, volumes

AFFINE = np.array([[-5.0, 0, 0, 50], [0, 5, 0, -60], [0, 0, 5, -40], [0, 0, 0, 1]])
SHAPE = (30, 32, 28)


def _image(data, affine=AFFINE, t_r=2.0, unit="sec"):
    image = Nifti1Image(np.asarray(data, dtype=np.float32), affine)
    image.header.set_xyzt_units("mm", unit)
    if data.ndim == 4:
        image.header.set_zooms((5, 5, 5, t_r))
    return image


@pytest.fixture
def ball():
    centre = np.array(SHAPE)[:, None, None, None] / 2
    return (np.square(np.indices(SHAPE) - centre).sum(axis=0)) < 11**2


@pytest.fixture
def runs(tmp_path, ball):
    """Two runs of a bright ball in a noisy background, with another useless voxel in each."""
    rng = np.random.default_rng(0)
    paths = []
    for run in range(2):
        data = rng.normal(0, 5, (*SHAPE, 6)) + 1000 * ball[..., None] + 20
        data[15, 16, 14 + run] = 1000.0 if run == 0 else np.nan
        paths.append(volumes.save_image(_image(data), tmp_path / f"run-{run}_bold.nii.gz"))
    return paths


def test_header(tmp_path, runs):
    assert volumes.n_volumes(runs[0]) == 6
    assert volumes.repetition_time(runs[0]) == 2.0
    data = np.ones((2, 2, 2, 3))
    for t_r, unit, expected in [(800, "msec", 0.8), (0.72, "sec", 0.72), (0, "sec", None), (1.5, "unknown", 1.5)]:
        path = volumes.save_image(_image(data, t_r=t_r, unit=unit), tmp_path / "x.nii")
        assert volumes.repetition_time(path) == expected


def test_shared_mask_is_the_brain_without_what_is_constant_or_not_finite_in_any_run(runs, ball):
    mask = np.asarray(masks.shared_mask(runs).dataobj) > 0
    assert not mask[15, 16, 14]
    assert not mask[15, 16, 15]
    assert (mask & ~ball).sum() == 0
    assert mask.sum() > 0.95 * ball.sum()


def test_shared_mask_of_masked_images_is_all_that_varies(tmp_path, ball):
    rng = np.random.default_rng(1)
    small = ball & (np.indices(SHAPE)[0] < 16)
    # intensity falls smoothly, so that a histogram rule would cut somewhere inside
    data = small[..., None] * (np.linspace(1, 1000, SHAPE[1])[None, :, None, None] + rng.normal(0, 1, (*SHAPE, 4)))
    path = volumes.save_image(_image(data), tmp_path / "masked.nii.gz")
    np.testing.assert_array_equal(np.asarray(masks.shared_mask([path]).dataobj), small)


def test_volumes_to_rows_and_back(runs):
    mask = masks.shared_mask(runs)
    inside = np.asarray(mask.dataobj) > 0
    rows = volumes.read_volumes(runs[0], mask)
    assert rows.shape == (6, inside.sum())
    assert rows.dtype == np.float32
    import nibabel as nib

    np.testing.assert_array_equal(rows, nib.load(runs[0]).get_fdata(dtype=np.float32)[inside].T)
    image = volumes.unmask(rows, mask)
    assert image.shape == (*SHAPE, 6)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[inside].T, rows)
    assert not np.asarray(image.dataobj)[~inside].any()


def test_scale_factors_of_integer_images_are_applied(tmp_path, ball):
    image = Nifti1Image((ball[..., None] * np.arange(1, 4)).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 3)
    image.to_filename(tmp_path / "scaled.nii.gz")
    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    rows = volumes.read_volumes(tmp_path / "scaled.nii.gz", mask)
    np.testing.assert_allclose(rows, np.broadcast_to([[3.5], [4.0], [4.5]], rows.shape))


def test_mask_is_brought_to_another_grid(tmp_path, ball, runs):
    fine = AFFINE.copy()
    fine[:3, :3] /= 2
    fine[:3, 3] -= np.diag(AFFINE)[:3] / 4  # both grids cover the same space
    doubled = ball.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    path = volumes.save_image(_image(doubled.astype(float), fine), tmp_path / "mask.nii.gz")
    moved = masks.read_mask(path, grid_of=runs[0])
    assert moved.shape == SHAPE
    np.testing.assert_array_equal(np.asarray(moved.dataobj), ball)
    assert masks.read_mask(path).shape == doubled.shape


def test_a_mask_may_have_a_fourth_dimension_of_one(tmp_path, ball):
    path = volumes.save_image(_image(ball[..., None].astype(float)), tmp_path / "mask.nii.gz")
    mask = masks.read_mask(path)
    assert mask.shape == SHAPE
    np.testing.assert_array_equal(np.asarray(mask.dataobj), ball)
    np.testing.assert_array_equal(mask.affine, AFFINE)


def test_refusals_name_the_file(tmp_path, runs, ball):
    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    empty = volumes.save_image(_image(np.zeros(SHAPE)), tmp_path / "empty.nii.gz")
    other = volumes.save_image(_image(np.ones((5, 5, 5, 2))), tmp_path / "other.nii.gz")
    shifted = volumes.save_image(_image(np.ones((*SHAPE, 2)), AFFINE + np.eye(4, k=3)), tmp_path / "shifted.nii.gz")
    for call, message in [
        (lambda: masks.read_mask(empty), r"mask .*empty\.nii\.gz: no voxel is inside"),
        (lambda: masks.read_mask(runs[0]), r"run-0_bold\.nii\.gz: has shape .* but 3 dimensions"),
        (lambda: volumes.read_volumes(empty, mask), r"empty\.nii\.gz: has shape .* but 4 dimensions"),
        (lambda: volumes.read_volumes(other, mask), r"other\.nii\.gz: its voxel grid"),
        (lambda: volumes.read_volumes(shifted, mask), r"shifted\.nii\.gz: its voxel grid"),
        (lambda: masks.shared_mask([runs[0], other]), r"other\.nii\.gz: its voxel grid"),
        (lambda: masks.shared_mask([shifted]), r"shifted\.nii\.gz: no voxel is finite and varies"),
    ]:
        with pytest.raises(DataError, match=message):
            call()


def test_grids_that_differ_in_their_turn_alone_are_told_apart(tmp_path, runs):
    turned = AFFINE.copy()
    turned[:3, :2] = turned[:3, 1::-1]
    data = np.ones((*SHAPE, 2))
    path = volumes.save_image(_image(data, turned), tmp_path / "turned.nii.gz")
    straight = volumes.save_image(_image(data), tmp_path / "straight.nii.gz")
    with pytest.raises(DataError, match=r"with the affine \[\[0.*with the affine \[\[-5"):
        masks.shared_mask([straight, path])


def test_values_that_are_not_finite_come_back_as_they_are(runs, ball):
    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    bad = ~np.isfinite(volumes.read_volumes(runs[1], mask))
    assert np.argwhere(ball)[bad.any(axis=0)].tolist() == [[15, 16, 15]]
    assert bad[:, bad.any(axis=0)].all()


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "i4", "f4", ">f4", "f8"])
def test_slabs_are_what_nibabel_reads(tmp_path, ball, dtype, monkeypatch):
    import nibabel as nib

    monkeypatch.setattr(images, "_SLAB", 3 * ball.size * np.dtype(dtype).itemsize)  # several slabs, the last one short
    data = np.random.default_rng(3).integers(0, 200, (*SHAPE, 8)).astype(dtype)
    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    for slope, name in [(None, "a.nii"), (0.37, "b.nii.gz")]:
        image = Nifti1Image(data, AFFINE)
        image.set_data_dtype(np.dtype(dtype))
        image.header.set_slope_inter(slope, None if slope is None else -4.5)
        image.to_filename(tmp_path / name)
        rows = volumes.read_volumes(tmp_path / name, mask)
        np.testing.assert_allclose(rows, nib.load(tmp_path / name).get_fdata()[ball].T, rtol=1e-6)
        assert slope is None or nib.load(tmp_path / name).dataobj.slope == pytest.approx(slope)


def test_colours_are_refused(tmp_path, ball):
    data = np.zeros((*SHAPE, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    Nifti1Image(data, AFFINE).to_filename(tmp_path / "rgb.nii.gz")
    with pytest.raises(DataError, match=r"rgb\.nii\.gz: holds values of type .*, not plain numbers"):
        volumes.read_volumes(tmp_path / "rgb.nii.gz", Nifti1Image(ball.astype(np.uint8), AFFINE))


def test_damage_at_the_end_is_found_too(tmp_path, runs, ball):
    import gzip

    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    content = runs[0].read_bytes()
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(content[:-8] + bytes(4) + content[-4:])  # all voxels are there, but not their checksum
    with pytest.raises(DataError, match="cannot be read: CRC check failed"):
        volumes.read_volumes(broken, mask)
    plain = tmp_path / "plain.nii"
    whole = gzip.decompress(content)
    plain.write_bytes(whole[: 352 + 4 * ball.size * 7 // 2])
    with pytest.raises(DataError, match=r"plain\.nii: truncated after 3 of 6 volumes"):
        volumes.read_volumes(plain, mask)


def test_broken_files(tmp_path, runs, ball):
    mask = Nifti1Image(ball.astype(np.uint8), AFFINE)
    content = runs[0].read_bytes()
    broken = tmp_path / "broken.nii.gz"
    for damage in (content[: len(content) // 2], content[:100], b"", b"not an image", content[:5000] + content[6000:]):
        broken.write_bytes(damage)
        with pytest.raises(DataError, match=r"image .*broken\.nii\.gz: cannot be read") as caught:
            volumes.read_volumes(broken, mask)
        assert "\n" not in str(caught.value)
    with pytest.raises(NoInputError, match=r"absent\.nii: no such file"):
        volumes.n_volumes(tmp_path / "absent.nii")
    (tmp_path / "annexed.nii.gz").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="datalad get"):
        volumes.n_volumes(tmp_path / "annexed.nii.gz")


def test_writing_is_byte_stable(tmp_path):
    image = _image(np.random.default_rng(2).normal(size=(4, 4, 4, 3)))
    a, b = (volumes.save_image(image, tmp_path / folder / "map.nii.gz") for folder in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()
    assert a.read_bytes()[4:8] == bytes(4), "the gzip header holds a time"
    assert [p.name for p in a.parent.iterdir()] == ["map.nii.gz"]


def test_integers_are_rounded_and_must_fit(tmp_path):
    import nibabel as nib

    path = volumes.save_image(_image(np.full((2, 2, 2), 2.6)), tmp_path / "i.nii.gz", np.int16)
    assert nib.load(path).get_data_dtype() == np.int16
    assert (nib.load(path).get_fdata() == 3).all()
    with pytest.raises(ValueError, match="do not fit into int16"):
        volumes.save_image(_image(np.full((2, 2, 2), 4e4)), tmp_path / "i.nii.gz", np.int16)


@pytest.mark.parametrize("fwhm", [4.0, 12.0])
def test_smoothing_is_that_of_nilearns_masker(runs, ball, fwhm):
    from nilearn.maskers import NiftiMasker

    mask = _image(ball.astype(np.uint8))
    masker = NiftiMasker(mask, smoothing_fwhm=fwhm, standardize=None).fit()
    found = volumes.read_volumes(runs[0], mask, smoothing=fwhm)
    np.testing.assert_allclose(found, masker.transform(runs[0]), rtol=1e-5)
    assert found.dtype == np.float32
    # in the second run a voxel is not finite: it stays so, and counts as 0 to the others
    found, expected = volumes.read_volumes(runs[1], mask, smoothing=fwhm), masker.transform(runs[1])
    missing = np.isnan(found)
    assert missing.sum() == 6
    np.testing.assert_array_equal(missing, np.isnan(volumes.read_volumes(runs[1], mask)))
    np.testing.assert_allclose(found[~missing], expected[~missing], rtol=1e-5)
    assert volumes.Voxels(mask, fwhm).narrowed(np.arange(ball.sum()) < 100).smoothing == fwhm

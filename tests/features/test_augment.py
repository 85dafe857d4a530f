import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from neurocca.errors import UsageError
from neurocca.features.augment import (
    DEFAULT_STRENGTHS,
    KINDS,
    Augmentation,
    amount,
    augment,
    shot_numbers,
)
from neurocca.features.libraries import import_torchvision

GEOMETRY = ("rotation", "shear", "scale", "shift", "crop", "flip")
SIDE = 96


@pytest.fixture(scope="module")
def photos():
    """Four photographs, (4, 96, 96, 3)."""
    pictures = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    return np.stack([np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BOX)) for p in pictures])


def _plain(levels, n=1, height=SIDE, width=SIDE):
    return np.broadcast_to(np.array(levels, np.uint8), (n, height, width, 3)).copy()


def _functional():
    import_torchvision()
    from torchvision.transforms.v2 import functional

    return functional


def _nearest(result, candidates):
    """Mean absolute difference from the candidate that comes nearest."""
    return min(np.abs(result.astype(float) - np.asarray(c, float)).mean() for c in candidates)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_0_changes_no_bit(photos, kind):
    result = augment(photos, kind, 0, seed=1)
    np.testing.assert_array_equal(result, photos)
    assert not np.shares_memory(result, photos)
    np.testing.assert_array_equal(Augmentation([kind], 0)(photos, seed=1), photos)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_do_not_change_a_byte(photos, kind):
    frames = np.concatenate([photos] * 4)
    shots = np.arange(16) // 11
    whole = augment(frames, kind, 0.4, seed=3, shots=shots)
    for size in (1, 3, 7):
        parts = [
            augment(frames[i : i + size], kind, 0.4, seed=3, shots=shots[i : i + size]) for i in range(0, 16, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole != frames).any() or kind == "flip"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "blur"])  # blurring has no direction
def test_a_shot_is_augmented_as_one_and_the_next_in_another_way(photos, kind):
    frames = np.repeat(photos[:1], 24, axis=0)
    shots = np.arange(24) // 2
    result = augment(frames, kind, 0.5, seed=0, shots=shots)
    np.testing.assert_array_equal(result[::2], result[1::2])
    assert len(np.unique(result[::2].reshape(12, -1), axis=0)) > 1
    # shots are told apart by number, wherever their frames are
    mixed = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(augment(frames, kind, 0.5, seed=0, shots=shots[mixed]), result[mixed])


def test_seed_view_and_shot_each_give_another_version(photos):
    augmentation = Augmentation(strength=0.5)
    versions = [
        augmentation(photos[:1], seed=seed, view=view, shots=[shot])
        for seed in (0, 1)
        for view in (0, 1)
        for shot in (0, 1)
    ]
    assert len({version.tobytes() for version in versions}) == 8


def test_kinds_do_not_disturb_each_others_draws(photos):
    alone = Augmentation({"rotation": 0.3, "pixel_noise": 0.2})(photos, seed=5)
    beside = Augmentation({"blur": 0, "pixel_noise": 0.2, "rotation": 0.3})
    np.testing.assert_array_equal(beside(photos, seed=5), alone)


def test_kinds_draw_independently():
    frames = _plain([90, 100, 110], n=24, height=8, width=8)
    shots = np.arange(24)
    brighter = augment(frames, "brightness", 0.2, seed=0, shots=shots).mean((1, 2, 3)) > 100
    stronger = np.ptp(augment(frames, "contrast", 0.5, seed=0, shots=shots).astype(int), axis=3).mean((1, 2)) > 20
    assert all((brighter[stronger == side]).any() and (~brighter[stronger == side]).any() for side in (True, False))


@pytest.mark.parametrize("kind", [*GEOMETRY, "blur"])
@pytest.mark.parametrize(("height", "width"), [(40, 72), (72, 40)])
def test_a_plain_picture_stays_plain(kind, height, width):
    frames = _plain([200, 30, 90], height=height, width=width)
    for seed in range(10):
        np.testing.assert_array_equal(augment(frames, kind, 0.9, seed=seed), frames)


def test_flipping_twice_gives_the_frame_back(photos):
    once = augment(photos, "flip", 1, seed=0)
    np.testing.assert_array_equal(once, photos[:, :, ::-1])
    np.testing.assert_array_equal(augment(once, "flip", 1, seed=9), photos)


def test_flip_has_the_probability_of_its_strength(photos):
    frames = np.repeat(photos[:1, ::8, ::8], 400, axis=0)
    flipped = (augment(frames, "flip", 0.3, seed=0, shots=np.arange(400)) != frames).any((1, 2, 3))
    assert flipped.mean() == pytest.approx(0.3, abs=0.07)


def test_brightness_multiplies_levels():
    frames = np.random.default_rng(0).integers(20, 60, (16, 8, 8, 3), dtype=np.uint8)
    result = augment(frames, "brightness", 1 / 3, seed=0, shots=np.arange(16))
    brighter = result.mean((1, 2, 3)) > frames.mean((1, 2, 3))
    np.testing.assert_allclose(result[brighter], 2.0 * frames[brighter], atol=1)
    np.testing.assert_allclose(result[~brighter], 0.5 * frames[~brighter], atol=1)
    assert 3 < brighter.sum() < 13


def test_contrast_spreads_levels_about_the_mean():
    frames = np.random.default_rng(0).integers(110, 140, (16, 8, 8, 1), dtype=np.uint8).repeat(3, axis=3)
    result = augment(frames, "contrast", 1 / 3, seed=0, shots=np.arange(16)).astype(float)
    np.testing.assert_allclose(result.mean((1, 2, 3)), frames.mean((1, 2, 3)), atol=1.5)  # torchvision rounds down
    ratio = result.std((1, 2, 3)) / frames.std((1, 2, 3))
    assert np.all(np.minimum(np.abs(ratio - 2), np.abs(ratio - 0.5)) < 0.06)


@pytest.mark.parametrize("kind", ["brightness", "contrast"])
def test_light_agrees_with_pillow(photos, kind):
    enhancer = getattr(ImageEnhance, kind.title())
    for shot, photo in enumerate(photos):
        result = augment(photo[None], kind, 0.3, seed=0, shots=[shot])[0]
        factors = 8**0.3, 8**-0.3
        assert _nearest(result, [enhancer(Image.fromarray(photo)).enhance(f) for f in factors]) < 1


def test_colour_agrees_with_torchvision(photos):
    functional = _functional()
    tensor = torch.from_numpy(photos[1]).permute(2, 0, 1)
    candidates = [
        functional.adjust_hue(functional.adjust_saturation(tensor, saturation), hue).permute(1, 2, 0)
        for saturation in (1.4, 0.6)
        for hue in (0.2, -0.2)
    ]
    for seed in range(6):
        assert _nearest(augment(photos[1:2], "colour", 0.4, seed=seed)[0], candidates) == 0
    grey = [augment(photos[1:2], "colour", 1, seed=seed) for seed in range(8)]
    assert min(np.ptp(picture.astype(int), axis=3).max() for picture in grey) <= 1


def test_rotation_agrees_with_pillow(photos):
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    disc = np.hypot(x, y) < SIDE / 2 - 2  # what no border reaches
    for shot, photo in enumerate(photos):
        result = augment(photo[None], "rotation", 0.4, seed=0, shots=[shot])[0]
        turned = [np.asarray(Image.fromarray(photo).rotate(a, Image.Resampling.BILINEAR)) for a in (18, -18)]
        assert _nearest(result[disc], [t[disc] for t in turned]) < 1


def test_borders_are_seen_as_in_a_mirror():
    # a wave that is level at every border continues in the mirror as if there were none
    y, x = np.indices((SIDE, SIDE))

    def level(pixels, periods):
        return np.cos(np.pi * pixels * periods / (SIDE - 1))

    wave = (128 + 100 * np.outer(level(y[:, 0], 2), level(x[0], 4))).round()
    frame = np.repeat(wave.astype(np.uint8)[None, :, :, None], 3, axis=3)
    around = 0.4 * 0.75 * SIDE * np.exp(1j * np.linspace(0, 2 * np.pi, 5000))
    steps = set(zip(around.real.round().tolist(), around.imag.round().tolist(), strict=True))
    expected = [128 + 100 * np.outer(level(y[:, 0] - down, 2), level(x[0] - right, 4)) for right, down in steps]
    for seed in range(4):
        result = augment(frame, "shift", 0.4, seed=seed)[0, :, :, 0]
        assert min(np.abs(result - wave).max() for wave in expected) <= 0.5 + 1e-9


def test_shear_slants_by_its_angle():
    x = np.indices((SIDE, SIDE))[1]
    ramp = np.repeat((60 + x).astype(np.uint8)[None, :, :, None], 3, axis=3)
    slopes = set()
    for seed in range(12):
        result = augment(ramp, "shear", 0.5, seed=seed)[0, 40:56, 40:56, 0].astype(float)
        along_columns, along_rows = (
            np.polyfit(range(16), result.mean(1), 1)[0],
            np.polyfit(range(16), result.mean(0), 1)[0],
        )
        assert along_rows == pytest.approx(1, abs=0.05)
        slopes.add(round(along_columns / np.tan(np.radians(22.5)), 1))
    assert slopes == {-1.0, 0.0, 1.0}  # along the columns a ramp from left to right keeps its slope


@pytest.mark.parametrize(("kind", "slopes"), [("crop", (0.64,)), ("scale", (2**0.4, 2**-0.4))])
def test_windows_magnify_by_their_factor(kind, slopes):
    ramp = np.repeat(np.broadcast_to(np.arange(SIDE, dtype=np.uint8) * 2, (SIDE, SIDE))[None, :, :, None], 3, axis=3)
    for seed in range(6):
        result = augment(ramp, kind, 0.4, seed=seed)[0, 30:66, 30:66, 0].astype(float)
        slope = np.polyfit(range(36), result.mean(0), 1)[0] / 2
        assert min(abs(slope / s - 1) for s in slopes) < 0.03


def test_blur_agrees_with_scipy(photos):
    sigma = 0.8 * SIDE / 32
    result = augment(photos, "blur", 0.8, seed=0)
    expected = gaussian_filter(photos.astype(float), (0, sigma, sigma, 0), mode="mirror", truncate=3.5)
    assert np.abs(result - expected).max() < 2.5
    assert np.abs(result - expected).mean() < 0.5


def test_noise_has_its_strength_and_its_colours():
    frames = _plain([127, 127, 127], n=2)
    pixel, colour = (augment(frames, f"{kind}_noise", 0.5, seed=0).astype(float) - 127 for kind in ("pixel", "colour"))
    for noise in (pixel, colour):
        assert noise.std() == pytest.approx(16, rel=0.05)
        assert abs(noise.mean()) < 0.5
        np.testing.assert_array_equal(noise[0], noise[1])  # frozen in a shot
        neighbours = np.corrcoef(noise[0, :, 1:, 0].ravel(), noise[0, :, :-1, 0].ravel())[0, 1]
        assert abs(neighbours) < 0.04
    assert np.ptp(pixel, axis=3).max() == 0
    assert np.abs(np.corrcoef(colour[0].reshape(-1, 3).T)[np.triu_indices(3, 1)]).max() < 0.04


def test_amounts_are_uniform_up_to_the_strength():
    frames = _plain([127, 127, 127], n=200, height=24, width=24)
    noise = Augmentation({"pixel_noise": 0.8})(frames, seed=0, shots=np.arange(200)).astype(float) - 127
    share = noise.std((1, 2, 3)) / (0.8 * 32)
    assert share.max() < 1.1
    assert np.quantile(share, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.09)


def test_tensors_stay_tensors_and_any_array_will_do(photos):
    augmentation = Augmentation(strength=0.3)
    expected = augmentation(photos, seed=0)
    tensor = augmentation(torch.from_numpy(photos.copy()), seed=0)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), expected)
    frozen = photos.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(augmentation(frozen, seed=0), expected)
    backwards = np.ascontiguousarray(photos[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(augmentation(backwards, seed=0), expected)
    assert augmentation(photos[:0], seed=0).shape == (0, SIDE, SIDE, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_nearly_the_same(photos):
    on_gpu = Augmentation(strength=0.3)(torch.from_numpy(photos).cuda(), seed=0)
    assert on_gpu.is_cuda
    assert np.abs(on_gpu.cpu().numpy() - Augmentation(strength=0.3)(photos, seed=0).astype(float)).mean() < 0.5


def test_no_global_state_is_touched(photos):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), photos.copy()
    Augmentation(strength=1)(photos, seed=0, shots=np.arange(len(photos)))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    np.testing.assert_array_equal(photos, before[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(5, 5), (24, 60), (60, 24)])
def test_every_shape_and_full_strength(kind, height, width):
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    for seed in range(3):
        assert augment(frames, kind, 1, seed=seed).shape == frames.shape


def test_what_is_wrong_is_said(photos):
    with pytest.raises(UsageError, match=r"'rotate' is none of rotation, .*Did you mean rotation"):
        Augmentation(["rotate"])
    with pytest.raises(UsageError, match=r"strength 1.2 of blur is not between 0 and 1"):
        Augmentation({"blur": 1.2})
    with pytest.raises(UsageError, match=r"strength nan of flip"):
        augment(photos, "flip", float("nan"), seed=0)
    with pytest.raises(ValueError, match=r"frames are float64 of shape \(4, 96, 96, 3\)"):
        augment(photos.astype(float), "flip", 1, seed=0)
    with pytest.raises(ValueError, match=r"frames are uint8 of shape \(96, 96, 3\)"):
        Augmentation()(photos[0], seed=0)
    for shots in ([0, 1], [0, 0, 0, -1], [0.0, 1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="4 whole numbers"):
            augment(photos, "flip", 1, seed=0, shots=shots)


def test_defaults_and_units():
    assert Augmentation().strengths == DEFAULT_STRENGTHS
    assert tuple(DEFAULT_STRENGTHS) == KINDS
    assert Augmentation(["flip", "crop"], 0.4).strengths == {"crop": 0.4, "flip": 0.4}
    assert [amount(kind, 1) for kind in KINDS[:3]] == ["45°", "45°", "×2.00"]
    assert amount("crop", 0.5) == "45% cut off"


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(0, 60)), st.integers(0, 70), st.integers(0, 20))
def test_shot_numbers_count_the_cuts_so_far(cuts, first, n):
    numbers = shot_numbers(sorted(cuts), n, first)
    assert numbers.tolist() == [sum(0 < cut <= first + k for cut in cuts) for k in range(n)]

import numpy as np
import pytest

from neurocca.errors import UsageError
from neurocca.features.augment import Augmentation
from neurocca.features.augmented_encoder import AugmentedEncoder, Moments, ViewVariance
from neurocca.features.cnn import FrameEncoder
from neurocca.features.networks import build_network

LAYERS = ("layer1", "layer3")


@pytest.fixture(scope="module")
def plain():
    return FrameEncoder(build_network("test_resnet"), LAYERS, precision="fp32")


@pytest.fixture(scope="module")
def frames(plain):
    width, height = plain.frame_size
    coarse = np.random.default_rng(0).integers(0, 256, (6, 1 + height // 8, 1 + width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]


@pytest.mark.parametrize(("strength", "n_views"), [(1.0, 1), (0.0, 4)])
def test_one_view_or_no_strength_gives_the_plain_features(plain, frames, strength, n_views):
    moments = AugmentedEncoder(plain, Augmentation(strength=strength), n_views=n_views).encode(frames)
    for layer, expected in plain.encode(frames).items():
        np.testing.assert_array_equal(moments[layer].mean, expected)
        np.testing.assert_array_equal(moments[layer].variance, 0)


def test_moments_are_those_of_the_frame_and_its_augmented_views(plain, frames):
    augmentation, shots = Augmentation(strength=0.5), [0, 0, 0, 1, 1, 2]
    encoder = AugmentedEncoder(plain, augmentation, n_views=5, seed=7)
    moments = encoder.encode(frames, shots)
    views = [frames, *(augmentation(frames, seed=7, view=view, shots=shots) for view in range(1, 5))]
    features = [plain.encode(view) for view in views]
    for layer in LAYERS:
        stack = np.stack([f[layer] for f in features]).astype(np.float64)
        assert moments[layer].mean.dtype == moments[layer].variance.dtype == np.float32
        np.testing.assert_allclose(moments[layer].mean, stack.mean(0), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(moments[layer].variance, stack.var(0), rtol=1e-4, atol=1e-9)
        assert moments[layer].variance.max() > 0
    assert encoder.names("layer1") == plain.names("layer1")
    assert (encoder.layers, encoder.frame_size) == (plain.layers, plain.frame_size)


def test_streams_and_blocks_do_not_matter(plain, frames):
    encoder = AugmentedEncoder(plain, Augmentation(strength=0.5), n_views=3)
    shots = np.array([0, 0, 1, 1, 2, 2])
    whole = encoder.encode(frames, shots)
    parts = list(encoder.stream((frames[i : i + 3], shots[i : i + 3]) for i in (0, 3)))
    assert len(parts) == 2
    for layer in LAYERS:
        for k in range(2):
            np.testing.assert_allclose(
                np.concatenate([part[layer][k] for part in parts]), whole[layer][k], rtol=1e-4, atol=1e-6
            )
    assert list(encoder.stream([])) == []


def test_view_variance_is_that_of_all_frames_at_once():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(5, 2, (50, 7)).astype(np.float32), rng.gamma(2, 1, (50, 7)).astype(np.float32)
    gathered = ViewVariance()
    for part in (slice(0, 1), slice(1, 30)):
        gathered.update({"conv": Moments(mean[part], variance[part])})
    resumed = ViewVariance()
    resumed.restore(gathered.state())
    resumed.update({"conv": Moments(mean[30:], variance[30:])})
    (row,) = resumed.table().to_dict("records")
    within, between = variance.mean(dtype=float), mean.astype(float).var(0).mean()
    assert (row["layer"], row["n_frames"]) == ("conv", 50)
    assert row["within"] == pytest.approx(within, rel=1e-6)
    assert row["between"] == pytest.approx(between, rel=1e-6)
    assert row["share"] == pytest.approx(within / (within + between), rel=1e-6)
    assert gathered.table()["n_frames"].item() == 30  # what was handed on is not changed behind its back


def test_without_views_there_is_nothing_to_average(plain):
    with pytest.raises(UsageError, match="n_views=0 must be at least 1"):
        AugmentedEncoder(plain, n_views=0)

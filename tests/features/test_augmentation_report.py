import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_images

from neurocca.errors import UsageError
from neurocca.features.augment import DEFAULT_STRENGTHS, KINDS, Augmentation
from neurocca.features.augmentation_report import (
    STRENGTHS,
    TOGETHER,
    _comparison,
    _crossing,
    augmentation_examples,
    augmentation_report,
)
from neurocca.features.cnn import FrameEncoder
from neurocca.features.networks import build_network
from neurocca.io.weights import load_network


class Blocks:
    """Mean colour of 4 × 4 blocks, and as class scores the share of each corner's light."""

    layers = ("blocks", "scores")

    def encode(self, frames):
        n, height, width, _ = frames.shape
        means = frames.reshape(n, 4, height // 4, 4, width // 4, 3).mean((2, 4))
        light = means.mean(3)
        corners = light[:, [0, 0, 1, 3, 3, 2], [0, 3, 1, 0, 3, 2]]
        return {"blocks": means.reshape(n, -1).astype(np.float32), "scores": corners.astype(np.float32)}


def _frames(n=12, side=64):
    coarse = np.random.default_rng(0).integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side), Image.Resampling.BICUBIC)) for c in coarse])


def _value(report, kind, measure, strength, layer=None):
    t = report.table
    rows = t[(t["kind"] == kind) & (t["measure"] == measure) & (t["strength"] == strength)]
    return rows.loc[(rows["layer"] == layer) if layer else slice(None), "value"].item()


@pytest.fixture(scope="module")
def report():
    return augmentation_report(Blocks(), _frames(), kinds=["rotation", "flip", "blur"], labels="scores")


def test_table_is_tidy(report):
    assert list(report.table.columns) == ["kind", "strength", "amount", "layer", "measure", "value"]
    assert not report.table.isna().any(axis=None)
    assert len(report.table) == 4 * len(STRENGTHS) * 4
    assert not report.table.duplicated(["kind", "strength", "layer", "measure"]).any()
    assert report.limits["kind"].tolist() == ["rotation", "flip", "blur", TOGETHER]
    assert report.n_frames == 12


def test_nothing_changes_at_strength_0(report):
    start = report.table[report.table["strength"] == 0]
    expected = start["measure"].map({"drift": 0, "identified": 1, "top1_lost": 0, "top5_lost": 0})
    np.testing.assert_allclose(start["value"], expected, atol=1e-6)


def test_limits_are_where_the_first_curve_comes_half_way(report):
    for row in report.limits.to_dict("records"):
        t = report.table[(report.table["kind"] == row["kind"]) & report.table["measure"].isin(["drift", "top5_lost"])]
        curves = t.pivot(index="strength", columns="measure", values="value")
        worst = curves.max(axis=1)
        reached = [np.interp(row["strength"], curves.index, curves[m]) for m in curves]
        if row["limited_by"]:
            assert max(reached) == pytest.approx(0.5)
            assert (worst[worst.index < row["strength"]] <= 0.5).all()
        else:
            assert (worst <= 0.5).all()
    flip = report.limits.set_index("kind").loc["flip"]
    assert (
        flip["limited_by"] == "blocks"
    )  # half of the mirrored frames are too many for blocks that know left from right
    assert report.lines()[1].startswith("flip: up to ")


def test_strengths_are_ready_for_use(report):
    limits = report.limits.set_index("kind")["strength"]
    assert report.strengths == {
        k: pytest.approx(2 / 3 * limits[k] * limits[TOGETHER]) for k in ("rotation", "flip", "blur")
    }
    assert Augmentation(report.strengths).strengths.keys() == {"rotation", "flip", "blur"}


def test_drift_is_0_for_the_same_and_1_for_any_other_frame():
    x = np.random.default_rng(1).normal(size=(40, 300)).astype(np.float32)
    compare = _comparison({"layer": x, "scores": x[:, :10]}, "scores")
    same, identified, top1, top5 = (row["value"] for row in compare({"layer": 3 * x, "scores": x[:, :10]}))
    assert (same, identified, top1, top5) == (pytest.approx(0, abs=0.02), 1, 0, 0)
    other = compare({"layer": np.roll(x, 1, axis=0), "scores": -x[:, :10]})
    assert other[0]["value"] == pytest.approx(1, abs=0.02)
    assert other[1]["value"] == pytest.approx(0.5, abs=0.15)
    assert (other[2]["value"], other[3]["value"]) == (1, 1)
    # what is common to all frames, or never varies, does not make them alike
    lifted = np.hstack([100 + x, np.full((40, 5), 7, np.float32)])
    shifted = _comparison({"layer": lifted}, None)({"layer": np.roll(lifted, 1, axis=0)})
    assert shifted[0]["value"] == pytest.approx(other[0]["value"], abs=1e-3)


def test_drift_compares_correlations_of_z_scored_features():
    rng = np.random.default_rng(2)
    x = rng.gamma(1, np.arange(1, 31), (20, 30))
    y = x + rng.gamma(1, 5, x.shape)
    a, b = ((z - x.mean(0)) / x.std(0) for z in (x, y))
    r, among = np.corrcoef(b, a)[:20, 20:], np.corrcoef(a)
    other = ~np.eye(20, dtype=bool)
    drift, identified = (row["value"] for row in _comparison({"layer": x}, None)({"layer": y}))
    assert drift == pytest.approx((1 - np.diag(r).mean()) / (1 - among[other].mean()))
    assert identified == pytest.approx((r < np.diag(r)[:, None])[other].mean())


def test_crossing_is_interpolated():
    strengths = np.array([0, 0.2, 1.0])
    assert _crossing(strengths, np.array([0, 0.25, 0.75])) == pytest.approx(0.6)
    assert _crossing(strengths, np.array([0, 0.75, 0.1])) == pytest.approx(0.2 * 0.5 / 0.75)
    assert _crossing(strengths, np.array([0, 0.3, 0.5])) == 1


def test_the_seed_alone_decides_and_progress_adds_up(report):
    calls = []
    options = {"kinds": ["rotation", "flip", "blur"], "labels": "scores"}
    again = augmentation_report(Blocks(), _frames(), **options, rng=np.random.default_rng(0), progress=calls.append)
    pd.testing.assert_frame_equal(again.table, report.table)
    assert sum(calls) == 12 * (1 + 4 * (len(STRENGTHS) - 1))
    other = augmentation_report(Blocks(), _frames(), **options, rng=1)
    assert not other.table["value"].equals(report.table["value"])


def test_examples_begin_with_the_frame_itself(report):
    frame = _frames()[3]
    examples = augmentation_examples(frame, report, rng=2)
    assert list(examples) == ["rotation", "flip", "blur", TOGETHER]
    for pictures in examples.values():
        assert pictures.shape == (len(STRENGTHS), *frame.shape)
        np.testing.assert_array_equal(pictures[0], frame)
    own = report.limits.set_index("kind")["strength"].drop(TOGETHER).to_dict()
    seed = int(np.random.default_rng(2).integers(2**32))
    np.testing.assert_array_equal(examples[TOGETHER][-1:], Augmentation(own)(frame[None], seed=seed))
    difference = np.abs(examples["blur"].astype(float) - frame).mean((1, 2, 3))
    assert (np.diff(difference) >= 0).all()
    assert difference[-1] > 1


def test_an_untrained_network_without_labels():
    encoder = FrameEncoder(build_network("test_resnet"), ["layer1", "layer2"], precision="fp32")
    width, _ = encoder.frame_size
    found = augmentation_report(encoder, _frames(6, width), kinds=["colour_noise"], strengths=(0, 0.5, 1))
    assert set(found.table["measure"]) == {"drift", "identified"}
    assert set(found.table["layer"]) == {"layer1", "layer2"}
    assert _value(found, "colour_noise", "drift", 1, "layer1") > _value(found, "colour_noise", "drift", 0.5, "layer1")


def test_what_is_wrong_is_said():
    frames = _frames(4)
    with pytest.raises(ValueError, match="2 frames: at least three"):
        augmentation_report(Blocks(), frames[:2])
    with pytest.raises(ValueError, match=r"strengths \[0.1, 0.5\] must ascend from 0"):
        augmentation_report(Blocks(), frames, strengths=(0.1, 0.5))
    with pytest.raises(ValueError, match="labels='fc' is none of the encoder's layers blocks, scores"):
        augmentation_report(Blocks(), frames, labels="fc")
    with pytest.raises(UsageError, match="Did you mean rotation"):
        augmentation_report(Blocks(), frames, kinds=["rotatoin"])
    with pytest.raises(UsageError, match="strength 2 of"):
        augmentation_report(Blocks(), frames, strengths=(0, 2))


@pytest.fixture(scope="module")
def on_photos():
    """Pans over eight photographs in the eyes of a trained network."""
    pictures = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    pictures += load_sample_images().images
    encoder = FrameEncoder(load_network("efficientnet-lite0"), ["blocks.2", "blocks.4", "classifier"], precision="fp32")
    frames = []
    for picture in pictures:
        height = min(picture.shape[0], picture.shape[1] * 4 // 5)
        for left in (0, picture.shape[1] - height):
            square = Image.fromarray(picture[:height, left : left + height])
            frames.append(np.asarray(square.resize((224, 224), Image.Resampling.LANCZOS)))
    return augmentation_report(encoder, np.stack(frames), strengths=(0, 0.25, 1), labels="classifier")


@pytest.mark.slow
def test_drift_grows_with_strength_on_photographs(on_photos):
    t = on_photos.table
    drift = t[t["measure"] == "drift"].pivot(index=["kind", "layer"], columns="strength", values="value")
    assert (np.diff(drift.to_numpy(), axis=1) > 0).all()
    assert (drift[1.0] < 1.3).all()
    assert set(drift.index.get_level_values("kind")) == {*KINDS, TOGETHER}


@pytest.mark.slow
def test_default_strengths_leave_photographs_themselves(on_photos):
    limits = on_photos.limits.set_index("kind")["strength"]
    assert all(strength < limits[kind] for kind, strength in DEFAULT_STRENGTHS.items())

import re

import numpy as np
import pytest
import torch

from neurocca.errors import UsageError
from neurocca.features.pooling import POOLINGS, check_pooling, feature_names, pool, read_output

SHAPES = {"vector": (5,), "map": (6, 7, 7), "last": (7, 7, 6), "tokens": (17, 6)}
PAIRS = [
    *[(kind, pooling) for kind in ("map", "last") for pooling in ("none", "avg", "max", "pyramid")],
    *[(kind, pooling) for kind in ("vector", "tokens") for pooling in POOLINGS],
]


def _output(kind):
    return read_output("layer", SHAPES[kind], prefix=1)


def _batch(rng, kind, n=3):
    return torch.from_numpy(rng.standard_normal((n, *SHAPES[kind])).astype(np.float32))


@pytest.mark.parametrize(("kind", "pooling"), PAIRS)
def test_every_feature_has_a_name_of_its_own_and_each_frame_its_row(rng, kind, pooling):
    x = _batch(rng, kind)
    output = _output(kind)
    assert output.kind == kind
    check_pooling("layer", output, pooling)
    before = x.clone()
    features = pool(x, output, pooling)
    names = feature_names(output, pooling)
    assert features.shape == (3, len(names))
    assert features.dtype == torch.float32
    assert len(set(names)) == len(names)
    torch.testing.assert_close(pool(x[1:2], output, pooling), features[1:2])
    x += 1  # what was taken does not change with the output
    torch.testing.assert_close(features, pool(before, output, pooling), rtol=0, atol=0)


@pytest.mark.parametrize("pooling", ["none", "avg", "max", "pyramid"])
def test_the_order_of_axes_does_not_matter(rng, pooling):
    x = _batch(rng, "map")
    expected = pool(x, _output("map"), pooling)
    torch.testing.assert_close(pool(x.permute(0, 2, 3, 1), _output("last"), pooling), expected)
    assert feature_names(_output("last"), pooling) == feature_names(_output("map"), pooling)


def test_names_say_where_a_feature_is_from(rng):
    x = _batch(rng, "map")
    for name, column in zip(feature_names(_output("map"), "none"), pool(x, _output("map"), "none").T, strict=True):
        c, row, place = map(int, re.fullmatch(r"c(\d+)_y(\d+)x(\d+)", name).groups())
        assert torch.equal(column, x[:, c, row, place])
    tokens = _batch(rng, "tokens")
    names = feature_names(_output("tokens"), "none")
    for name, column in zip(names, pool(tokens, _output("tokens"), "none").T, strict=True):
        t, c = map(int, re.fullmatch(r"t(\d+)_c(\d+)", name).groups())
        assert torch.equal(column, tokens[:, t, c])


def test_pyramid_by_hand():
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    output = read_output("layer", (2, 4, 4))
    features = dict(zip(feature_names(output, "pyramid"), pool(x, output, "pyramid")[0].tolist(), strict=True))
    assert len(features) == 2 * (1 + 4 + 16)
    assert features["c0_1x1_y0x0"] == 7.5
    assert features["c1_2x2_y0x1"] == np.mean([18, 19, 22, 23])
    assert features["c1_4x4_y3x0"] == 28


def test_pyramids_end_at_the_size_of_the_map(rng):
    output = read_output("layer", (3, 2, 2))
    x = torch.from_numpy(rng.standard_normal((2, 3, 2, 2)).astype(np.float32))
    features = pool(x, output, "pyramid")
    assert features.shape == (2, 3 * (1 + 4))
    torch.testing.assert_close(features[:, :3], x.mean((2, 3)))
    torch.testing.assert_close(features[:, 3:], x.flatten(1))


def test_the_class_token_is_no_place(rng):
    x = _batch(rng, "tokens")
    output = _output("tokens")
    torch.testing.assert_close(pool(x, output, "cls"), x[:, 0])
    torch.testing.assert_close(pool(x, output, "patch_mean"), x[:, 1:].mean(1))
    torch.testing.assert_close(pool(x, output, "avg"), x[:, 1:].mean(1))
    torch.testing.assert_close(pool(x, output, "max"), x[:, 1:].amax(1))
    quarter = pool(x, output, "pyramid")[:, 6:30].unflatten(1, (6, 4))[:, :, 0]
    torch.testing.assert_close(quarter, x[:, [1, 2, 5, 6]].mean(1))


@pytest.mark.parametrize(
    ("shape", "prefix", "expected"),
    [
        ((197, 192), 1, 1),
        ((196, 192), 1, 0),  # before the class token is put in front
        ((201, 384), 5, 5),  # with four registers
        ((196, 512), 0, 0),
        ((50, 768), 1, 1),
        ((300, 64), 1, 1),  # no square either way: as the network says
    ],
)
def test_tokens_before_the_patches_are_told_by_their_number(shape, prefix, expected):
    assert read_output("layer", shape, prefix=prefix).prefix == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_averages_of_half_precision_are_of_single_precision(rng, dtype):
    x = torch.from_numpy(rng.uniform(1, 2, (2, 3, 100, 100)).astype(np.float32)).to(dtype)
    output = read_output("layer", (3, 100, 100))
    for pooling in ("avg", "pyramid"):
        exact = pool(x.double(), output, pooling)
        torch.testing.assert_close(pool(x, output, pooling), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("kind", "shape", "pooling", "message"),
    [
        ("map", (6, 7, 7), "cls", r"'cls' does not go with layer 'conv', which is a map, without tokens \(6, 7, 7\)"),
        ("map", (6, 7, 7), "patch_mean", "without tokens"),
        ("tokens", (16, 6), "cls", "has no class token"),
        ("tokens", (18, 6), "pyramid", "form no square"),
        ("map", (6, 7, 7), "mean", "pooling 'mean' must be one of none, avg, max, pyramid, cls, patch_mean"),
    ],
)
def test_poolings_that_do_not_go_with_an_output_are_refused(kind, shape, pooling, message):
    output = read_output("conv", shape, prefix=0)
    assert output.kind == kind
    with pytest.raises(UsageError, match=message):
        check_pooling("conv", output, pooling)


def test_outputs_with_more_axes_are_refused():
    with pytest.raises(UsageError, match=r"layer 'windows' gives \(4, 2, 7, 7\) for a frame"):
        read_output("windows", (4, 2, 7, 7))

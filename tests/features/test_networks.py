import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from neurocca.errors import UsageError
from neurocca.features.networks import (
    build_network,
    import_timm,
    import_torchvision,
    layer_shapes,
    stage_layers,
)

FRESH_IMPORT = """
import sys, threading
from neurocca.features.networks import import_timm, import_torchvision
assert "torchvision" not in sys.modules
found = []
threads = [threading.Thread(target=lambda: found.append(import_torchvision())) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 4 and len(set(map(id, found))) == 1
import torch, torchvision
assert torchvision is found[0] and import_torchvision() is torchvision
from torchvision.transforms import v2
assert v2.Resize(4)(torch.zeros(3, 8, 8)).shape == (3, 4, 4)
assert import_timm().is_model("resnet18")
"""


def test_torchvision_and_timm_are_imported_once_and_without_a_warning():
    subprocess.run([sys.executable, "-W", "error", "-c", FRESH_IMPORT], check=True)


def test_networks_come_in_evaluation_mode_with_the_same_weights_and_leave_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second = build_network("test_resnet"), build_network("timm:test_resnet")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not first.module.training
    assert first.weights is None
    states = zip(first.module.state_dict().values(), second.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "size", "resize", "interpolation", "mean_std"),
    [
        # mean and std are those that the packaged weights were trained with, not timm's for its own
        ("efficientnet-lite0", 224, 256, "bicubic", ((127 / 255,) * 3, (128 / 255,) * 3)),
        ("efficientnet-lite1", 240, 272, "bicubic", ((127 / 255,) * 3, (128 / 255,) * 3)),
        ("efficientnet-lite2", 260, 292, "bicubic", ((127 / 255,) * 3, (128 / 255,) * 3)),
        ("tf_efficientnet_lite0", 224, 256, "bicubic", ((0.5,) * 3, (0.5,) * 3)),
        ("resnet18.a1_in1k", 224, 235, "bicubic", IMAGENET),
        ("torchvision:resnet18", 224, 256, "bilinear", IMAGENET),
        ("torchvision:mobilenet_v3_large", 224, 232, "bilinear", IMAGENET),
        ("alexnet", 224, 256, "bilinear", IMAGENET),  # timm has none
        ("test_vit3", 160, 168, "bicubic", ((0.5,) * 3, (0.5,) * 3)),
    ],
)
def test_preprocessing_is_the_models_own(name, size, resize, interpolation, mean_std):
    preprocessing = build_network(name).preprocessing
    assert preprocessing.size == (size, size)
    assert (preprocessing.resize, preprocessing.interpolation) == (resize, interpolation)
    np.testing.assert_allclose((preprocessing.mean, preprocessing.std), mean_std)


def test_squashing_models_get_the_whole_picture():
    # no crop: the picture is stretched
    preprocessing = build_network("mobilenetv4_conv_small").preprocessing
    squashing = type(preprocessing)((100, 50), None, "bilinear", preprocessing.mean, preprocessing.std)
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[:, :40] = 200
    frame = squashing.prepare(picture)
    assert frame.shape == (50, 100, 3)
    assert (frame[:, :45] == 200).all()
    assert (frame[:, 55:] == 0).all()


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet18", "torchvision:resnet18", "torchvision:vit_b_16"])
def test_prepared_pictures_are_those_of_the_library(name):
    timm, models = import_timm(), import_torchvision().models
    network = build_network(name)
    picture = data.chelsea()
    if name.startswith("torchvision"):
        transform = models.get_model_weights(name.partition(":")[2]).DEFAULT.transforms()
    else:
        config = timm.data.resolve_data_config({}, model=network.module)
        transform = timm.data.create_transform(**config)
        mean, std = torch.tensor(config["mean"]), torch.tensor(config["std"])
    theirs = transform(Image.fromarray(picture))
    if name.startswith("torchvision"):
        mean, std = (torch.tensor(x) for x in (network.preprocessing.mean, network.preprocessing.std))
    levels = (theirs.permute(1, 2, 0) * std + mean).numpy() * 255
    difference = np.abs(network.preprocessing.prepare(picture) - levels)
    assert difference.mean() < 0.6  # Pillow rounds between the two directions of scaling
    assert difference.max() < 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5O", r"model 'resnet5O': neither timm nor torchvision has it\. Did you mean resnet50"),
        ("efficientnet_lite_0", r"Did you mean efficientnet-lite0"),
        ("resnet50.a1_in2k", r"Did you mean resnet50\.a1_in1k"),
        ("timm:alexnet", r"timm does not have it\. Did you mean alexnet"),
        ("torchvision:fasterrcnn_resnet50_fpn", r"torchvision does not have it"),
        ("hf-hub:somebody/something", r"neither timm nor torchvision has it"),
        ("", r"model '': neither timm nor torchvision has it\.$"),
    ],
)
def test_unknown_models_are_refused_with_the_nearest_names(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        build_network(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "torchvision:resnet18"])
def test_classes_have_names(name):
    labels = build_network(name).labels
    assert len(labels) == 1000
    assert "tabby" in labels[281]
    assert "espresso" in labels[967]


def test_layer_shapes_are_those_of_the_architecture():
    shapes = layer_shapes(build_network("efficientnet-lite0"))
    expected = {
        "blocks.0": (16, 112, 112),
        "blocks.2": (40, 28, 28),
        "blocks.4": (112, 14, 14),
        "blocks.6": (320, 7, 7),
    }
    assert {path: shapes[path] for path in expected} == expected
    assert list(shapes)[-1] == "classifier"
    assert shapes["classifier"] == (1000,)
    assert layer_shapes(build_network("test_vit"))["blocks.2"] == (101, 64)


def test_what_gives_no_row_per_frame_is_no_layer():
    swin = layer_shapes(build_network("swin_tiny_patch4_window7_224"))
    assert swin["layers.0"] == (56, 56, 96)
    assert "layers.0.blocks.0.attn" not in swin  # a row per window
    vit = layer_shapes(build_network("torchvision:vit_b_32"))
    assert vit["encoder.layers.encoder_layer_0"] == (50, 768)
    assert "encoder.layers.encoder_layer_0.self_attention" not in vit  # a pair


def test_layer_shapes_leave_no_hooks():
    network = build_network("test_resnet")
    layer_shapes(network)
    assert not any(module._forward_hooks for module in network.module.modules())


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", ("layer1", "layer2", "layer4")),
        ("test_vit", ("blocks.1", "blocks.3", "blocks.5")),
        ("torchvision:resnet18", ("layer1", "layer3", "layer4")),
        ("torchvision:vit_b_32", tuple(f"encoder.layers.encoder_layer_{i}" for i in (3, 7, 11))),
        ("torchvision:alexnet", ("features.3", "features.8", "features.12")),
    ],
)
def test_stages_to_begin_with(name, layers):
    assert stage_layers(build_network(name)) == layers

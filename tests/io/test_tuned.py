"""Fine-tuned weights and checkpoints of trainings: what is read is what was written, and no other file is taken."""

import numpy as np
import pytest
import safetensors.torch
import torch

from neurocca.errors import DataError, NoInputError, OutputError
from neurocca.features.finetune import finetune
from neurocca.features.finetune_objectives import Classes
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import TrainingRun
from neurocca.features.networks import build_network
from neurocca.io.tuned import TrainingCheckpoint, read_tuned_record, save_tuned
from neurocca.io.weights import load_network

NAME = "test_resnet"


@pytest.fixture(scope="module")
def tuned():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 12, 32, 32, 3), dtype=np.uint8)
    runs = [TrainingRun(label, part, np.arange(12) % 2) for label, part in zip("abc", frames, strict=True)]
    recipe = FineTuning("upper", ("layer4",), "layer3", epochs=2)
    return finetune(build_network(NAME), runs[:2], runs[2:], Classes(2), recipe, device="cpu")


def test_tuned_weights_are_weights_like_others(tuned, tmp_path):
    path = tmp_path / "new" / "tuned.safetensors"
    save_tuned(path, tuned)
    ours, theirs = tuned.network.module.state_dict(), load_network(NAME, path).module.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    before = path.read_bytes()
    save_tuned(path, tuned)
    assert path.read_bytes() == before


def test_the_record_says_what_the_weights_have_seen(tuned, tmp_path):
    path = tmp_path / "tuned.safetensors"
    save_tuned(path, tuned)
    record = read_tuned_record(path)
    assert record == tuned.record()
    assert [(run["label"], run["role"]) for run in record["seen"]] == [
        ("a", "training"), ("b", "training"), ("c", "stopping"),
    ]  # fmt: skip
    assert record["recipe"]["from_layer"] == "layer3"
    safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert read_tuned_record(tmp_path / "other.safetensors") is None


def test_files_that_cannot_be_read_or_written(tuned, tmp_path):
    with pytest.raises(NoInputError, match=r"none\.safetensors"):
        read_tuned_record(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a model")
    with pytest.raises(DataError, match="not a whole safetensors file"):
        read_tuned_record(tmp_path / "bad.safetensors")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_tuned(tmp_path / "file" / "tuned.safetensors", tuned)


def test_a_checkpoint_gives_back_what_it_was_given(tmp_path):
    checkpoint = TrainingCheckpoint(tmp_path / "a" / "training.safetensors")
    assert checkpoint.load("one") is None
    tensors = {"now.w": torch.arange(6.0).reshape(2, 3), "optimizer.0.step": torch.tensor(3.0)}
    checkpoint.save("one", tensors, {"history": {"loss": [0.1, float(np.pi)]}})
    found, meta = checkpoint.load("one")
    assert meta == {"history": {"loss": [0.1, float(np.pi)]}}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    with pytest.raises(DataError, match="belongs to another training"):
        checkpoint.load("another")


def test_a_checkpoint_that_is_none_is_refused(tuned, tmp_path):
    path = tmp_path / "training.safetensors"
    checkpoint = TrainingCheckpoint(path)
    checkpoint.save("one", {"now.w": torch.zeros(100)}, {})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        checkpoint.load("one")
    path.write_bytes(whole.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    with pytest.raises(DataError, match="of format 9"):
        checkpoint.load("one")
    safetensors.torch.save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="not written by neurocca"):
        checkpoint.load("one")
    save_tuned(path, tuned)
    with pytest.raises(DataError, match="belongs to another training"):
        checkpoint.load("one")

"""Features of a fine-tuned network remember the runs that it was tuned on."""

import numpy as np
import pytest
import torch

from neurocca.config import FeaturesConfig
from neurocca.demo.film import FPS, SIZE, Film
from neurocca.errors import DataError
from neurocca.features.finetune import finetune
from neurocca.features.finetune_objectives import Classes
from neurocca.features.finetune_recipe import FineTuning
from neurocca.features.finetune_runs import TrainingRun
from neurocca.io.movie_writing import write_movie
from neurocca.io.store import FeatureStore
from neurocca.io.tuned import save_tuned
from neurocca.io.weights import load_network
from neurocca.steps.features import extract_features
from neurocca.steps.seen import check_unseen, tuning_of


def test_a_run_that_was_trained_on_is_not_evaluated(tmp_path, caplog):
    rng = np.random.default_rng(0)
    runs = [
        TrainingRun(name, rng.integers(0, 256, (6, 48, 48, 3), dtype=np.uint8), np.arange(6) % 2)
        for name in ("run-01", "2")
    ]
    recipe = FineTuning("upper", ("blocks.6",), "blocks.6", epochs=1)
    network = load_network("efficientnet-lite0")
    tuned = finetune(network, runs, [], Classes(2), recipe, device="cpu")
    weights = tmp_path / "tuned.safetensors"
    save_tuned(weights, tuned)
    assert [one["label"] for one in tuning_of(str(weights))] == ["run-01", "2"]

    films = [
        write_movie(tmp_path / f"film_run-{run}.mp4", Film(4.0, np.random.default_rng(run)).frame, 4.0, FPS, SIZE)
        for run in (1, 2, 3)
    ]
    config = FeaturesConfig(
        spaces=("cnn",), layers=("blocks.6",), weights=str(weights), rate=1.0, batch_size=4, precision="fp32"
    )
    path = extract_features(films, tmp_path / "f.h5", config)
    plain = FeaturesConfig(spaces=("cnn",), layers=("blocks.6",), rate=1.0, batch_size=4, precision="fp32")
    other = extract_features(films, tmp_path / "plain.h5", plain)
    space = "efficientnet-lite0_blocks.6"
    with FeatureStore(path) as store, FeatureStore(other) as untuned:
        assert not np.allclose(store.read(space, "3").data, untuned.read(space, "3").data)
        for run in ("1", "2"):
            with pytest.raises(DataError, match=f"fine-tuned on run {run}: nothing can be evaluated there"):
                check_unseen(store, [space], ["3", run])
        check_unseen(store, [space], ["3"])
        assert "fine-tuned on runs 1, 2" in caplog.text
        caplog.clear()
        check_unseen(untuned, [space], ["1", "2", "3"])
        assert not caplog.text


def test_other_weights_were_not_tuned(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    assert tuning_of("pretrained") == tuning_of(str(tmp_path / "w.pth")) == []

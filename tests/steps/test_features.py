"""Films to a store: what is made, kept, taken up again and refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

import neurocca
from neurocca.cli import main
from neurocca.config import FeaturesConfig
from neurocca.demo.film import FPS, SIZE, SOUND_RATE, Film, sound_track
from neurocca.errors import DataError, OutputError, UsageError
from neurocca.features.networks import build_network
from neurocca.io.files import sha256
from neurocca.io.movie import iter_batches
from neurocca.io.movie_header import probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.parts import Parts
from neurocca.io.store import FeatureStore
from neurocca.steps import jobs, passes
from neurocca.steps.features import extract_features, films_store
from neurocca.steps.inspect import export_timeseries, store_table
from neurocca.steps.network_pass import NetworkPass, film_frames
from neurocca.steps.reduction import Projection
from tests.io.films import encode

SECONDS = 20.0
MEASURES = FeaturesConfig(spaces=("lowlevel", "audio", "shots"), batch_size=8)
NETWORK = FeaturesConfig(spaces=("cnn",), layers=("blocks.2", "blocks.4"), batch_size=8, precision="fp32", rate=2.0)

TINY = FeaturesConfig(
    spaces=("cnn",),
    layers=("layer1",),
    model="timm:test_resnet",
    weights="random",
    batch_size=4,
    precision="fp32",
    rate=2.0,
    device="cpu",
)
"""A small untrained network."""

LAYERS = replace(TINY, layers=("layer1", "layer2"), batch_size=8)
"""Two layers of it, where what is tested is not what a trained network sees."""

LAYER = "test_resnet_layer1"


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("films"), []
    for run, rng in enumerate(np.random.default_rng(3).spawn(3), start=1):
        film, sound = Film(SECONDS, rng), sound_track(SECONDS, rng)
        path = folder / f"film_run-{run}.mp4"
        paths.append(write_movie(path, film.frame, SECONDS, FPS, SIZE, sound, SOUND_RATE))
    return paths


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    """Two films of two pictures in turn, A B A B, each for 1.5 s and without any loss; the second film is longer."""
    folder = tmp_path_factory.mktemp("scenes")
    a, b = np.random.default_rng(5).integers(0, 256, (2, 6, 10, 3), dtype=np.uint8).repeat(16, 1).repeat(16, 2)
    frames = [*[a] * 15, *[b] * 15] * 2
    lossless = ["-c:v", "ffv1", "-pix_fmt", "bgr0"]
    return [encode(folder / f"run-{run}.mkv", [*frames, *[b] * run], 10, *lossless) for run in (1, 2)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(passes, "BLOCK", 16)


def content(path: Path) -> dict[str, np.ndarray]:
    with FeatureStore(path) as store:
        return {f"{s}/{r}": store.read(s, r).data for s in store.spaces for r in store.runs(s)}


def interrupt(monkeypatch, n_blocks: int, *arguments, **options) -> None:
    """Extract features until so many blocks are saved."""
    save, saved = Parts.save, []

    def limited(parts, index, arrays, **kinds):
        if len(saved) == n_blocks:
            raise KeyboardInterrupt
        saved.append(index)
        save(parts, index, arrays, **kinds)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "save", limited)
        with pytest.raises(KeyboardInterrupt):
            extract_features(*arguments, **options)


def interrupt_at_the_end(monkeypatch, *arguments) -> None:
    """Extract features until all blocks are saved, but not noted as finished."""

    def finish(parts, about):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "finish", finish)
        with pytest.raises(KeyboardInterrupt):
            extract_features(*arguments)


def go_on(monkeypatch, *arguments, **options) -> list[int]:
    """Extract features; the numbers of the blocks that were saved."""
    save, saved = Parts.save, []

    def noted(parts, index, arrays, **kinds):
        saved.append(index)
        save(parts, index, arrays, **kinds)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "save", noted)
        extract_features(*arguments, **options)
    return saved


def like(config: FeaturesConfig, **changes) -> FeaturesConfig:
    return replace(config, **changes)


def test_a_film_becomes_series_on_one_clock(films, tmp_path):
    path = extract_features(films[:2], tmp_path / "f.h5", MEASURES)
    with FeatureStore(path) as store:
        assert store.spaces == ["audio", "lowlevel", "shots"]
        for space in store.spaces:
            assert store.runs(space) == ["1", "2"]
            np.testing.assert_array_equal(store.times(space, "1"), np.arange(80) / 4)
        record = store.provenance("lowlevel", "2")
    assert record["film"]["name"] == "film_run-2.mp4"
    assert record["settings"] == {"rate": 4.0, "window": "frame", "crop": None, "size": [160, 96]}
    assert record["software"]["numpy"] == np.__version__
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5"]


def test_layers_become_spaces_with_the_digest_of_the_weights(films, tmp_path):
    path = extract_features(films[:1], tmp_path / "f.h5", NETWORK)
    with FeatureStore(path) as store:
        assert store.spaces == ["efficientnet-lite0_blocks.2", "efficientnet-lite0_blocks.4"]
        assert store.shape("efficientnet-lite0_blocks.4", "1") == (40, 112)
        record = store.provenance("efficientnet-lite0_blocks.2", "1")
    assert record["weights"]["sha256"].startswith("57934424")
    assert "Apache" in record["weights"]["licence"]
    assert record["engine"]["device"] == "cpu"
    with h5py.File(path) as file:  # for those who do without neurocca
        assert file["efficientnet-lite0_blocks.2/run-1/data"].shape == (40, 40)


@pytest.mark.parametrize(("model", "kernel"), [("efficientnet-lite0", "bicubic"), ("torchvision:resnet18", "bilinear")])
def test_frames_are_scaled_as_the_network_was_trained(films, model, kernel):
    config = FeaturesConfig(spaces=("cnn",), model=model, weights="random", rate=0.2, batch_size=2)
    seen = next(film_frames(passes.Film("1", films[0], "0" * 64, probe(films[0])), config, 0))
    expected = next(iter_batches(films[0], 0.2, 2, (224, 224), fit="cover", resize=256, interpolation=kernel))
    np.testing.assert_array_equal(seen, expected)


def test_the_same_call_gives_the_same_bytes_and_a_second_one_nothing_to_do(films, tmp_path, caplog):
    first = extract_features(films[:1], tmp_path / "a.h5", MEASURES)
    extract_features(films[:1], tmp_path / "b.h5", MEASURES)
    assert first.read_bytes() == (tmp_path / "b.h5").read_bytes()
    before = first.stat().st_mtime_ns
    with caplog.at_level("INFO", "neurocca"):
        extract_features(films[:1], first, MEASURES)
    assert first.stat().st_mtime_ns == before
    assert "a.h5 is up to date" in caplog.text


def test_spaces_and_runs_are_added_and_the_others_stay(films, tmp_path):
    path = extract_features(films[:1], tmp_path / "f.h5", FeaturesConfig(spaces=("lowlevel",)))
    before = content(path)
    extract_features(films[:1], path, FeaturesConfig(spaces=("audio",)))
    extract_features(films[1:2], path, FeaturesConfig(spaces=("lowlevel",)))
    after = content(path)
    assert sorted(after) == ["audio/1", "lowlevel/1", "lowlevel/2"]
    np.testing.assert_array_equal(after["lowlevel/1"], before["lowlevel/1"])


def test_a_layer_is_added_without_the_other_being_made_again(films, tmp_path):
    path = extract_features(films[:1], tmp_path / "f.h5", like(LAYERS, layers=("layer1",)))
    extract_features(films[:1], path, LAYERS)
    both = content(extract_features(films[:1], tmp_path / "g.h5", LAYERS))
    assert len(both) == 2
    for name, data in content(path).items():
        np.testing.assert_allclose(data, both[name], atol=1e-5)


def test_other_films_and_settings_are_refused_unless_told_to_overwrite(films, tmp_path):
    path = extract_features(films[:1], tmp_path / "f.h5", MEASURES)
    whole = path.read_bytes()
    other = FeaturesConfig(spaces=("lowlevel",), rate=2.0)
    with pytest.raises(UsageError, match=r"'lowlevel' of run 1 from other settings \(rate 4\.0, not 2\.0\)"):
        extract_features(films[:1], path, other)
    with pytest.raises(UsageError, match=r"of run 1 from another film \(film_run-1\.mp4\); --overwrite"):
        extract_features(films[1:2], path, MEASURES, runs=["1"])
    assert path.read_bytes() == whole
    extract_features(films[1:2], path, FeaturesConfig(spaces=("lowlevel",)), runs=["1"], overwrite=True)
    assert list(content(path)) == ["lowlevel/1"]  # nothing of the other film is left in the same run


def test_a_renamed_film_is_the_same_film(films, tmp_path):
    path = extract_features(films[:1], tmp_path / "f.h5", MEASURES)
    renamed = tmp_path / "other.mp4"
    renamed.write_bytes(films[0].read_bytes())
    before = path.stat().st_mtime_ns
    extract_features([renamed], path, MEASURES)
    assert path.stat().st_mtime_ns == before


INTERRUPTED = {
    "measures": MEASURES,
    "network": NETWORK,
    "views": like(TINY, n_views=2),
    "mean": like(MEASURES, spaces=("lowlevel",), window="mean"),
    "motion": like(MEASURES, spaces=("motion",)),
}


@pytest.mark.parametrize("kind", INTERRUPTED)
def test_what_was_interrupted_goes_on_at_the_last_whole_block_with_the_same_bytes(
    films, scenes, tmp_path, monkeypatch, small_blocks, kind
):
    sources, config = films[:1], INTERRUPTED[kind]
    if kind == "views":  # what is gathered over frames and counted in shots goes on as well
        monkeypatch.setattr(passes, "BLOCK", 4)
        sources = scenes[:1]
    whole = extract_features(sources, tmp_path / "whole.h5", config).read_bytes()
    interrupt(monkeypatch, 2, sources, tmp_path / "f.h5", config)
    assert not (tmp_path / "f.h5").exists()
    assert go_on(monkeypatch, sources, tmp_path / "f.h5", config)[0] == 2
    assert (tmp_path / "f.h5").read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.h5", "whole.h5"]


FINISHED = {
    "cnn": (like(TINY, batch_size=8), []),
    "cnn with views": (like(TINY, batch_size=8, n_views=2), []),
    "lowlevel": (like(MEASURES, spaces=("lowlevel",)), []),
    "audio": (like(MEASURES, spaces=("audio",)), [0]),  # a block that takes seconds is made again
    "motion": (like(MEASURES, spaces=("motion",)), []),
    "shots": (like(MEASURES, spaces=("shots",)), []),
}


@pytest.mark.parametrize("kind", FINISHED)
@pytest.mark.parametrize("block", [24, 40], ids=["short last block", "whole blocks"])
def test_what_was_interrupted_after_the_last_block_ends_with_the_same_bytes(films, tmp_path, monkeypatch, kind, block):
    monkeypatch.setattr(passes, "BLOCK", block)
    config, again = FINISHED[kind]
    whole = extract_features(films[:1], tmp_path / "whole.h5", config).read_bytes()
    interrupt_at_the_end(monkeypatch, films[:1], tmp_path / "f.h5", config)
    assert go_on(monkeypatch, films[:1], tmp_path / "f.h5", config) == again
    assert (tmp_path / "f.h5").read_bytes() == whole


def test_blocks_of_another_film_or_other_settings_are_not_taken_up(films, tmp_path, monkeypatch, small_blocks):
    config = like(MEASURES, spaces=("lowlevel",))
    for name, film, other in (("film", films[1], config), ("rate", films[0], like(config, rate=2.0))):
        path = tmp_path / f"{name}.h5"
        interrupt(monkeypatch, 2, films[:1], path, config)
        extract_features([film], path, other, runs=["1"])
        fresh = extract_features([film], tmp_path / f"fresh_{name}.h5", other, runs=["1"])
        assert path.read_bytes() == fresh.read_bytes()


def test_a_renamed_film_keeps_its_blocks(films, tmp_path, monkeypatch, small_blocks):
    config = like(MEASURES, spaces=("lowlevel",))
    interrupt(monkeypatch, 2, films[:1], tmp_path / "f.h5", config)
    renamed = tmp_path / "other_run-1.mp4"
    renamed.write_bytes(films[0].read_bytes())
    assert go_on(monkeypatch, [renamed], tmp_path / "f.h5", config)[0] == 2


def test_a_series_is_not_begun_in_one_precision_and_ended_in_another(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK", 4)
    film = passes.Film("1", scenes[0], sha256(scenes[0]), probe(scenes[0]))
    coarse = NetworkPass(like(TINY, precision="bf16"), ("layer1",), "", Projection(), "cpu")
    assert coarse.engine() == {"device": "cpu", "precision": "bf16"}
    fine = NetworkPass(like(TINY, precision="fp32"), ("layer1",), "", Projection(), "cpu")
    assert jobs.Job(film, fine, {}).folder() != jobs.Job(film, coarse, {}).folder()
    with monkeypatch.context() as patch:
        patch.setattr(NetworkPass, "engine", lambda one: {"device": "cuda", "precision": "fp32"})
        interrupt(monkeypatch, 2, scenes[:1], tmp_path / "f.h5", TINY)
    assert go_on(monkeypatch, scenes[:1], tmp_path / "f.h5", TINY) == [0, 1, 2]


def test_a_killed_process_leaves_its_blocks_and_the_old_store(films, tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "BLOCK", 8)
    path = extract_features(films[:1], tmp_path / "f.h5", FeaturesConfig(spaces=("audio",)))
    before = path.read_bytes()
    code = (
        "import sys; from neurocca.steps import passes; passes.BLOCK = 8\n"
        "from neurocca.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = ["features", *map(str, films[:1]), "-o", str(path), "--spaces", "lowlevel", "--batch-size", "8"]
    child = subprocess.Popen([sys.executable, "-c", code, *command])
    parts = tmp_path / ".f.h5.parts"
    deadline = time.monotonic() + 60
    while not list(parts.glob("run-1-*/block-000001.npz")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    if parts.exists():  # else it was done before the signal came
        assert path.read_bytes() == before
    extract_features(films[:1], path, FeaturesConfig(spaces=("lowlevel",), batch_size=8))
    fresh = extract_features(films[:1], tmp_path / "g.h5", FeaturesConfig(spaces=("lowlevel",), batch_size=8))
    np.testing.assert_array_equal(content(path)["lowlevel/1"], content(fresh)["lowlevel/1"])


def test_blocks_of_another_size_are_not_taken_up(films, tmp_path, monkeypatch, small_blocks):
    interrupt(monkeypatch, 1, films[:1], tmp_path / "f.h5", FeaturesConfig(spaces=("lowlevel",), batch_size=8))
    other = FeaturesConfig(spaces=("lowlevel",), batch_size=5)
    assert content(extract_features(films[:1], tmp_path / "f.h5", other))["lowlevel/1"].shape == (80, 15)


def test_processes_do_not_change_a_byte(films, tmp_path):
    one = extract_features(films[:2], tmp_path / "one.h5", MEASURES)
    two = extract_features(films[:2], tmp_path / "two.h5", MEASURES, n_jobs=2)
    assert one.read_bytes() == two.read_bytes()


def test_a_projection_is_fitted_on_all_frames_stored_and_applied_to_another_film(films, tmp_path):
    path = extract_features(films[:2], tmp_path / "f.h5", like(LAYERS, reduce="pca:5"))
    space = "test_resnet_layer2"
    full = content(extract_features(films, tmp_path / "full.h5", LAYERS))
    rows = np.vstack([full[f"{space}/1"], full[f"{space}/2"]]).astype(float)
    axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:5]
    expected = (rows - rows.mean(axis=0)) @ axes.T
    found = np.vstack([content(path)[f"{space}/{run}"] for run in "12"])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-3 * np.abs(expected).max())
    with FeatureStore(path) as store:
        arrays, description = store.reduction(space)
    assert description["n_samples"] == 80
    assert 0.3 < arrays["explained_variance_ratio"].sum() <= 1
    # the third film through the same projection
    extract_features(films[2:], tmp_path / "g.h5", LAYERS, reduction_from=path)
    new = (full[f"{space}/3"] - rows.mean(axis=0)) @ axes.T
    np.testing.assert_allclose(
        np.abs(content(tmp_path / "g.h5")[f"{space}/3"]), np.abs(new), atol=1e-3 * np.abs(new).max()
    )


def test_a_projection_of_training_runs_only(films, tmp_path):
    config = like(LAYERS, reduce="pca:5", reduce_runs=("1",))
    two = content(extract_features(films[:2], tmp_path / "two.h5", config))
    other = content(extract_features([films[0], films[2]], tmp_path / "other.h5", config, runs=["1", "2"]))
    for layer in LAYERS.layers:
        name = f"test_resnet_{layer}/1"
        np.testing.assert_array_equal(two[name], other[name])
    with pytest.raises(UsageError, match="there is no film of run 7"):
        extract_features(films[:2], tmp_path / "f.h5", FeaturesConfig(reduce="pca:5", reduce_runs=("7",)))


@pytest.mark.parametrize("reduce", ["pca:3", "srp:8+pca:3"])
def test_runs_are_added_through_the_projection_that_was_fitted_before(films, tmp_path, reduce):
    config = like(TINY, reduce=reduce, reduce_runs=("1",))
    path = extract_features(films[:1], tmp_path / "f.h5", config)
    extract_features(films[:2], path, config)
    fresh = extract_features(films[:2], tmp_path / "g.h5", config)
    for name, data in content(fresh).items():
        np.testing.assert_array_equal(content(path)[name], data)
    with FeatureStore(path) as store, FeatureStore(fresh) as other:
        for array, expected in zip(store.reduction(LAYER)[0].values(), other.reduction(LAYER)[0].values(), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_what_is_fitted_does_not_depend_on_the_order_of_the_films(films, tmp_path):
    config = like(TINY, reduce="pca:3")
    one = extract_features(films[:2], tmp_path / "a.h5", config)
    other = extract_features(films[1::-1], tmp_path / "b.h5", config)
    assert one.read_bytes() == other.read_bytes()
    before = one.stat().st_mtime_ns
    extract_features(films[1::-1], one, config)
    assert one.stat().st_mtime_ns == before


def test_a_fitted_space_is_not_mixed_with_another_fit(films, tmp_path):
    config = like(TINY, reduce="pca:3")
    path = extract_features(films[:2], tmp_path / "f.h5", config)
    with pytest.raises(UsageError, match=r"run 1 was made otherwise than that of run 3 would be \(reduction_fitted_on"):
        extract_features(films[2:], path, config)
    with pytest.raises(UsageError, match=r"run 1 from other settings \(reduction_fitted_on …"):
        extract_features(films, path, config)
    extract_features(films[2:], path, TINY, reduction_from=path)
    extract_features(films, path, TINY, reduction_from=path)  # for the store's own runs it is the same
    assert len(content(path)) == 3
    other = extract_features(films[:1], tmp_path / "g.h5", config)
    with pytest.raises(
        UsageError, match=r"run 1 was made otherwise than that of run 4 would be \(reduction from \w+…, not from "
    ):
        extract_features(films[1:2], path, TINY, runs=["4"], reduction_from=other)


def test_features_depend_on_the_projection_taken_and_on_no_other_of_that_store(films, tmp_path):
    config = like(TINY, reduce="pca:3")
    one = extract_features(films[:1], tmp_path / "a.h5", config)
    other = extract_features(films[2:], tmp_path / "b.h5", config)
    path = extract_features(films[1:2], tmp_path / "f.h5", TINY, reduction_from=one)
    with pytest.raises(UsageError, match=r"other settings \(reduction from \w+…?, not from "):
        extract_features(films[1:2], path, TINY, reduction_from=other)
    extract_features(films[:1], one, like(config, layers=("layer2",)))
    before = path.stat().st_mtime_ns
    extract_features(films[1:2], path, TINY, reduction_from=one)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds no projection of space 'test_resnet_layer3'"):
        extract_features(films[1:2], path, like(TINY, layers=("layer3",)), reduction_from=one)


def saved_weights(path: Path, seed: int) -> Path:
    """Weights for the small network."""
    torch.manual_seed(seed)
    state = build_network(TINY.model).module.state_dict()
    torch.save({key: x + 0.1 * torch.randn(x.shape) if x.is_floating_point() else x for key, x in state.items()}, path)
    return path


def test_another_file_of_weights_at_the_same_place_is_another_network(scenes, tmp_path):
    config, found = like(TINY, weights=str(tmp_path / "weights.pth")), []
    for seed in (1, 2):
        path = saved_weights(tmp_path / "weights.pth", seed)
        store = extract_features(scenes[:1], tmp_path / f"{seed}.h5", config)
        found.append(content(store)[f"{LAYER}/1"])
        with FeatureStore(store) as opened:
            record = opened.provenance(LAYER, "1")
        assert record["settings"]["weights"] == record["weights"]["sha256"] == sha256(path)
    alone = like(TINY, weights=str(saved_weights(tmp_path / "alone.pth", 2)))
    np.testing.assert_array_equal(
        content(extract_features(scenes[:1], tmp_path / "c.h5", alone))[f"{LAYER}/1"], found[1]
    )
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_weights_that_change_between_the_plan_and_the_work_are_refused(scenes, tmp_path):
    film = passes.Film("1", scenes[0], sha256(scenes[0]), probe(scenes[0]))
    stale = NetworkPass(TINY, ("layer1",), "0" * 64, Projection(), "cpu")
    with pytest.raises(DataError, match="weights random: changed while they were in use"):
        stale.run(film, Parts(tmp_path), print)


OTHERWISE = {
    "rate": (TINY, {"rate": 1.0}, r"rate 2\.0, not 1\.0"),
    "window": (TINY, {"window": "mean"}, "window frame, not mean"),
    "pooling": (TINY, {"pooling": "max"}, "pooling avg, not max"),
    "precision": (TINY, {"precision": "auto"}, "precision fp32, not auto"),
    "views": (TINY, {"n_views": 2}, "n_views none, not 2"),
    "reduction": (TINY, {"reduce": "pca:3"}, "reduction none, not pca:3"),
    "no reduction": (like(TINY, reduce="srp:8"), {"reduce": ""}, "reduction srp:8, not none"),
    "weights": (TINY, {"weights": "weights.pth"}, r"weights \w{37}…, not \w{37}…"),
    "model": (
        like(TINY, model="timm:resnet18", rate=0.5),
        {"model": "torchvision:resnet18"},
        "model timm:resnet18, not torchvision:resnet18",
    ),
    "lowlevel": (like(MEASURES, spaces=("lowlevel",)), {"rate": 2.0}, r"rate 4\.0, not 2\.0"),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_runs_of_one_space_are_made_alike(scenes, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    saved_weights(tmp_path / "weights.pth", 1)
    config, change, message = OTHERWISE[what]
    path = extract_features(scenes[:1], tmp_path / "f.h5", config)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=rf"of run 1 from other settings \({message}"):
        extract_features(scenes[:1], path, like(config, **change))
    for overwrite in (False, True):  # even so, what was not given is not lost
        with pytest.raises(
            UsageError, match=rf"run 1 was made otherwise than that of run 2 would be \({message}.*over"
        ):
            extract_features(scenes[1:], path, like(config, **change), overwrite=overwrite)
    assert path.read_bytes() == before


def test_runs_are_made_anew_together_and_in_a_folder_of_its_own_the_store_forgets(scenes, films, tmp_path):
    config = like(MEASURES, spaces=("lowlevel",))
    other = like(config, rate=2.0)
    path = extract_features(scenes, tmp_path / "f.h5", config)
    extract_features(scenes, path, other, overwrite=True)
    assert [len(data) for data in content(path).values()] == [12, 12]
    films_store({"3": films[0]}, tmp_path, config)
    path = films_store({"1": scenes[0], "2": scenes[1]}, tmp_path, other)
    assert path == tmp_path / "features.h5"
    assert sorted(content(path)) == ["lowlevel/1", "lowlevel/2"]
    films_store({"3": films[0]}, tmp_path, other)
    assert sorted(content(path)) == ["lowlevel/1", "lowlevel/2", "lowlevel/3"]


@pytest.mark.parametrize("config", [TINY, like(MEASURES, spaces=("lowlevel",))], ids=["network", "lowlevel"])
def test_films_of_one_space_may_have_other_bars_but_a_film_has_one_crop(scenes, tmp_path, config):
    path = extract_features(scenes[:1], tmp_path / "f.h5", config)
    cropped = like(config, crop="100:80:4:4")
    with pytest.raises(UsageError, match=r"from other settings \(.*crop none, not \[100, 80, 4, 4\]"):
        extract_features(scenes[:1], path, cropped)
    extract_features(scenes[1:], path, cropped)
    assert len(content(path)) == 2


def test_another_version_may_compute_otherwise(scenes, tmp_path, monkeypatch):
    config = like(MEASURES, spaces=("lowlevel",))
    path = extract_features(scenes[:1], tmp_path / "f.h5", config)
    now = neurocca.__version__
    monkeypatch.setattr(neurocca, "__version__", "99.0")
    with pytest.raises(UsageError, match=rf"run 1 from other settings \(neurocca {now}, not 99\.0\); --overwrite"):
        extract_features(scenes[:1], path, config)


@pytest.mark.parametrize(("fps", "rate"), [(9.13, 4.0), (9.29, 8.0), (10.0, 4.0)])
@pytest.mark.parametrize("space", ["motion", "shots"])
def test_where_frames_come_irregularly_no_sample_is_lost(films, tmp_path, fps, rate, space):
    """The rate that a film has on average does not divide its length: its last frame stays until the end."""
    film = passes.Film("1", films[0], "0" * 64, replace(probe(films[0]), fps=fps))
    one = jobs.film_passes(film, like(MEASURES, spaces=(space,), rate=rate), Projection(), "cpu")[0]
    parts = Parts(tmp_path / "parts")
    assert one.run(film, parts, lambda n: None).n_rows == rate * SECONDS
    assert sum(map(len, parts.array(space))) == rate * SECONDS


def test_augmented_views_are_averaged_and_their_variance_is_recorded(films, tmp_path, small_blocks):
    plain = content(extract_features(films[:1], tmp_path / "plain.h5", NETWORK))
    path = extract_features(films[:1], tmp_path / "f.h5", FeaturesConfig(**(vars(NETWORK) | {"n_views": 3})))
    for name, data in content(path).items():
        assert 0.5 < np.corrcoef(data.ravel(), plain[name].ravel())[0, 1] < 1
    with FeatureStore(path) as store:
        views = store.provenance("efficientnet-lite0_blocks.4", "1")["views"]
    assert [row["layer"] for row in views] == ["blocks.2", "blocks.4"]
    assert all(row["n_frames"] == 40 and 0 < row["share"] < 1 for row in views)


def test_views_change_at_cuts_and_between_films(scenes, tmp_path):
    plain = content(extract_features(scenes[:1], tmp_path / "plain.h5", TINY))[f"{LAYER}/1"]
    found = content(extract_features(scenes, tmp_path / "f.h5", like(TINY, n_views=2)))
    first, second = found[f"{LAYER}/1"], found[f"{LAYER}/2"]
    np.testing.assert_allclose(plain[:3], plain[6:9], atol=1e-5)  # the same picture in the first and the third shot
    scale = np.abs(first[0] - plain[0]).max()
    for shot in range(4):
        np.testing.assert_allclose(first[3 * shot : 3 * shot + 3], first[[3 * shot] * 3], atol=1e-5)
    assert np.abs(first[0] - first[6]).max() > 0.1 * scale
    assert np.abs(first[0] - second[0]).max() > 0.1 * scale


def test_events_and_tables_stand_beside_a_film(films, tmp_path):
    events = pd.DataFrame({"onset": [2.0, 5.0], "duration": [1.0, 2.0], "trial_type": ["face", "place"]})
    events.to_csv(tmp_path / "task-movie_run-1_events.tsv", sep="\t", index=False)
    np.save(tmp_path / "ratings_run-1.npy", np.arange(200.0)[:, None])
    sources = [films[0], tmp_path / "task-movie_run-1_events.tsv", tmp_path / "ratings_run-1.npy"]
    path = extract_features(sources, tmp_path / "f.h5", FeaturesConfig(spaces=("audio",)))
    with FeatureStore(path) as store:
        assert store.spaces == ["audio", "events", "ratings"]
        series = store.read("events", "1")
        assert store.shape("ratings", "1") == (200, 1)
    assert series.duration == pytest.approx(SECONDS, abs=0.1)  # as long as the film of the run
    face = series.data[:, [name.endswith("face") for name in series.names].index(True)]
    np.testing.assert_array_equal(np.flatnonzero(face) / 10, np.arange(20, 30) / 10)


def test_events_of_all_runs_have_the_same_columns(tmp_path):
    for run, word in ((1, "face"), (2, "place")):
        events = pd.DataFrame({"onset": [2.0], "duration": [1.0], "trial_type": [word]})
        events.to_csv(tmp_path / f"task-movie_run-{run}_events.tsv", sep="\t", index=False)
    path = extract_features(sorted(tmp_path.glob("*.tsv")), tmp_path / "f.h5", FeaturesConfig())
    with FeatureStore(path) as store:
        assert store.read("events", "1").names == store.read("events", "2").names
        assert store.read("events", "1").data[:, 1].sum() == 0


def test_a_store_is_described_and_exported(films, tmp_path, capsys):
    path = extract_features(films[:2], tmp_path / "f.h5", MEASURES)
    table = store_table(path)
    assert table["samples"].tolist() == [80] * 6
    assert main(["features", "--info", str(path)]) == 0
    assert "film_run-2.mp4" in capsys.readouterr().out
    names = [p.name for p in export_timeseries(path, tmp_path / "tables", "movie")]
    assert "task-movie_run-1_desc-lowlevel_timeseries.tsv" in names
    read = pd.read_csv(tmp_path / "tables" / "task-movie_run-2_desc-audio_timeseries.tsv", sep="\t")
    np.testing.assert_allclose(read.to_numpy(), content(path)["audio/2"], rtol=1e-5, atol=1e-6)
    sidecar = json.loads((tmp_path / "tables" / "task-movie_run-2_desc-audio_timeseries.json").read_text())
    assert (sidecar["SamplingFrequency"], sidecar["StartTime"]) == (4.0, 0.0)


def test_a_film_in_the_place_of_the_store_is_left_alone(films, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(films[0].read_bytes())
    with pytest.raises(OutputError, match="exists and is no feature store; it is left as it is"):
        extract_features(films[:1], film, MEASURES)
    assert film.read_bytes() == films[0].read_bytes()


def test_a_disk_that_is_full_is_one_line_and_the_store_is_as_before(films, tmp_path, capsys, monkeypatch):
    path = extract_features(films[:1], tmp_path / "f.h5", FeaturesConfig(spaces=("audio",)))
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert main(["features", str(films[0]), "-o", str(path), "--spaces", "lowlevel"]) == 73
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "No space left on device" in error[0]
    assert path.read_bytes() == before


def test_sound_that_is_not_there(films, tmp_path):
    silent = tmp_path / "silent.mp4"
    write_movie(silent, Film(4.0, np.random.default_rng(0)).frame, 4.0, FPS, SIZE)
    with pytest.raises(DataError, match=r"silent\.mp4: has no sound track, and features of the space audio"):
        extract_features([silent], tmp_path / "f.h5", FeaturesConfig(spaces=("audio",)))
    with FeatureStore(extract_features([silent], tmp_path / "f.h5", FeaturesConfig(rate=2.0))) as store:
        assert "audio" not in store.spaces


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "efficientnet-lite9"], 64, "efficientnet-lite"),
        (["--layers", "blocks.9"], 64, "blocks."),
        (["--layers", "blocks.2", "--pooling", "cls"], 64, "cls"),
        (["--weights", "absent.pth"], 66, "absent.pth"),
        (["--device", "cuda:7"], 64, "cuda:7"),
        (["--spaces", "cnm"], 64, "'cnm' is none of cnn"),
        (["--reduce", "ica:5"], 64, "expected pca:K"),
        (["--reduce", "pca:500"], 64, "500"),
        (["--reduce", "pca:1.0"], 64, "a share of variance below 1"),
        (["--crop", "30:40:0:0", "--spaces", "shots"], 65, "30 x 40 pixels are too small to find cuts in"),
        (["--crop", "40:10:0:0", "--augment", "2"], 65, "40 x 10 pixels are too small to find cuts in"),
        (["--crop", "400:10:0:0", "--spaces", "lowlevel"], 64, "400"),
        (["--runs", "1-2"], 64, "names 2 runs for 1 sources"),
        (["--rate", "0"], 64, "features.rate"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(films, tmp_path, capsys, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    spaces = [] if "--spaces" in arguments else ["--spaces", "cnn"]
    assert main(["features", str(films[0]), "-o", "f.h5", *spaces, *arguments]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert not (tmp_path / "f.h5").exists()


# ---------------------------------------------------------------------------------------------- beside each other


def test_what_was_interrupted_outlives_other_calls_for_the_same_store(films, tmp_path, monkeypatch, small_blocks):
    save, output = Parts.save, tmp_path / "f.h5"

    def interrupted(parts, index, arrays):
        if index == 1:
            raise KeyboardInterrupt
        save(parts, index, arrays)

    monkeypatch.setattr(Parts, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_features(films[:1], output, NETWORK)
    monkeypatch.setattr(Parts, "save", save)
    extract_features(films[:1], output, FeaturesConfig(spaces=("audio",)))
    left = [path for path in tmp_path.glob(".f.h5.parts/run-*/block-*")]
    assert [path.name for path in left] == ["block-000000.npz"]
    month = time.time() - 31 * 86400
    os.utime(left[0].parent, (month, month))
    extract_features(films[:1], output, FeaturesConfig(spaces=("shots",)))
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FeaturesConfig(spaces=("cnn", "motion"), rate=60.0), "motion"),
        (FeaturesConfig(**(vars(NETWORK) | {"reduce": "pca:500"})), "has only 40 features"),
        (FeaturesConfig(**(vars(NETWORK) | {"reduce": "srp:50000"})), "50000"),
        (FeaturesConfig(spaces=("lowlevel",), rate=0.05), "1 samples are too few"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(films, tmp_path, config, message):
    with pytest.raises((UsageError, DataError), match=message):
        extract_features([str(films[0])], str(tmp_path / "f.h5"), config)
    assert list(tmp_path.iterdir()) == []


def test_processes_say_what_one_would_say(films, tmp_path):
    broken = tmp_path / "broken_run-2.mp4"
    content = bytearray(films[1].read_bytes())
    content[len(content) // 3 :] = bytes(len(content) - len(content) // 3)
    broken.write_bytes(content)
    command = [sys.executable, "-m", "neurocca", "features", "-o", str(tmp_path / "f.h5"), "--n-jobs", "2"]
    command += ["--spaces", "audio", "lowlevel", "--rate=4"]
    child = subprocess.run([*command, str(films[0]), str(broken)], capture_output=True, text=True, check=False)
    assert child.returncode == 65
    assert len(child.stderr.strip().splitlines()) == 1, child.stderr
    child = subprocess.run([*command, "-v", str(films[0])], capture_output=True, text=True, check=False)
    assert child.returncode == 0
    assert re.search(r"^neurocca: run 1, audio: 80 samples", child.stderr, re.MULTILINE), child.stderr


def test_processes_end_with_the_one_that_started_them(films, tmp_path):
    command = [sys.executable, "-m", "neurocca", "features", "-o", str(tmp_path / "f.h5"), "--n-jobs", "2"]
    command += ["--spaces", "motion", "lowlevel", "--rate=20", *map(str, films)]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".f.h5.parts/run-*/block-*")) and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.kill()
    child.wait()

    def at_work() -> list[str]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(tmp_path) in (entry / "cmdline").read_text() or any(
                    str(tmp_path) in os.readlink(fd) for fd in (entry / "fd").iterdir()
                ):
                    found.append(entry.name)
        return [pid for pid in found if int(pid) != os.getpid()]

    while at_work():
        assert time.monotonic() < deadline
        time.sleep(0.1)

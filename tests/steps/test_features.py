"""Films to a store: what is made, kept, taken up again and refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from neurocca.cli import main
from neurocca.config import FeaturesConfig
from neurocca.demo.film import FPS, SIZE, SOUND_RATE, Film, sound_track
from neurocca.errors import DataError, OutputError, UsageError
from neurocca.io.movie import iter_batches
from neurocca.io.movie_header import probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.parts import Parts
from neurocca.io.store import FeatureStore
from neurocca.steps import passes
from neurocca.steps.features import extract_features
from neurocca.steps.inspect import export_timeseries, store_table
from neurocca.steps.network_pass import film_frames

SECONDS = 20.0
MEASURES = FeaturesConfig(spaces=("lowlevel", "audio", "shots"), batch_size=8)
NETWORK = FeaturesConfig(spaces=("cnn",), layers=("blocks.2", "blocks.4"), batch_size=8, precision="fp32", rate=2.0)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[Path]:
    folder, paths = tmp_path_factory.mktemp("films"), []
    for run, rng in enumerate(np.random.default_rng(3).spawn(3), start=1):
        film, sound = Film(SECONDS, rng), sound_track(SECONDS, rng)
        path = folder / f"film_run-{run}.mp4"
        paths.append(write_movie(path, film.frame, SECONDS, FPS, SIZE, sound, SOUND_RATE))
    return paths


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(passes, "BLOCK", 16)


def content(path: Path) -> dict[str, np.ndarray]:
    with FeatureStore(path) as store:
        return {f"{s}/{r}": store.read(s, r).data for s in store.spaces for r in store.runs(s)}


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
    one = FeaturesConfig(spaces=("cnn",), layers=("blocks.2",), batch_size=8, precision="fp32", rate=2.0)
    path = extract_features(films[:1], tmp_path / "f.h5", one)
    extract_features(films[:1], path, NETWORK)
    both = content(extract_features(films[:1], tmp_path / "g.h5", NETWORK))
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


@pytest.mark.parametrize("config", [MEASURES, NETWORK], ids=["measures", "network"])
def test_what_was_interrupted_goes_on_at_the_last_whole_block_with_the_same_bytes(
    films, tmp_path, monkeypatch, small_blocks, config
):
    whole = extract_features(films[:1], tmp_path / "whole.h5", config).read_bytes()
    save, saved = Parts.save, []

    def interrupted(parts, index, arrays):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(index)
        save(parts, index, arrays)

    monkeypatch.setattr(Parts, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_features(films[:1], tmp_path / "f.h5", config)
    assert not (tmp_path / "f.h5").exists()
    again = []
    monkeypatch.setattr(Parts, "save", lambda parts, index, arrays: again.append(index) or save(parts, index, arrays))
    assert extract_features(films[:1], tmp_path / "f.h5", config).read_bytes() == whole
    assert again[0] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.h5", "whole.h5"]


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
    config = FeaturesConfig(spaces=("lowlevel",), batch_size=8)
    save = Parts.save

    def interrupted(parts, index, arrays):
        save(parts, index, arrays)
        raise KeyboardInterrupt

    monkeypatch.setattr(Parts, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract_features(films[:1], tmp_path / "f.h5", config)
    monkeypatch.setattr(Parts, "save", save)
    other = FeaturesConfig(spaces=("lowlevel",), batch_size=5)
    assert content(extract_features(films[:1], tmp_path / "f.h5", other))["lowlevel/1"].shape == (80, 15)


def test_processes_do_not_change_a_byte(films, tmp_path):
    one = extract_features(films, tmp_path / "one.h5", MEASURES)
    two = extract_features(films, tmp_path / "two.h5", MEASURES, n_jobs=2)
    assert one.read_bytes() == two.read_bytes()


def test_a_projection_is_fitted_on_all_frames_stored_and_applied_to_another_film(films, tmp_path):
    config = FeaturesConfig(**(vars(NETWORK) | {"reduce": "pca:5"}))
    path = extract_features(films[:2], tmp_path / "f.h5", config)
    space = "efficientnet-lite0_blocks.4"
    full = content(extract_features(films, tmp_path / "full.h5", NETWORK))
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
    extract_features(films[2:], tmp_path / "g.h5", NETWORK, reduction_from=path)
    new = (full[f"{space}/3"] - rows.mean(axis=0)) @ axes.T
    np.testing.assert_allclose(
        np.abs(content(tmp_path / "g.h5")[f"{space}/3"]), np.abs(new), atol=1e-3 * np.abs(new).max()
    )


def test_a_projection_of_training_runs_only(films, tmp_path):
    config = FeaturesConfig(**(vars(NETWORK) | {"reduce": "pca:5", "reduce_runs": ("1",)}))
    two = content(extract_features(films[:2], tmp_path / "two.h5", config))
    other = content(extract_features([films[0], films[2]], tmp_path / "other.h5", config, runs=["1", "2"]))
    for layer in ("blocks.2", "blocks.4"):
        name = f"efficientnet-lite0_{layer}/1"
        np.testing.assert_array_equal(two[name], other[name])
    with pytest.raises(UsageError, match="there is no film of run 7"):
        extract_features(films[:2], tmp_path / "f.h5", FeaturesConfig(reduce="pca:5", reduce_runs=("7",)))


def test_a_fitted_space_is_not_mixed_with_another_fit(films, tmp_path):
    config = FeaturesConfig(**(vars(NETWORK) | {"reduce": "pca:5"}))
    path = extract_features(films[:2], tmp_path / "f.h5", config)
    with pytest.raises(UsageError, match=r"would be reduced otherwise than in run 1, 2: give the films of all runs"):
        extract_features(films[2:], path, config)
    extract_features(films[2:], path, NETWORK, reduction_from=path)
    assert len(content(path)) == 6


def test_augmented_views_are_averaged_and_their_variance_is_recorded(films, tmp_path, small_blocks):
    plain = content(extract_features(films[:1], tmp_path / "plain.h5", NETWORK))
    path = extract_features(films[:1], tmp_path / "f.h5", FeaturesConfig(**(vars(NETWORK) | {"n_views": 3})))
    for name, data in content(path).items():
        assert 0.5 < np.corrcoef(data.ravel(), plain[name].ravel())[0, 1] < 1
    with FeatureStore(path) as store:
        views = store.provenance("efficientnet-lite0_blocks.4", "1")["views"]
    assert [row["layer"] for row in views] == ["blocks.2", "blocks.4"]
    assert all(row["n_frames"] == 40 and 0 < row["share"] < 1 for row in views)


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

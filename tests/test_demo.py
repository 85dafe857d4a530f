import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from neurocca.demo import bold, make_dataset
from neurocca.demo.bold import MOTION_NAMES, autocorrelated, standard_head
from neurocca.demo.film import FPS, SCENE_SECONDS, Film, sound_track
from neurocca.errors import OutputError
from neurocca.features.loudness import loudness
from neurocca.features.lowlevel import frame_measures
from neurocca.io.layout import find_recordings
from neurocca.io.movie import iter_frames, probe
from neurocca.io.query import Query
from neurocca.io.sound import read_audio
from neurocca.steps.recovery import planted_courses
from tests.bids_validator import validate

N_VOLUMES, T_R = 30, 2.0


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("demo") / "data", n_subjects=1, n_runs=2, n_volumes=N_VOLUMES)


def _table(path):
    return pd.read_csv(path, sep="\t")


def _truth(demo):
    stem = f"{demo}/derivatives/truth/sub-01/func/sub-01_task-movie_desc-truth"
    return nib.load(f"{stem}_components.nii.gz"), _table(f"{stem}_mixing.tsv").drop(columns="run")


def _bold(demo, run):
    return nib.load(demo / f"sub-01/func/sub-01_task-movie_run-{run}_bold.nii.gz")


def _files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("part", ["", "derivatives/motion", "derivatives/truth"])
def test_is_valid_bids(demo, part):
    found = validate(demo / part)["issues"]["issues"]
    assert [issue for issue in found if issue["severity"] == "error"] == []


def test_says_that_it_is_simulated(demo):
    for part in ("", "derivatives/motion/", "derivatives/truth/"):
        description = json.loads((demo / f"{part}dataset_description.json").read_text())
        assert description["Simulated"] is True
    assert "Simulated data" in (demo / "README.md").read_text()


def test_files_agree_with_each_other(demo):
    assert _table(demo / "participants.tsv")["participant_id"].tolist() == ["sub-01"]
    for run in (1, 2):
        image = _bold(demo, run)
        assert image.shape[3] == N_VOLUMES
        assert image.get_data_dtype() == np.int16
        assert image.header.get_zooms()[3] == T_R
        events = _table(demo / f"sub-01/func/sub-01_task-movie_run-{run}_events.tsv").iloc[0]
        film = probe(demo / "stimuli" / events["stim_file"])
        assert events["onset"] == 0
        assert film.duration == events["duration"] == N_VOLUMES * T_R
        assert film.has_audio
        folder = demo / "derivatives/motion/sub-01/func"
        motion = _table(folder / f"sub-01_task-movie_run-{run}_desc-confounds_timeseries.tsv")
        assert tuple(motion) == MOTION_NAMES
        assert len(motion) == N_VOLUMES
        assert motion.filter(like="trans").abs().max().max() > 10 * motion.filter(like="rot").abs().max().max()


def test_the_same_seed_makes_the_same_bytes_and_another_one_does_not(demo, tmp_path):
    size = {"n_subjects": 1, "n_runs": 2, "n_volumes": N_VOLUMES}
    assert _files(make_dataset(tmp_path / "again", **size)) == _files(demo)
    size["n_runs"] = 1
    steps = []
    other = _files(make_dataset(tmp_path / "other", **size, seed=1, progress=steps.append))
    assert steps == [1, 1]
    for name, content in other.items():
        if name.endswith((".mp4", ".nii.gz", "timeseries.tsv")):
            assert content != (demo / name).read_bytes(), name


def test_truth_is_the_response_to_the_film_as_it_is_on_disk(demo):
    """An independent way: nilearn's own convolution of the features, at an oversampling of its choice."""
    from nilearn.glm.first_level import compute_regressor

    _, mixing = _truth(demo)
    middles = (np.arange(N_VOLUMES) + 0.5) * T_R
    expected = []
    for run in (1, 2):
        film = demo / f"stimuli/demo_run-{run}.mp4"
        pictures, names = frame_measures(iter_frames(film, 4))
        loud = loudness(read_audio(film), 16000, 0.25, len(pictures))
        courses = (np.log(loud + 1e-4), pictures[:, names.index("motion")])
        times = np.arange(len(pictures)) / 4
        events = [(times, np.full(len(times), 0.25), course - course.mean()) for course in courses]
        expected.append(np.hstack([compute_regressor(e, "glover", middles, oversampling=50)[0] for e in events]))
    expected = np.concatenate(expected)
    assert len(mixing) == 2 * N_VOLUMES
    for column, course in zip(mixing.to_numpy().T, expected.T, strict=True):
        assert np.corrcoef(column, course)[0, 1] > 0.999
    np.testing.assert_allclose(mixing.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(mixing.std(ddof=0), 1, atol=1e-5)


def test_without_noise_bold_is_baseline_times_planted_percent(monkeypatch):
    monkeypatch.setattr(bold, "NOISE_SD", 0.0)
    monkeypatch.setattr(bold, "_drift", lambda shape, n, rng: np.zeros((*shape, n)))
    head, rng = standard_head(), np.random.default_rng(5)
    maps, courses = bold.planted_maps(head, rng), rng.normal(size=(12, 2))
    still = np.zeros((12, 6))
    data = bold.simulate_run(head, maps, courses, bold.motion_leak(head, rng), still, rng)
    percent = 100 * (data[head.inside] / head.baseline[head.inside][:, None] - 1)
    np.testing.assert_allclose(percent, maps[head.inside] @ courses.T, atol=1e-9)
    assert data[~head.inside].mean() < 0.02 * data[head.inside].mean()


def test_planted_responses_are_in_the_bold_on_disk(demo):
    """Regressing BOLD on the planted time courses gives each map with a gain near one, and not the other's."""
    maps, mixing = _truth(demo)
    head = standard_head()
    np.testing.assert_allclose(maps.affine, _bold(demo, 1).affine)
    planted = maps.get_fdata()[head.inside]
    percent = []
    for run in (1, 2):
        data = _bold(demo, run).get_fdata()[head.inside]
        percent.append(100 * (data / data.mean(axis=1, keepdims=True) - 1))
    trend = np.kron(np.eye(2), np.vander(np.linspace(-1, 1, N_VOLUMES), 4))
    design = np.column_stack([mixing, trend])
    betas = np.linalg.lstsq(design, np.concatenate(percent, axis=1).T, rcond=None)[0][:2]
    gains = np.linalg.lstsq(planted, betas.T, rcond=None)[0]
    assert np.abs(gains - np.eye(2)).max() < 0.5
    assert 2.0 < planted.max() < 5.0


def test_planted_areas_are_where_they_should_be(demo):
    maps, _ = _truth(demo)
    data = maps.get_fdata()
    coordinates = standard_head().coordinates
    for component, centres in enumerate([[(-54, -20, 6), (54, -20, 6)], [(0, -88, 2), (-44, -68, 4), (44, -68, 4)]]):
        strong = coordinates[data[..., component] > 0.5 * data[..., component].max()]
        nearest = np.linalg.norm(strong[:, None] - np.array(centres), axis=2)
        assert nearest.min(axis=1).max() < 30
        assert nearest.min(axis=0).max() < 12


def test_film_has_scenes_and_cuts():
    film = Film(60.0, np.random.default_rng(0))
    starts = np.array([scene.start for scene in film.scenes])
    lengths = np.diff(starts)
    assert lengths.min() >= SCENE_SECONDS[0] - 0.1
    assert lengths.max() <= SCENE_SECONDS[1] + 0.1
    frames = np.array([film.frame(k / FPS) for k in range(600)], dtype=float)
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    cuts = np.round(starts[1:] * FPS).astype(int) - 1
    assert np.median(change[cuts]) > 5 * np.median(change)
    assert (change > 0).all(), "something always moves"


def test_sound_is_independent_of_the_pictures_and_never_clips_much():
    audio = sound_track(30.0, np.random.default_rng(1))
    assert audio.shape == (30 * 16000, 2)
    assert (np.abs(audio) >= 1).mean() < 0.01
    assert audio.std() > 0.01


def test_autocorrelated_noise_has_unit_variance_from_its_first_sample_on():
    noise = autocorrelated((20000, 6), 0.6, np.random.default_rng(2))
    np.testing.assert_allclose(noise.std(axis=0), 1, atol=0.03)
    assert np.mean(noise[:, 3] * noise[:, 4]) == pytest.approx(0.6, abs=0.03)


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="is not an empty folder"):
        make_dataset(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_with_the_real_film_the_second_component_is_what_a_network_sees(real_film, tmp_path):
    """An independent way to it: the network's last stage by a hook, nilearn's convolution."""
    import torch
    from nilearn.glm.first_level import compute_regressor

    from neurocca.io.weights import load_network

    root = make_dataset(tmp_path / "data", film=real_film, n_subjects=1, n_runs=2, n_volumes=20)
    mixing = _table(f"{root}/derivatives/truth/sub-01/func/sub-01_task-movie_desc-truth_mixing.tsv")
    network, encoded = load_network("efficientnet-lite0"), []
    network.module.blocks[6].register_forward_hook(lambda module, inputs, output: encoded.append(output.mean((2, 3))))
    for run in (1, 2):
        frames = np.array(
            [f[16:240, 115:339] for f in iter_frames(root / f"stimuli/demo_run-{run}.mp4", 2, (455, 256))]
        )
        with torch.no_grad():
            network.module((torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 127) / 128)
    rows = torch.cat(encoded).double().numpy()
    course = (rows - rows.mean(axis=0)) @ np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][0]
    expected, middles = [], (np.arange(20) + 0.5) * 1.2
    for part in np.split(course, [len(encoded[0])]):
        event = (np.arange(len(part)) / 2, np.full(len(part), 0.5), part - part.mean())
        expected.append(compute_regressor(event, "glover", middles, oversampling=50)[0][:, 0])
    r = np.corrcoef(mixing.to_numpy()[:, 1], np.concatenate(expected))[0, 1]
    assert abs(r) > 0.99
    assert "Blender Foundation" in (root / "README.md").read_text()


def test_planted_courses_are_those_of_the_runs_that_are_analysed(demo):
    path = demo / "derivatives/truth/sub-01/func/sub-01_task-movie_desc-truth_mixing.tsv"
    (recording,) = find_recordings(demo, Query(runs=("2",)))
    names, (second,) = planted_courses(path, recording)
    assert names == ["truth_00", "truth_01"]
    np.testing.assert_array_equal(second, _table(path)[names].to_numpy()[N_VOLUMES:])

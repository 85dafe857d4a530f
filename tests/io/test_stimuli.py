"""Published measures come under the names, in the units and with the signs of the measures of a user's own film."""

import numpy as np
import pytest

from neurocca import studyforrest
from neurocca.config import FeaturesConfig
from neurocca.features.audio import SoundMeasures
from neurocca.features.loudness import channel_rms
from neurocca.features.lowlevel import FrameMeasures, studyforrest_measures
from neurocca.io.stimuli import FRAME_MEASURES, read_source

N_FRAMES, SOUND_RATE = 25, 48000


@pytest.fixture(scope="module")
def film() -> tuple[np.ndarray, np.ndarray]:
    """A second of pictures whose halves differ in brightness, and of sound that is louder on one side."""
    rng = np.random.default_rng(5)
    corners = rng.uniform(20, 235, (N_FRAMES, 2, 2, 3))
    pictures = corners.repeat(36, axis=1).repeat(64, axis=2) + rng.normal(0, 8, (N_FRAMES, 72, 128, 3))
    volume = rng.uniform(0.05, 0.4, (N_FRAMES, 2)).repeat(SOUND_RATE // N_FRAMES, axis=0)
    return pictures.clip(0, 255).astype(np.uint8), volume * rng.standard_normal((SOUND_RATE, 2)).clip(-2, 2)


@pytest.fixture(scope="module")
def published(film, tmp_path_factory):
    """A clone as it would be if the film of every run were this one, over and over."""
    pictures, sound = film
    visual, names = studyforrest_measures(pictures, rows=(0, 72))
    left, right = channel_rms(sound, SOUND_RATE, 1 / N_FRAMES, N_FRAMES).T
    columns = dict(zip(names, visual.T, strict=True)) | {"rms": left + right, "lrdiff": right - left}
    columns["normdiff"] = columns.pop("norm_diff")
    folder = tmp_path_factory.mktemp("clone")
    for space, (measures, _) in FRAME_MEASURES.items():
        target = folder / "annotation" / ("visual" if space == "lowlevel" else "audio")
        target.mkdir(parents=True)
        for measure in measures:
            lines = "".join(f"{k / 25}\t0.04\t{value!r}\n" for k, value in enumerate(columns[measure].tolist()))
            for segment, n_volumes in enumerate(studyforrest.N_VOLUMES):
                text = f"onset\tduration\t{measure}\n" + lines * int(n_volumes * studyforrest.T_R)
                (target / f"fg_av_ger_seg{segment}_{measure}.tsv").write_text(text)
    return read_source(folder, FeaturesConfig())[0]


def test_light_is_that_of_a_users_own_film(film, published):
    measures = FrameMeasures()
    own = dict(zip(measures.names, measures.update(film[0]).T, strict=True))
    # quadrants are rounded to whole grey levels
    tolerances = {"luminance": 0.51 / 255, "left_right": 1.01 / 255, "up_down": 1.01 / 255, "perceptual_difference": 0}
    for run in studyforrest.RUNS:
        series = published["lowlevel"][run]
        assert series.names == tuple(tolerances)
        for name, column in zip(series.names, series.data[:N_FRAMES].T, strict=True):
            np.testing.assert_allclose(column, own[name], rtol=0, atol=tolerances[name] + 1e-6)
            assert np.ptp(own[name]) > 10 * tolerances[name]


def test_sound_is_that_of_a_users_own_film(film, published):
    measures = SoundMeasures(SOUND_RATE, 1 / N_FRAMES, 2)
    rows = np.vstack([measures.update(film[1]), measures.finish(N_FRAMES)])
    series = published["audio"]["3"]
    assert series.names == measures.names[:2] == ("loudness", "loudness_left_right")
    np.testing.assert_allclose(series.data[:N_FRAMES], rows[:, :2], rtol=1e-5, atol=1e-7)
    assert rows[:, 1].min() < -0.05 < 0.05 < rows[:, 1].max()

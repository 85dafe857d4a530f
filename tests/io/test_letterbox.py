import numpy as np
import pytest

from neurocca.errors import NoInputError, UsageError
from neurocca.io.letterbox import detect_crop, parse_crop
from neurocca.io.movie import iter_frames
from tests.io.films import encode, ffmpeg, moving

SIZE = (320, 180)


def framed(pictures, size, x, y, level):
    """Pictures with bars of a grey level around them."""
    frames = np.full((len(pictures), size[1], size[0], 3), level, np.uint8)
    height, width = pictures[0].shape[:2]
    frames[:, y : y + height, x : x + width] = pictures
    return frames


@pytest.mark.parametrize("level", [0, 128])
@pytest.mark.parametrize(
    "crop",
    [(320, 135, 0, 21), (240, 180, 40, 0), (240, 136, 41, 23), (320, 150, 0, 30)],
)
@pytest.mark.parametrize("quality", [16, 30])
def test_black_and_grey_bars_are_found(tmp_path, crop, level, quality):
    width, height, x, y = crop
    path = encode(tmp_path / "film.mp4", framed(moving(40, (width, height)), SIZE, x, y, level), 25, "-crf", quality)
    got = detect_crop(path)
    edges = np.array([got[2], got[3], got[2] + got[0], got[3] + got[1]])
    difference = edges - [x, y, x + width, y + height]
    # compression smears the picture into the bar, by a few lines where it is strong
    assert np.abs(difference).max() <= (0 if quality == 16 else 3)
    assert (difference * [-1, -1, 1, 1] >= 0).all(), "no line of the picture is lost"


def test_the_studyforrest_segments_lose_their_grey_bars_and_no_more(tmp_path):
    """1280 x 720 pixels, of which rows 87 to 632 show the film between a fade from grey and one to grey."""
    pictures = np.array(moving(60, (1280, 546))[::5]).astype(float)
    fade = np.interp(np.arange(12), [0, 3, 8, 11], [0, 1, 1, 0])[:, None, None, None]
    pictures = (128 + fade * (pictures - 128)).astype(np.uint8)
    path = encode(tmp_path / "film.mkv", framed(pictures, (1280, 720), 0, 87, 128), 5)
    assert detect_crop(path) == (1280, 546, 0, 87)
    frame = next(iter_frames(path, 5, crop=(1280, 546, 0, 87), start=5))
    rows = np.abs(frame.astype(int) - pictures[5]).mean(axis=(1, 2))
    assert rows[[0, -1]].max() < 3 * np.median(rows), "the outermost rows are of the picture"


def test_a_film_without_bars_stays_whole(tmp_path):
    assert detect_crop(encode(tmp_path / "film.mp4", moving(60, SIZE), 25)) == (*SIZE, 0, 0)


def test_a_real_film_with_and_without_bars(tmp_path, real_film):
    assert detect_crop(real_film) == (1280, 720, 0, 0)
    bars = ["-vf", "scale=640:272,pad=640:360:0:44:gray,setsar=1", "-preset", "veryfast", "-an"]
    ffmpeg("-ss", 100, "-t", 12, "-i", real_film, *bars, tmp_path / "film.mp4")
    assert detect_crop(tmp_path / "film.mp4") == (640, 272, 0, 44)


@pytest.mark.parametrize("n_whole", [1, 50])
def test_bars_in_some_scenes_only_are_left(tmp_path, n_whole):
    frames = np.concatenate([framed(moving(100, (320, 136)), SIZE, 0, 22, 0), moving(n_whole, SIZE, seed=1)])
    assert detect_crop(encode(tmp_path / "film.mp4", frames, 25)) == (*SIZE, 0, 0)


def test_a_grey_sky_over_one_scene_is_no_bar(tmp_path):
    scenes = np.concatenate([framed(moving(50, (320, 136)), SIZE, 0, 22, 0), moving(50, SIZE, seed=1)])
    scenes[50:, :60], scenes[50:, 120:] = 100, 100
    assert detect_crop(encode(tmp_path / "film.mp4", scenes, 25)) == (*SIZE, 0, 0)


def test_dark_scenes_titles_and_frames_of_one_colour_change_nothing(tmp_path):
    light = framed(moving(40, (320, 136)), SIZE, 0, 22, 0)
    dark = light // 12
    title = np.zeros_like(light[:10])
    title[:, 80:100, 140:180] = 200
    white, grey = np.full_like(light[:5], 255), np.full_like(light[:5], 128)
    path = encode(tmp_path / "film.mp4", np.concatenate([grey, dark, title, white, light, dark, grey]), 25)
    assert detect_crop(path) == (320, 136, 0, 22)
    assert detect_crop(encode(tmp_path / "blank.mp4", np.concatenate([grey, white]), 25)) == (*SIZE, 0, 0)


@pytest.mark.parametrize("margin", [240, (60, 120, 200)])
def test_margins_of_paper_and_sky_are_content(tmp_path, margin):
    frames = framed(moving(40, (160, 90)), SIZE, 80, 45, margin)
    assert detect_crop(encode(tmp_path / "film.mp4", frames, 25)) == (*SIZE, 0, 0)


def test_noise_in_the_bars_does_not_hide_them(tmp_path, rng):
    frames = framed(moving(40, (320, 136)), SIZE, 0, 22, 20).astype(int)
    frames = np.clip(frames + rng.normal(0, 2, frames.shape), 0, 255).astype(np.uint8)
    path = encode(tmp_path / "film.mp4", frames, 25, "-crf", 10)
    assert detect_crop(path) == (320, 136, 0, 22)


def test_crops_are_of_the_film_as_shown(tmp_path):
    film = encode(tmp_path / "film.mp4", framed(moving(40, (200, 180)), SIZE, 60, 0, 0), 25)
    shape = tmp_path / "shape.mp4"
    ffmpeg("-i", film, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=3/2", shape)
    assert detect_crop(shape) == (300, 180, 90, 0)
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", film, "-c", "copy", turned)
    assert detect_crop(turned) == (180, 200, 0, 60)


def test_key_frames_alone_are_decoded_where_there_are_enough(tmp_path, monkeypatch):
    import subprocess

    path = encode(tmp_path / "film.mp4", framed(moving(70, (320, 136)), SIZE, 0, 22, 0), 25, "-g", 1)
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda c, *a, **k: started.append(c) or popen(c, *a, **k))
    assert detect_crop(path) == (320, 136, 0, 22)
    assert sum("rawvideo" in c for c in started) == sum("nokey" in c for c in started) == 1


def test_parse_crop():
    assert parse_crop("1280:546:0:87") == (1280, 546, 0, 87)
    for text in ("", "auto", "1280:546", "1280:546:0:-1", "0:546:0:87", "1280x546:0:87", "1e3:1:1:1"):
        with pytest.raises(UsageError, match="expected auto, or width:height:x:y"):
            parse_crop(text)


def test_no_film(tmp_path):
    with pytest.raises(NoInputError, match="no such file"):
        detect_crop(tmp_path / "absent.mp4")

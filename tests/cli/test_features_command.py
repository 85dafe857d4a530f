"""``neurocca features`` where it is called wrongly: one line that says what to do, and the exit code of its kind."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from neurocca.cli import main
from neurocca.io.store import FeatureStore
from tests.io.films import encode, moving
from tests.test_cli import fails


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Twelve seconds without sound."""
    return encode(tmp_path_factory.mktemp("films") / "film.mp4", moving(300), 25)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch) -> Path:
    """A folder of one's own, which output goes into by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(film: Path, *options: str, spaces: tuple[str, ...] = ("lowlevel",)) -> list[str]:
    return ["features", str(film), "-o", "f.h5", "--spaces", *spaces, *options]


# words that an option takes too many of, or is given twice


@pytest.mark.parametrize("flag", ["--spaces", "--layers", "--runs", "--reduce-runs", "--reduce_runs"])
def test_a_film_that_an_option_has_taken_is_named(film, capsys, flag):
    message = rf"film\.mp4 was taken for a value of {flag.replace('_', '-')}: put films and tables first, or after --"
    fails(capsys, ["features", flag, "lowlevel", str(film), "-o", "f.h5"], 64, message, Path("f.h5"))
    if flag != "--layers":  # beside a film that was not taken, too
        fails(capsys, ["features", str(film), flag, "lowlevel", str(film), "-o", "f.h5"], 64, message, Path("f.h5"))


def test_where_a_film_was_taken_that_is_not_there_the_way_is_said(capsys):
    fails(capsys, ["features", "--spaces", "shots", "absent.mp4", "-o", "f.h5"], 64, "what follows --spaces is taken")
    fails(capsys, ["features", "-o", "f.h5"], 64, "no source: give films, tables or folders .see")


def test_films_come_after_two_dashes_and_options_add_up(film):
    arguments = ["features", "-o", "f.h5", "--rate", "1", "--spaces", "lowlevel", "--spaces", "shots", "--", str(film)]
    assert main(arguments) == 0
    with FeatureStore(Path("f.h5")) as store:
        assert store.spaces == ["lowlevel", "shots"]


def test_words_that_are_files_by_chance_are_values(film):
    Path("lowlevel").mkdir()
    Path("3").touch()
    assert main(command(film, "--runs", "3", "--rate", "1")) == 0
    with FeatureStore(Path("f.h5")) as store:
        assert store.runs("lowlevel") == ["3"]


# values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-jobs", "0"], "--n-jobs 0: give the number of jobs, or -1"),
        (["--device", "nonsense"], "device 'nonsense' must be auto, cpu, cuda, cuda:1 or mps"),
        (["--device", "cpu,nonsense"], "device 'nonsense' must be"),
        (["--device", "cpu,"], "device '' must be"),
        (["--device", "cuda:x"], "device 'cuda:x' must be"),
        (["--table-rate", "0"], "features.annotation_rate=0.0 must be samples per second"),
        (["--table-rate", "fast"], "argument --table-rate"),
    ],
)
def test_values_that_cannot_be_are_refused_whether_or_not_they_are_used(film, capsys, options, message):
    fails(capsys, command(film, *options), 64, message, Path("f.h5"), Path(".f.h5.parts"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("devices", ["cuda", "cpu,cuda:1"])
def test_a_gpu_that_is_not_there_is_missed_by_every_space(film, capsys, devices):
    fails(capsys, command(film, "--device", devices), 64, "sees no CUDA GPUs here", Path("f.h5"))


# options that would do nothing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layers", "blocks.2"], "--layers has no use here: the space cnn is not asked for"),
        (["--reduction-from", "absent.h5"], "--reduction-from has no use here: the space cnn"),
        (["--augment-strength", "2"], "--augment-strength has no use here"),
        (["--spaces", "cnn", "--augment-strength", "2"], "--augment-strength has no use here: it goes with --augment"),
        (["--spaces", "cnn", "--reduce", "srp:9", "--reduce-runs", "1"], "--reduce-runs has no use here: it goes with"),
        (["--table-rate", "7"], "--table-rate has no use here: there are neither events nor tables"),
        (["--task-id", "x"], "--task-id has no use here: it goes with --export"),
        (["--info", "f.h5"], "sources have no use with --info"),
        (["--augmentation-report", "d"], "--output has no use with --augmentation-report"),
    ],
)
def test_options_that_would_do_nothing_are_refused(film, capsys, options, message):
    fails(capsys, command(film, *options), 64, message, Path("f.h5"))


def test_only_films_have_a_rate_and_only_frames_a_window(film, table, capsys):
    fails(capsys, ["features", str(table), "-o", "f.h5", "--table-rate", "2", "--rate", "2"], 64, "there is no film")
    mean = ["features", str(film), "-o", "f.h5", "--spaces", "shots", "--window", "mean"]
    fails(capsys, mean, 64, "--window has no use here: sound, motion and shots are always", Path("f.h5"))
    fails(capsys, ["features", "--info", "f.h5", "--list-layers"], 64, "--list-layers has no use with --info")


def test_a_device_in_the_configuration_is_checked_too(film, capsys):
    Path("c.toml").write_text('[features]\ndevice = "abacus"\n')
    fails(capsys, command(film, "--config-file", "c.toml"), 64, "device 'abacus' must be", Path("f.h5"))


def test_help_says_when_there_is_sound(capsys):
    with pytest.raises(SystemExit):
        main(["features", "--help"])
    assert "(default: cnn, lowlevel and, where there is sound, audio)" in " ".join(capsys.readouterr().out.split())


# tables that do not say when their samples are


@pytest.fixture
def table(inside) -> Path:
    np.save(inside / "mine.npy", np.arange(40.0).reshape(20, 2))
    return inside / "mine.npy"


def test_an_array_needs_a_rate_that_somebody_gives(table, capsys):
    message = (
        r"mine\.npy: how many samples per second\? It has no sidecar mine\.json .*: give its rate \(--table-rate\)"
    )
    fails(capsys, ["features", str(table), "-o", "f.h5"], 64, message, Path("f.h5"))
    assert main(["features", str(table), "-o", "f.h5", "--table-rate", "4"]) == 0
    with FeatureStore(Path("f.h5")) as store:
        np.testing.assert_array_equal(store.times("mine", "1"), np.arange(20) / 4)
    Path("c.toml").write_text("[features]\nannotation_rate = 10\n")  # what it is by default, but said
    assert main(["features", str(table), "-o", "g.h5", "--config-file", "c.toml"]) == 0
    with FeatureStore(Path("g.h5")) as store:
        np.testing.assert_array_equal(store.times("mine", "1"), np.arange(20) / 10)


def test_the_sidecar_of_an_array_is_believed(table):
    Path("mine.json").write_text('{"SamplingFrequency": 5, "StartTime": 1}')
    assert main(["features", str(table), "-o", "f.h5"]) == 0
    with FeatureStore(Path("f.h5")) as store:
        np.testing.assert_allclose(store.times("mine", "1"), 1 + np.arange(20) / 5)


@pytest.mark.parametrize(("name", "header"), [("a.tsv", "x\ty"), ("a.csv", "x,y")])
def test_a_table_without_times_needs_a_rate(capsys, name, header):
    Path(name).write_text(header + "\n" + (header.replace("x", "1").replace("y", "2") + "\n") * 5)
    message = r"It has no column time or onset and no sidecar a\.json .*: give its rate \(--table-rate\)"
    fails(capsys, ["features", name, "-o", "f.h5"], 64, message, Path("f.h5"))
    # a table that says it keeps its times, whatever the rate of the others
    Path("b.tsv").write_text("time\tz\n0\t1\n2\t2\n4\t1\n")
    assert main(["features", name, "b.tsv", "-o", "f.h5", "--table-rate", "2"]) == 0
    with FeatureStore(Path("f.h5")) as store:
        np.testing.assert_array_equal(store.times("a", "1"), np.arange(5) / 2)
        np.testing.assert_array_equal(store.times("b", "1"), [0, 2, 4])


def test_from_python_a_rate_that_nobody_gave_is_not_taken_in_silence(table, caplog):
    from neurocca.config import FeaturesConfig
    from neurocca.io.stimuli import read_source

    read_source(table, FeaturesConfig(annotation_rate=4.0))
    assert caplog.text == ""
    read_source(table, FeaturesConfig())
    assert "mine.npy: does not say when its samples are; taken as 10 per second" in caplog.text


# names and stores


def test_a_name_with_a_line_break_stays_on_one_line(film, capsys):
    fails(capsys, command(Path("two\nlines\u202e.mp4")), 66, r"two\\nlines\\u202e\.mp4: no such file")
    fails(capsys, ["features", "--spaces", "a\nb", "--", str(film)], 64, r"features\.spaces: ")
    log = (
        "import logging; from neurocca.cli.parser import start_logging; start_logging(0); "
        "logging.getLogger('neurocca').warning('a\\nb: c')"
    )
    done = subprocess.run([sys.executable, "-c", log], capture_output=True, text=True, check=True)
    assert done.stderr == "neurocca: a\\nb: c\n"


def test_a_store_of_an_older_version_is_left_alone(film, capsys):
    assert main(command(film, "--rate", "1")) == 0
    with h5py.File("f.h5", "r+") as file:
        file.attrs["format"] = "neurocca feature store 1"
    before = Path("f.h5").read_bytes()
    for options in ([], ["--overwrite"]):
        capsys.readouterr()
        message = r"f\.h5: is a neurocca feature store 1, which this version does not read; .*: delete it, or choose"
        fails(capsys, command(film, *options), 73, message)
    assert Path("f.h5").read_bytes() == before


def test_damaged_stores_are_data_errors(film, capsys):
    assert main(command(film, "--rate", "2")) == 0
    whole = Path("f.h5").read_bytes()
    place = whole.rindex(b"TREE") + 2  # an index of chunks
    Path("f.h5").write_bytes(whole[:place] + bytes(20) + whole[place + 20 :])
    damaged = Path("f.h5").read_bytes()
    capsys.readouterr()
    fails(capsys, ["features", "--export", "f.h5", "tables"], 65, "'lowlevel', run 1 is damaged: ", Path("tables"))
    fails(capsys, command(film, "--rate", "2", spaces=("shots",)), 65, "'lowlevel', run 1 is damaged: ")
    assert Path("f.h5").read_bytes() == damaged
    Path("f.h5").write_bytes(whole)
    with h5py.File("f.h5", "r+") as file:
        file["lowlevel/run-1"].attrs["provenance"] = '{"film": 3}'
    for arguments in (["features", "--info", "f.h5"], command(film)):
        fails(capsys, arguments, 65, r"'lowlevel', run 1 is damaged: film is 3, not a JSON object")


@pytest.mark.parametrize(
    ("size", "fps", "space", "message"),
    [
        ((16, 16), 25, "shots", "frames of 16 x 16 pixels are too small to find cuts in: at least 32 x 18"),
        ((160, 96), 1, "motion", "motion energy needs more than 8 frames per second"),
        ((64, 16), 25, "motion", "motion energy needs more than 32 rows of pixels"),
    ],
)
def test_films_that_a_space_cannot_be_made_of(tmp_path, capsys, size, fps, space, message):
    small = encode(tmp_path / "small.mkv", moving(50, size), fps, "-c:v", "mpeg4")
    options = ("--rate", "1") if fps == 1 else ()
    fails(capsys, command(small, *options, spaces=(space,)), 65, message, Path("f.h5"))

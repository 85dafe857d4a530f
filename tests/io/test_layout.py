import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from neurocca import studyforrest as sf
from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from neurocca.io.recording import run_label


def touch(path: Path, text: str = "a\n1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def bids_dataset(root: Path, runs=("01", "02"), *, sidecar: bool = True) -> Path:
    touch(root / "dataset_description.json", json.dumps({"Name": "toy", "BIDSVersion": "1.10.0", "Simulated": True}))
    if sidecar:
        touch(root / "task-film_bold.json", json.dumps({"RepetitionTime": 1.5, "TaskName": "film"}))
    for run in runs:
        stem = root / "sub-01" / "func" / f"sub-01_task-film_run-{run}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(np.ones((2, 2, 2, 5), dtype=np.int16), np.eye(4)).to_filename(f"{stem}_bold.nii.gz")
        touch(Path(f"{stem}_events.tsv"), f"onset\tduration\tstim_file\n3.0\t6\tfilm_run-{run}.mp4\n")
    return root


def test_parcel_tables_of_any_lab(tmp_path):
    for run in ("01", "02", "10"):
        touch(tmp_path / "sub-A" / "func" / f"sub-A_task-film_run-{run}_atlas-x_timeseries.tsv")
    (recording,) = find_recordings(tmp_path, t_r=1.0)
    assert [run.label for run in recording.runs] == ["1", "2", "10"]
    assert (recording.kind, recording.t_r, recording.runs[0].cut) == ("parcels", 1.0, (0, 0))
    with pytest.raises(UsageError, match=r"set align\.t_r"):
        find_recordings(tmp_path)


def test_studyforrest_is_known_by_its_names(tmp_path):
    for run in ("1", "2", "8"):
        touch(tmp_path / "sub-01" / "shen_fconn" / f"sub-01_task-avmovie_run-{run}_bold.csv")
    (recording,) = find_recordings(tmp_path)
    assert recording.t_r == sf.T_R
    assert [run.cut for run in recording.runs] == [(0, 4), (4, 4), (4, 0)]
    assert [run.n_volumes for run in recording.runs] == [451, 441, 338]


def test_participants_and_tasks_are_chosen_by_name(tmp_path):
    for subject, task in (("01", "film"), ("02", "film"), ("02", "rest")):
        touch(tmp_path / f"sub-{subject}" / f"sub-{subject}_task-{task}_run-1_bold.csv")
    with pytest.raises(UsageError, match="film, rest: choose one with --task-id"):
        find_recordings(tmp_path, t_r=1.0)
    found = find_recordings(tmp_path, Query(("sub-02", "01", "02"), "film"), t_r=1.0)
    assert [r.subject for r in found] == ["02", "01"]
    with pytest.raises(NoMatchError, match="no participant '99'; the dataset has 01, 02"):
        find_recordings(tmp_path, Query(("99",), "film"), t_r=1.0)
    with pytest.raises(NoMatchError, match="participant 01 has no BOLD of task 'rest'"):
        find_recordings(tmp_path, Query(("01", "02"), "rest"), t_r=1.0)
    # those who are not asked for by name are left out where they lack the task
    assert [r.subject for r in find_recordings(tmp_path, Query(task="task-rest"), t_r=1.0)] == ["02"]
    with pytest.raises(NoMatchError, match="no task 'music'"):
        find_recordings(tmp_path, Query(task="music"), t_r=1.0)


def test_nothing_to_read(tmp_path):
    with pytest.raises(NoInputError, match="no such directory"):
        find_recordings(tmp_path / "absent")
    with pytest.raises(NoInputError, match="is empty"):
        find_recordings(tmp_path)
    touch(tmp_path / "notes.txt")
    with pytest.raises(NoInputError, match=r"neither a BIDS dataset .* nor parcel tables"):
        find_recordings(tmp_path)


def test_bids_runs_films_and_onsets(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    confounds = touch(root / "derivatives/m/sub-01/func/sub-01_task-film_run-02_desc-confounds_timeseries.tsv")
    (recording,) = find_recordings(root, Query(("01",)))
    assert (recording.t_r, recording.simulated, recording.dataset) == (1.5, True, "toy")
    (tmp_path / "other").mkdir()
    assert len(find_recordings(tmp_path / "other" / ".." / "ds")[0].runs) == 2
    first, second = recording.runs
    assert (first.label, first.onset, first.film) == ("1", 3.0, root / "stimuli" / "film_run-01.mp4")
    assert (first.confounds, second.confounds) == (None, confounds)


def test_masks_of_this_task_alone_are_used(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    folder = root / "derivatives/x/sub-01/func"
    masks = [touch(folder / f"sub-01_task-film_run-{r}_desc-brain_mask.nii.gz") for r in (1, 2)]
    touch(folder / "sub-01_task-filmrest_desc-brain_mask.nii.gz")
    assert find_recordings(root)[0].masks == tuple(masks)


def test_bids_files_without_a_task_are_passed_over(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    (root / "sub-01/func/sub-01_bold.nii.gz").write_bytes(b"")
    assert len(find_recordings(root)[0].runs) == 2


def test_bids_repetition_time(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    with pytest.raises(
        DataError, match=r"task-film_bold\.json says a repetition time of 1\.5 s, --t-r \(align\.t_r\) says 2\.0 s"
    ):
        find_recordings(root, t_r=2.0)
    bare = bids_dataset(tmp_path / "bare", sidecar=False)
    with pytest.raises(DataError, match="no RepetitionTime"):
        find_recordings(bare)
    assert find_recordings(bare, t_r=2.0)[0].t_r == 2.0
    for wrong in ("two", -2, True):
        touch(root / "task-film_bold.json", json.dumps({"RepetitionTime": wrong}))
        with pytest.raises(DataError, match=f"RepetitionTime is {wrong!r}; seconds are expected"):
            find_recordings(root)


def test_bids_trouble_is_named(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    touch(root / "task-film_bold.json", "{broken")
    with pytest.raises(DataError, match=r"task-film_bold\.json: not valid JSON"):
        find_recordings(root)
    root = bids_dataset(tmp_path / "two")
    touch(
        root / "sub-01/func/sub-01_task-film_run-01_events.tsv",
        "onset\tduration\tstim_file\n0\t1\ta.mp4\n1\t1\tb.mp4\n",
    )
    with pytest.raises(DataError, match="2 films in one run"):
        find_recordings(root)
    events = root / "sub-01/func/sub-01_task-film_run-01_events.tsv"
    touch(events, "onset\tduration\tstim_file\nabc\t1\tfilm.mp4\n")
    with pytest.raises(DataError, match="column 'onset' holds values that are not numbers"):
        find_recordings(root)
    touch(events, "onset\tduration\tstim_file\n0\t1\t5\n")
    assert find_recordings(root)[0].runs[0].film.name == "5"
    touch(events, "onset\tduration\tstim_file\n0\t1\t../../film.mp4\n")
    with pytest.raises(DataError, match=r"film\.mp4' leads out of .*stimuli"):
        find_recordings(root)
    touch(tmp_path / "empty" / "dataset_description.json", json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    with pytest.raises(NoInputError, match=r"without any sub-.*_bold\.nii\.gz"):
        find_recordings(tmp_path / "empty")


def test_content_that_was_not_fetched_is_named_with_the_command(tmp_path):
    root = bids_dataset(tmp_path / "ds")
    path = root / "sub-01/func/sub-01_task-film_run-02_bold.nii.gz"
    path.unlink()
    path.symlink_to("../../.git/annex/objects/xx/MD5E-s1--0.nii.gz")
    with pytest.raises(NoInputError, match="datalad get"):
        find_recordings(root)


def test_run_labels_lose_leading_zeros():
    assert [run_label(x) for x in ("01", "1", 10, "000", "2a")] == ["1", "1", "10", "0", "2a"]

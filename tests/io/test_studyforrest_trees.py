"""The studyforrest datasets that are no BIDS datasets, as small real trees and as published."""

import pytest

from neurocca import studyforrest as sf
from neurocca.errors import DataError, NoInputError, NoMatchError, UsageError
from neurocca.io.layout import find_recordings
from neurocca.io.query import Query
from tests.io import trees


def test_aligned_volumes_with_motion_and_masks(tmp_path):
    root = trees.aligned(tmp_path / "aligned", ("01", "02"))
    masks = trees.templatetransforms(tmp_path / "tnt", ("01", "02"))
    first, second = find_recordings(root, Query(task="avmovie", derivatives={"templatetransforms": masks}))
    assert (first.kind, first.source, first.space, first.t_r) == ("voxels", "aligned", "bold3Tp2", 2.0)
    assert [run.label for run in first.runs] == list(sf.RUNS)
    assert [run.cut for run in first.runs] == [sf.overlap_trim(run) for run in sf.RUNS]
    run = second.runs[2]
    folder = root / "sub-02/in_bold3Tp2"
    assert run.confounds == folder / "sub-02_task-avmovie_run-3_bold_mcparams.txt"
    assert run.confounds_kind == "fsl"
    assert second.masks == (masks / "sub-02/bold3Tp2/brain_mask.nii.gz",)


def test_other_tasks_of_the_aligned_tree(tmp_path):
    root = trees.aligned(tmp_path, runs="1")
    with pytest.raises(UsageError, match="tasks avmovie, retmapexp: choose one with --task-id"):
        find_recordings(root)
    (found,) = find_recordings(root, Query(task="retmapexp"))
    assert (found.masks, found.runs[0].confounds, found.runs[0].confounds_kind) == ((), None, None)
    assert found.runs[0].cut == (0, 0)


def test_what_is_wrong_with_an_aligned_tree_is_named(tmp_path):
    root = trees.aligned(tmp_path / "aligned", runs="12")
    film = Query(task="avmovie")
    with pytest.raises(DataError, match=r"the header says a repetition time of 2\.0 s, --t-r .* says 3\.0 s"):
        find_recordings(root, film, t_r=3.0)
    with pytest.raises(NoInputError, match=r"sub-01/bold3Tp2/brain_mask\.nii\.gz: no such file"):
        find_recordings(root, Query(task="avmovie", derivatives={"templatetransforms": tmp_path}))
    volume = root / "sub-01/in_bold3Tp2/sub-01_task-avmovie_run-2_bold.nii.gz"
    trees.volume(volume, t_r=2.5)
    with pytest.raises(DataError, match=r"different repetition time: run 1 2 s, run 2 2\.5 s"):
        find_recordings(root, film)
    volume.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"run-2_bold\.nii\.gz: cannot be read"):
        find_recordings(root, film)
    trees.volume(volume.with_name("sub-01_task-avmovie_run-9_bold.nii.gz"))
    with pytest.raises(NoMatchError, match="run 9 is none of studyforrest's 1, 2"):
        find_recordings(root, film)


def test_aggregated_parcels(tmp_path):
    root = trees.aggregate(tmp_path, ("01", "20"), "123")
    first, second = find_recordings(root, Query(runs=("2", "3")))
    assert (first.subject, second.subject, first.kind, first.source) == ("01", "20", "parcels", "aggregate")
    assert [(run.label, run.n_volumes, run.cut) for run in second.runs] == [("2", 441, (4, 4)), ("3", 438, (4, 4))]
    with pytest.raises(DataError, match=r"studyforrest has a repetition time of 2\.0 s, --t-r .* says 1\.0 s"):
        find_recordings(root, t_r=1.0)
    assert find_recordings(root, t_r=2.0)[0].t_r == 2.0


def test_logs_of_frames_beside_the_runs_say_when_the_film_began(tmp_path, caplog):
    aligned, aggregate = trees.aligned(tmp_path / "a", runs="12"), trees.aggregate(tmp_path / "b", runs="12")
    frames = "".join(f"{0.32 + k / 25:.3f}\t0.04\t{k + 1}\n" for k in range(40))
    for folder in (aligned / "sub-01/in_bold3Tp2", aggregate / "sub-01/shen_fconn"):
        trees.text(folder / "sub-01_task-avmovie_run-1_events.tsv", f"onset\tduration\tframeidx\n{frames}")
        trees.text(folder / "sub-01_task-avmovie_run-2_events.tsv", "onset\tduration\n3\t1\n")
    for root in (aligned, aggregate):
        (found,) = find_recordings(root, Query(task="avmovie"))
        assert [run.onset for run in found.runs] == [pytest.approx(0.32, abs=1e-3), 0.0]
        assert "run-2_events.tsv: no log of frames" in caplog.text
        caplog.clear()


@pytest.mark.realdata
def test_the_aggregate_dataset_as_published(studyforrest_data):
    found = find_recordings(studyforrest_data / "aggregate")
    assert len(found) >= 5
    assert all([run.label for run in recording.runs] == list(sf.RUNS) for recording in found)
    assert all(recording.missing == () for recording in found)


def test_choices_that_only_bids_datasets_know_are_refused(tmp_path):
    volumes, tables = trees.aligned(tmp_path / "aligned"), trees.aggregate(tmp_path / "aggregate")
    masks = trees.templatetransforms(tmp_path / "masks")
    for root in (volumes, tables):
        with pytest.raises(UsageError, match=r"--bids-filter-file: .* is no BIDS dataset"):
            find_recordings(root, Query(task="avmovie", filters={"bold": {"run": 1}}))
        with pytest.raises(UsageError, match=r"--derivatives transforms: .* is no BIDS dataset: (only templatet|none)"):
            find_recordings(root, Query(task="avmovie", derivatives={"transforms": masks}))

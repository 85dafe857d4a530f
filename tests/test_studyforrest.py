from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from neurocca import studyforrest as sf


def film_seconds(run: str, trimmed: bool) -> tuple[float, float]:
    n = sf.N_VOLUMES[sf.RUNS.index(run)]
    start, end = sf.overlap_trim(run) if trimmed else (0, 0)
    return sf.film_interval(run, start)[0], sf.film_interval(run, n - 1 - end)[1]


def test_after_the_trims_no_second_of_the_film_occurs_in_two_runs():
    for earlier, later in pairwise(sf.RUNS):
        assert film_seconds(earlier, trimmed=True)[1] <= film_seconds(later, trimmed=True)[0] + 1e-9
        assert film_seconds(earlier, trimmed=False)[1] > film_seconds(later, trimmed=False)[0] + 15


def test_trims_waste_less_than_half_a_second_of_film_per_transition():
    for earlier, later in pairwise(sf.RUNS):
        assert film_seconds(later, trimmed=True)[0] - film_seconds(earlier, trimmed=True)[1] < 0.1
    np.testing.assert_allclose(sf.film_overlaps(), [16, 15.92, 15.92, 15.96, 15.92, 15.92, 15.92])


def test_volumes_left_after_trimming():
    kept = [n - sum(sf.overlap_trim(run)) for run, n in zip(sf.RUNS, sf.N_VOLUMES, strict=True)]
    assert kept == [447, 433, 430, 480, 454, 431, 534, 334]
    assert (sum(sf.N_VOLUMES), sum(kept)) == (3599, 3543)


@pytest.mark.realdata
def test_segment_starts_are_the_published_ones(studyforrest_data):
    folder = studyforrest_data / "repos" / "studyforrest-data-phase2" / "code" / "stimulus" / "movie"
    table = pd.read_csv(folder / "segment_timing.csv")
    assert tuple(table["start_frame"]) == sf.SEGMENT_START_FRAMES
    np.testing.assert_allclose(table["start_time"], [sf.segment_start(run) for run in sf.RUNS])


@pytest.mark.realdata
def test_cuts_fall_on_the_frame_that_changes(studyforrest_data):
    """Published cut times, brought to segment time, meet the peaks of the published frame differences."""
    movie = studyforrest_data / "repos" / "studyforrest-data-phase2" / "code" / "stimulus" / "movie"
    visual = studyforrest_data / "confoundsannotation" / "annotation" / "visual"
    for segment, run in enumerate(sf.RUNS):
        # these cut times count from the segment's start on the research cut
        cuts = pd.read_csv(movie / f"cuts_segment{segment}.csv")["cut_time"].to_numpy()
        moment = sf.research_cut_to_segment(cuts + sf.segment_start(run), run)
        frames = np.rint(moment * sf.FPS).astype(int)
        change = pd.read_csv(visual / f"fg_av_ger_seg{segment}_normdiff.tsv", sep="\t")["norm_diff"].to_numpy()
        frames = frames[(frames > 2) & (frames < len(change) - 3)]
        offsets = [change[frames + k].mean() for k in (-2, -1, 0, 1, 2)]
        assert int(np.argmax(offsets)) == 2, f"run {run}: {offsets}"
        assert offsets[2] > 3 * max(offsets[1], offsets[3])

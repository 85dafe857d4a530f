"""Facts of the studyforrest film dataset (Forrest Gump, 3 T, audio-visual).

Sources: Hanke et al. 2016, doi:10.1038/sdata.2016.92; ``segment_timing.csv`` of studyforrest-data-phase2; the
trimming rule is the erratum of 2015-02-11 on studyforrest.org, also used by ``mk_movie_ds.py`` of
studyforrest-data-aligned.
"""

from itertools import pairwise

SUBJECTS = ("01", "02", "03", "04", "05", "06", "09", "10", "14", "15", "16", "17", "18", "19", "20")
RUNS = ("1", "2", "3", "4", "5", "6", "7", "8")

T_R = 2.0
"""Repetition time in seconds."""

N_VOLUMES = (451, 441, 438, 488, 462, 439, 542, 338)
"""Volumes per run, the same for all subjects."""

FPS = 25
"""Frames per second of the film and of the per-frame measures."""

SEGMENT_START_FRAMES = (0, 22150, 43802, 65304, 89305, 112007, 133559, 160261)
"""First frame of each run's film segment on the research cut's axis."""

SEGMENT_LEAD_FRAMES = 1
"""Frames that a segment file shows before its first frame of the film (a grey lead-in)."""

OVERLAP_TRIM = 4
"""Volumes cut on either side of a transition: neighbouring runs show 16 s of the same film."""


def segment_start(run: str) -> float:
    """Second of the research cut at which the film segment of a run begins."""
    return SEGMENT_START_FRAMES[RUNS.index(run)] / FPS


def research_cut_to_segment(seconds: float, run: str) -> float:
    """Time in a run's segment file at which a moment of the research cut is on screen, in seconds.

    Every segment file begins with one grey lead-in frame, hence the extra 0.04 s.
    """
    return seconds - segment_start(run) + SEGMENT_LEAD_FRAMES / FPS


def overlap_trim(run: str) -> tuple[int, int]:
    """Volumes to cut off the start and the end of a run, so that no part of the film is on screen in two runs' volumes.

    The first run keeps its start and the last run its end. Delayed or convolved features of the first volumes that
    are kept still reach back to film that the run before has shown as well.
    """
    return (0 if run == RUNS[0] else OVERLAP_TRIM, 0 if run == RUNS[-1] else OVERLAP_TRIM)


def film_interval(run: str, volume: int) -> tuple[float, float]:
    """Interval of the research cut, in seconds, that was on screen during a volume (0-based)."""
    start = segment_start(run) + volume * T_R
    return start, start + T_R


def film_overlaps() -> tuple[float, ...]:
    """Seconds of film that each run shares with the next one, before any trimming."""
    ends = [segment_start(r) + T_R * n for r, n in zip(RUNS, N_VOLUMES, strict=True)]
    return tuple(ends[i] - segment_start(RUNS[j]) for i, j in pairwise(range(len(RUNS))))

"""What a dataset holds of one subject's film: the record that every layout is read into."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Kind = Literal["voxels", "surface", "grayordinates", "parcels"]
"""What the columns of a run are: voxels of NIfTI volumes, vertices of GIFTI, both of CIFTI, or parcels."""

ConfoundsKind = Literal["fmriprep", "fsl", "afni", "table"]
"""How a confounds file is written: columns named as fMRIPrep's, three rotations (radians) then three translations
(millimetres) as FSL's, roll, pitch, yaw (degrees) then displacements as AFNI's, or a table with a header of its own."""


@dataclass(frozen=True)
class RunFiles:
    """Files and timing of one run.

    Parameters
    ----------
    label : str
        Run label without leading zeros; the feature store uses the same. Where runs of several sessions have the same
        labels, the session stands before it: ``ses-run``.
    bold : tuple of Path
        Volumes, a dense series or a parcel table; of surfaces the left, then the right hemisphere.
    confounds : Path, optional
        Motion parameters and other nuisance series.
    film : Path, optional
        The film that events.tsv names.
    onset : float
        Seconds from the first volume to the start of the film.
    cut : pair of int
        Volumes that the dataset's own rule cuts off the start and the end.
    n_volumes : int, optional
        Volumes that the published run has.
    session : str, optional
    confounds_kind : ConfoundsKind, optional
        None where there are no confounds.
    masks : tuple of Path
        Brain masks in the space of the volumes.
    events : Path, optional
    t_r : float, optional
        Repetition time in seconds.
    start_time : float, optional
        Seconds into a volume to which slice-time correction has brought it, where the sidecar says so.
    slice_timing : tuple of float
        Seconds into a volume at which each slice was acquired; empty where unknown or corrected already.
    """

    label: str
    bold: tuple[Path, ...]
    confounds: Path | None = None
    film: Path | None = None
    onset: float = 0.0
    cut: tuple[int, int] = (0, 0)
    n_volumes: int | None = None
    session: str | None = None
    confounds_kind: ConfoundsKind | None = None
    masks: tuple[Path, ...] = ()
    events: Path | None = None
    t_r: float | None = None
    start_time: float | None = None
    slice_timing: tuple[float, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is read of the run, other than its film."""
        return (*self.bold, *self.masks, *(p for p in (self.confounds, self.events) if p is not None))


@dataclass(frozen=True)
class Recording:
    """All runs of one subject and task.

    Parameters
    ----------
    subject, task : str
        Labels without their BIDS prefixes.
    dataset : str
        Name of the dataset.
    kind : Kind
    t_r : float
        Repetition time in seconds.
    runs : tuple of RunFiles
        In order of their sessions and labels.
    source : str
        Where the BOLD comes from: the name of a derivative, or "raw".
    space, seg, res, desc : str, optional
        Labels in the names of the BOLD files; seg names the parcels.
    missing : tuple of str
        Runs that other participants have and this one lacks, and those for which there are no features.
    simulated : bool
        The dataset says that its BOLD is simulated.
    """

    subject: str
    task: str
    dataset: str
    kind: Kind
    t_r: float
    runs: tuple[RunFiles, ...]
    source: str = "raw"
    space: str | None = None
    seg: str | None = None
    res: str | None = None
    desc: str | None = None
    missing: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def masks(self) -> tuple[Path, ...]:
        """Masks of all runs, each once; what all of them hold is analysed. None: told from the volumes."""
        return tuple(dict.fromkeys(mask for run in self.runs for mask in run.masks))

    def shifted(self, seconds: float) -> "Recording":
        """The same with the film's onset moved by some seconds in every run."""
        return replace(self, runs=tuple(replace(run, onset=run.onset + seconds) for run in self.runs))


def run_key(label: str) -> tuple[bool, int, str]:
    """Sorting key: numbers in numeric order, before words."""
    return (not label.isdigit(), int(label) if label.isdigit() else 0, label)


def run_label(text: str | int) -> str:
    """Run label without leading zeros, as in all comparisons of runs."""
    return str(text).lstrip("0") or "0"

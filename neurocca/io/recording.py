"""What a dataset holds of one subject's film: the record that every layout is read into."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class RunFiles:
    """Files and timing of one run.

    Parameters
    ----------
    label : str
        Run label without leading zeros; the feature store uses the same.
    bold : Path
        Volumes or parcel table.
    confounds : Path, optional
        Table with motion parameters.
    film : Path, optional
        The film that events.tsv names.
    onset : float
        Seconds from the first volume to the start of the film.
    cut : pair of int
        Volumes that the dataset's own rule cuts off the start and the end.
    n_volumes : int, optional
        Volumes that the published run has.
    """

    label: str
    bold: Path
    confounds: Path | None = None
    film: Path | None = None
    onset: float = 0.0
    cut: tuple[int, int] = (0, 0)
    n_volumes: int | None = None


@dataclass(frozen=True)
class Recording:
    """All runs of one subject and task.

    Parameters
    ----------
    subject, task : str
        Labels without their BIDS prefixes.
    dataset : str
        Name of the dataset.
    kind : "parcels" or "voxels"
    t_r : float
        Repetition time in seconds.
    runs : tuple of RunFiles
        In order of their labels.
    masks : tuple of Path
        Brain masks in the space of the volumes; what all of them hold is analysed. None: told from the volumes.
    simulated : bool
        The dataset says that its BOLD is simulated.
    """

    subject: str
    task: str
    dataset: str
    kind: Literal["parcels", "voxels"]
    t_r: float
    runs: tuple[RunFiles, ...]
    masks: tuple[Path, ...] = ()
    simulated: bool = False


def run_key(label: str) -> tuple[bool, int, str]:
    """Sorting key: numbers in numeric order, before words."""
    return (not label.isdigit(), int(label) if label.isdigit() else 0, label)


def run_label(text: str | int) -> str:
    """Run label without leading zeros, as in all comparisons of runs."""
    return str(text).lstrip("0") or "0"

"""One analysis of an output folder: whose, of which task and in which space, as the names of all its files say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocca.io.names import parse_name

RECORD = "desc-cca_decomposition.json"
"""How the name of an analysis's record ends."""

_ORDER = ("sub", "ses", "task", "space", "seg", "res")
"""Keys of the labels in names, in the order of BIDS."""


@dataclass(frozen=True, order=True)
class Analysis:
    """Labels that tell one analysis from others in the same folder.

    Parameters
    ----------
    subject, task : str
    space, seg, res : str
        Space, parcels and resolution of the BOLD; empty where its names do not say them.
    session : str
        Where all runs are of one; empty where its names do not say it, and for runs of several.
    """

    subject: str
    task: str
    space: str = ""
    seg: str = ""
    res: str = ""
    session: str = ""

    @classmethod
    def of(cls, decomposition: Mapping[str, Any]) -> "Analysis":
        """Analysis that a record is of."""
        dataset = decomposition["Dataset"]
        variant = (dataset.get(key) or "" for key in ("Space", "Segmentation", "Resolution", "Session"))
        return cls(decomposition["Subject"], decomposition["Task"], *variant)

    @property
    def stem(self) -> str:
        """Start of the names of all files, in the order of BIDS.

        >>> Analysis("01", "film", "MNI152NLin2009cAsym", res="2").stem
        'sub-01_task-film_space-MNI152NLin2009cAsym_res-2'
        >>> Analysis("01", "film", session="movie").stem
        'sub-01_ses-movie_task-film'
        """
        labels = (self.subject, self.session, self.task, self.space, self.seg, self.res)
        return "_".join(f"{key}-{label}" for key, label in zip(_ORDER, labels, strict=True) if label)

    @property
    def page(self) -> str:
        """File name of the report."""
        return f"{self.stem}.html"

    def file(self, output: Path, name: str) -> Path:
        """Place of a file that is called ``name`` after the labels."""
        session = [f"ses-{self.session}"] if self.session else []
        return output.joinpath(f"sub-{self.subject}", *session, "func", f"{self.stem}_{name}")


def analyses_of(output: Path) -> list[Analysis]:
    """Analyses that have results in an output directory, in order."""
    found = []
    paths = [path for folder in ("func", "ses-*/func") for path in output.glob(f"sub-*/{folder}/sub-*_task-*_{RECORD}")]
    for name in filter(None, (parse_name(path.name) for path in paths)):
        subject, session, task, space, seg, res = (name.get(key) or "" for key in _ORDER)
        found.append(Analysis(subject, task, space, seg, res, session))
    return sorted(found)


def segmentation_label(atlas: str) -> str:
    """Label of BIDS for an atlas: that of its file's name, or else the letters and digits of the name.

    >>> segmentation_label("tpl-X_atlas-Tian_dseg.nii.gz"), segmentation_label("schaefer_2018:100")
    ('Tian', 'schaefer2018100')
    """
    file = Path(atlas).name
    name = parse_name(file)
    said = name and (name.get("seg") or name.get("atlas"))
    return said or re.sub("[^A-Za-z0-9]", "", re.sub(r"\.nii(\.gz)?$", "", file))

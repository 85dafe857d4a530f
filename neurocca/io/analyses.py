"""One analysis of an output folder: whose, of which task and in which space, as the names of all its files say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocca.io.names import parse_name

RECORD = "desc-cca_decomposition.json"
"""How the name of an analysis's record ends."""


@dataclass(frozen=True, order=True)
class Analysis:
    """Labels that tell one analysis from others in the same folder.

    Parameters
    ----------
    subject, task : str
    space, seg, res : str
        Space, parcels and resolution of the BOLD; empty where its names do not say them.
    """

    subject: str
    task: str
    space: str = ""
    seg: str = ""
    res: str = ""

    @classmethod
    def of(cls, decomposition: Mapping[str, Any]) -> "Analysis":
        """Analysis that a record is of."""
        dataset = decomposition["Dataset"]
        variant = (dataset.get(key) or "" for key in ("Space", "Segmentation", "Resolution"))
        return cls(decomposition["Subject"], decomposition["Task"], *variant)

    @property
    def stem(self) -> str:
        """Start of the names of all files, in the order of BIDS.

        >>> Analysis("01", "film", "MNI152NLin2009cAsym", res="2").stem
        'sub-01_task-film_space-MNI152NLin2009cAsym_res-2'
        """
        entities = {"sub": self.subject, "task": self.task, "space": self.space, "seg": self.seg, "res": self.res}
        return "_".join(f"{key}-{label}" for key, label in entities.items() if label)

    @property
    def page(self) -> str:
        """File name of the report."""
        return f"{self.stem}.html"

    def file(self, output: Path, name: str) -> Path:
        """Place of a file that is called ``name`` after the labels."""
        return output / f"sub-{self.subject}" / "func" / f"{self.stem}_{name}"


def analyses_of(output: Path) -> list[Analysis]:
    """Analyses that have results in an output directory, in order."""
    found = []
    for path in output.glob(f"sub-*/func/sub-*_task-*_{RECORD}"):
        if name := parse_name(path.name):
            found.append(Analysis(*(name.get(key) or "" for key in ("sub", "task", "space", "seg", "res"))))
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

"""What a demo dataset is: its film, its size, and how it is meant to be analysed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocca.demo import responses
from neurocca.io.sample_film import CITATION

N_PERMUTATIONS = 500
"""Of the analysis: half of the usual number, so that the demo takes minutes."""

ANALYSIS = "code/neurocca.toml"
"""Configuration that the dataset is meant to be analysed with. Some 800 volumes in all do not carry hundreds of
features, and the haemodynamic response is that of the simulation. With nilearn's other one features follow their own
response at r = .93 only, and held-out correlations are as much smaller."""


@dataclass(frozen=True)
class Story:
    """What is said of the film and of the second component; samples per second, and features of the analysis."""

    film: str
    pictures: str
    truth: str
    rate: float
    analysis: dict[str, Any]


GENERATED = Story(
    "A computer drew and sounded the films.",
    "the motion in the pictures",
    "motion",
    4.0,
    {"features.spaces": ["lowlevel", "audio"]},
)
REAL = Story(
    f"The films are stretches of {CITATION}, each shown twice in a run.",
    "what the pictures show (the first principal component of a network's last stage)",
    f"first principal component of {responses.NETWORK}, {responses.LAYER}",
    2.0,  # samples per second, which take most of the time
    {
        "features.spaces": ["cnn", "audio"],
        "features.layers": [responses.LAYER],
        "features.reduce": "pca:5",
        "fit.n_components": 3,  # what takes most of the rest are maps
    },
)


@dataclass(frozen=True)
class Plan:
    """Size of the dataset, its film, and the folder it is written into."""

    root: Path
    film: Path | None
    n_subjects: int
    n_runs: int
    n_volumes: int
    t_r: float

    @property
    def story(self) -> Story:
        """That of the real film, where there is one."""
        return REAL if self.film else GENERATED

    @property
    def film_seconds(self) -> float:
        """How long each run's film is."""
        return self.n_volumes * self.t_r

    def func(self, subject: str, derivative: str = "") -> str:
        """Path of a subject's functional files up to the entity after the task."""
        base = self.root / "derivatives" / derivative if derivative else self.root
        return str(base / f"sub-{subject}" / "func" / f"sub-{subject}_task-movie")

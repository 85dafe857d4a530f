"""Which files of a dataset are asked for: kinds of data, patterns and participants."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from neurocca.errors import UsageError

STUDYFORREST = "deabeb9b-7a37-4062-a1e0-8fcef7909609"
"""DataLad's identifier of the studyforrest superdataset."""

_ALIGNED = "derivative/aligned_mri/sub-*/in_bold3Tp2/sub-*_task-avmovie_run-*_bold"
_RAW = "original/phase2/sub-*/ses-movie/func/sub-*_ses-movie_task-movie_run-*"
_SHAPES = "derivative/image_space_transformations"
STUDYFORREST_KINDS: Mapping[str, tuple[str, ...]] = {
    "bold": (f"{_ALIGNED}.nii.gz",),
    "confounds": (f"{_ALIGNED}_mcparams.txt",),
    "masks": (f"{_SHAPES}/sub-*/bold3Tp2/brain_mask.nii.gz",),
    "annotations": ("stimulus/curated_annotations/**",),
    "measures": ("stimulus/curated_annotations/src/confounds/**",),
    "aggregate": (
        "derivative/aggregate_fmri_timeseries/sub-*/shen_fconn/sub-*_task-avmovie_run-*_bold.csv",
    ),
    "raw": (f"{_RAW}_bold.nii.gz",),
    "events": (f"{_RAW}_events.tsv",),
    "sidecars": (f"{_RAW}_bold.json",),
    "transforms": (
        f"{_SHAPES}/sub-*/bold3Tp2/in_grpbold3Tp2/subj2tmpl_warp.nii.gz",
        f"{_SHAPES}/templates/grpbold3Tp2/*.nii.gz",
        f"{_SHAPES}/templates/grpbold3Tp2/xfm/*.mat",
    ),
}  # fmt: skip
"""What the film's data are in the superdataset, by kind."""

BIDS_KINDS: Mapping[str, tuple[str, ...]] = {
    "bold": ("**/func/*_bold.nii.gz", "**/func/*_bold.nii", "**/func/*_bold.func.gii", "**/func/*_bold.dtseries.nii"),
    "masks": ("**/func/*_desc-brain_mask.nii.gz",),
    "confounds": ("**/func/*_desc-confounds_timeseries.*", "**/func/*_desc-confounds_regressors.*"),
    "annotations": ("stimuli/**", "**/func/*_events.tsv"),
    "events": ("**/func/*_events.tsv",),
    "sidecars": ("**/*_bold.json",),
}
"""The same in any BIDS dataset."""

DEFAULT_KINDS = ("bold", "masks", "confounds", "annotations")


@dataclass(frozen=True)
class Choice:
    """Files that are asked for; all conditions have to hold.

    Parameters
    ----------
    participants : tuple of str
        Labels, with or without ``sub-``; all where empty.
    kinds : tuple of str
        Of `STUDYFORREST_KINDS` or `BIDS_KINDS`; `DEFAULT_KINDS` where there are no patterns either.
    include, exclude : tuple of str
        Patterns of paths from the dataset's root. ``*`` stays within a folder, ``**`` stands for any folders, and a
        pattern without a slash is one of names.

    Raises
    ------
    UsageError
        When a pattern leads out of the dataset, or a label cannot be one.
    """

    participants: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in self.participants:
            if not re.fullmatch(r"[A-Za-z0-9]+", label.removeprefix("sub-")):
                raise UsageError(f"--participant-label {label!r}: labels are letters and digits.")
        for pattern in (*self.include, *self.exclude):
            path = PurePosixPath(pattern)
            if not pattern.isprintable() or path.is_absolute() or ".." in path.parts or pattern.startswith("-"):
                raise UsageError(f"{pattern!r} is no pattern of paths within the dataset.")
            try:
                _expression((pattern,))
            except re.error as error:
                raise UsageError(f"{pattern!r} is no pattern of paths: {error}.") from error

    def of(self, dataset_id: str) -> "ChosenFiles":
        """The choice for one dataset, whose kinds are those of studyforrest or of BIDS."""
        table = STUDYFORREST_KINDS if dataset_id == STUDYFORREST else BIDS_KINDS
        kinds = self.kinds or (() if self.include else DEFAULT_KINDS)
        if unknown := [kind for kind in kinds if kind not in table]:
            raise UsageError(f"--what: {', '.join(unknown)} is none of {', '.join(table)}.")
        wanted = tuple(pattern for kind in kinds for pattern in table[kind]) or ("**",)
        labels = frozenset(label.removeprefix("sub-") for label in self.participants)
        return ChosenFiles(wanted, self.include, self.exclude, labels)


class ChosenFiles:
    """Tells which paths of a dataset are asked for.

    Parameters
    ----------
    wanted, include, exclude : tuple of str
        Patterns: a path has to match one of the first, one of the second, if any, and none of the third.
    labels : frozenset of str
        Participants; all where empty.
    """

    def __init__(
        self, wanted: tuple[str, ...], include: tuple[str, ...], exclude: tuple[str, ...], labels: frozenset[str]
    ) -> None:
        self.labels = labels
        # datasets inside are entered for what names them, not for patterns that would match anything in any
        self._entered = include if wanted == ("**",) else wanted
        self._conditions = [_expression(patterns) for patterns in (wanted, include) if patterns]
        self._excluded = _expression(exclude) if exclude else None

    def has(self, path: str) -> bool:
        """Whether a file is asked for, whoever's it is; hidden files never are."""
        if any(part.startswith(".") for part in PurePosixPath(path).parts):
            return False
        if self._excluded is not None and self._excluded.fullmatch(path):
            return False
        return all(condition.fullmatch(path) for condition in self._conditions)

    def is_theirs(self, path: str) -> bool:
        """Whether a file is that of a participant who is asked for, or of nobody."""
        theirs = labels_in(path)
        return not self.labels or not theirs or bool(theirs & self.labels)

    def enters(self, path: str, *, named: bool = False) -> bool:
        """Whether a dataset inside this one may hold what is asked for.

        Parameters
        ----------
        path : str
        named : bool
            Only where a pattern says its name without wildcards.
        """
        parts = PurePosixPath(path).parts
        for pattern in self._entered:
            leading = PurePosixPath(pattern).parts
            if len(leading) <= len(parts):
                continue
            pairs = list(zip(leading, parts, strict=False))
            if all(a == b if named else a != "**" and _expression((f"{a}/",)).fullmatch(f"{b}/") for a, b in pairs):
                return True
        return False


def labels_in(path: str) -> set[str]:
    """Participants' labels among the folders of a path, or in its name.

    Examples
    --------
    >>> labels_in("derivative/aligned_mri/sub-01/in_bold3Tp2/sub-01_task-avmovie_run-1_bold.nii.gz")
    {'01'}
    """
    return {match[1] for part in PurePosixPath(path).parts if (match := re.match(r"sub-([A-Za-z0-9]+)(?:_|$)", part))}


def _expression(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_translated(pattern)})" for pattern in patterns), re.DOTALL)


def _translated(pattern: str) -> str:
    """Regular expression of a pattern of paths."""
    text = pattern if "/" in pattern else f"**/{pattern}"
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", text)
    special = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = []
    for piece in pieces:
        if piece in special:
            found.append(special[piece])
        elif re.fullmatch(r"\[[^]]+\]", piece):
            inner = piece[1:-1].replace("\\", r"\\")
            found.append(f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]")
        else:
            found.append(re.escape(piece))
    return "".join(found)

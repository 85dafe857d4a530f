"""From results and the user's film to a short film of the moments that drive a component most."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from neurocca.errors import DataError, NoInputError, NoMatchError, OutputError, UsageError
from neurocca.io.analyses import Analysis, analyses_of
from neurocca.io.annex import check_here, is_unfetched
from neurocca.io.derivatives import read_decomposition
from neurocca.io.files import sha256, staged
from neurocca.io.moments import read_moments
from neurocca.io.movie import probe
from neurocca.io.reel import Clip, write_reel
from neurocca.io.stimuli import run_of
from neurocca.report.wording import number, p_value
from neurocca.steps.storyboard import caption, draw_storyboard

log = logging.getLogger(__name__)

CLIP_SECONDS = 5.0
"""Of one moment, which lies in the middle."""

FORMATS = (".mp4", ".jpg")
"""What can be written: a reel, or a storyboard."""


@dataclass(frozen=True)
class Moments:
    """Moments of one component, and what is known of the films that they are of.

    Parameters
    ----------
    output : Path
        Output directory.
    decomposition : dict
    component : dict
        Its record.
    table : DataFrame
        Its rows of the table of moments.
    films : mapping of mapping
        By run label: Name, Path in the dataset and SHA256, as far as known.
    """

    output: Path
    decomposition: dict[str, Any]
    component: dict[str, Any]
    table: pd.DataFrame
    films: Mapping[str, Mapping[str, str]]


def component_moments(output: Path, participant: str, component: int, wanted: Mapping[str, str | None]) -> Moments:
    """Moments of one component of one participant.

    Parameters
    ----------
    output : Path
    participant : str
        Label, with or without ``sub-``.
    component : int
        Counted from 0.
    wanted : mapping
        Labels of task, session and space, where they are asked for.

    Raises
    ------
    NoInputError, NoMatchError, UsageError, DataError
        When there are no such results, several, or no such component.
    """
    analysis = _chosen(output, participant.removeprefix("sub-"), wanted)
    decomposition = read_decomposition(output, analysis)
    records = decomposition["Components"]
    if not 0 <= component < len(records):
        raise UsageError(
            f"--component {component}: sub-{analysis.subject} has {len(records)} components, 0 to {len(records) - 1}."
        )
    table, films = read_moments(output, analysis)
    of_it = table[table["component"] == records[component]["Name"]]
    return Moments(output, decomposition, records[component], of_it, films)


def write_component_reel(moments: Moments, target: Path, films: Sequence[Path], seconds: float) -> None:
    """Write a reel (.mp4) of the moments, or a storyboard (.jpg).

    Parameters
    ----------
    moments : Moments
    target : Path
    films : sequence of Path
        One per run in their order, or of names that tell their runs, or a folder; none where they lie where they were.
    seconds : float
        Length of the reel, at most.

    Raises
    ------
    UsageError
        When the target's name does not end in .mp4 or .jpg, or films are not one per run.
    NoInputError, ContentNotHereError, DataError
        When a film is not there, its content is not, or it is too short.
    OutputError
        When the target cannot be written.
    """
    check_target(target)
    if moments.table.empty:
        raise DataError(f"{moments.component['Name']} has no moments: its variate is constant.")
    chosen = _first(moments.table, max(1, int(seconds / CLIP_SECONDS + 1e-9)))
    if target.suffix == ".jpg":
        chosen = moments.table
    paths = _films(moments, films, sorted(chosen["run"].unique()))
    for run, path in paths.items():
        _check_film(path, run, float(chosen.loc[chosen["run"] == run, "seconds"].max()), moments.films.get(run, {}))
    if target.suffix == ".jpg":
        content = draw_storyboard(moments.table, paths)
        with staged(target.parent) as folder:
            (folder / target.name).write_bytes(content)
        return
    columns = [chosen[name] for name in ("run", "seconds", "value", "sign", "rank")]
    clips = [
        _clip(moments, paths[run], min(CLIP_SECONDS, seconds), (run, second, z), f"{sign} {rank}")
        for run, second, z, sign, rank in zip(*columns, strict=True)
    ]
    write_reel(target, clips)


def check_target(target: Path) -> None:
    """Refuse what cannot be written, before anything is read.

    Raises
    ------
    UsageError, OutputError
        When the name ends otherwise than in .mp4 or .jpg; when the place cannot be written.
    """
    if target.suffix not in FORMATS:
        raise UsageError(f"-o {target}: its name must end in .mp4, for a reel, or in .jpg, for a storyboard.")
    if target.is_dir():
        raise OutputError(f"output {target}: cannot be written: a directory is in its place.")
    with staged(target.parent):  # makes what it needs and takes it away again
        pass


def _chosen(output: Path, subject: str, wanted: Mapping[str, str | None]) -> Analysis:
    found = analyses_of(output)
    if not found:
        raise NoInputError(f"{output}: no neurocca results: run the participant level first.")
    asked = {"subject": subject, **{key: label for key, label in wanted.items() if label is not None}}
    chosen = [one for one in found if all(getattr(one, key) == label for key, label in asked.items())]
    if not chosen:
        words = " ".join(f"{key} {label}" for key, label in asked.items())
        raise NoMatchError(f"{output}: no results of {words.replace('subject', 'participant')}.")
    if len(chosen) > 1:
        names = ", ".join(one.stem for one in chosen)
        raise UsageError(f"{output}: several results of participant {subject}: {names}; say --task-id, --space, …")
    return chosen[0]


def _first(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n moments of the highest ranks, peaks before troughs; of an odd number, one more peak."""
    high, low = (table[table["sign"] == sign] for sign in ("high", "low"))
    n_low = min(len(low), n // 2)
    n_high = min(len(high), n - n_low)
    return pd.concat([high.head(n_high), low.head(n - n_high)])


def _clip(moments: Moments, film: Path, seconds: float, moment: tuple[str, float, float], place: str) -> Clip:
    run, second, z = moment
    start = max(0.0, min(second - seconds / 2, probe(film).duration - seconds))
    record, d = moments.component, moments.decomposition
    simulated = ", simulated data" if d["Simulated"] else ""
    lines = (
        f"{record['Name']} {place}: {caption(run, second, z)}",
        f"sub-{d['Subject']}{simulated}: held-out r = {number(record['HeldOutCorrelation'])}, "
        f"p = {p_value(record['PValueHeldOut'])}",
    )
    return Clip(film, start, seconds, lines)


def _films(moments: Moments, given: Sequence[Path], needed: Sequence[str]) -> dict[str, Path]:
    labels = [str(run["Run"]) for run in moments.decomposition["Runs"]]
    if len(given) == 1 and given[0].is_dir():
        found = {run: given[0] / film["Name"] for run, film in moments.films.items()}
    elif given:
        found = _by_run(given, labels)
    else:
        found = {run: place for run in needed if (place := _where_it_was(moments, run)) is not None}
    if missing := [run for run in needed if run not in found]:
        raise NoInputError(
            f"no film of run {', '.join(missing)} is known: give the films with --film, one per run in the order "
            f"{', '.join(labels)}."
        )
    return {run: found[run] for run in needed}


def _by_run(given: Sequence[Path], labels: Sequence[str]) -> dict[str, Path]:
    if len(given) != len(labels):
        raise UsageError(
            f"--film: {len(given)} films for {len(labels)} runs: give one per run, in the order {', '.join(labels)}, "
            "or the folder that they are in."
        )
    told = {run_of(path): path for path in given}
    return told if set(told) == set(labels) else dict(zip(labels, given, strict=True))


def _where_it_was(moments: Moments, run: str) -> Path | None:
    """The film at its path in the dataset, which is where the recorded command had it or above the results."""
    path = moments.films.get(run, {}).get("Path")
    if path is None:
        return None
    words = shlex.split(moments.decomposition.get("Command", ""))
    roots = [*map(Path, words[1:]), *moments.output.resolve().parents]
    places = [root / path for root in roots if root.is_dir()]
    return next((place for place in places if place.is_file() or is_unfetched(place)), None)


def _check_film(path: Path, run: str, until: float, known: Mapping[str, str]) -> None:
    check_here([path])
    info = probe(path)
    if info.duration < until:
        raise DataError(
            f"film {path}: lasts {info.duration:.1f} s, but moments of run {run} lie up to {until:.1f} s: is it the "
            "film of another run?"
        )
    if "SHA256" in known and sha256(path) != known["SHA256"]:
        log.warning("film %s: is another file than the one that features of run %s were made of.", path, run)

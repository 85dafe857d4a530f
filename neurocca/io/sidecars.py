"""What sidecars and image headers say of the timing of a run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocca.errors import ContentNotHereError, DataError, NoInputError
from neurocca.io.annex import get_command, is_unfetched
from neurocca.io.names import parse_name, shared_files
from neurocca.io.volumes import load_image, repetition_time

TOLERANCE = 1e-3
"""Seconds by which two statements of one repetition time may differ."""


@dataclass(frozen=True)
class Timing:
    """Timing of a run as its sidecars say it.

    Parameters
    ----------
    t_r : float, optional
        Repetition time in seconds.
    start_time : float, optional
        Seconds into a volume that slice-time correction refers to.
    slice_timing : tuple of float
        Seconds into a volume of every slice.
    where : Path, optional
        The sidecar that says the repetition time.
    unfetched : tuple of Path
        Sidecars without their content.
    """

    t_r: float | None = None
    start_time: float | None = None
    slice_timing: tuple[float, ...] = ()
    where: Path | None = None
    unfetched: tuple[Path, ...] = ()


def read_timing(bold: Path, root: Path) -> Timing:
    """Timing from all sidecars that hold for a file; the nearest that says something wins.

    Parameters
    ----------
    bold : Path
    root : Path
        Folder of the dataset, where inheritance ends.

    Raises
    ------
    DataError
        When a sidecar is broken or says something that cannot be a time.
    """
    name = parse_name(bold.name)
    if name is None:
        return Timing()
    found, unfetched = Timing(), []
    for sidecar in shared_files(bold, root, name.suffix, ".json"):
        if is_unfetched(sidecar):
            unfetched.append(sidecar)
            continue
        said = _timing(sidecar, read_json(sidecar))
        found = Timing(
            t_r=said.t_r if found.t_r is None else found.t_r,
            start_time=said.start_time if found.start_time is None else found.start_time,
            slice_timing=found.slice_timing or said.slice_timing,
            where=said.where if found.t_r is None else found.where,
        )
    return Timing(found.t_r, found.start_time, found.slice_timing, found.where, tuple(unfetched))


def agreed_repetition_time(bold: Path, timing: Timing, t_r: float = 0.0) -> float:
    """Repetition time on which sidecar, header and the user agree.

    Parameters
    ----------
    bold : Path
        Image or table.
    timing : Timing
        Of its sidecars.
    t_r : float
        What the user says, in seconds; 0 for nothing.

    Raises
    ------
    ContentNotHereError
        When nobody says it but a sidecar without its content might.
    DataError
        When nobody says it, or two say different times.
    """
    statements = []
    if timing.t_r is not None:
        statements.append((f"the sidecar {timing.where.name if timing.where else ''} says", timing.t_r))
    if (seconds := header_repetition_time(bold)) is not None:
        statements.append(("the header says", seconds))
    if t_r:
        statements.append(("--t-r (align.t_r) says", t_r))
    if not statements and timing.unfetched:
        raise ContentNotHereError(
            f"{timing.unfetched[0]}: its content is not here, and nothing else says the repetition time: get it with: "
            f"{get_command(timing.unfetched)}",
            timing.unfetched,
        )
    if not statements:
        raise DataError(
            f"{bold}: no RepetitionTime in a sidecar{'' if bold.suffix == '.tsv' else ' or the header'}: "
            "set align.t_r (seconds), or --t-r."
        )
    (first, seconds), *others = statements
    for other, different in others:
        if abs(different - seconds) > TOLERANCE:
            raise DataError(f"{bold}: {first} a repetition time of {seconds} s, {other} {different} s.")
    return seconds


def header_repetition_time(path: Path) -> float | None:
    """Repetition time in seconds from the header of an image; None where it says none.

    GIFTI and tables do not have it. A NIfTI header that says 1 in no unit says nothing: it is what programs leave
    there that write no time.
    """
    if path.name.endswith((".dtseries.nii", ".ptseries.nii")):
        return _cifti_step(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        return None
    seconds = repetition_time(path)
    if seconds == 1 and load_image(path).header.get_xyzt_units()[1] == "unknown":
        return None
    return seconds


def read_json(path: Path) -> dict[str, Any]:
    """Object in a JSON file.

    Raises
    ------
    ContentNotHereError, NoInputError, DataError
        The message names the file.
    """
    if is_unfetched(path):
        raise ContentNotHereError(f"{path}: its content is not here: get it with: {get_command([path])}", [path])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror}); is its content here?") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object.")
    return content


def _timing(path: Path, content: Mapping[str, Any]) -> Timing:
    t_r = _seconds(path, "RepetitionTime", content.get("RepetitionTime"))
    if t_r is None and (rate := content.get("SamplingFrequency")) not in (None, "TR"):
        # tables of parcels say samples per second, or "TR" for one sample per volume
        rate = _seconds(path, "SamplingFrequency", rate)
        t_r = 1 / rate if rate is not None else None
    slices = content.get("SliceTiming")
    corrected = content.get("SliceTimingCorrected") is True
    return Timing(
        t_r=t_r,
        start_time=_seconds(path, "StartTime", content.get("StartTime")),
        slice_timing=() if slices is None or corrected else _slice_times(path, slices),
        where=path if t_r is not None else None,
    )


def _seconds(path: Path, key: str, value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e3
    if not number or (value == 0 and key != "StartTime"):
        unit = "samples per second" if key == "SamplingFrequency" else "seconds"
        raise DataError(f"{path}: the sidecar's {key} is {value!r}; {unit} are expected.")
    return float(value)


def _slice_times(path: Path, values: Any) -> tuple[float, ...]:
    numbers = isinstance(values, Sequence) and all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
    if not numbers:
        raise DataError(f"{path}: the sidecar's SliceTiming must be a list of seconds.")
    return tuple(float(value) for value in values)


def _cifti_step(path: Path) -> float | None:
    import nibabel as nib
    from nibabel.cifti2.cifti2_axes import SeriesAxis

    try:
        image = nib.load(path)
        axis = image.header.get_axis(0) if isinstance(image, nib.Cifti2Image) else None
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"image {path}: cannot be read: {reason}") from error
    if not isinstance(axis, SeriesAxis):
        raise DataError(f"image {path}: its rows are no series in time.")
    return round(float(axis.step), 6) if axis.unit == "SECOND" and axis.step > 0 else None

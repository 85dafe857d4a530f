"""What a finished analysis was made of, and what it gave: so that it is not done again."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurocca.io.analyses import Analysis
from neurocca.io.files import json_text, sha256, write_text
from neurocca.io.group import GroupAnalysis


def mark_finished(
    output: Path, analysis: Analysis | GroupAnalysis, made_of: Mapping[str, Any], results: Iterable[Path]
) -> None:
    """Write down that all of an analysis is there: its results, and its report.

    Parameters
    ----------
    output : Path
    analysis : Analysis or GroupAnalysis
    made_of : mapping
        All that the results depend on, as JSON has it.
    results : iterable of Path
        Files of the output directory, relative to it.
    """
    digests = {path.as_posix(): sha256(output / path) for path in sorted(results)}
    write_text(_mark(output, analysis), json_text({"MadeOf": made_of, "Results": digests}))


def was_finished(output: Path, analysis: Analysis | GroupAnalysis) -> bool:
    """Whether there is a mark at all: without one, nothing has to be looked at."""
    return _mark(output, analysis).is_file()


def is_finished(output: Path, analysis: Analysis | GroupAnalysis, made_of: Mapping[str, Any]) -> bool:
    """Whether an analysis of the same inputs and options is there, with all its results as they were written."""
    try:
        mark = json.loads(_mark(output, analysis).read_text(encoding="utf-8"))
        if mark["MadeOf"] != json.loads(json_text(made_of)):
            return False
        pages = (output / analysis.page, output / "dataset_description.json")
        return all(page.is_file() for page in pages) and all(
            sha256(output / path) == digest for path, digest in mark["Results"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def other_options(output: Path, analysis: Analysis, options: Mapping[str, Any]) -> list[str]:
    """Options in which an analysis that is there differs from another one, by their keys in the configuration.

    Parameters
    ----------
    output : Path
    analysis : Analysis
    options : mapping
        Tables of the other one's configuration.
    """
    try:
        there = json.loads(_mark(output, analysis).read_text(encoding="utf-8"))["MadeOf"]["Config"]
        asked = json.loads(json_text(options))
        return [f"{name}.{key}" for name, table in asked.items() for key in table if there[name][key] != table[key]]
    except (OSError, ValueError, KeyError, TypeError):  # of another version, or none
        return []


def analysed_anew(output: Path, group: GroupAnalysis) -> list[str]:
    """Participants of a finished group whose results are no longer those that it was made of.

    Marks are compared, files are not read.
    """
    there: dict[str, str] = {}
    try:
        used = json.loads(_mark(output, group).read_text(encoding="utf-8"))["MadeOf"]["Participants"]
        for mark in (output / "logs").glob("sub-*_finished.json"):
            results = json.loads(mark.read_text(encoding="utf-8"))["Results"]
            there |= {Path(path).name: digest for path, digest in results.items()}
        return [one for one, files in used.items() if any(there.get(name, old) != old for name, old in files.items())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of another version, or none
        return []


def _mark(output: Path, analysis: Analysis | GroupAnalysis) -> Path:
    return output / "logs" / f"{analysis.stem}_finished.json"

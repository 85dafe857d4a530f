"""Is a dataset valid BIDS? The BIDS validator says so, where it is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from neurocca.errors import InvalidDatasetError, NeuroccaError, NoInputError
from neurocca.io.git_programs import environment

PROGRAMS = ("bids-validator-deno", "bids-validator")
INSTALL = "pip install bids-validator-deno"


def check_valid(folder: Path) -> None:
    """Refuse a dataset that the BIDS validator finds errors in.

    Headers of images are not looked at: content that DataLad has not fetched yet is no fault of the dataset.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InvalidDatasetError
        With the errors, each kind once.
    NoInputError
        When no validator is installed.
    NeuroccaError
        When it does not work.
    """
    path = environment()["PATH"]
    program = next(filter(None, (shutil.which(name, path=path) for name in PROGRAMS)), None)
    if program is None:
        raise NoInputError(f"--bids-validation: no BIDS validator is installed ({INSTALL}).")
    command = [program, str(folder), "--format", "json", "--ignoreWarnings", "--ignoreNiftiHeaders"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    try:
        issues = json.loads(done.stdout)["issues"]["issues"]
        errors = [issue for issue in issues if issue["severity"] == "error"]
    except (ValueError, KeyError, TypeError) as error:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[:1]
        raise NeuroccaError(f"{program} failed with exit code {done.returncode}: {' '.join(said)}") from error
    if errors:
        raise InvalidDatasetError(f"{folder} is not valid BIDS: {_kinds(errors)} (--skip-bids-validation goes on).")


def _kinds(errors: list[dict[str, Any]]) -> str:
    """Each kind of error, with how many there are and one of the files."""
    files: dict[str, list[str]] = {}
    for issue in errors:
        kind = ".".join(filter(None, (issue["code"], issue.get("subCode"))))
        files.setdefault(kind, []).append(str(issue.get("location", "")))
    return ", ".join(f"{kind} ({len(where)}: {where[0]})" for kind, where in sorted(files.items()))

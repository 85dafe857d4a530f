"""What tests of ``neurocca fetch`` share."""

import re
from pathlib import Path

from neurocca.cli import main
from neurocca.io.annex import is_unfetched
from tests.io.published import Published

BOLD = "derivative/aligned_mri/sub-01/in_bold3Tp2/sub-01_task-avmovie_run-1_bold.nii.gz"


def asked(there: Published, dest: Path, *words: str, label: str = "01") -> list[str]:
    source = ["--source", str(there.superdataset)]
    return ["fetch", "studyforrest", str(dest), *source, *(["--participant-label", label] if label else []), *words]


def fails(capsys, arguments: list[str], code: int, message: str) -> None:
    capsys.readouterr()
    assert main(arguments) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert re.search(message, error[0]), error[0]


def here(dest: Path) -> set[str]:
    """Annexed files with content."""
    links = [path for path in dest.rglob("*") if path.is_symlink() and ".git" not in path.parts]
    return {path.relative_to(dest).as_posix() for path in links if not is_unfetched(path)}


def state(dest: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file's content and of the record."""
    paths = [dest / name for name in here(dest)] + [dest / ".neurocca/fetch.json"]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def annexed_object(origin: Path, name: str) -> Path:
    path = (origin / name).resolve()
    path.parent.chmod(0o755)
    path.chmod(0o644)
    return path

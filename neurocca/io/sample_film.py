"""*Big Buck Bunny*, a real film with sound under a free licence, from where the package index keeps it."""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from neurocca.errors import NoInputError, OutputError
from neurocca.io.ffmpeg import last_line, program, url
from neurocca.io.files import sha256, staged

CITATION = (
    "Big Buck Bunny (2008), directed by Sacha Goedegebure, Blender Foundation, www.bigbuckbunny.org; "
    "Creative Commons Attribution 3.0"
)

DURATION = 596.46
"""Seconds of its pictures, at 24 frames per second and 1280 x 720 pixels."""

SEGMENTS = (0.0, 160.791667, 319.166667)
"""Starts, in seconds, of three stretches of 158 s or more: cuts at key frames, where it can be divided as it is."""

STRETCH = 158.4
"""Seconds that every one of them lasts at least."""

_PACKAGE = "moviepy==2.2.1"
_ARCHIVE = "moviepy-2.2.1.tar.gz"
_ARCHIVE_SHA256 = "c80cb56815ece94e5e3e2d361aa40070eeb30a09d23a24c4e684d03e16deacb1"
_INNER = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"
_MEMBER = "moviepy_10_minutes/resources/bbb.mp4"
_FILM_SHA256 = "475fbbf34c4c367998f80c29ea03b15a743941179b12da3373fc6706e68621d0"


def fetch_sample_film(folder: Path | None = None) -> Path:
    """Path of the film, fetched when it is not there yet.

    It lies inside the source distribution of MoviePy, which pip downloads (58 MB) and which is checked by its
    SHA-256, as is the film (50 MB).

    Parameters
    ----------
    folder : Path, optional
        Where to keep it; neurocca's cache of the user by default.

    Raises
    ------
    NoInputError
        When it is not there and cannot be fetched.
    """
    film = (folder or cache_folder()) / "big_buck_bunny.mp4"
    if film.is_file() and sha256(film) == _FILM_SHA256:
        return film
    with tempfile.TemporaryDirectory() as temporary:
        archive = _download(Path(temporary))
        with staged(film.parent) as target:
            _extract(archive, target / film.name)
    return film


def cut_sample_film(film: Path, start: float, duration: float, target: Path) -> None:
    """Write a stretch of the film to a file, without encoding it anew.

    Parameters
    ----------
    film : Path
    start : float
        One of SEGMENTS, in seconds.
    duration : float
        Seconds.
    target : Path
        Ends in .mp4.
    """
    _copy_part(film, target, ["-ss", f"{start}"], duration)


def show_again(film: Path, duration: float) -> None:
    """Replace a film that `cut_sample_film` wrote by itself over and over again, without encoding it anew.

    Parameters
    ----------
    film : Path
    duration : float
        Seconds of the new film.
    """
    _copy_part(film, film, ["-stream_loop", "-1"], duration)


def _copy_part(film: Path, target: Path, before: Sequence[str], duration: float) -> None:
    command = [program(), "-nostdin", "-v", "error", "-y", *before, "-i", url(film), "-t", f"{duration}"]
    command += ["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-map_metadata", "-1"]
    command += ["-fflags", "+bitexact", "-movflags", "+faststart"]
    with staged(target.parent) as folder:
        child = subprocess.run([*command, str(folder / target.name)], capture_output=True, text=True, check=False)
        if child.returncode:
            raise OutputError(f"film {target}: cannot be written: {last_line(child.stderr)}")


def cache_folder() -> Path:
    """Where neurocca keeps what it fetched: ``$XDG_CACHE_HOME/neurocca``, by default ``~/.cache/neurocca``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurocca"


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    command += ["--timeout", "30", "--retries", "2", "--dest", str(folder)]
    command += ["--no-deps", "--no-binary", "moviepy", _PACKAGE]
    child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    archive = folder / _ARCHIVE
    if child.returncode or not archive.is_file():
        errors = [line for line in child.stderr.splitlines() if line.startswith("ERROR")]
        raise NoInputError(f"Big Buck Bunny: pip cannot download {_PACKAGE}: {errors[-1] if errors else 'no message'}")
    if sha256(archive) != _ARCHIVE_SHA256:
        raise NoInputError(f"Big Buck Bunny: the {_ARCHIVE} that pip downloaded is not the one that is expected.")
    return archive


def _extract(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as outer:
        inner = outer.extractfile(_INNER)
        assert inner is not None  # the archive's digest has been checked
        with zipfile.ZipFile(inner) as zipped, zipped.open(_MEMBER) as source, target.open("wb") as film:
            if _copy(source, film) != _FILM_SHA256:
                raise NoInputError(f"Big Buck Bunny: the film in {_ARCHIVE} is not the one that is expected.")


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy a stream; SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()

"""git, git-annex and DataLad as programs that ask for nothing, wait for no dead host and say what is wrong in a line.

They run as children with an environment of their own: DataLad reads its environment when it is imported, and that of
the host process stays as it is.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neurocca.errors import ContentNotHereError, NeuroccaError, NoInputError, OutputError, UsageError

SCHEMES = ("http", "https", "ssh", "git", "file")
"""Kinds of addresses that are cloned from; git's others run programs."""

_NO_QUESTIONS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
    # a server that sends nothing for half a minute is given up
    "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
    "GIT_HTTP_LOW_SPEED_TIME": "30",
    "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    "DATALAD_UI_PROGRESSBAR": "none",
    "DATALAD_LOG_LEVEL": "error",
    "DATALAD_DOWNLOADERS_RETRY": "0",
    # what goes wrong is told from messages
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "",
}
# it ends, with all that it has started, when the pipe to this process is closed: by this process, or by its death
_DATALAD = """
import os, signal, sys, threading
def watch(pipe):
    os.read(pipe, 1)
    os.killpg(0, signal.SIGTERM)
threading.Thread(target=watch, args=(int(sys.argv.pop(1)),), daemon=True).start()
from datalad.cli.main import main
sys.exit(main())
"""
_ADVICE = (
    (r"dubious ownership in repository at '([^']+)'", "git config --global --add safe.directory {}"),
    (
        r"tell me who you are|empty ident|auto-detect(?:ion| email)",
        "git config --global user.name 'Your Name' && git config --global user.email you@example.org",
    ),
)
_NETWORK = (
    r"resolve host|Failed to connect|Couldn't connect|Connection (?:refused|reset)|timed? ?out|too slow|unreachable"
)


def environment() -> dict[str, str]:
    """Environment of the programs."""
    # set by git around hooks and aliases: they would lead every program to that repository
    found = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    found.pop("GIT_INDEX_FILE", None)
    found.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=20")
    # the programs of a virtual environment that is not activated
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    return {**found, **_NO_QUESTIONS, "PATH": path}


def git(*words: str, folder: Path | None = None, seconds: float | None = None) -> str:
    """What a git command prints.

    Parameters
    ----------
    *words : str
    folder : Path, optional
        Where it runs.
    seconds : float, optional
        When it is given up.

    Raises
    ------
    NeuroccaError
        What git says, in one line: `explained`.
    """
    return run(["git", *words], folder=folder, seconds=seconds)


def run(
    command: Sequence[str], *, folder: Path | None = None, seconds: float | None = None, stdin: str | None = None
) -> str:
    """What a program prints; its errors as `explained` has them."""
    with subprocess.Popen(
        _found(command),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        start_new_session=True,
    ) as child:
        try:
            printed, complaints = child.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            _stop(child)
            raise ContentNotHereError(f"no answer within {seconds:g} s") from error
        except BaseException:
            _stop(child)
            raise
    if child.returncode:
        raise explained(complaints or printed)
    return printed


def datalad(*words: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Result records of a DataLad command, as they come.

    Raises
    ------
    NeuroccaError
        When it ends with an error without a record that says so.
    """
    require_annex()
    theirs, ours = os.pipe()
    command = [
        sys.executable,
        "-c",
        _DATALAD,
        str(theirs),
        "-f",
        "json",
        "-l",
        "error",
        "--on-failure",
        "ignore",
        *words,
    ]
    n_records = 0
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
            pass_fds=(theirs,),
        ) as child,
        _closed_after(theirs, ours),
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.startswith("{"):  # programs below DataLad may write between the records
                    yield json.loads(line)
                    n_records += 1
        except BaseException:
            _stop(child)
            raise
        if child.wait() and not n_records:
            complaints.seek(0)
            raise explained(complaints.read())


def explained(said: str) -> NeuroccaError:
    """The error of a program in one line, with the command that mends it where one does."""
    for pattern, command in _ADVICE:
        if match := re.search(pattern, said):
            what = f"git does not trust {match[1]}, which belongs to another user" if match.groups() else (
                "git does not know who you are"
            )  # fmt: skip
            mend = command.format(*(shlex.quote(group) for group in match.groups()))
            return UsageError(f"{what}: mend it with: {mend}")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(fatal|error|git-annex):|\[ERROR", line)] or lines or ["no message"]
    telling = [without_password(telling[0])]
    if re.search(r"No space left|not enough free space|Read-only file system|Permission denied\)?$", said):
        return OutputError(telling[0])
    if re.search(_NETWORK, said, re.IGNORECASE):
        return ContentNotHereError(telling[0])
    return NoInputError(telling[0])


def require_annex() -> None:
    """Refuse to go on without git-annex."""
    _found(["git-annex"])


def checked_address(address: str) -> str:
    """An address that can be handed to git.

    Parameters
    ----------
    address : str
        A URL, ``host:path`` as ssh takes it, or a path.

    Raises
    ------
    UsageError
        When it would be taken for an option, run a program or is malformed.
    """
    if not address or not address.isprintable() or address.startswith("-"):
        raise UsageError(f"{address!r} is neither a URL nor a path.")
    if re.match(r"[A-Za-z0-9+.-]*::", address):
        raise UsageError(f"{address!r}: an address that runs a program is refused.")
    scheme, found, rest = address.partition("://")
    if found:
        if scheme.lower() not in SCHEMES:
            raise UsageError(f"{address!r}: none of the kinds of URL that are cloned from: {', '.join(SCHEMES)}.")
        host = rest.partition("/")[0].rpartition("@")[2]
        if scheme.lower() != "file" and not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.][\w.-]*)(:\d+)?", host):
            raise UsageError(f"{address!r}: a malformed URL.")
    elif ":" in address.partition("/")[0] and address.partition(":")[0].rpartition("@")[2].startswith("-"):
        raise UsageError(f"{address!r}: a malformed address.")
    return address


def without_password(address: str) -> str:
    """An address that can be shown and written down.

    Examples
    --------
    >>> without_password("https://me:secret@example.org/data.git")
    'https://example.org/data.git'
    """
    return re.sub(r"://[^/@]*@", "://", address)


def is_url(address: str) -> bool:
    """Whether an address is a URL or ``host:path`` rather than a path here."""
    return "://" in address or (":" in address.partition("/")[0] and not Path(address).exists())


@contextmanager
def _closed_after(*pipes: int) -> Iterator[None]:
    try:
        yield
    finally:
        for pipe in pipes:
            os.close(pipe)


def _stop(child: subprocess.Popen) -> None:
    """End a program and those that it has started, which are a group of their own."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)


def _found(command: Sequence[str]) -> list[str]:
    """A command with the whole path of its program."""
    program = shutil.which(command[0], path=environment()["PATH"])
    if program is None:
        if command[0] == "git-annex":
            install = f"{shlex.quote(sys.executable)} -m pip install git-annex"
            raise ContentNotHereError(f"git-annex, which brings the content of files, is missing: {install}")
        raise NoInputError(f"the program {command[0]} is missing.")
    return [program, *command[1:]]

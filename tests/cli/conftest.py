"""studyforrest as it is published, for tests of ``neurocca fetch``."""

import shutil
import socket

import pytest

from neurocca.io import remotes
from tests.io.published import Published, Shell, name_remote, publish

SILENT = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def silent():
    """Address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="session")
def published(tmp_path_factory, shell, silent):
    there = publish(tmp_path_factory.mktemp("published"), shell)
    for path in ("derivative/aligned_mri", "derivative/image_space_transformations", "original/phase2"):
        about = f"autoenable=true location={silent}/studyforrest/.git name=mddatasrc type=git"
        name_remote(there.origin(path), shell, SILENT, about)
    return there


@pytest.fixture
def copied(published, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(published.folder, tmp_path / "published", symlinks=True)
    return Published(tmp_path / "published")


@pytest.fixture
def at_home(monkeypatch, shell):
    """The home of the datasets, and little patience with remotes."""
    monkeypatch.setenv("HOME", str(shell.home))
    monkeypatch.setattr(remotes, "PATIENCE", 1.0)

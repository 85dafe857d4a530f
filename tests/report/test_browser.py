"""Pages in a real browser: nothing goes wrong, and nothing is asked for over a network."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from neurocca.report.html import render_with_figures
from neurocca.report.index import index_row, render_index
from tests.report.smaller import first_components

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH (apt-get install chromium)")

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps",
    "--enable-logging=stderr", "--virtual-time-budget=3000",
)  # fmt: skip


def visit(page: Path, folder: Path) -> tuple[list[str], list[str]]:
    """What a page writes to the console, and the addresses on a network that are asked for while it is open."""
    log = folder / "net.json"
    options = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--dump-dom", page.as_uri())
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *QUIET, *options], capture_output=True, text=True, timeout=120, env=environment, check=True
    )
    assert "</html>" in done.stdout
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return console, sorted(requests(log))


def requests(log: Path) -> set[str]:
    """Addresses of a log of Chromium's network that pages asked for, and not the browser on its own account."""
    found = set()
    for event in re.findall(r'\{"params":.*\}', log.read_text()):
        try:
            asked = json.loads(event)["params"]
        except ValueError:
            continue  # the last line of a log may be cut
        # of what the browser does on its own account the initiator is no origin
        if asked.get("initiator", "not an origin") != "not an origin" and re.match("http|ws", asked.get("url", "")):
            found.add(asked["url"])
    return found


def test_a_page_and_its_viewer_ask_for_nothing_and_complain_of_nothing(voxels, tmp_path):
    text, figures = render_with_figures(first_components(voxels, 1), figures_at="figures/")
    assert figures["cca00Viewer.html"]
    pages = {"page.html": text, "viewer.html": figures["cca00Viewer.html"].decode()}
    pages["index.html"] = render_index([index_row(voxels.decomposition)])
    for name, content in pages.items():
        (tmp_path / name).write_text(content)
        assert visit(tmp_path / name, tmp_path) == ([], []), name


def test_the_browser_is_heard_when_something_is_wrong(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><html><body><img src="http://neurocca.invalid/a.png"><script>x.y</script></body></html>'
    )
    console, asked = visit(page, tmp_path)
    assert any("x is not defined" in line for line in console)
    assert asked == ["http://neurocca.invalid/a.png"]

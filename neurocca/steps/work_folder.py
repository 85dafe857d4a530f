"""The folder for intermediate files."""

import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

WORK = Path("work")
"""Where none is named."""

STORE, CLEANED = "features.h5", "cleaned"
"""What neurocca keeps there: features of the events' films, and cleaned BOLD."""


def clean_work(folder: Path | None, features: Path | None) -> None:
    """Remove what earlier calls have left in a folder for intermediate files, and nothing else that is there.

    Parameters
    ----------
    folder : Path or None
        ``work`` by default.
    features : Path or None
        A store that the user gives: it stays, wherever it lies.
    """
    folder = folder or WORK
    store = folder / STORE
    given = features is not None and features.resolve() == store.resolve()
    kept_runs = (folder / CLEANED).glob("run-*.h5")
    for path in (*kept_runs, store.with_name(f".{STORE}.parts"), *([] if given else [store])):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        log.info("removed %s", path)

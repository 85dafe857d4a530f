"""Content of annexed inputs, got when an analysis finds that it is missing."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from neurocca.config import AlignConfig
from neurocca.errors import ContentNotHereError
from neurocca.io.annex import check_here, is_here, is_unfetched
from neurocca.io.atlas import atlas_files
from neurocca.io.git_tree import TreeFile
from neurocca.steps.terminal import progress_bar

T = TypeVar("T")
log = logging.getLogger(__name__)


def named_inputs(features: Path | None, align: AlignConfig) -> list[Path]:
    """Files beside the recordings that an analysis reads: feature store, masks, atlases and kernel.

    Raises
    ------
    ContentNotHereError
        When the content of some is not here.
    NoInputError
        When some may not be read.
    """
    atlases = [path for source in (align.atlas, align.label_atlas) if source for path in atlas_files(source)]
    given = [Path(path) for path in (features, align.mask, align.kernel) if path]
    paths = [*given, *atlases]
    check_here(path for path in paths if path.is_file() or is_unfetched(path))
    return paths


class MissingContent:
    """Gets what is missing, and remembers what it got.

    Parameters
    ----------
    jobs : int
        Files at a time.

    Attributes
    ----------
    got : dict
        Files whose content came, by the root of their dataset.
    """

    def __init__(self, jobs: int = 4) -> None:
        self.jobs = jobs
        self.got: dict[Path, list[TreeFile]] = {}

    def reading(self, read: Callable[[], T]) -> T:
        """What a function reads, which is called again when what it missed is here.

        Raises
        ------
        ContentNotHereError
            When content cannot be had.
        DataError
            When it is damaged.
        """
        while True:
            try:
                return read()
            except ContentNotHereError as error:
                if not error.paths:
                    raise
                self._get(error)  # ends with an error where content does not come: nothing is asked for twice

    def drop(self) -> int:
        """Let go of what came, where it can be had again; the number of files that had to be kept."""
        from neurocca.io.content import drop_content

        kept = {root: drop_content(root, files) for root, files in self.got.items()}
        self.got = {}
        for root, failures in kept.items():
            for path, reason in failures.items():
                log.warning("%s: its content is kept: %s", root / path, reason)
        return sum(map(len, kept.values()))

    def _get(self, missed: ContentNotHereError) -> None:
        from neurocca.io.content import by_dataset, check_space, get_content, refusal
        from neurocca.io.turn import turn

        wanted = by_dataset(missed.paths)
        # elsewhere DataLad cannot help: links without their dataset, a dataset that is not to be written to
        if not all((root / ".git").exists() and os.access(root, os.W_OK) for root in wanted):
            raise missed
        size = sum(file.size for files in wanted.values() for file in files)
        check_space(next(iter(wanted)), size)
        log.info("getting the content of %d files", len(missed.paths))
        with progress_bar(size, "datalad get", "B") as done:
            for root, files in wanted.items():
                with turn(root):
                    files = [file for file in files if not is_here(root / file.path)]  # others may have got them
                    failures = get_content(root, files, jobs=self.jobs, progress=done)
                self.got.setdefault(root, []).extend(file for file in files if file.path not in failures)
                if failures:
                    raise refusal(root, failures) from missed

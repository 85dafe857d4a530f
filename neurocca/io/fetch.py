"""Datasets brought by DataLad: only the datasets inside one that are needed, and of them only the files asked for."""

import shlex
from pathlib import Path

from neurocca.errors import ContentNotHereError, DataError, NeuroccaError
from neurocca.io.annex import is_here
from neurocca.io.content import check_space, drop_content, get_content, refusal
from neurocca.io.fetch_plan import Part, Plan
from neurocca.io.fetch_record import write_record
from neurocca.io.git_programs import git
from neurocca.io.git_tree import TreeFile
from neurocca.io.sharing import shareable
from neurocca.io.transfers import Progress


def fetch(plan: Plan, *, jobs: int = 1, share: bool = False, progress: Progress = lambda n: None) -> None:
    """Get the content of all files of a plan, and write down what is here.

    Parameters
    ----------
    plan : Plan
    jobs : int
        Files at a time.
    share : bool
        Have hard links to content of a source on the same disk.
    progress : callable
        Called with the bytes that came.

    Raises
    ------
    ContentNotHereError
        When content cannot be had; everything that can be had is here then.
    DataError
        When content is damaged.
    OutputError
        When the disk is too small.
    """
    shared = sum(file.size for part in plan.parts for file in shareable(part.folder, part.missing)) if share else 0
    check_space(plan.root, plan.size - shared)
    _hide_record(plan.root)
    errors: list[NeuroccaError] = []
    for part in plan.parts:
        if missing := part.missing:
            failures = get_content(
                part.folder, missing, jobs=jobs, share=share, mirrors=part.mirrors, progress=progress
            )
            if failures:
                errors.append(refusal(part.folder, failures))
        if damaged := _damaged(part):
            where = f"cd {shlex.quote(str(part.folder))} && git annex fsck --fast {shlex.quote(damaged.path)}"
            path = part.target / damaged.path
            errors.append(
                DataError(f"{path}: its content here is damaged: let go of it with: {where}; and fetch again.")
            )
    record(plan)
    errors += [ContentNotHereError(f"{error}. What could be had is here.") for error in plan.failures]
    if errors:
        raise errors[0]


def drop(plan: Plan) -> int:
    """Let go of the content of all files of a plan, and write down what is left; the bytes that are free now.

    Raises
    ------
    ContentNotHereError
        When git-annex does not find content elsewhere; it is kept then.
    """
    freed, kept = 0, {}
    for part in plan.parts:
        missing = set(part.missing)
        here = [file for file in part.files if file.key and file not in missing]
        failures = drop_content(part.folder, here)
        kept.update({part.folder / path: reason for path, reason in failures.items()})
        freed += sum(file.size for file in here if file.path not in failures)
    record(plan)
    if kept:
        path, reason = next(iter(kept.items()))
        others = f" and that of {len(kept) - 1} other files" if len(kept) > 1 else ""
        raise ContentNotHereError(f"{path}: its content{others} is kept: {reason}", list(kept))
    return freed


def record(plan: Plan) -> None:
    """Write down what is here, in ``.neurocca/fetch.json``."""
    datasets = [
        {"Path": part.path, "DatasetId": part.dataset_id, "Commit": part.commit, "URL": part.url} for part in plan.parts
    ]
    files = [
        {"Path": part.from_root(file), "Key": file.key, "Size": (part.target / file.path).stat().st_size}
        for part in plan.parts
        for file in part.files
        if is_here(part.target / file.path) and _is_whole(part, file)
    ]
    write_record(plan.root, plan.name, datasets, files)


def _damaged(part: Part) -> TreeFile | None:
    """A file whose content here is not as long as its key says; unlocked files may have been changed."""
    links = (file for file in part.files if (part.target / file.path).is_symlink())
    return next((file for file in links if not _is_whole(part, file)), None)


def _is_whole(part: Part, file: TreeFile) -> bool:
    path = part.target / file.path
    return not file.size or not is_here(path) or path.stat().st_size == file.size


def _hide_record(root: Path) -> None:
    """Keep the record out of what git calls untracked."""
    path = root / git("rev-parse", "--git-path", "info/exclude", folder=root).strip()
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if "/.neurocca/" not in text.splitlines():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text.rstrip()}\n/.neurocca/\n".lstrip(), encoding="utf-8")

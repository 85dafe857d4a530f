"""``neurocca fetch``: DataLad brings the data."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurocca.cli.parser import Parser, add, start_logging
from neurocca.errors import UsageError

if TYPE_CHECKING:
    from neurocca.io.fetch_plan import Plan

EXAMPLES = """\
examples:
  neurocca fetch studyforrest data --participant-label 01 02 --what bold masks annotations
  neurocca fetch ds000113 data --participant-label 01 --include '**/*_task-movie_*'
  neurocca fetch https://example.org/dataset.git data --include 'sub-01/**/*_bold.nii.gz'

All conditions have to hold. Without --what and --include: bold masks confounds annotations. What was interrupted goes
on where it stood. Of studyforrest there are: bold, confounds, masks (aligned volumes of the film); raw, events,
sidecars (the same as recorded); aggregate (parcels); annotations; measures (of the film's frames); transforms.
"""

FILM = (
    "The film itself is not distributed: original/phase2/code/stimulus/movie/mk_movie_stimulus.sh makes its segments "
    "from Blu-ray and DVD; neurocca features --verify-studyforrest compares yours with what was shown."
)


def fetch(arguments: Sequence[str]) -> None:
    """Run the verb."""
    args = fetch_parser().parse_args(arguments)
    start_logging(args.verbose)
    if args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: give a number of 1 or more.")
    if args.dry_run and args.drop:
        raise UsageError("--dry-run lists what would come, --drop lets go of it: one of them.")
    from neurocca.io import fetch as doing
    from neurocca.io.content import as_size
    from neurocca.io.fetch_choice import Choice
    from neurocca.io.fetch_plan import planned

    names = (args.participant_label, args.what, args.include, args.exclude)
    choice = Choice(*(tuple(words) for words in names))
    with planned(
        args.dataset, args.dest, choice, source=args.source, dry_run=args.dry_run, only_here=args.drop
    ) as plan:
        if args.dry_run:
            print(_listed(plan))
            if plan.failures:
                raise plan.failures[0]
        elif args.drop:
            print(f"{as_size(doing.drop(plan))} let go of in {plan.root}")
        else:
            _get(plan, args.jobs, args.share)
        if args.dataset == "studyforrest" and not args.drop:
            print(FILM)


def _get(plan: "Plan", jobs: int, share: bool) -> None:
    from neurocca.io import fetch as doing
    from neurocca.io.content import as_size
    from neurocca.steps.terminal import progress_bar

    size = plan.size
    with progress_bar(size, "fetch", "B") as done:
        doing.fetch(plan, jobs=jobs, share=share, progress=done)
    n_files = sum(len(part.files) for part in plan.parts)
    print(f"{_counted(n_files)} in {plan.root}; {as_size(size)} came")


def _listed(plan: "Plan") -> str:
    from neurocca.io.content import as_size

    lines, totals = [], []
    for part in plan.parts:
        missing = set(part.missing)
        for file in part.files:
            how = str(file.size) if file in missing else "here" if file.key else "git"
            lines.append(f"{how:>12}  {part.from_root(file)}")
        if part.files:
            size = sum(file.size for file in part.files)
            to_come = sum(file.size for file in missing)
            number = _counted(len(part.files))
            totals.append(f"{part.path}: {number}, {as_size(size)}, of which {as_size(to_come)} to come")
    return "\n".join([*lines, *totals])


def _counted(n_files: int) -> str:
    return f"{n_files} {'file' if n_files == 1 else 'files'}"


def fetch_parser() -> Parser:
    """Parser of the verb."""
    parser = Parser(
        prog="neurocca fetch",
        description="Get the files of a DataLad dataset that an analysis needs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help="studyforrest, a number on OpenNeuro (ds000113), a URL or a path")
    parser.add_argument("dest", type=Path, help="where the dataset is, or goes")
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add(parser, "--participant-label", **several, metavar="LABEL", help="participants (default: all)")
    add(parser, "--what", **several, metavar="KIND", help="kinds of data")
    add(parser, "--include", **several, metavar="GLOB", help="only these paths; ** stands for any folders")
    add(parser, "--exclude", **several, metavar="GLOB", help="not these paths")
    add(parser, "--source", default="", metavar="URL|PATH", help="a mirror to clone from")
    add(parser, "--jobs", type=int, default=4, metavar="N", help="files at a time (default: 4)")
    shared = "hard links to the content of a source on the same disk, no copies: for clones that nobody changes"
    add(parser, "--share", action="store_true", help=shared)
    add(parser, "--dry-run", action="store_true", help="list files and sizes, and change nothing")
    add(parser, "--drop", action="store_true", help="let go of the files' content, where it can be had again")
    add(parser, "-v", "--verbose", action="count", default=0)
    return parser

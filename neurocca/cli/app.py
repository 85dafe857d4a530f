"""The command line: arguments to configuration, configuration to steps, errors to exit codes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import neurocca
from neurocca.cli.analysis import add_analysis_options, analysis_config
from neurocca.cli.completion import complete
from neurocca.cli.data import add_data_options, as_query
from neurocca.cli.features import features, features_parser
from neurocca.cli.fetch import fetch, fetch_parser
from neurocca.cli.group import add_group_options, group_verdicts
from neurocca.cli.parser import Parser, add, check_jobs, start_logging
from neurocca.cli.reel import reel
from neurocca.config import Config
from neurocca.errors import NeuroccaError, NoInputError, UnknownLevelError, UsageError
from neurocca.io.query import Query
from neurocca.steps.terminal import printable

LEVELS = ("participant", "group")

EXIT_CODES = {
    0: "ok",
    1: "unexpected failure",
    16: "not valid BIDS",
    17: "unknown analysis level",
    18: "filters select nothing",
    64: "usage",
    65: "data error",
    66: "no input",
    73: "output cannot be written",
    75: "content is not here yet (datalad get)",
    130: "interrupted",
}
"""Those of the BIDS execution specification, where it has them."""

EPILOG = f"""\
Helper verbs (each has its own --help):
  neurocca fetch studyforrest|ds000113|URL DEST   get the files of a DataLad dataset that are needed
  neurocca features SOURCE [SOURCE ...] -o FILE   film or annotations to a feature store
  neurocca report OUTPUT_DIR                      make the reports of an output directory again
  neurocca reel OUTPUT_DIR --participant 01 -o FILE   a short film of the moments that drive a component
  neurocca demo [DIR]                             simulated example: film to report

{fill("Exit codes: " + "; ".join(f"{code} {text}" for code, text in EXIT_CODES.items()) + ".", 110)}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give back its exit code."""
    complete({"": _bids_parser, "features": features_parser, "fetch": fetch_parser})
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs: dict[str, Callable[[list[str]], None]] = {
        "fetch": fetch,
        "features": features,
        "reel": reel,
        "report": _report,
        "demo": _demo,
    }
    try:
        if arguments and arguments[0] in verbs:
            verbs[arguments[0]](arguments[1:])
        else:
            _bids_app(arguments)
    except NeuroccaError as error:
        print(f"neurocca: error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("neurocca: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output has gone; leave without a second complaint at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if logging.getLogger("neurocca").isEnabledFor(logging.INFO):
            raise
        message = printable(" ".join(str(error).split()))
        print(f"neurocca: unexpected {type(error).__name__}: {message} (-v shows where)", file=sys.stderr)
        return 1
    return 0


def _bids_app(arguments: list[str]) -> None:
    if "--bids-exec-spec" in arguments or "--bids_exec_spec" in arguments:
        from neurocca.cli.boutiques import descriptor
        from neurocca.io.files import json_text

        print(json_text(descriptor(_bids_parser(), LEVELS, EXIT_CODES)), end="")
        return
    args = _bids_parser().parse_args(arguments)
    start_logging(args.verbose, quiet=args.quiet)
    if args.analysis_level not in LEVELS:
        raise UnknownLevelError(f"analysis level {args.analysis_level!r} is none of {', '.join(LEVELS)}.")
    config, query = analysis_config(args), as_query(args)
    if args.bids_validation:
        from neurocca.io.bids_validation import check_valid

        check_valid(args.bids_dir)
    if args.reports_only:
        _write_reports(args.output_dir, args.participant_label)
    elif args.boilerplate_only:
        from neurocca.steps.report import write_boilerplate

        print(*write_boilerplate(args.output_dir), sep="\n")
    elif args.analysis_level == "group":
        _check_folders(args)
        _print(group_verdicts(args, query, " ".join(["neurocca", *arguments])), quiet=args.quiet)
    elif args.dry_run:
        _check_folders(args)
        from neurocca.steps.descriptor import describe_inputs

        print(describe_inputs(args.bids_dir, args.output_dir, config, query, args.features, args.mem))
    else:
        _run_participants(args, config, query, ["neurocca", *arguments])


def _bids_parser() -> Parser:
    parser = Parser(
        prog="neurocca",
        description="Shared components of a film's features and the BOLD of those who watched it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path, help="BIDS dataset, or folder of parcel tables")
    parser.add_argument("output_dir", type=Path, help="where derivatives and reports go")
    parser.add_argument("analysis_level", help=f"one of: {', '.join(LEVELS)}")
    parser.add_argument("--version", action="version", version=f"neurocca {neurocca.__version__}")
    add(parser, "--bids-exec-spec", action="store_true", help="print a Boutiques descriptor of this command, and exit")
    add_data_options(parser)
    add_analysis_options(parser)
    add_group_options(parser)
    checks = parser.add_argument_group("checks")
    reports = "make the reports of results that are there again, and nothing else"
    only = checks.add_mutually_exclusive_group()
    add(only, "--reports-only", action="store_true", help=reports)
    boilerplate = "write the methods text and references of results that are there, and nothing else"
    add(only, "--boilerplate-only", action="store_true", help=boilerplate)
    add(
        only,
        "--dry-run",
        action="store_true",
        help="say what would be read, and roughly what it takes; write nothing",
    )
    add(
        checks,
        "--stop-on-first-crash",
        action="store_true",
        help="end with the first participant that fails; a missing run is an error",
    )
    nothing = parser.add_argument_group("without effect (for scripts that give them to every BIDS app)")
    add(nothing, "--notrack", action="store_true", help="no use is ever tracked")
    threads = "linear algebra has one thread per process, so that results do not depend on it; see --n-jobs"
    add(nothing, "--omp-nthreads", type=int, metavar="N", help=threads)
    markdown = "the methods text is Markdown, with BibTeX, anyhow"
    add(nothing, "--md-only-boilerplate", action="store_true", help=markdown)
    return parser


def _report(arguments: list[str]) -> None:
    parser = Parser(prog="neurocca report", description="Make the reports of an output directory again.")
    parser.add_argument("output_dir", type=Path)
    add(parser, "--participant-label", nargs="+", action="extend", default=[], metavar="LABEL")
    add(parser, "-v", "--verbose", action="count", default=0)
    args = parser.parse_args(arguments)
    start_logging(args.verbose)
    _write_reports(args.output_dir, args.participant_label)


def _write_reports(output_dir: Path, participants: Sequence[str]) -> None:
    from neurocca.steps.report import write_reports

    for path in write_reports(output_dir, participants):
        print(path)


def _demo(arguments: list[str]) -> None:
    parser = Parser(prog="neurocca demo", description="A film and simulated BOLD, analysed to a report.")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("demo-output"))
    add(parser, "--generated-film", action="store_true", help="do not fetch Big Buck Bunny from the package index")
    add_analysis_options(parser)
    args = parser.parse_args(arguments)
    start_logging(args.verbose)
    args.bids_dir, args.output_dir = args.directory / "dataset", args.directory / "derivatives"
    args.work_dir = args.directory / "work"
    args.features = args.t_r = args.datalad_get = args.datalad_drop = args.datalad_jobs = None
    if (args.bids_dir / "dataset_description.json").is_file():
        print(f"Using the film and simulated BOLD in {args.bids_dir}")
    else:
        _make_demo_dataset(args.bids_dir, args.generated_film)
    from neurocca.demo.plan import ANALYSIS
    from neurocca.io.files import write_text

    args.config_file = args.config_file or args.bids_dir / ANALYSIS
    config = analysis_config(args)
    toml = args.directory / "config.toml"
    write_text(toml, config.to_toml())
    command = ["neurocca", str(args.bids_dir), str(args.output_dir), "participant", "-w", str(args.work_dir)]
    command += ["--config-file", str(toml)]
    print(f"Running: {' '.join(command)}")
    args.n_jobs = args.n_jobs or -1  # a participant on each core
    _run_participants(args, config, Query(), command)
    args.dry_run, args.clean_workdir, args.shared_fit, args.tfce = False, False, True, False
    command[3] = "group"
    print(f"\nRunning: {' '.join(command)} --no-tfce")
    _print(group_verdicts(args, Query(), " ".join([*command, "--no-tfce"])), quiet=args.quiet)
    print(f"\nOpen {args.output_dir / 'index.html'}")


def _make_demo_dataset(folder: Path, generated: bool) -> None:
    from neurocca.demo.dataset import N_RUNS, N_SUBJECTS, SEED, make_dataset
    from neurocca.io.sample_film import CITATION, fetch_sample_film
    from neurocca.steps.terminal import progress_bar

    film = None
    if not generated:
        try:
            film = fetch_sample_film()
            print(f"The film: {CITATION}")
        except NoInputError as error:
            print(f"{error}\nGoing on with a generated film.")
    print(f"Making simulated BOLD in {folder}")
    with progress_bar(N_RUNS * (1 + N_SUBJECTS), "demo dataset", "file") as done:
        make_dataset(folder, film=film, seed=SEED, progress=done)


def _run_participants(args: argparse.Namespace, config: Config, query: Query, command: Sequence[str]) -> None:
    _check_folders(args)
    from neurocca.steps.content import MissingContent
    from neurocca.steps.participant import run_participants

    content = MissingContent(args.datalad_jobs) if args.datalad_get else None
    verdicts = run_participants(
        args.bids_dir,
        args.output_dir,
        config,
        query=query,
        features=args.features,
        work_dir=args.work_dir,
        clean_work_dir=args.clean_workdir,
        low_memory=args.low_mem,
        memory=args.mem,
        n_jobs=args.n_jobs,
        command=" ".join(command),
        resume=args.resume,
        stop_on_first_crash=query.strict,
        content=content,
    )
    try:
        _print(verdicts, quiet=args.quiet)
    finally:
        if content is not None and args.datalad_drop:
            content.drop()


def _print(verdicts: Iterable[tuple[Path, Any]], *, quiet: bool) -> None:
    for page, verdict in verdicts:
        if quiet:
            continue
        print(f"\n{page}" + " (as before: nothing has changed)" * verdict.attrs.get("unchanged", False))
        print(verdict.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        if "recovery" in verdict.attrs:
            print("planted components (simulated data):")
            print(verdict.attrs["recovery"].to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def _check_folders(args: argparse.Namespace) -> None:
    check_jobs(args.n_jobs)
    if args.datalad_jobs is not None and args.datalad_jobs < 1:
        raise UsageError(f"--datalad-jobs {args.datalad_jobs}: at least 1.")
    is_used = args.features is None or args.low_mem or args.work_dir is not None
    if is_used and (work := args.work_dir or Path("work")).resolve().is_relative_to(args.bids_dir.resolve()):
        raise UsageError(f"the working directory {work} lies in the input directory {args.bids_dir}.")

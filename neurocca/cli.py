"""The command line: arguments to configuration, configuration to steps, errors to exit codes."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import neurocca
from neurocca.config import Config
from neurocca.errors import NeuroccaError, UnknownLevelError, UsageError

LEVELS = ("participant",)

EPILOG = """\
Helper verbs (each has its own --help):
  neurocca features SOURCE [SOURCE ...] -o FILE   film or annotations to a feature store
  neurocca report OUTPUT_DIR                      make the reports of an output directory again
  neurocca demo [DIR]                             simulated example: film to report

Exit codes: 0 ok; 1 unexpected failure; 17 unknown analysis level; 18 filters select nothing; 64 usage; 65 data error;
66 no input; 73 output cannot be written; 130 interrupted.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, with the exit code of the BIDS execution specification for a usage error."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give back its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs: dict[str, Callable[[list[str]], None]] = {"features": _features, "report": _report, "demo": _demo}
    try:
        if arguments and arguments[0] in verbs:
            verbs[arguments[0]](arguments[1:])
        else:
            _bids_app(arguments)
    except NeuroccaError as error:
        print(f"neurocca: error: {error}", file=sys.stderr)
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
        print(f"neurocca: unexpected {type(error).__name__}: {_one_line(error)} (-v shows where)", file=sys.stderr)
        return 1
    return 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _bids_app(arguments: list[str]) -> None:
    args = _bids_parser().parse_args(arguments)
    _start_logging(args.verbose)
    if args.analysis_level not in LEVELS:
        raise UnknownLevelError(f"analysis level {args.analysis_level!r} is none of {', '.join(LEVELS)}.")
    _run_participants(args, _config(args), ["neurocca", *arguments])


def _bids_parser() -> _Parser:
    parser = _Parser(
        prog="neurocca",
        description="Shared components of a film's features and the BOLD of those who watched it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=Path, help="BIDS dataset, or folder of parcel tables")
    parser.add_argument("output_dir", type=Path, help="where derivatives and reports go")
    parser.add_argument("analysis_level", help=f"one of: {', '.join(LEVELS)}")
    parser.add_argument("--version", action="version", version=f"neurocca {neurocca.__version__}")
    data = parser.add_argument_group("which data")
    _add(data, "--participant-label", nargs="+", default=[], metavar="LABEL", help="participants (default: all)")
    _add(data, "-t", "--task-id", metavar="TASK", help="task, where the dataset has more than one")
    _add(data, "--features", type=Path, metavar="FILE", help="feature store (default: made from the events' films)")
    _add_options(parser)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    analysis = parser.add_argument_group("analysis (the command line wins over the configuration file)")
    _add(analysis, "--config-file", type=Path, metavar="TOML", help="configuration, see pipelines/studyforrest.toml")
    _add(analysis, "--n-components", type=int, metavar="K", help="canonical components (default: 5)")
    _add(analysis, "--n-permutations", type=int, metavar="B", help="permutations (default: 1000)")
    _add(analysis, "--random-seed", type=int, metavar="SEED", help="seed of the permutations (default: 0)")
    running = parser.add_argument_group("running")
    _add(running, "--n-jobs", type=int, default=1, metavar="N", help="parallel jobs; results do not depend on it")
    _add(running, "-w", "--work-dir", type=Path, default=Path("work"), metavar="DIR", help="intermediate files")
    _add(running, "-v", "--verbose", action="count", default=0, help="say what is done (-vv: debugging)")


def _features(arguments: list[str]) -> None:
    parser = _Parser(prog="neurocca features", description="Film features to an HDF5 feature store.")
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        help="films (one per run, named run-1, run-2, …), or clones of studyforrest-data-confoundsannotation and "
        "studyforrest-data-annotations",
    )
    _add(parser, "-o", "--output", type=Path, required=True, metavar="FILE", help="the store, for example features.h5")
    _add(parser, "--config-file", type=Path, metavar="TOML")
    _add(parser, "-v", "--verbose", action="count", default=0)
    args = parser.parse_args(arguments)
    _start_logging(args.verbose)
    from neurocca.steps.features import extract_features

    config = Config.from_toml(args.config_file) if args.config_file else Config()
    print(extract_features(args.sources, args.output, config.features))


def _report(arguments: list[str]) -> None:
    parser = _Parser(prog="neurocca report", description="Make the reports of an output directory again.")
    parser.add_argument("output_dir", type=Path)
    _add(parser, "--participant-label", nargs="+", default=[], metavar="LABEL")
    _add(parser, "-v", "--verbose", action="count", default=0)
    args = parser.parse_args(arguments)
    _start_logging(args.verbose)
    from neurocca.steps.report import write_reports

    for path in write_reports(args.output_dir, args.participant_label):
        print(path)


def _demo(arguments: list[str]) -> None:
    parser = _Parser(prog="neurocca demo", description="A generated film and simulated BOLD, analysed to a report.")
    parser.add_argument("directory", type=Path, nargs="?", default=Path("demo-output"))
    _add_options(parser)
    args = parser.parse_args(arguments)
    _start_logging(args.verbose)
    from neurocca.demo.dataset import N_RUNS, N_SUBJECTS, make_dataset
    from neurocca.steps.progress import progress_bar

    args.bids_dir, args.output_dir = args.directory / "dataset", args.directory / "derivatives"
    args.work_dir = args.directory / "work"
    args.participant_label, args.task_id, args.features = [], None, None
    if (args.bids_dir / "dataset_description.json").is_file():
        print(f"Using the film and simulated BOLD in {args.bids_dir}")
    else:
        print(f"Making a film and simulated BOLD in {args.bids_dir}")
        with progress_bar(N_RUNS * (1 + N_SUBJECTS), "demo dataset") as done:
            make_dataset(args.bids_dir, progress=done)
    command = ["neurocca", str(args.bids_dir), str(args.output_dir), "participant", "-w", str(args.work_dir)]
    print(f"Running: {' '.join(command)}")
    _run_participants(args, _config(args), command)


def _run_participants(args: argparse.Namespace, config: Config, command: Sequence[str]) -> None:
    _check_folders(args)
    from neurocca.steps.participant import run_participants

    verdicts = run_participants(
        args.bids_dir,
        args.output_dir,
        config,
        labels=args.participant_label,
        task=args.task_id,
        features=args.features,
        work_dir=args.work_dir,
        n_jobs=args.n_jobs,
        command=" ".join(command),
    )
    for page, verdict in verdicts:
        print(f"\n{page}")
        print(verdict.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
        if "recovery" in verdict.attrs:
            print("planted components (simulated data):")
            print(verdict.attrs["recovery"].to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def _check_folders(args: argparse.Namespace) -> None:
    if args.n_jobs == 0:
        raise UsageError("--n-jobs 0: give the number of jobs, or -1 for all cores.")
    if args.features is None and args.work_dir.resolve().is_relative_to(args.bids_dir.resolve()):
        raise UsageError(f"the working directory {args.work_dir} lies in the input directory {args.bids_dir}.")


def _config(args: argparse.Namespace) -> Config:
    config = Config.from_toml(args.config_file) if args.config_file else Config()
    return config.with_values(
        {
            "fit.n_components": args.n_components,
            "inference.n_permutations": args.n_permutations,
            "inference.seed": args.random_seed,
        }
    )


def _add(parser: Any, *flags: str, **options: Any) -> None:
    """Add a flag in both spellings, --like-this and --like_this."""
    underscored = ["--" + flag[2:].replace("-", "_") for flag in flags if flag.startswith("--") and "-" in flag[2:]]
    parser.add_argument(*flags, *underscored, **options)


def _start_logging(verbosity: int) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    logging.basicConfig(level=logging.WARNING, format="neurocca: %(message)s", force=True)
    logging.getLogger("neurocca").setLevel(level)


if __name__ == "__main__":
    sys.exit(main())

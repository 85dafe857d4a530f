"""``neurocca reel``: the moments of a film that drive a component."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from neurocca.cli.parser import Parser, add, start_logging
from neurocca.errors import UsageError

EXAMPLES = """\
examples:
  neurocca reel OUT --participant-label 01 --component 0                            list the times
  neurocca reel OUT --participant-label 01 --component 0 -o reel.mp4                and make a film of them
  neurocca reel OUT --participant-label 01 --component 0 -o board.jpg --film seg*.mkv    or a picture

Films are found where events.tsv named them, else with --film. Without a film the times are listed, and with -o the
exit code is 66.
"""


def reel(arguments: Sequence[str]) -> None:
    """Run the verb."""
    args = _parser().parse_args(arguments)
    start_logging(args.verbose)
    if not 1 <= args.seconds <= 3600:
        raise UsageError(f"--seconds {args.seconds:g}: give a length from 1 to 3600 s.")
    if args.film and args.output is None:
        raise UsageError("--film is for making a film or picture: say with -o which.")
    from neurocca.steps.reel import check_target, component_moments, write_component_reel

    if args.output is not None:
        check_target(args.output)
    wanted = {"task": args.task_id, "session": args.session_label, "space": args.space}
    moments = component_moments(args.output_dir, args.participant_label, args.component, wanted)
    print(moments.table.to_string(index=False), flush=True)
    if args.output is not None:
        write_component_reel(moments, args.output, args.film, args.seconds)
        print(args.output)


def _parser() -> Parser:
    parser = Parser(
        prog="neurocca reel",
        description="List the moments of the film at which a component is highest and lowest, and make a film of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output_dir", type=Path, help="output directory of the participant level")
    add(parser, "--participant-label", "--participant", required=True, metavar="LABEL", help="the participant")
    add(parser, "--component", type=int, default=0, metavar="K", help="the component, counted from 0 (default: 0)")
    add(parser, "-o", "--output", type=Path, metavar="FILE", help="reel (.mp4) or storyboard (.jpg) to write")
    add(
        parser,
        "--film",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="films, one per run in their order, or the folder that they are in",
    )
    add(parser, "--seconds", type=float, default=30.0, metavar="N", help="length of the reel, at most (default: 30)")
    add(parser, "-t", "--task-id", metavar="LABEL", help="the task, where there are several")
    add(parser, "--session-label", metavar="LABEL", help="the session, where there are several")
    add(parser, "--space", metavar="LABEL", help="the space, where there are several")
    add(parser, "-v", "--verbose", action="count", default=0)
    return parser

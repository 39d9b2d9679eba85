"""The command line ``atrous``: one module a subcommand, each with ``add_parser(subparsers)`` and ``run(args) -> int``.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C, 141 the reader of our output went away.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence

from atrous import __version__
from atrous.cli import bench, export, info, predict, train, verify
from atrous.cli.arguments import Parser, UsageError, one_line

EXAMPLES = """examples:
  atrous train                                 train LeNet-5 on handwritten digits (a few seconds)
  atrous train --data photos                   train on a folder with a folder of images for each class
  atrous predict runs/NAME runs/NAME/samples/7.png
                                               what a trained network sees in a picture
  atrous verify                                check every kernel against its NumPy twin on this machine
  atrous info                                  what this machine offers: CPU level, threads, memory

`atrous COMMAND --help` explains a command."""


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(prog="atrous", description="Trains convolutional networks, and shows its work.", epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"atrous {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (train, predict, export, verify, bench, info):
        module.add_parser(subparsers)
    parser.commands = subparsers.choices
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; failures print one line, never a traceback.

    Args:
        argv: the words after ``atrous``; None takes them from the process.
    Example:
        >>> main(["train", "--optimizer", "adm"])  # prints: atrous train: ... 'adm' ...; did you mean 'adam'?
        2
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = "atrous"
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - closed by the shell: `>&-`
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without × gets a question mark, not an error
    try:
        parser = build_parser()
        if not words:
            parser.print_help()
            return 0
        args = parser.parse(words)
        name = f"atrous {args.command}"
        with warnings.catch_warnings():
            warnings.showwarning = warner(name)
            code = args.run(args)
        sys.stdout.flush()  # so that a closed pipe shows here and not at exit
        return code
    except UsageError as error:
        print(f"{error.prog}: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        new_line = "\n" if sys.stderr.isatty() else ""  # after the terminal's ^C
        print(f"{new_line}{name}: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `atrous ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (OSError, ValueError, RuntimeError, ImportError, MemoryError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 1


def warner(name: str) -> Callable[..., None]:
    """Shows each warning once, in a line."""
    shown: set[str] = set()

    def show(message: Warning | str, *where: object) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            print(f"{name}: {message}", file=sys.stderr)

    return show


__all__ = ["main"]

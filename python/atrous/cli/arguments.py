"""What the subcommands share: a parser whose errors are one line and know the word you meant, and argument types."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from atrous.checks import suggestion

EXTRA = "pip install 'atrous[train]'"


class UsageError(Exception):
    """Wrong words on the command line; ``prog`` is the command they were meant for."""

    def __init__(self, prog: str, message: str) -> None:
        super().__init__(message)
        self.prog = prog


class Parser(argparse.ArgumentParser):
    """argparse with help texts kept as written, no abbreviated options, and errors in one line."""

    commands: Mapping[str, argparse.ArgumentParser]

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)
        self.commands = {}

    def error(self, message: str) -> NoReturn:
        """Raises UsageError; argparse would print the usage, the message and exit."""
        choice = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)", message)
        near = suggestion(choice[1], re.findall(r"[\w.-]+", choice[2])) if choice else ""
        raise UsageError(self.prog, f"{message}{near} (see `{self.prog} --help`)")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parses the whole command line.

        Raises:
            UsageError: a word that nobody knows; the message names the nearest one that exists.
        """
        args, unknown = self.parse_known_args(words)
        if unknown:
            parser = self.commands.get(args.command, self)
            known = re.findall(r"--[a-z-]+", parser.format_usage())
            parser.error(f"unknown argument {unknown[0]!r}{suggestion(unknown[0].partition('=')[0], known)}")
        if args.command is None:
            self.error(f"which command? There are {', '.join(self.commands)}")
        return args


def whole_number(least: int, most: int = 2**63 - 1) -> Callable[[str], int]:
    """An argument type: a whole number from ``least`` to ``most``."""

    def parse(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {word!r}") from None
        if not least <= value <= most:
            bound = f"at least {least}" if value < least else f"at most {most}"
            raise argparse.ArgumentTypeError(f"must be {bound}, got {value}")
        return value

    return parse


def positive_number(word: str) -> float:
    """An argument type: a finite number above zero."""
    try:
        value = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {word!r}") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, got {word}")
    return value


def program() -> list[str]:
    """The words that start this program again: ``atrous``, or this Python with ``-m atrous``."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return ["atrous"] if os.path.splitext(name)[0] == "atrous" else [sys.executable, "-m", "atrous"]


def one_line(error: BaseException) -> str:
    """The message of an error on a single line; its type where it has no message.

    Example:
        >>> one_line(FileNotFoundError(2, "No such file or directory", "x.png"))
        'x.png: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__

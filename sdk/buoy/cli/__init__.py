"""The command line: ``buoy call URL``, ``buoy doctor`` and ``buoy demo``.

A command's module is imported only when it is asked for. It offers ``add_arguments(parser)`` and ``main(args) -> int``.
Exit codes: 0 success, 1 the thing asked for failed, 2 wrong usage, 130 interrupted.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from buoy.version import __version__

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class _Command(NamedTuple):
    module: str
    help: str
    extras: str


_COMMANDS = {
    "call": _Command("buoy.cli.call", "make one instrumented call to any URL and tell its story", "cli"),
    "doctor": _Command("buoy.cli.doctor", "say what telemetry is configured, reachable and lost, and the fix", "otel"),
    "demo": _Command(
        "buoy.cli.demo.run", "a service calls a faulty provider, live, and proves its telemetry", "otel,cli"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _exit_code(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("buoy: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output left. The interpreter flushes once more when it ends: let it write to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def _exit_code(given: list[str]) -> int:
    try:
        return _run(given)
    except SystemExit as end:  # argparse's way out: --help, --version and wrong usage
        return end.code if isinstance(end.code, int) else FAILED


def _run(given: list[str]) -> int:
    parser = _Parser(prog="buoy", description="Outgoing calls that are seen and survive.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"buoy {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    parsers = {
        name: commands.add_parser(
            name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.", allow_abbrev=False
        )
        for name, command in _COMMANDS.items()
    }
    asked = given[0] if given else None
    if asked is None or (asked not in _COMMANDS and not asked.startswith("-")):
        parser.error(f"say what to do: {' or '.join(_COMMANDS)}; for one call it is: buoy call URL")
    if asked not in _COMMANDS:
        return _only_options(parser, given)
    try:
        module = importlib.import_module(_COMMANDS[asked].module)
    except ImportError as error:
        install = f"pip install 'buoy[{_COMMANDS[asked].extras}]'"
        print(f"buoy {asked}: {error.name} cannot be imported; install what it needs with: {install}", file=sys.stderr)
        return FAILED
    module.add_arguments(parsers[asked])
    args, extra = parser.parse_known_args(given)
    if extra:
        # Not shown: a header whose quotes were forgotten would be among them.
        parsers[asked].error(f"{len(extra)} argument(s) not understood; put quotes around values with spaces")
    code: int = module.main(args)
    return code


def _only_options(parser: argparse.ArgumentParser, given: list[str]) -> NoReturn:
    parser.parse_known_args(given)  # --help and --version end here
    parser.error("this option needs a command before it: buoy COMMAND [options]")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the command line in one line, and where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")

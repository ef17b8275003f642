"""The entry point: commands by name, errors as one line or as JSON, exit codes.

Commands are imported when they are used. Must not know what a command does.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import click

from crossgrade.errors import CrossgradeError

_NO_ARGUMENTS: tuple[type[click.ClickException], ...] = tuple(
    kind for kind in (getattr(click.exceptions, "NoArgsIsHelpError", None),) if kind
)
"""What click raises with the help of a group that was given no command; from 8.2 on."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

COMMANDS = {
    "assess": "what a model needs, and how it would run, on chips that need not be here",
    "bench": "measure operators, models, collectives or a served model, with an interval",
    "calibrate": "measure what a device can reach: copies, and products in each format",
    "chips": "list the described chips, or show one with its sources",
    "compare": "two measured runs: faster, slower, the same, or not to be told",
    "completion": "print the completion script of a shell",
    "doctor": "what is installed here, what is broken, and what works",
    "explain": "what a finding, an error or a word means",
    "layout": "which layout of N chips serves a model within the aims",
    "models": "list the shipped model configurations",
    "records": "verify or show a record",
    "reproduce": "measure a record again, here, and judge whether it comes out the same",
}
"""Command -> one line of help. The command lives in `crossgrade.cli.<name>`."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called or asked for help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"crossgrade.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crossgrade", prog_name="crossgrade")
def cli() -> None:
    """Can this PyTorch model move to that accelerator, and what will it be like there?

    Example: crossgrade assess deepseek-v4-pro --on ascend-950dt --on h200

    Exit codes: 0 pass; 1 the verdict is negative; 2 wrong usage, input or installation; 3 unknown;
    130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line and end the process with its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    interrupt = _Interrupt()
    try:
        code = cli.main(args=arguments, prog_name="crossgrade", standalone_mode=False)
        sys.stdout.flush()
    except CrossgradeError as error:
        if interrupt.came:  # an import that was interrupted looks like a package that is broken
            interrupt.end()
        _fail(error.code, error.kind, error.message, error.where, error.hint, as_json)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if isinstance(error, _NO_ARGUMENTS) and not as_json:
            click.echo(error.format_message(), err=True)
            sys.exit(2)
        _fail("CG-E100", "usage", error.format_message(), "", _help_hint(error), as_json)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        interrupt.end()
    except BrokenPipeError:
        # The reader went away; the rest of the output has no taker.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception:
        # Libraries turn an interrupt during their import into errors of their own.
        if interrupt.came:
            interrupt.end()
        raise
    sys.exit(code if isinstance(code, int) else 0)


class _Interrupt:
    """Remembers that the user interrupted, whatever a library makes of it."""

    def __init__(self) -> None:
        self.came = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self.came = True
        raise KeyboardInterrupt

    def end(self) -> NoReturn:
        """End at once with 130; files are written under temporary names, so none is half done."""
        click.echo("interrupted", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)


def _help_hint(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    return f"`{ctx.command_path} --help` shows the options" if ctx else "`crossgrade --help`"


def _fail(code: str, kind: str, message: str, where: str, hint: str, as_json: bool) -> None:
    """Print a failure: JSON on stdout if asked for, else one line on stderr."""
    if as_json:
        body = {"code": code, "kind": kind, "message": message, "where": where, "hint": hint}
        click.echo(json.dumps({"error": body}, ensure_ascii=False))
        return
    place = f" ({where})" if where else ""
    tail = f"; hint: {hint}" if hint else ""
    text = f"error[{code}]: {message}{place}{tail}"
    # Names and files are quoted in messages; none of them may drive the terminal.
    click.echo(_CONTROL.sub("?", " ".join(text.split())), err=True)

"""`crossgrade bench`: measurements; each kind is a command of its own."""

from __future__ import annotations

import importlib

import click

SUBCOMMANDS = {
    "model": ("crossgrade.cli.bench_model", "phases of a model on several targets side by side"),
    "op": ("crossgrade.cli.bench_op", "operators, a suite of them, or those of a captured model"),
    "comm": ("crossgrade.cli.bench_comm", "collectives of a group of ranks"),
    "serve": ("crossgrade.cli.bench_serve", "load on a served model"),
    "targets": (
        "crossgrade.cli.bench_targets",
        "what can be measured on here, and what is missing",
    ),
}
"""Word -> module of its command, and one line of help."""


class Kinds(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the kinds."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a kind, imported now."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(SUBCOMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, text) for word, (_, text) in SUBCOMMANDS.items()])


@click.group(
    "bench", cls=Kinds, short_help="measure operators, models, collectives or a served model"
)
def command() -> None:
    """Measure on what is here: every number with its interval, its timer and its samples.

    Example: crossgrade bench op gemm --m 512 --n 512 --k 512 --dtype bf16 --on cpu
    """

"""`crossgrade chips`: the described chips, one of them in full, and the user's own."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from crossgrade.cli.complete import chip_items
from crossgrade.cli.screen import screen

SUBCOMMANDS = {"ops": ("crossgrade.cli.chips_ops", "operators side by side over chips")}
"""Word that is no chip -> module of its command, and one line of help."""

_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document.")
_FILE = click.Option(["--chip-file", "chip_files"], multiple=True, metavar="FILE",
                     type=click.Path(path_type=Path),
                     help="Chip description of your own, checked; repeatable.")  # fmt: skip


class ChipWords(click.Group):
    """A group whose words are the names of chips, but for the few subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a subcommand, imported now, or the command that shows a chip of that name."""
        if cmd_name not in SUBCOMMANDS:
            return _page_command(cmd_name)
        module, _ = SUBCOMMANDS[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the subcommands, and the chips that begin so."""
        words = [CompletionItem(word, help=text) for word, (_, text) in SUBCOMMANDS.items()
                 if word.startswith(incomplete)]  # fmt: skip
        return [*words, *chip_items(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands without importing any."""
        rows = [(word, SUBCOMMANDS[word][1]) for word in self.list_commands(ctx)]
        with formatter.section("Words"):
            formatter.write_dl([("NAME", "show everything that is known of a chip"), *rows])


@click.group("chips", cls=ChipWords, invoke_without_command=True, no_args_is_help=False,
             params=[_JSON, _FILE], subcommand_metavar="[NAME]",
             short_help="list the described chips, or show one")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, as_json: bool, chip_files: tuple[Path, ...]) -> None:
    """List the chips that `--on` knows by name, or show one with every constant and its source.

    \b
    crossgrade chips
    crossgrade chips h200
    crossgrade chips --chip-file my-chip.toml

    With --chip-file and no NAME the chips of the files are checked and shown. `cpu` means the CPU
    of this machine.
    """
    if ctx.invoked_subcommand is not None:
        return
    from crossgrade import api

    if chip_files:
        text = api.render_chip_pages(api.chip_pages(chip_files), as_json=as_json, **screen())
    else:
        text = api.render_chip_list(api.chip_list(), as_json=as_json, **screen())
    click.echo(text, nl=False)


def _page_command(name: str) -> click.Command:
    """Return the command that shows the chip `name`; options of the group count for it too."""

    def show(**given: Any) -> None:
        from crossgrade import api

        parent = click.get_current_context().parent
        outer: dict[str, Any] = parent.params if parent else {}
        files = (*outer.get("chip_files", ()), *given["chip_files"])
        as_json = given["as_json"] or outer.get("as_json", False)
        page = api.chip_page(name, files)
        click.echo(api.render_chip_pages((page,), as_json=as_json, **screen()), nl=False)

    return click.Command(name, params=[_JSON, _FILE], callback=show,
                         help="Show everything that is known of the chip.")  # fmt: skip

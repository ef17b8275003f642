"""Files that a command writes after its answer: one that cannot be written must not cost it.

Must not know what is in a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from crossgrade.errors import BadOption, CannotWrite, CrossgradeError

html_option = click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write one offline page.",
)
"""Option of commands that can write a page."""


def check_file(path: Path | None) -> None:
    """Refuse a file that could not be written later, before hours are spent on what goes into it.

    Raises:
        BadOption: its folder is not there.
        CannotWrite: the folder may not be written to.
    """
    if path is None:
        return
    if not path.parent.is_dir():
        raise BadOption(
            f"'{path}': the folder '{path.parent}' is not there",
            hint=f"make it first, or name a file elsewhere: mkdir -p '{path.parent}'",
        )
    if not os.access(path.parent, os.W_OK):
        raise CannotWrite(f"cannot write to the folder '{path.parent}'",
                          hint="name a file in a folder of yours")  # fmt: skip


def written(what: str, write: Callable[[], Path]) -> bool:
    """Write a file after the answer and say where it is, or why it is not."""
    try:
        narrate(f"{what}: {write()}")
    except CrossgradeError as error:
        # On stderr under --json too: stdout has its one document already.
        narrate(" ".join(str(error).split()))
        return False
    return True


def page_written(path: Path | None, page: Callable[[], str]) -> bool:
    """Write a page where one is wanted; return whether all that was wanted is written."""
    if path is None:
        return True

    def write() -> Path:
        from crossgrade import api

        api.write_text(path, page())
        return path

    return written("html", write)


def narrate(text: str) -> None:
    """Print a line on stderr."""
    click.echo(text, err=True)

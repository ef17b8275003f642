"""`crossgrade records`: verify a record, or show it."""

from __future__ import annotations

from pathlib import Path

import click

from crossgrade.cli.screen import screen
from crossgrade.cli.written import check_file, html_option, page_written

_FILES = click.argument("files", nargs=-1, required=True, metavar="FILE...",
                        type=click.Path(path_type=Path))  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group("records", short_help="verify or show a record")
def command() -> None:
    """Verify a record, or show what it says. Needs neither torch nor the device.

    Example: crossgrade records verify run1/*.json
    """


@command.command("verify")
@_FILES
@_JSON
def verify(files: tuple[Path, ...], as_json: bool) -> int:
    """Say whether each FILE is as it was written and its numbers follow from its samples.

    A folder stands for the records in it.

    Exit codes: 0 all are sound; 1 one was changed, or does not follow from its samples; else 2 one
    is no record, or a newer crossgrade wrote it.
    """
    from crossgrade import api

    found = api.verify_records(files)
    click.echo(api.render_verifications(found, as_json=as_json, **screen()), nl=False)
    return min((v.exit_code for v in found if v.exit_code), default=0)


@command.command("show")
@_FILES
@html_option
@_JSON
def show(files: tuple[Path, ...], html: Path | None, as_json: bool) -> int:
    """Print what records of measurements say, as `bench` or `calibrate` printed it.

    --html writes the page that `bench op --html` and `bench model --html` write.

    Exit codes: 0; 2 a file is no record, was changed, or a newer crossgrade wrote it.
    """
    from crossgrade import api

    check_file(html)
    click.echo(api.render_stored(files, as_json=as_json, **screen()), nl=False)
    return 0 if page_written(html, lambda: api.stored_bench_html(files)) else 2

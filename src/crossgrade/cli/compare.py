"""`crossgrade compare`: two measured runs, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crossgrade.cli.screen import screen
from crossgrade.cli.written import check_file, html_option, page_written


@click.command("compare", short_help="two measured runs: faster, slower, the same")
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("after", metavar="[B]", required=False, type=click.Path(path_type=Path))
@click.option("--margin", type=float, default=0.02, show_default=True, metavar="SHARE",
              help="Differences up to this share are taken for none.")  # fmt: skip
@click.option("--basis", type=click.Choice(["auto", "over-anchor", "absolute"]), default="auto",
              show_default=True, help="What is compared; auto: over the anchor on the same device "
              "and target, else times as they are.")  # fmt: skip
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Also write a comment for a pull request.")  # fmt: skip
@html_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(before: Path, after: Path | None, margin: float, basis: Any,
            markdown: Path | None, html: Path | None, as_json: bool) -> int:  # fmt: skip
    """Say of each case whether B is FASTER or SLOWER than A, the SAME, or INCONCLUSIVE.

    A and B are records, or folders of runs. Without B the variants of A are compared with its
    baseline.

    \b
    crossgrade compare before/ after/ --markdown comment.md --html page.html
    crossgrade compare run1/gemm-1f3a9c02d4.json

    Exit codes: 0 nothing is slower; 1 something is; 3 something is inconclusive; 2 wrong usage.
    """
    from crossgrade import api

    check_file(html)
    found = api.compare_runs(before, after, margin=margin, basis=basis)
    click.echo(api.render_comparison(found, as_json=as_json, **screen()), nl=False)
    if markdown is not None:
        api.write_text(markdown, api.render_comparison(found, as_comment=True))
        click.echo(f"written: {markdown}", err=True)
    page = page_written(html, lambda: api.comparison_html(found, before, after, basis=basis))
    return found.exit_code if page else 2

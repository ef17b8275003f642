"""`crossgrade chips ops`: operators by backends, and what changed between two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from crossgrade.cli.screen import screen
from crossgrade.errors import BadOption
from crossgrade.values.support import SupportLevel

FORMATS = ("table", "csv", "markdown", "html", "json")


@click.command("ops", short_help="operators by backend: what runs where, and how we know")
@click.argument("pattern", default="")
@click.option("--backend", "backends", multiple=True, metavar="NAME[@VERSION]",
              help="Repeatable. Default: all, each in its newest version.")  # fmt: skip
@click.option("--on", "chips", multiple=True, metavar="CHIP",
              help="A chip: its backend with the limits of its SoC. Repeatable.")  # fmt: skip
@click.option("--diff", nargs=2, metavar="A B",
              help="What changed from A to B, such as npu@2.7 npu@2.13.")  # fmt: skip
@click.option("--torch", default="", metavar="VERSION",
              help="Tables for that torch, where a backend has one.")  # fmt: skip
@click.option("--level", "levels", multiple=True, type=click.Choice(get_args(SupportLevel)),
              help="Only operators with this level in a column. Repeatable.")  # fmt: skip
@click.option("--overloads", is_flag=True, help="One row per overload.")
@click.option("--core", is_flag=True, help="Only the Core ATen opset.")
@click.option("--evidence", is_flag=True, help="The table rows behind every cell.")
@click.option("--namespace", type=click.Choice(["aten", "onnx"]), default="aten",
              show_default=True, help="PyTorch's operators, or those of ONNX.")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(FORMATS),
              help="Default: table, which is Markdown in a pipe.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write there and not to stdout.")  # fmt: skip
def command(pattern: str, backends: tuple[str, ...], chips: tuple[str, ...],
            diff: tuple[str, str] | None, torch: str, levels: tuple[Any, ...], overloads: bool,
            core: bool, evidence: bool, namespace: Any, kind: Any, as_json: bool,
            out: Path | None) -> None:  # fmt: skip
    """Show what each backend does with the operators that are like PATTERN.

    PATTERN is a name (`mm`, `aten.add.Tensor`), a part of a name (`grouped`) or a glob
    (`'*attention*'`). Without one all operators are shown.

    \b
    crossgrade chips ops '*attention*'
    crossgrade chips ops mm --on ascend-950dt --on h200 --evidence
    crossgrade chips ops --diff npu@2.7 npu@2.13
    crossgrade chips ops --format html --out operators.html
    """
    from crossgrade import api

    if as_json and kind not in (None, "json"):
        raise BadOption(f"--json and --format {kind}", hint="one of them")
    query = api.OperatorQuery(
        pattern=pattern,
        backends=backends,
        chips=chips,
        diff=diff,
        torch=torch,
        levels=levels,
        overloads=overloads,
        core=core,
        evidence=evidence,
        namespace=namespace,
    )
    found = api.operators(query)
    shape = screen(least=40) if out is None else {}
    text = api.render_operators(found, "json" if as_json else kind or "table", **shape)
    if out is None:
        click.echo(text, nl=False)
    else:
        api.write_text(out, text)
        click.echo(f"written: {out}", err=True)

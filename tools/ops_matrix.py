"""Prints docs/results/ops-matrix.md: `python tools/ops_matrix.py > docs/results/ops-matrix.md`.

The page is what four command lines print, each under a heading; a test holds it to that.
"""

from __future__ import annotations

import re
import shlex
import sys

from crossgrade.api import OperatorQuery, operators, render_operators

INTRO = """# Operators by backend

What each backend does with PyTorch's operators, from the tables that ship with crossgrade. Nothing
was run on a chip. How to read it: [compare operator support](../howto/compare-operator-support.md);
where it comes from: [operator tables](../reference/operator-tables.md).

The rows are the Core ATen opset, to which `torch.export` decomposes a model: 164 base operators,
193 overloads. All 1,371 base operators are one command away: `crossgrade chips ops`.

This page is made by `python tools/ops_matrix.py`.
"""
CHIPS = ("ascend-910b2", "ascend-910c", "ascend-950dt")
SECTIONS = (
    (
        "The Core ATen opset on every backend",
        "crossgrade chips ops --core --format markdown",
        OperatorQuery(core=True),
    ),
    (
        "What the vendor's pages do not mark, by Ascend chip",
        "crossgrade chips ops --core --on ascend-910b2 --on ascend-910c --on ascend-950dt "
        "--level unverified --format markdown",
        OperatorQuery(core=True, chips=CHIPS, levels=("unverified",)),
    ),
    (
        "Where public sources disagree",
        "crossgrade chips ops --backend npu@2.8 --backend hpu --level conflict --evidence "
        "--format markdown",
        OperatorQuery(backends=("npu@2.8", "hpu"), levels=("conflict",), evidence=True),
    ),
    (
        "What changed for NPU from torch 2.7 to 2.13",
        "crossgrade chips ops --diff npu@2.7 npu@2.13 --format markdown",
        OperatorQuery(diff=("npu@2.7", "npu@2.13")),
    ),
)


def page() -> str:
    """Return the whole page."""
    parts = [INTRO]
    for title, command, query in SECTIONS:
        text = render_operators(operators(query), "markdown")
        deeper = re.sub(r"^(#+) ", r"#\1 ", text, flags=re.MULTILINE)
        parts.append(f"## {title}\n\n```\n{command}\n```\n\n{deeper}")
    return "\n".join(parts)


def commands() -> list[list[str]]:
    """Return the command lines of the page as words."""
    return [shlex.split(command) for _, command, _ in SECTIONS]


if __name__ == "__main__":
    sys.stdout.write(page())

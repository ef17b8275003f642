"""Write the reference of operators from the catalogue.

    python tools/operators_page.py            # write docs/reference/operators.md
    python tools/operators_page.py --check    # write nothing; exit 1 if the page would change

The catalogue is `src/crossgrade/workloads/operators/listed_*.py`; edit that. What stands above and
below the tables is here. Needs no torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from crossgrade.workloads.operators import OperatorInfo, operators
from crossgrade.workloads.operators.formats import FLOATS, QUANTISED
from crossgrade.workloads.operators.info import GROUPS, REQUIRED, ArgumentInfo, OperatorGroup
from crossgrade.workloads.suites import MOST_CASES

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "operators.md"

INTRO = """\
# Operators and suites

The operators that can be timed one by one. {count} are in the catalogue; {upstream} of them are
those of xpu-perf (https://github.com/bytedance/xpu-perf), under its names and its arguments. Every
other operator of torch is timed as a single overload, such as `aten.mm.default`, out of a capture.

A case has an operator, a format (`dtype`) and arguments. Sizes are whole numbers from 1 to
2,147,483,647 where nothing else is said. An argument that is missing, unknown, of the wrong kind or
out of range is named in the answer, and so is a format that the operator does not take. `arg_type`
chooses between the forms of an operator; without it, it is the form that has the given arguments.
`bf16` and `bfloat16`, `fp8`, `float8` and `float8_e4m3fn` are the same names.

Operators run with torch's public operators. Where an engine has one kernel and torch takes several,
or widens 8-bit operands, the case carries a note that says so. Operations and least traffic are
exact: the formulas stand in the docstrings of `crossgrade.workloads.operators`. Products count two
operations for a multiply-add. Operations are unknown where kernels differ in them (exponentials).

In the tables `floats` stands for {floats},
and `quantised` for {quantised}.
"""
OVERLOADS = """\
## Single overloads

`aten.mm.default` and every other overload of `aten` takes `call`, the JSON text `[args, kwargs]`
with `{"t": i}` for the i-th tensor, and `inputs`, a list of `{"shape", "strides", "dtype"}`;
`outputs` may say what it gave. Floating-point inputs are random, positive where the operator needs
that. Indices run over what they index. bool is true, other whole numbers are 0, or 1 where the
operator divides. Views are refused: they launch nothing.

The distinct calls of a [capture](capture.md) become a suite, those with the most traffic over all
calls first. Views, allocations, calls on the host and communication are left out and counted.
"""
SUITES = """\
## Suites

A suite is a list of cases in a file, or in all `.json` and `.csv` files of a folder and the folders
in it. Equal cases are merged and their calls added. A suite has {most} cases at most. What is
wrong with a file is an error ([CG-E209](errors.md)) with file, operator and case.

**xpu-perf's workloads** are read as they are. A list is a choice; an object stands for all
combinations. A key with dots names arguments whose values go together. In the forms `batch_*` lists
are values. `cases` alone is for the operator that the file is named after:

```json
{{"cases": [{{"arg_type": "default", "dtype": ["float32", "bfloat16"],
            "K.N": [[4096, 4096], [8192, 1024]], "M": [1, 2, 4]}}]}}
```

```json
{{"swiglu_dynamic_quant": [{{"arg_type": "llm", "dtype.dst_dtype": [["bfloat16", "int8"]],
                           "num_tokens": [1, 64], "hidden_size": 4096}}]}}
```

In CSV each row is a case; the column `task_name` names the operator.

**The own form** lists cases one by one. `seed` and `calls` may be left out. `calls` says how often
the model calls it that the case comes from:

```json
{{"schema": 1, "cases": [{{"op": "gemm", "dtype": "bfloat16",
                         "arguments": {{"M": 64, "K": 4096, "N": 4096}}, "seed": 0, "calls": 36}}]}}
```

An operator that the catalogue does not have stays in the suite, and its result says
`unknown-operator`.
"""
HEADS: dict[OperatorGroup, tuple[str, str]] = {
    "basic": ("Basic", "xpu-perf's basic operators."),
    "llm": ("Language models", "xpu-perf's operators of language models."),
    "communication": (
        "Communication",
        "xpu-perf's communication operators. They are checked; what takes several devices says so.",
    ),
    "backward": ("Backward passes", "Gradients, not in xpu-perf."),
    "convolution": ("Convolutions", "Not in xpu-perf."),
    "more": ("More", "Not in xpu-perf."),
}


def shown(value: Any) -> str:
    """Return a default as it is written in a case."""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def argument(info: ArgumentInfo) -> str:
    """Return one argument for the table: name, other spellings, default."""
    name = "/".join(f"`{n}`" for n in (info.name, *info.aliases))
    if info.default == REQUIRED:
        return name
    return f"{name} ({'optional' if info.default is None else shown(info.default)})"


def row(info: OperatorInfo) -> str:
    """Return the line of an operator."""
    arguments = ", ".join(argument(a) for a in info.arguments) or "none"
    cells = (
        f"`{info.name}`", info.line, arguments, formats(info.dtypes),
        "yes" if info.xpu_perf else "no", f"no: {info.not_on_cpu}" if info.not_on_cpu else "yes",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def formats(names: tuple[str, ...]) -> str:
    """Return formats for the table; usual groups of them by one word."""
    shown_names = list(names)
    for word, members in (("floats", FLOATS), ("quantised", QUANTISED)):
        if set(members) <= set(names):
            shown_names = [n for n in shown_names if n not in members] + [word]
    return ", ".join(f"`{n}`" for n in shown_names)


def group(name: OperatorGroup) -> str:
    """Return the section of a group: its operators, then its arguments."""
    title, line = HEADS[name]
    found = [info for info in operators() if info.group == name]
    owners: dict[str, list[str]] = {}
    for info in found:
        for one in info.arguments:
            owners.setdefault(described(one), []).append(info.name)
    parts = [
        f"## {title}", "", line, "",
        "| operator | what it computes | arguments (default) | `dtype` | xpu-perf | on a CPU |",
        "|---|---|---|---|---|---|",
        *(row(info) for info in found), "",
        "| argument | meaning | unit | values | in form | of |", "|---|---|---|---|---|---|",
        *(f"{text} {owned(names)} |" for text, names in sorted(owners.items())), "",
    ]  # fmt: skip
    return "\n".join(parts)


def owned(names: list[str]) -> str:
    """Return the operators that have an argument."""
    return ", ".join(f"`{n}`" for n in names) if len(names) <= 3 else f"{len(names)} operators"


def described(info: ArgumentInfo) -> str:
    """Return the line of an argument, but for its operators."""
    usual = {
        "flag": "true, false", "number": "a number", "sizes": "list of whole numbers",
        "table": "list of lists of whole numbers", "size": f"from {info.least}",
    }  # fmt: skip
    if info.kind == "format":
        values = formats(info.choices)
    else:
        values = usual.get(info.kind) or ", ".join(f"`{c}`" for c in info.choices)
    forms = ", ".join(f"`{f}`" for f in info.forms) or "all"
    return f"| `{info.name}` | {info.meaning} | {info.unit or '-'} | {values} | {forms} |"


def written() -> str:
    """Return the page."""
    known = operators()
    intro = INTRO.format(
        count=len(known),
        upstream=sum(info.xpu_perf for info in known),
        floats=", ".join(f"`{n}`" for n in FLOATS),
        quantised=", ".join(f"`{n}`" for n in QUANTISED),
    )
    suites = SUITES.format(most=f"{MOST_CASES:,}")
    return "\n".join((intro, *(group(name) for name in GROUPS), OVERLOADS, suites))


def main() -> None:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description="Write the reference of operators.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    options = parser.parse_args()
    text = written()
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        sys.exit(0)
    print(PAGE.name, file=sys.stderr)
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    sys.exit(int(options.check))


if __name__ == "__main__":
    main()

"""Does crossgrade's answer for NPU agree with the vendor's own tables, on random operators?

    CROSSGRADE_DATA=raw python benchmarks/ops_agreement.py [--n 50] [--seed 0]

Three raw sources are asked, none of which says which kernels the table has:

- pages: the vendor's API pages for torch 2.13, one flag per SoC. The table takes its SoC flags from
  them, so here the answer *without* a SoC is compared, which comes from registrations alone. What
  the answer with a SoC makes of the disagreement is printed beside it.
- lists: the lists of the vendor's migration tool for torch 2.8, against the registrations of 2.8.
- aclnn: operators whose C++ code calls an aclnn kernel. It names kernels only, so it never says no.

Every disagreement is printed with its cause. Needs no chip and no torch.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossgrade.chips.derive.__main__ import aten_bases
from crossgrade.chips.derive.npu_api import aten_base
from crossgrade.chips.ops.matrix import cell_of
from crossgrade.chips.ops.rows import DATA
from crossgrade.chips.ops.table import OperatorTable
from crossgrade.chips.optables import base_operator, operator_table
from crossgrade.values.operators import ON_CHIP
from crossgrade.values.support import SupportLevel

SOCS = ("A2", "A3", "950DT")
_FALLBACK = "回退至CPU"
"""How the pages say that a call falls back to the CPU."""
SHOWN: frozenset[SupportLevel] = frozenset({"conflict", "unverified"})
"""Levels with which the answer itself says that sources do not agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One operator against one source."""

    source: str
    op: str
    vendor: bool
    registered: SupportLevel
    answer: SupportLevel
    said: str
    by_host: bool = False
    """Whether the vendor's text says that the call falls back to the CPU."""

    @property
    def agrees(self) -> bool:
        """Yes with a kernel or composite, no without; or a fallback that the text admits."""
        if self.vendor and self.by_host and self.registered == "cpu-fallback":
            return True
        return self.vendor == (self.registered in ON_CHIP)

    @property
    def cause(self) -> str:
        """Why the two differ."""
        if self.registered == "native":
            return "a kernel is registered; the vendor's text does not mark it (not tested yet)"
        if self.registered == "composite":
            return "PyTorch's composite runs; what it calls may be missing, or nobody tested it"
        return "no kernel is registered; the call works by a copy to the host"


def raw_pages(folder: Path, bases: frozenset[str]) -> dict[str, list[dict[str, str]]]:
    """Rows of the API pages for torch 2.13, by base operator."""
    found: dict[str, list[dict[str, str]]] = {}
    path = folder / "op_support" / "torch_npu_native_api_support.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["torch_version"].startswith("2.13") and (op := aten_base(row["api"], bases)):
                found.setdefault(op, []).append(row)
    return found


def raw_lists(folder: Path, bases: frozenset[str]) -> dict[str, dict[str, bool]]:
    """API names with what the migration tool says of them, by base operator."""
    found: dict[str, dict[str, bool]] = {}
    for name, says in (("supported_op_2_8.json", True), ("op_list_2_8.json", False)):
        document = json.loads((folder / "migration" / name).read_text(encoding="utf-8"))
        for api in document["op_list"]:
            if op := aten_base(api, bases):
                found.setdefault(op, {})[api] = says
    return found


def raw_kernels(folder: Path) -> dict[str, str]:
    """Overloads whose C++ code calls an aclnn kernel, with its name."""
    path = folder / "op_support" / "aten_to_aclnn_from_op_plugin.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if "cpp" in row["source"]]
    return {row["op"]: row["aclnn_names"] for row in rows}


class Answers:
    """One table, with the overloads of every base operator; in-place ones apart."""

    def __init__(self, version: str) -> None:
        self.table = operator_table("npu", version=version)
        self.plain: OperatorTable = dataclasses.replace(self.table, statements={})
        self.overloads: dict[str, list[str]] = {}
        for op in self.table.rows:
            name = op.partition(".")[0]
            self.overloads.setdefault(name, []).append(op)
            if base_operator(op) != name:
                self.overloads.setdefault(base_operator(op), []).append(op)

    def registered(self, op: str) -> SupportLevel:
        """The level from registrations and composites alone."""
        answers = [self.plain.support(o) for o in self.overloads[op]]
        return cell_of(answers, evidence=False).level

    def answer(self, op: str, soc: str | None) -> SupportLevel:
        """The level with pages and lists, as a user gets it."""
        answers = [self.table.support(o, soc=soc) for o in self.overloads[op]]
        return cell_of(answers, evidence=False).level


def page_checks(ops: list[str], pages: dict[str, list[dict[str, str]]]) -> Iterator[Check]:
    answers = Answers("2.13")
    for op in ops:
        for soc in SOCS:
            marked = [row for row in pages[op] if row[soc] == "1"]
            yield Check(
                source=f"pages {soc}", op=op, vendor=bool(marked),
                registered=answers.registered(op), answer=answers.answer(op, soc),
                said="; ".join(f"{row['api']} {soc}={row[soc]}" for row in pages[op]),
                by_host=any(_FALLBACK in row["limits_zh"] for row in marked),
            )  # fmt: skip


def list_checks(ops: list[str], lists: dict[str, dict[str, bool]]) -> Iterator[Check]:
    answers = Answers("2.8")
    for op in ops:
        if op in lists:
            yield Check(
                source="lists", op=op, vendor=any(lists[op].values()),
                registered=answers.registered(op), answer=answers.answer(op, None),
                said="; ".join(f"{a} {'yes' if s else 'no'}" for a, s in lists[op].items()),
            )  # fmt: skip


def kernel_checks(ops: list[str], kernels: dict[str, str]) -> Iterator[Check]:
    answers = Answers("2.13")
    for op in ops:
        named = [o for o in answers.overloads[op] if o in kernels]
        if named:
            yield Check(
                source="aclnn", op=op, vendor=True, registered=answers.registered(op),
                answer=answers.answer(op, None),
                said="; ".join(f"{o} calls {kernels[o]}" for o in named[:2]),
            )  # fmt: skip


def draw(folder: Path, n: int, seed: int) -> list[Check]:
    """Return all checks of `n` random operators that the pages know."""
    bases = aten_bases(DATA)
    pages = raw_pages(folder, bases)
    known = Answers("2.13").overloads
    population = sorted(op for op in pages if op in known)
    ops = random.Random(seed).sample(population, min(n, len(population)))
    return [
        *page_checks(sorted(ops), pages),
        *list_checks(sorted(ops), raw_lists(folder, bases)),
        *kernel_checks(sorted(ops), raw_kernels(folder)),
    ]


def report(checks: list[Check]) -> Iterator[str]:
    yield "source        operators  agree  disagree  of these shown as conflict or unverified"
    for source in dict.fromkeys(check.source for check in checks):
        mine = [check for check in checks if check.source == source]
        against = [check for check in mine if not check.agrees]
        shown = sum(check.answer in SHOWN for check in against)
        yield (
            f"{source:12}  {len(mine):9}  {len(mine) - len(against):5}  {len(against):8}  {shown}"
        )
    yield ""
    yield "every disagreement: operator, source, ours from registrations, our answer, vendor, cause"
    for check in checks:
        if not check.agrees:
            yield (
                f"{check.op} | {check.source} | {check.registered} | {check.answer} | "
                f"{check.said} | {check.cause}"
            )
    yield ""
    causes = Counter(check.cause for check in checks if not check.agrees)
    yield from (f"{count:4}  {cause}" for cause, count in causes.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=os.environ.get("CROSSGRADE_DATA"))
    asked = parser.parse_args()
    if asked.data is None:
        sys.exit("no raw data: give --data or set CROSSGRADE_DATA")
    print("\n".join(report(draw(asked.data, asked.n, asked.seed))))


if __name__ == "__main__":
    main()

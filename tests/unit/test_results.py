"""The pages of results say what the commands in them print now."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from benchmarks import ops_agreement
from tools import ops_matrix

from crossgrade.cli.main import main

ROOT = Path(__file__).parents[2]
RAW = os.environ.get("CROSSGRADE_DATA")
PAGE = ROOT / "docs" / "results" / "ops-matrix.md"


def test_the_operator_matrix_is_what_its_tool_prints():
    assert PAGE.read_text(encoding="utf-8") == ops_matrix.page()


@pytest.mark.parametrize("words", ops_matrix.commands(), ids=lambda words: words[3])
def test_each_section_is_what_its_command_prints(capsys, words):
    with pytest.raises(SystemExit):
        main(words[1:])
    printed = re.sub(r"^(#+) ", r"#\1 ", capsys.readouterr().out, flags=re.MULTILINE)
    assert printed in PAGE.read_text(encoding="utf-8")


def test_the_page_counts_what_it_shows():
    text = PAGE.read_text(encoding="utf-8")
    rows, overloads, every = re.findall(
        r"(\d+) base operators,\s+(\d+) overloads\. All ([\d,]+)", text
    )[0]
    from crossgrade.api import OperatorQuery, operators
    from crossgrade.chips.optables import core_operators

    assert int(rows) == len(operators(OperatorQuery(core=True)).lines)
    assert int(overloads) == len(core_operators())
    assert int(every.replace(",", "")) == len(operators(OperatorQuery()).lines)


@pytest.mark.skipif(RAW is None, reason="CROSSGRADE_DATA names no folder of raw lists")
def test_agreement_with_the_vendors_tables_is_as_documented():
    checks = ops_agreement.draw(Path(RAW or ""), 50, 0)
    found = {}
    for check in checks:
        agree, known = found.get(check.source, (0, 0))
        found[check.source] = (agree + check.agrees, known + 1)
    text = (ROOT / "docs" / "reference" / "operator-tables.md").read_text(encoding="utf-8")
    for source, (agree, known) in found.items():
        assert re.search(rf"^\| {source} \| {agree} of {known} \|", text, re.MULTILINE), source
    kernels = [c for c in checks if c.registered == "native" and not c.agrees]
    assert all(c.answer in ops_agreement.SHOWN for c in kernels)


def test_the_counts_of_lists_and_providers_are_as_documented():
    from collections import Counter

    from crossgrade.chips.ops.rows import DATA, read_csv

    text = (ROOT / "docs" / "reference" / "operator-tables.md").read_text(encoding="utf-8")
    rows = Counter(row[1] for row in read_csv(DATA / "onnx.csv").rows)
    assert f"| `cpu`, `cuda`, `dml` | {rows['cpu']}, {rows['cuda']}, {rows['dml']} |" in text
    assert all(f"| `{name}` | {rows[name]} |" in text for name in ("migraphx", "openvino", "cann"))
    says = Counter(row[2] for row in read_csv(DATA / "npu-lists.csv").rows)
    work, fail = says["supported"], says["unsupported"]
    assert f"{work} API names that work and {fail} that do not" in text
    core = len(read_csv(DATA / "core-aten.csv").rows)
    assert f"the Core ATen opset alone count ({core}," in text
    assert f"| {len(read_csv(DATA / 'hpu-lists.csv').rows)} operators of the Core ATen" in text

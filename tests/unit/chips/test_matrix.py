"""Operators by backends: patterns, base operators, counts, lists that disagree, changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.api import OperatorQuery, operators
from crossgrade.chips.ops.diff import KINDS, MIRROR, change_kind, changes
from crossgrade.chips.ops.matrix import Asked, build_matrix, cell_of, matching, short_name
from crossgrade.chips.ops.onnx import onnx_columns, providers
from crossgrade.chips.optables import backends, base_operator, operator_table
from crossgrade.errors import BadOperatorTable, BadOption, UnknownChip
from crossgrade.values.operators import LEGEND, LEVELS, OperatorCell, OperatorColumn, OperatorMatrix
from crossgrade.values.support import Support


class Toy:
    """A table that says what it is told."""

    def __init__(self, **levels: str) -> None:
        self.levels = {name.replace("__", "."): level for name, level in levels.items()}
        self.operators = self.levels.keys()

    def support(self, op: str, *, soc: str | None = None) -> Support:
        level = self.levels.get(op, "unknown")
        return Support(op=op, backend="toy", level=level, evidence=(f"row {op}={level}",))


def asked(label: str, **levels: str) -> Asked:
    column = OperatorColumn(label=label, backend=label, version="1", title=label)
    return Asked(column=column, table=Toy(**levels))


def matrix_of(*columns: Asked, **options) -> OperatorMatrix:
    return build_matrix(columns, base_of=base_operator, **options)


def cells(found: OperatorMatrix) -> dict[str, tuple[str, ...]]:
    return {line.op: tuple(cell.text for cell in line.cells) for line in found.lines}


# Patterns.
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["addmm", "bmm", "mm"]),
        ("mm", ["mm"]),
        ("b", ["bmm"]),
        ("*mm", ["addmm", "bmm", "mm"]),
        ("?mm", ["bmm"]),
        ("[ab]*", ["addmm", "bmm"]),
        ("zz", []),
    ],
)
def test_a_pattern_is_a_name_a_part_or_a_glob(pattern: str, names: list[str]) -> None:
    assert matching(pattern, ["mm", "bmm", "addmm"]) == names


@pytest.mark.parametrize("text", ["aten.mm", "aten::mm", "mm.default", "aten::mm.default", "mm"])
def test_namespace_and_default_are_no_part_of_a_name(text: str) -> None:
    assert short_name(text) == "mm"


def test_the_name_of_an_overload_asks_for_overloads() -> None:
    found = operators(OperatorQuery(pattern="aten.add.Tensor", backends=("npu@2.13",)))
    assert (found.grain, [line.op for line in found.lines]) == ("overload", ["add.Tensor"])


def test_nothing_like_the_pattern_is_an_error_with_what_is_near() -> None:
    with pytest.raises(BadOption, match="no operator is like") as caught:
        operators(OperatorQuery(pattern="_grouped_nn"))
    assert "`_grouped_mm`" in caught.value.hint


# Base operators.
def test_a_base_operator_has_the_first_level_of_its_overloads_with_a_share() -> None:
    found = matrix_of(asked("a", f__x="missing", f__y="native", f_="native", g="missing"))
    assert cells(found) == {"f": ("native 2/3",), "g": ("missing",)}


def test_an_overload_that_a_table_does_not_know_says_nothing_of_the_base() -> None:
    found = matrix_of(asked("a", f="missing"), asked("b", f="native", f__out="native"))
    assert cells(found) == {"f": ("missing", "native")}


def test_an_operator_that_a_table_does_not_know_is_unknown_and_not_missing() -> None:
    assert cells(matrix_of(asked("a", f="native"), asked("b", g="missing"))) == {
        "f": ("native", "unknown"),
        "g": ("unknown", "missing"),
    }


def test_a_disagreement_is_never_hidden_by_another_overload() -> None:
    assert cells(matrix_of(asked("a", f="native", f__x="conflict"))) == {"f": ("conflict 1/2",)}


def test_every_level_has_a_place_and_a_meaning() -> None:
    assert set(LEVELS) == set(LEGEND)
    assert len(LEVELS) == len(set(LEVELS)) == 8
    assert "not a no" in LEGEND["unknown"]


def test_rows_are_kept_by_level_and_counted() -> None:
    found = matrix_of(asked("a", f="native", g="missing"), levels=("missing",))
    assert [line.op for line in found.lines] == ["g"]
    assert found.count(0, "missing") == 1
    assert sum(entry.count for entry in found.totals[0]) == 1


def test_evidence_is_carried_only_when_asked_for() -> None:
    with_it = matrix_of(asked("a", f="native"), evidence=True)
    assert with_it.lines[0].cells[0].evidence == ("row f=native",)
    assert matrix_of(asked("a", f="native")).lines[0].cells[0].evidence == ()


# The shipped tables.
def test_the_whole_matrix_has_every_backend_and_adds_up() -> None:
    found = operators(OperatorQuery())
    assert [c.backend for c in found.columns] == list(backends())
    assert len(found.lines) > 1300
    for column in range(len(found.columns)):
        assert sum(found.count(column, level) for level in LEVELS) == len(found.lines)


def test_a_cell_agrees_with_the_table() -> None:
    found = operators(OperatorQuery(backends=("npu@2.13", "cuda"), overloads=True))
    npu, cuda = operator_table("npu", version="2.13"), operator_table("cuda")
    for line in found.lines[::50]:
        levels = [cell.level for cell in line.cells]
        assert levels == [npu.support(line.op).level, cuda.support(line.op).level]


def test_a_chip_brings_its_table_and_its_soc() -> None:
    found = operators(OperatorQuery(pattern="topk", chips=("ascend-950dt", "virtual:h200", "cpu")))
    got = [(c.label, c.backend, c.soc) for c in found.columns]
    assert got == [
        ("ascend-950dt", "npu", "950DT"), ("h200", "cuda", ""), ("cpu@2.15", "cpu", ""),
    ]  # fmt: skip


def test_the_tables_for_a_torch_where_there_are_some() -> None:
    query = OperatorQuery(
        torch="2.13.1+cpu", chips=("ascend-950dt",), backends=("hpu", "cuda@2.15")
    )
    assert [c.version for c in operators(query).columns] == ["1.19.0", "2.15", "2.13"]
    versions = {c.backend: c.version for c in operators(OperatorQuery(torch="2.13")).columns}
    assert (versions["cpu"], versions["xpu"], versions["musa"]) == ("2.13", "2.13", "2026-01")


def test_the_soc_changes_what_is_verified() -> None:
    query = OperatorQuery(chips=("ascend-950dt", "ascend-910b2"), levels=("unverified",))
    found = operators(query)
    assert found.count(0, "unverified") > found.count(1, "unverified")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (OperatorQuery(backends=("nope",)), BadOption),
        (OperatorQuery(backends=("npu@99",)), BadOption),
        (OperatorQuery(backends=("npu@",)), BadOption),
        (OperatorQuery(backends=("metax@1",)), BadOption),
        (OperatorQuery(backends=("npu", "npu@2.15")), BadOption),
        (OperatorQuery(chips=("no-such-chip",)), UnknownChip),
        (OperatorQuery(levels=("good",)), BadOption),
        (OperatorQuery(torch="new"), BadOption),
        (OperatorQuery(torch="2.13", backends=("nope",)), BadOption),
        (OperatorQuery(torch="2.13", namespace="onnx"), BadOption),
        (OperatorQuery(diff=("npu@2.7", "npu@2.13"), backends=("npu",)), BadOption),
        (OperatorQuery(namespace="caffe"), BadOption),
        (OperatorQuery(namespace="onnx", chips=("h200",)), BadOption),
        (OperatorQuery(namespace="onnx", backends=("npu",)), BadOption),
        (OperatorQuery(namespace="onnx", backends=("cuda@1.0",)), BadOption),
    ],
)
def test_bad_queries_say_what_to_do(query: OperatorQuery, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        operators(query)
    assert caught.value.hint


# Lists that disagree with a table.
def test_a_list_that_says_no_of_a_kernel_is_a_conflict_with_both_sides() -> None:
    found = operator_table("npu", version="2.8").support("avg_pool3d")
    assert found.level == "conflict"
    assert any("npu.csv [2.8]: avg_pool3d: acl_op=" in line for line in found.evidence)
    assert any("npu-lists.csv [2.8]" in line and "unsupported" in line for line in found.evidence)


def test_a_list_that_says_yes_of_an_operator_that_runs_on_the_host_is_a_conflict() -> None:
    assert operator_table("npu", version="2.8").support("index_reduce").level == "conflict"


def test_a_list_for_another_version_says_nothing() -> None:
    for version in ("2.7", "2.13"):
        found = operator_table("npu", version=version).support("avg_pool3d")
        assert found.level == "native"
        assert not any("npu-lists" in line for line in found.evidence)


def test_a_composite_is_contradicted_by_no_list() -> None:
    table = operator_table("npu", version="2.8")
    assert table.support("max_pool1d").level == "composite"
    assert any("unsupported" in line for line in table.support("max_pool1d").evidence)


def test_a_list_of_overloads_speaks_of_one_overload() -> None:
    table = operator_table("hpu")
    assert table.support("nonzero").level == "conflict"
    assert table.support("nonzero.out").level == "native"


# New tables.
@pytest.mark.parametrize(
    ("backend", "version", "op", "level"),
    [
        ("rocm", None, "_sparse_semi_structured_mm", "missing"),
        ("cuda", None, "_sparse_semi_structured_mm", "native"),
        ("rocm", None, "_mixed_dtypes_linear", "missing"),
        ("hpu", None, "mm", "native"),
        ("hpu", None, "matmul", "native"),
        ("hpu", None, "linalg_eig", "cpu-fallback"),
        ("hpu", None, "_to_copy", "composite"),
        ("xpu", "2.13", "mm", "native"),
        ("xpu", "2.13", "topk", "native"),
        ("xpu", "2.13", "linalg_qr.out", "cpu-fallback"),
        ("xpu", "2.15", "linalg_eig", "cpu-fallback"),
        ("mlu", "2024-09", "_foreach_abs", "composite"),
        ("mlu", "2025-02", "mm", "native"),
    ],
)
def test_new_tables(backend: str, version: str | None, op: str, level: str) -> None:
    assert operator_table(backend, version=version).support(op).level == level


# ONNX.
def test_onnx_operators_are_a_matrix_of_their_own() -> None:
    found = operators(OperatorQuery(pattern="MatMul", namespace="onnx"))
    assert [c.backend for c in found.columns] == list(providers())
    assert cells(found) == {"MatMul": ("native",) * 6}
    cann = found.lines[0].cells[-1]
    assert cann.limits == "opsets: 1-8, 9-12, 13+; dtypes: bfloat16, float16, float32, int32"


def test_an_unlisted_onnx_operator_goes_to_the_host_or_is_unknown() -> None:
    found = operators(OperatorQuery(pattern="Softmax", namespace="onnx"))
    by_provider = dict(zip((c.backend for c in found.columns), found.lines[0].cells, strict=True))
    assert by_provider["cann"].level == "cpu-fallback"
    assert by_provider["cuda"].level == "native"
    only_dml = operators(OperatorQuery(pattern="com.microsoft.dml.*", namespace="onnx"))
    assert {line.cells[0].level for line in only_dml.lines} == {"unknown"}


def test_a_broken_onnx_manifest_is_refused(tmp_path) -> None:
    for text in ("", "schema = 1\nfile = 'x.csv'\nversion = '1'", "= ="):
        folder = tmp_path / str(len(text))
        folder.mkdir()
        (folder / "onnx.toml").write_text(text)
        with pytest.raises(BadOperatorTable):
            onnx_columns((), folder)


# Changes.
LEVEL = st.sampled_from(LEVELS)
TABLE = st.dictionaries(st.sampled_from(["f", "f__x", "g", "h__out"]), LEVEL, min_size=1)


def diff_of(a: dict[str, str], b: dict[str, str]):
    return changes(matrix_of(asked("a", **a), asked("b", **b)))


@given(TABLE)
def test_nothing_changes_from_a_table_to_itself(table: dict[str, str]) -> None:
    assert diff_of(table, table).changes == ()


@given(TABLE, TABLE)
def test_changes_the_other_way_are_the_mirror_image(a: dict[str, str], b: dict[str, str]) -> None:
    there, back = diff_of(a, b), diff_of(b, a)
    assert {(c.op, MIRROR[c.kind], c.after, c.before) for c in there.changes} == {
        (c.op, c.kind, c.before, c.after) for c in back.changes
    }


@given(LEVEL, LEVEL)
def test_every_pair_of_levels_has_at_most_one_kind(a: str, b: str) -> None:
    def cell(level: str) -> OperatorCell:
        answer = Support(op="f", backend="t", level=level, evidence=())  # type: ignore[arg-type]
        return cell_of([answer], evidence=False)

    kind = change_kind(cell(a), cell(b))
    assert (kind is None) == (a == b)
    assert kind is None or MIRROR[kind] == change_kind(cell(b), cell(a))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("cpu-fallback", "native", "gained"),
        ("missing", "composite", "gained"),
        ("native", "missing", "lost"),
        ("unknown", "native", "appeared"),
        ("unknown", "missing", "appeared"),
        ("composite", "unknown", "disappeared"),
        ("composite", "native", "changed"),
        ("missing", "cpu-fallback", "changed"),
        ("conflict", "native", "changed"),
        ("conflict", "unknown", "changed"),
    ],
)
def test_kinds_of_changes(before: str, after: str, kind: str) -> None:
    [change] = diff_of({"f": before}, {"f": after}).changes
    assert change.kind == kind


def test_npu_gained_between_2_7_and_2_13_with_evidence() -> None:
    found = operators(OperatorQuery(diff=("npu@2.7", "npu@2.13"), overloads=True, evidence=True))
    gained = {change.op: change for change in found.of_kind("gained")}
    assert len(gained) == 10
    assert "op_api=2.9..2.15" in gained["mm.dtype"].after.evidence[0]
    kinds = [KINDS.index(change.kind) for change in found.changes]
    assert kinds == sorted(kinds)
    limits = {change.op: change for change in found.of_kind("limits")}
    assert "bfloat16" in limits["mm"].before.limits
    assert "bfloat16" not in limits["mm"].after.limits


def test_two_backends_can_be_compared() -> None:
    found = operators(OperatorQuery(diff=("cuda@2.15", "ascend-950dt"), pattern="*grouped*"))
    assert found.after.soc == "950DT"
    assert any(change.op == "_grouped_mm" for change in found.changes)

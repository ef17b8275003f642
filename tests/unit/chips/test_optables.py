"""Known answers of the shipped operator tables, and the rules on tables made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.ops.documented import Documented, outside
from crossgrade.chips.ops.manifest import Slot, read_manifest
from crossgrade.chips.ops.rows import DATA, cell_covers, read_csv
from crossgrade.chips.optables import (
    OperatorRow,
    OperatorTable,
    backends,
    base_operator,
    load_table,
    operator_table,
)
from crossgrade.errors import BadOperatorTable, BadOption

SDPA = "_scaled_dot_product_fused_attention_overrideable"


def level(backend: str, op: str, version: str | None = None, **asked: object) -> str:
    return operator_table(backend, version=version).support(op, **asked).level


@pytest.mark.parametrize(
    ("backend", "version", "op", "expected"),
    [
        ("cuda", "2.15", "_grouped_mm", "native"),
        ("npu", "2.15", "_grouped_mm", "composite"),
        ("cpu", "2.15", "_grouped_mm", "composite"),
        ("cuda", "2.13", "_grouped_mm", "native"),
        ("npu", "2.13", "_grouped_mm", "composite"),
        ("cpu", "2.13", "_grouped_mm", "composite"),
        ("mps", "2.13", "_grouped_mm", "composite"),
        ("mps", "2.15", "_grouped_mm", "native"),
        *(
            ("npu", None, op, "native")
            for op in ("mm", "add.Tensor", "topk", "_softmax", "rsqrt", "embedding", "bmm.default")
        ),
        ("npu", None, "linalg_eig", "cpu-fallback"),
        ("cuda", "2.15", "_foreach_add_.List", "native"),
        ("cuda", "2.15", "no_such_operator", "unknown"),
        ("cpu", "2.15", "_cudnn_rnn", "missing"),
        ("cuda", None, "miopen_convolution", "missing"),
        ("rocm", None, "miopen_convolution", "native"),
        ("rocm", None, "cudnn_convolution", "missing"),
        ("rocm", None, "mm", "native"),
        ("xpu", None, "mm", "native"),
        ("xpu", None, "_cudnn_rnn", "missing"),
        ("mps", None, "linalg_svd", "cpu-fallback"),
        ("musa", None, "cudnn_convolution", "unknown"),
        ("mlu", None, "mm", "native"),
        ("xla", None, "mm", "native"),
        ("xla", None, "linalg_eig", "cpu-fallback"),
    ],
)
def test_known_answers(backend: str, version: str | None, op: str, expected: str) -> None:
    assert level(backend, op, version) == expected


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
@pytest.mark.parametrize("version", ["2.13", "2.15"])
@pytest.mark.parametrize("op", ["add.Tensor", "add_.Tensor", "add.out"])
def test_ufunc_operators_have_kernels(backend: str, version: str, op: str) -> None:
    # `dispatch` of add.out names neither CPU nor CUDA; code generation makes both.
    assert level(backend, op, version) == "native"


@pytest.mark.parametrize(
    "op",
    [
        "view", "expand", "t", "transpose.int", "slice.Tensor", "detach", "select.int", "permute",
        "alias", "unsqueeze", "squeeze.dim", "as_strided", "_unsafe_view", "split.Tensor",
        "unbind.int", "clone", "_to_copy", "view.dtype", "unfold",
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["2.7", "2.13", "2.14", "2.15"])
def test_views_run_on_npu(op: str, version: str) -> None:
    assert level("npu", op, version) in ("native", "composite")


@pytest.mark.parametrize("backend", ["metax", "trainium"])
def test_a_backend_without_a_table_is_unknown(backend: str) -> None:
    for op in ("mm", SDPA, "no_such_operator"):
        found = operator_table(backend).support(op)
        assert found.level == "unknown"
        assert "no operator table" in found.evidence[0]


@pytest.mark.parametrize(
    ("backend", "forward", "backward"),
    [
        ("cuda", "_scaled_dot_product_flash_attention",
         "_scaled_dot_product_flash_attention_backward"),
        ("cpu", "_scaled_dot_product_flash_attention_for_cpu",
         "_scaled_dot_product_flash_attention_for_cpu_backward"),
        ("npu", "scaled_dot_product_attention", "scaled_dot_product_attention"),
        ("mps", "_scaled_dot_product_attention_math_for_mps", "_scaled_dot_product_attention_math"),
        ("xpu", "", "_scaled_dot_product_flash_attention_backward"),
        ("xla", "_scaled_dot_product_attention_math", "_scaled_dot_product_attention_math"),
    ],
)  # fmt: skip
def test_attention_slot(backend: str, forward: str, backward: str) -> None:
    table = operator_table(backend)
    assert (table.support(SDPA).via, table.support(f"{SDPA}_backward").via) == (forward, backward)
    expected = "composite" if forward == "_scaled_dot_product_attention_math" else "native"
    assert table.support(SDPA).level == expected


@pytest.mark.parametrize(
    ("backend", "via"),
    [
        ("cuda", "cudnn_convolution"),
        ("rocm", "miopen_convolution"),
        ("cpu", "mkldnn_convolution"),
        ("mps", "_mps_convolution"),
        ("xpu", "convolution_overrideable"),
        ("musa", "convolution_overrideable"),
        ("mlu", "_convolution"),
        ("npu", ""),
    ],
)
def test_convolution_slot(backend: str, via: str) -> None:
    found = operator_table(backend).support("convolution")
    assert (found.level, found.via) == ("native", via)
    assert operator_table(backend).support("convolution_backward").level == "native"


def test_evidence_cites_table_version_row_and_value() -> None:
    found = operator_table("npu", version="2.13").support("_grouped_mm")
    assert found.evidence == (
        "npu.csv [2.13]: _grouped_mm: acl_op, op_api, core empty",
        "aten-2.13.csv [2.13]: _grouped_mm: composite=CompositeExplicitAutograd",
    )
    assert operator_table("cuda", version="2.15").support("mm").evidence == (
        "aten-2.15.csv [2.15]: mm: CUDA=1",
    )


@pytest.mark.parametrize("backend", backends())
def test_every_answer_has_evidence(backend: str) -> None:
    table = operator_table(backend)
    for op in table.rows:
        found = table.support(op)
        assert found.op == op
        assert found.backend == backend
        assert all(found.evidence)
        assert found.evidence


def test_soc_and_dtype_answers() -> None:
    table = operator_table("npu", version="2.13")
    half = frozenset({"bfloat16"})
    assert table.support("topk").level == "native"
    assert table.support("topk", soc="A2", dtypes=half).level == "native"
    assert table.support("topk", soc="950DT").level == "unverified"
    limited = table.support("atan2", soc="A2", dtypes=half)
    assert limited.level == "dtype-limited"
    assert "bfloat16" not in (limited.dtypes or ())
    # The pages of an earlier release allow what these exclude: two sources disagree.
    disputed = table.support("gather", soc="950DT", dtypes=half | {"int64"})
    assert disputed.level == "conflict"
    assert disputed.limits.startswith("dtypes: bool, float16")
    assert any("[2.7.1]" in line and "which allows it" in line for line in disputed.evidence)
    assert table.support("gather", dtypes=frozenset({"float16", "int64"})).level == "native"


def test_a_version_before_the_first_api_page_has_no_documentation() -> None:
    found = operator_table("npu", version="2.1").support("topk", soc="950DT")
    assert (found.level, found.dtypes) == ("native", None)


def test_backends_and_versions() -> None:
    assert {"cpu", "cuda", "rocm", "mps", "xpu", "npu", "musa", "mlu", "xla", "hpu"} <= set(
        backends()
    )
    assert operator_table("cuda").version == "2.15"
    assert operator_table("npu").version == "2.15"
    assert operator_table("cuda", version="2.13.0+cpu").version == "2.13"
    assert operator_table("npu", version="v2.9").version == "2.9"
    assert operator_table("cuda") is operator_table("cuda", version="2.15")


@pytest.mark.parametrize(
    ("backend", "version", "hint"),
    [
        ("cudda", None, "did you mean `cuda`"),
        ("nothing-like-it-at-all", None, "known: cpu"),
        ("cuda", "2.12", "known: 2.13, 2.15"),
        ("xpu", "2.12", "known: 2.13, 2.15"),
        ("npu", "3.0", "known: 2.1"),
        ("cuda", "../x", "known: 2.13"),
    ],
)
def test_unknown_backend_or_version(backend: str, version: str | None, hint: str) -> None:
    with pytest.raises(BadOption) as caught:
        operator_table(backend, version=version)
    assert hint in caught.value.hint


def test_unknown_soc_is_refused_where_socs_are_known() -> None:
    with pytest.raises(BadOption, match="no SoC `A9`"):
        operator_table("npu").support("mm", soc="A9")
    assert operator_table("cuda").support("mm", soc="A9").level == "native"


# Rules, on tables made by hand.
KINDS = ("CompositeImplicitAutograd", "CompositeExplicitAutogradNonFunctional")


def made(*rows: OperatorRow, **fields: object) -> OperatorTable:
    settings: dict[str, object] = {
        "backend": "toy",
        "version": "1",
        "title": "Toy",
        "rows": {row.op: row for row in rows},
        "composites": KINDS,
        "unregistered": "missing",
        "unregistered_source": "by hand",
    } | fields
    return OperatorTable(**settings)  # type: ignore[arg-type]


def test_a_functional_operator_is_native_through_its_structured_out_variant_alone() -> None:
    out = OperatorRow(op="f.out", registered=("K=1",))
    structured = made(out, OperatorRow(op="f", delegate="f.out"))
    assert (structured.support("f").level, structured.support("f").via) == ("native", "f.out")
    assert made(out, OperatorRow(op="f")).support("f").level == "missing"
    unfilled = made(OperatorRow(op="f.out"), OperatorRow(op="f", delegate="f.out"))
    assert unfilled.support("f").level == "missing"
    assert made(OperatorRow(op="f", delegate="gone")).support("f").level == "missing"
    no_key = made(out, OperatorRow(op="f", delegate="f.out"), composites=KINDS[:1])
    assert no_key.support("f").level == "missing"


def test_an_out_variant_on_an_autogen_line_is_a_composite_of_what_it_is_made_from() -> None:
    made_out = OperatorRow(op="f.out", generated_from="f")
    found = made(OperatorRow(op="f", registered=("K=1",)), made_out).support("f.out")
    assert (found.level, found.via) == ("composite", "f")
    assert made(OperatorRow(op="f"), made_out).support("f.out").level == "missing"


def test_a_composite_counts_where_its_key_reaches_the_backend() -> None:
    row = OperatorRow(op="f", composite=("CompositeExplicitAutograd",))
    assert made(row).support("f").level == "missing"
    assert made(row, composites=("CompositeExplicitAutograd",)).support("f").level == "composite"
    default = OperatorRow(op="f", composite=("CompositeImplicitAutograd(default)",))
    assert made(default).support("f").level == "composite"


def test_functionalisation_serves_in_place_operators() -> None:
    rows = (OperatorRow(op="f.T", registered=("K=1",)), OperatorRow(op="f_.T"))
    assert made(*rows).support("f_.T").level == "missing"
    assert made(*rows, functionalizes=True).support("f_.T").via == "f.T"


def test_a_slot_nobody_fills() -> None:
    row = OperatorRow(op="f", composite=("CompositeImplicitAutograd",))
    empty = made(row, slots={"f": Slot(op="f", fillers=("g",))})
    assert empty.support("f").level == "missing"
    other = OperatorRow(op="h", composite=("CompositeImplicitAutograd",))
    with_other = made(row, other, slots={"f": Slot(op="f", fillers=("g",), otherwise="h")})
    found = with_other.support("f")
    assert (found.op, found.level, found.via) == ("f", "composite", "h")


def page(**fields: object) -> Documented:
    settings: dict[str, object] = {
        "table": "pages.csv",
        "torch_version": "1",
        "op": "f",
        "api": "torch.f",
        "verified": {"A": True},
    } | fields
    return Documented(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "doc", "expected"),
    [
        (OperatorRow(op="f"), page(), "conflict"),
        (OperatorRow(op="f"), page(notes=("cpu-fallback",)), "missing"),
        (OperatorRow(op="f"), page(verified={"A": False}), "missing"),
        (OperatorRow(op="f", composite=KINDS[:1]), page(verified={"A": False}), "composite"),
        (OperatorRow(op="f", registered=("K=1",)), page(verified={"A": False}), "unverified"),
        (OperatorRow(op="f", registered=("K=1",)), page(), "native"),
        (
            OperatorRow(op="f", registered=("K=1",)),
            page(dtypes=frozenset({"float32"})),
            "dtype-limited",
        ),
        (
            OperatorRow(op="f", registered=("K=1",)),
            page(excluded=frozenset({"A:float16"})),
            "dtype-limited",
        ),
        (
            OperatorRow(op="f", registered=("K=1",)),
            page(excluded=frozenset({"B:float16"})),
            "native",
        ),
    ],
)
def test_documentation_rules(row: OperatorRow, doc: Documented, expected: str) -> None:
    table = made(row, documented={"f": (doc,)}, page="1", socs=("A",))
    assert table.support("f", soc="A", dtypes=frozenset({"float16"})).level == expected


def test_no_conflict_where_another_overload_runs() -> None:
    rows = (OperatorRow(op="f.out"), OperatorRow(op="f", registered=("K=1",)))
    table = made(*rows, documented={"f": (page(),)}, page="1", socs=("A",))
    assert table.support("f.out", soc="A").level == "missing"


DTYPES = st.frozensets(
    st.sampled_from(["float32", "bfloat16", "float64", "int64", "int8", "bool", "complex64"])
)


@given(call=DTYPES, allowed=DTYPES)
def test_outside_is_a_part_of_the_call_and_never_allowed(
    call: frozenset[str], allowed: frozenset[str]
) -> None:
    gone = outside(call, allowed)
    assert gone <= call - allowed
    assert not outside(call, frozenset())
    assert not outside(call & allowed, allowed)


def test_an_index_tensor_does_not_break_a_float_limit() -> None:
    floats = frozenset({"float32", "bfloat16"})
    assert not outside(frozenset({"bfloat16", "int64"}), floats)
    assert outside(frozenset({"int64"}), floats) == {"int64"}


CUDA = operator_table("cuda", version="2.15")


@given(
    op=st.sampled_from(sorted(CUDA.rows)),
    other=st.sampled_from(sorted(set(CUDA.rows) - set(CUDA.slots))),
)
def test_with_row_changes_only_that_row(op: str, other: str) -> None:
    changed = CUDA.with_row(op, registered=(), composite=(), delegate="")
    assert {name for name in CUDA.rows if changed.rows[name] != CUDA.rows[name]} <= {op}
    assert changed.with_row(op, registered=CUDA.rows[op].registered).rows[op].registered == (
        CUDA.rows[op].registered
    )
    row = CUDA.rows[other]
    if other != op and op not in (row.delegate, row.generated_from):
        assert changed.support(other) == CUDA.support(other)


def test_with_row_answers_what_if() -> None:
    npu = operator_table("npu")
    assert (
        npu.with_row("linalg_eig", registered=("op_api=1",)).support("linalg_eig").level == "native"
    )
    assert npu.with_row("brand_new", registered=("x=1",)).support("brand_new").level == "native"
    assert npu.support("linalg_eig").level == "cpu-fallback"
    with pytest.raises(BadOption, match="no field nativ"):
        npu.with_row("mm", nativ=True)


@given(st.text(alphabet="abc_", min_size=1).filter(lambda s: s.strip("_")), st.text("xyz"))
def test_base_operator_is_idempotent(name: str, overload: str) -> None:
    base = base_operator(f"{name}.{overload}" if overload else name)
    assert base == base_operator(base)
    assert not base.endswith("_")


@pytest.mark.parametrize(
    ("cell", "version", "expected"),
    [
        ("", "2.13", False),
        ("1", "anything", True),
        ("2.1..2.12", "2.9", True),
        ("2.1..2.12", "2.13", False),
        ("2.1,2.3", "2.2", False),
        ("2.1..2.2,2.10", "2.10", True),
        ("2.1", "2.10", False),
    ],
)
def test_cells(cell: str, version: str, expected: bool) -> None:
    assert cell_covers(cell, version) is expected


# Files.
def folder_with(tmp_path: Path, manifest: str, csv: str) -> Path:
    (tmp_path / "tables.toml").write_text(manifest)
    (tmp_path / "a.csv").write_text(csv)
    return tmp_path


GOOD = """schema = 1
slot = []
[aten."1"]
file = "a.csv"
[backend.toy]
title = "Toy"
unregistered = "missing"
registrations = [{ file = "a.csv", columns = ["K"], versions = ["1"] }]
"""
ROWS = "op,K,composite,structured_delegate\nf,1,,\n"


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    table = load_table("toy", version=None, folder=folder_with(tmp_path, GOOD, ROWS))
    assert table.support("f").level == "native"


@pytest.mark.parametrize(
    ("manifest", "csv"),
    [
        ("not toml at all =", ROWS),
        (GOOD.replace("schema = 1", "schema = 2"), ROWS),
        (GOOD.replace("schema = 1\n", ""), ROWS),
        (GOOD.replace('"missing"', '"sometimes"'), ROWS),
        (GOOD.replace('title = "Toy"', 'titel = "Toy"'), ROWS),
        (GOOD.replace('["K"]', '["L"]'), ROWS),
        (GOOD.replace('["K"]', "3"), ROWS),
        (GOOD.replace('["K"]', "[3]"), ROWS),
        (GOOD.replace('"Toy"', "7"), ROWS),
        (GOOD.replace('title = "Toy"\n', ""), ROWS),
        (GOOD.replace('title = "Toy"', 'inherits = "nobody"'), ROWS),
        (GOOD.replace("a.csv", "b.csv"), ROWS),
        (GOOD, ""),
        (GOOD, "op,K\nf,1\n"),
        (GOOD, ROWS + "g,1\n"),
        (GOOD, ROWS.replace("f,", '"f,')),
    ],
)
def test_broken_files_say_what_to_do(tmp_path: Path, manifest: str, csv: str) -> None:
    with pytest.raises(BadOperatorTable) as caught:
        load_table("toy", version=None, folder=folder_with(tmp_path, manifest, csv))
    assert caught.value.hint
    assert caught.value.where


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "x.csv.gz").write_bytes(b"not gzip")
    for name in ("x.csv", "x.csv.gz"):
        with pytest.raises(BadOperatorTable):
            read_csv(tmp_path / name)


def test_every_shipped_file_is_described_and_small() -> None:
    text = "".join((DATA / n).read_text(encoding="utf-8") for n in ("tables.toml", "onnx.toml"))
    for path in DATA.glob("*.csv*"):
        assert f'"{path.name}"' in text
        assert path.stat().st_size < 300_000
        assert path.name in (DATA / "NOTICE.md").read_text(encoding="utf-8")


def test_every_remark_and_slot_names_operators_that_exist() -> None:
    manifest = read_manifest()
    every = {op for name in backends() for op in operator_table(name).rows}
    for slot in manifest.slots.values():
        assert {slot.op, *slot.fillers} <= every
        assert not slot.otherwise or slot.otherwise in every
    for backend in manifest.backends.values():
        for remark in (*backend.also, *backend.falls_back):
            assert set(remark.ops) <= every


def test_loading_imports_neither_torch_nor_yaml() -> None:
    code = (
        "import sys; from crossgrade.chips.optables import operator_table;"
        "operator_table('npu'); assert not {'torch', 'yaml', 'numpy', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

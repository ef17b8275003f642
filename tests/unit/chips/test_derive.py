"""The derivation of the operator tables: equal to what ships, and polite to broken input."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from crossgrade.chips.derive import __main__ as program
from crossgrade.chips.derive import onnx, out_of_tree, statements
from crossgrade.chips.derive.coverage import coverage
from crossgrade.chips.derive.in_tree import from_matrix, in_tree
from crossgrade.chips.derive.npu_api import aten_base, npu_api, parse_limits
from crossgrade.chips.derive.sheet import Sheet, sheet
from crossgrade.chips.derive.sources import entries, native_functions, read_rows
from crossgrade.chips.ops.rows import DATA, cell_covers, read_csv
from crossgrade.chips.optables import operator_table
from crossgrade.errors import BadOperatorTable, BadOption, CrossgradeError, MissingExtra

RAW = os.environ.get("CROSSGRADE_DATA")
needs_raw = pytest.mark.skipif(RAW is None, reason="CROSSGRADE_DATA names no folder of raw lists")
TORCH = ".".join(importlib.metadata.version("torch").split(".")[:2])


def raw(name: str) -> Path:
    return Path(RAW or "") / "op_support" / name


def shipped(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def by_op(table: Sheet) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


# Known answers.
def with_kernel(name: str, columns: tuple[str, ...], version: str) -> list[str]:
    table = read_csv(DATA / name)
    wanted = [table.index(column) for column in columns]
    return [row[0] for row in table.rows if any(cell_covers(row[i], version) for i in wanted)]


def test_npu_covers_408_of_the_630_base_operators_of_cuda() -> None:
    cuda = with_kernel("aten-2.15.csv", ("CUDA",), "2.15")
    npu = with_kernel("npu.csv", ("acl_op", "op_api", "core"), "2.15")
    found = coverage(cuda, npu)
    assert (len(found.reference), len(found.covered)) == (630, 408)
    # The matrix misses that torchgen makes kernels of `add`; with them it is one more of both.
    found = coverage([*cuda, "add.Tensor"], npu)
    assert (len(found.reference), len(found.covered)) == (631, 409)


@pytest.mark.parametrize(
    ("file", "columns", "covered"),
    [
        ("aten-2.15.csv", ("CPU",), 501),
        ("aten-2.15.csv", ("XPU",), 541),
        ("aten-2.15.csv", ("MPS",), 418),
        ("musa.csv", ("listed",), 510),
        # 313 where `max_unpool2d` counts, which the list has as an operator of its own namespace.
        ("mlu.csv", ("listed",), 312),
        ("xla.csv", ("full_codegen", "supported", "autograd"), 246),
    ],
)
def test_coverage_of_the_other_backends(file: str, columns: tuple[str, ...], covered: int) -> None:
    cuda = with_kernel("aten-2.15.csv", ("CUDA",), "2.15")
    assert len(coverage(cuda, with_kernel(file, columns, "2.15")).covered) == covered


def test_the_2_14_wheel_lists_1080_functions() -> None:
    assert len(read_csv(DATA / "npu-2.14.csv").rows) == 1080


def test_the_wheel_has_twelve_functions_that_the_older_list_has_not() -> None:
    columns = ("acl_op", "op_api", "core")
    listed = set(with_kernel("npu.csv", columns, "2.14"))
    wheel = set(with_kernel("npu-2.14.csv", (*columns, "sparse"), "2.14"))
    assert len(wheel - listed) == 12 + len({"copy_memory_", "empty_with_format"})
    # Quantised tensors, and one with its own autograd, stand outside of `supported`.
    assert listed - wheel == {"_empty_affine_quantized", "dequantize.self", "int_repr"}


# Equal to what ships.
@pytest.mark.skipif(TORCH != "2.13", reason="the shipped in-tree table is of torch 2.13")
def test_the_installed_torch_gives_the_shipped_table() -> None:
    assert in_tree(None).text() == shipped("aten-2.13.csv")


@needs_raw
def test_the_matrix_gives_the_shipped_table() -> None:
    assert from_matrix(raw(program.MATRIX)).text() == shipped("aten-2.15.csv")


@needs_raw
@pytest.mark.parametrize("name", ["musa", "mlu", "xla"])
def test_a_list_gives_the_shipped_table(name: str) -> None:
    source = "xla_native_functions.yaml" if name == "xla" else f"{name}_functions.yaml"
    assert program._LISTS[name](raw(source)).text() == shipped(f"{name}.csv")


@needs_raw
def test_the_npu_lists_give_the_shipped_tables() -> None:
    plugin, core = raw("op_plugin_functions.yaml"), raw("npu_native_functions.yaml")
    assert out_of_tree.npu(plugin, core).text() == shipped("npu.csv")
    pages = npu_api(raw("torch_npu_native_api_support.csv"), program.aten_bases(DATA))
    assert pages.text() == shipped("npu-api.csv")


@needs_raw
def test_every_column_agrees_with_the_matrix() -> None:
    """The tables were derived apart from the matrix; on its rows they say the same."""
    files = {
        "NPU_acl_op": ("npu.csv", ("acl_op",)),
        "NPU_op_api": ("npu.csv", ("op_api",)),
        "NPU_core": ("npu.csv", ("core",)),
        "MUSA_yaml": ("musa.csv", ("listed",)),
        "MLU_yaml": ("mlu.csv", ("listed",)),
        "XLA_yaml": ("xla.csv", ("full_codegen", "supported", "autograd")),
    }
    rows = read_rows(raw(program.MATRIX))
    for column, (file, columns) in files.items():
        mine = set(with_kernel(file, columns, "2.15")) & {row["op"] for row in rows}
        theirs = {row["op"] for row in rows if row[column] == "1"}
        # The matrix counts `max_unpool2d`, which the MLU list has in its own namespace.
        assert mine ^ theirs <= {"max_unpool2d"}, column


@needs_raw
def test_all_writes_what_ships(tmp_path: Path) -> None:
    if TORCH != "2.13":
        pytest.skip("the shipped in-tree table is of torch 2.13")
    run = CliRunner().invoke(program.main, ["all", "--data", RAW or "", "--out", str(tmp_path)])
    assert run.exit_code == 0, run.output
    written = {path.name for path in tmp_path.iterdir()}
    others = {"npu-2.14.csv", "mlu-2025-02.csv", "npu-lists.csv", "onnx.csv", "xpu-2.13.csv"}
    others |= set() if raw("hpu_op.yaml").is_file() else {"hpu.csv"}
    assert written == {path.name for path in DATA.glob("*.csv")} - others - {"hpu-lists.csv"}
    for name in written:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


# Rules, on lists made by hand.
NATIVE = """
- func: f(Tensor x) -> Tensor
  structured_delegate: f.out
- func: f.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)
  structured: True
  dispatch:
    CPU, CUDA: f_out
    SparseCPU: f_sparse
- func: u.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)
  structured: True
  ufunc_inner_loop:
    Generic: u (All)
  dispatch:
    MPS: u_mps
- func: bare(Tensor x) -> Tensor
- func: own(Tensor x) -> Tensor
  dispatch:
    CompositeExplicitAutograd: own
    CUDA: own_cuda
  autogen: own.out, own_copy
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_in_tree_rules(tmp_path: Path) -> None:
    table = in_tree(write(tmp_path, "native_functions.yaml", NATIVE))
    assert "XPU" not in table.columns
    rows = by_op(table)
    assert (rows["f"]["CPU"], rows["f"]["CUDA"], rows["f"]["MPS"]) == ("1", "1", "")
    assert rows["f"]["structured_delegate"] == "f.out"
    assert (rows["u.out"]["CPU"], rows["u.out"]["CUDA"], rows["u.out"]["MPS"]) == ("1", "1", "1")
    assert rows["bare"]["composite"] == "CompositeImplicitAutograd(default)"
    assert rows["f.out"]["composite"] == ""
    assert (rows["own"]["composite"], rows["own"]["CUDA"]) == ("CompositeExplicitAutograd", "1")
    assert rows["own.out"]["generated_from"] == rows["own_copy"]["generated_from"] == "own"


def test_xpu_is_a_column_where_its_kernels_are_in_the_tree(tmp_path: Path) -> None:
    text = NATIVE.replace("CPU, CUDA: f_out", "CPU, CUDA, XPU: f_out")
    assert "XPU" in in_tree(write(tmp_path, "n.yaml", text)).columns


def test_a_torch_is_found_in_a_folder_a_tree_and_a_wheel(tmp_path: Path) -> None:
    member = "torchgen/packaged/ATen/native/native_functions.yaml"
    write(tmp_path / "site", member, NATIVE)
    write(tmp_path / "tree", "aten/src/ATen/native/native_functions.yaml", NATIVE)
    wheel = tmp_path / "torch-2.99.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, NATIVE)
    places = [tmp_path / "site", tmp_path / "site" / "torchgen", tmp_path / "tree", wheel]
    assert len({in_tree(place).text() for place in places}) == 1
    assert program.torch_version(wheel) == "2.99"
    run = CliRunner().invoke(
        program.main, ["in-tree", "--torch", str(wheel), "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    assert (tmp_path / "aten-2.99.csv").exists()


def test_a_missing_torch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="torch is not installed"):
        native_functions(None)
    with pytest.raises(BadOperatorTable, match="no native_functions"):
        native_functions(tmp_path)
    with pytest.raises(BadOption, match="version of this torch"):
        program.torch_version(tmp_path)


def test_a_missing_yaml_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra) as caught:
        in_tree(write(tmp_path, "n.yaml", NATIVE))
    assert "pyyaml" in caught.value.hint


WHEEL = """
supported:
- _local_scalar_dense
- func: mm(Tensor self, Tensor mat2) -> Tensor
  impl_ns: acl_op, op_api
- func: _coalesce(Tensor self) -> Tensor
  sparse: op_api
"""


def test_npu_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "torch_npu-2.14.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(out_of_tree.NPU_WHEEL_LIST, WHEEL)
    rows = by_op(out_of_tree.npu_wheel(wheel))
    assert rows["mm"] == {"op": "mm", "acl_op": "1", "op_api": "1", "core": "", "sparse": ""}
    assert rows["_local_scalar_dense"]["core"] == "1"
    assert (rows["_coalesce"]["sparse"], rows["_coalesce"]["core"]) == ("1", "")
    assert program.torch_version(wheel) == "2.14"
    run = CliRunner().invoke(program.main, ["npu-wheel", str(wheel), "--out", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert "3 rows" in run.output


PLUGIN = """
all_version: [v2.1, v2.2, v2.3]
official:
- func: a(Tensor x) -> Tensor
  acl_op: all_version
  op_api: [v2.2, newest]
- func: b(Tensor x) -> Tensor
  op_api: v2.1, v2.3
- func: b(Tensor x, int y) -> Tensor
  op_api: v2.2
- func: gone(Tensor x) -> Tensor
custom:
- func: npu_own(Tensor x) -> Tensor
  op_api: all_version
symint:
- func: npu_own(Tensor x) -> Tensor
  op_api: all_version
"""
CORE = "supported: [copy_, copy_memory_]\ncustom: [{func: 'copy_memory_(Tensor x) -> Tensor'}]\n"


def test_npu_versions(tmp_path: Path) -> None:
    plugin, core = write(tmp_path, "p.yaml", PLUGIN), write(tmp_path, "c.yaml", CORE)
    rows = by_op(out_of_tree.npu(plugin, core))
    assert set(rows) == {"a", "b", "copy_"}
    assert (rows["a"]["acl_op"], rows["a"]["op_api"]) == ("2.1..2.3", "2.2..2.3")
    assert rows["b"]["op_api"] == "2.1..2.3"
    assert rows["copy_"]["core"] == "2.1..2.3"


KNOWN = [f"v2.{minor}" for minor in range(1, 16)]


@given(st.frozensets(st.sampled_from(KNOWN)))
def test_a_cell_covers_exactly_its_versions(versions: frozenset[str]) -> None:
    cell = out_of_tree.cell(versions, KNOWN)
    assert {v for v in KNOWN if cell_covers(cell, v.lstrip("v"))} == versions


@pytest.mark.parametrize("value", ["v9", ["v2.1"], ["v9", "newest"], ["v2.1", "v9"], 3, "newest"])
def test_an_unknown_version_range(value: object) -> None:
    with pytest.raises(BadOperatorTable, match="unknown version range"):
        out_of_tree.covered_versions(value, KNOWN, "p.yaml")


@pytest.mark.parametrize(
    ("text", "dtypes", "excluded", "notes"),
    [
        ("", "", "", ""),
        ("`input`仅支持fp32", "float32", "", ""),
        ("- `input`仅支持bf16，int64 - 可能回退至CPU执行", "bfloat16 int64", "", "cpu-fallback"),
        ("`query`、`key`、`value`仅支持bf16、fp16和fp32。", "bfloat16 float16 float32", "", ""),
        ("`target`仅支持int64", "", "", "other"),
        ("`input`仅支持fp8模式", "", "", "other"),
        ("`input`仅支持fp16，不支持double", "float16", "", "other"),
        ("<term>Ascend 950DT</term>：不支持complex64", "", "950DT:complex64", ""),
        ("不支持double数据类型", "", "float64", ""),
        ("- `input`仅支持fp32 - 支持2-3维", "float32", "", "shape"),
        ("- `input`仅支持fp32 > <font size=\"3\">m()</font> 回退至CPU", "float32", "", ""),
        ("当前仅支持推理场景", "", "", "inference-only"),
        ("带`dim`场景不支持fp16", "", "", "other shape"),
    ],
)  # fmt: skip
def test_limits(text: str, dtypes: str, excluded: str, notes: str) -> None:
    found = parse_limits(text)
    assert " ".join(sorted(found.dtypes)) == dtypes
    assert " ".join(sorted(found.excluded)) == excluded
    if "dim" not in text:
        assert " ".join(sorted(found.notes)) == notes


@given(st.text(alphabet="`input仅支持不fp1632，、- 950DT："))
def test_any_limits_text_parses(text: str) -> None:
    found = parse_limits(text)
    assert found.dtypes <= {"float16", "float32"}


@pytest.mark.parametrize(
    ("api", "base"),
    [
        ("torch.mm", "mm"),
        ("torch.mm(a, b)", "mm"),
        ("torch.Tensor.add_", "add_"),
        ("torch.nn.functional.linear", "linear"),
        ("torch.linalg.eig", "linalg_eig"),
        ("torch.sparse.mm", ""),
        ("torch.cuda.mm", ""),
        ("class torch.nn.Linear", ""),
        ("torch.nn.functional.interpolate", ""),
        ("torch", ""),
    ],
)
def test_api_names(api: str, base: str) -> None:
    assert aten_base(api, frozenset({"mm", "add_", "linear", "linalg_eig"})) == base


def test_the_shipped_pages_hold_no_prose() -> None:
    assert shipped("npu-api.csv").isascii()


# Broken input.
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{unclosed: [", "not yaml"),
        ("just text", "expected a list"),
        ("- 3", "without `func`"),
        ("- {fun: x}", "without `func`"),
    ],
)
def test_broken_yaml(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadOperatorTable, match=message) as caught:
        in_tree(write(tmp_path, "native.yaml", text))
    assert caught.value.hint
    assert caught.value.where == "native.yaml"


def test_a_list_where_sections_are_expected() -> None:
    with pytest.raises(BadOperatorTable, match="no section `aten`"):
        entries([], "x.yaml", "aten")


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_a_broken_wheel(tmp_path: Path, content: bytes) -> None:
    wheel = tmp_path / "torch_npu-2.14.0.whl"
    wheel.write_bytes(content)
    with pytest.raises(BadOperatorTable) as caught:
        out_of_tree.npu_wheel(wheel)
    assert "wheel" in caught.value.hint


def test_a_wheel_without_the_list(tmp_path: Path) -> None:
    wheel = tmp_path / "other-1.0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.py", "")
    with pytest.raises(BadOperatorTable, match="cannot read"):
        out_of_tree.npu_wheel(wheel)


def test_a_cut_off_csv(tmp_path: Path) -> None:
    with pytest.raises(BadOperatorTable, match="line 2"):
        read_rows(write(tmp_path, "m.csv", "op,CPU\nmm\n"))


def test_pages_need_the_in_tree_tables(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="no aten-"):
        program.aten_bases(tmp_path)
    with pytest.raises(BadOption, match="no raw data"):
        program._support_folder(None)


def test_the_program_prints_one_line_and_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write(tmp_path, "x.yaml", "{")
    monkeypatch.setattr(sys, "argv", ["derive", "list", "mlu", str(broken), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        program.run()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error[CG-E207]")
    assert "hint:" in error


def test_a_large_sheet_is_compressed_and_equal_bytes_come_out_twice(tmp_path: Path) -> None:
    large = sheet(("op", "x"), ({"op": f"operator_{i}", "x": "1" * 30} for i in range(9000)))
    path = large.write(tmp_path, "large")
    first = path.read_bytes()
    assert path.name == "large.csv.gz"
    large.write(tmp_path, "large")
    assert path.read_bytes() == first
    assert len(read_csv(path).rows) == 9000
    assert not list(tmp_path.glob("*.part"))


def test_errors_are_of_the_tree() -> None:
    assert issubclass(BadOperatorTable, CrossgradeError)
    assert operator_table("npu", version="2.14").registered_in == "npu-2.14.csv"


HPU = """
add.Tensor:
  guid: add_fwd
topk:
  op_backend: TopK
own_thing:
  custom_op_schema: "own_thing(Tensor x) -> Tensor"
"""
XPU = "backend: XPU\nsupported:\n  - add.Tensor\n  - add.out\n"
XPU_IN_TREE = """
- func: mm(Tensor x) -> Tensor
  structured_delegate: mm.out
- func: mm.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)
  structured: True
  dispatch:
    CPU: mm_cpu
    XPU: mm_xpu
"""


def written(tmp_path: Path, **files: str) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in files}
    for name, text in files.items():
        paths[name].write_text(text, encoding="utf-8")
    return paths


def test_hpu_leaves_out_operators_of_another_namespace(tmp_path: Path) -> None:
    found = by_op(out_of_tree.hpu(written(tmp_path, hpu=HPU)["hpu"]))
    assert set(found) == {"add.Tensor", "topk"}
    with pytest.raises(BadOperatorTable):
        out_of_tree.hpu(written(tmp_path, bad="- a\n- b\n")["bad"])


def test_xpu_joins_both_lists(tmp_path: Path) -> None:
    files = written(tmp_path, xpu=XPU, tree=XPU_IN_TREE)
    found = by_op(out_of_tree.xpu(files["xpu"], files["tree"]))
    assert found["add.Tensor"] == {"op": "add.Tensor", "supported": "1", "in_tree": ""}
    assert {op for op, row in found.items() if row["in_tree"]} == {"mm", "mm.out"}


def test_lists_become_statements(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        yes='{"op_list": {"torch.add(x)": "-", "torch.jit.load": "-"}}',
        no='{"op_list": {"torch.nn.functional.mul": "-"}}',
        core="ATEN IR OP; SUPPORTED\naten::add.Tensor; YES\naten::mul; NO\n",
        bad="{}",
    )
    found = statements.migration(files["yes"], files["no"], frozenset({"add", "mul"}), "2.8")
    assert found.rows == (
        ("add", "base", "supported", "torch.add", "yes", "2.8"),
        ("mul", "base", "unsupported", "torch.nn.functional.mul", "no", "2.8"),
    )
    core = statements.core_aten(files["core"], "1")
    assert [row[:3] for row in core.rows] == [
        ("add.Tensor", "overload", "supported"), ("mul", "overload", "unsupported"),
    ]  # fmt: skip
    for broken in (
        lambda: statements.core_aten(files["yes"], "1"),
        lambda: statements.migration(files["bad"], files["no"], frozenset(), "1"),
        lambda: statements.migration(files["core"], files["no"], frozenset(), "1"),
    ):
        with pytest.raises(BadOperatorTable):
            broken()


KERNELS = """
## Operators implemented by CPUExecutionProvider
| Op Name | Parameters | OpSet Version | Types Supported |
|---------|------------|---------------|-----------------|
|**Operator Domain:** *ai.onnx*||||
|Add|*in* A:**T**|14+|**T** = tensor(double), tensor(float)<br/> **T1** = tensor(string)|
|||[7, 13]|**T** = tensor(float)|
|||6|**T** = tensor(float)|
|**Operator Domain:** *com.microsoft*||||
|Attention|*in* A:**T**|1+|**T** = tensor(float16)|
"""
REGISTERED = """
  static const BuildKernelCreateInfoFn function_table[] = {
      BuildKernelCreateInfo<ONNX_OPERATOR_KERNEL_CLASS_NAME(kX, kOnnxDomain, 1, MemcpyToHost)>,
      BuildKernelCreateInfo<ONNX_OPERATOR_VERSIONED_TYPED_KERNEL_CLASS_NAME(kX, kOnnxDomain,
                                                             7, 12, int32_t, Add)>,
      BuildKernelCreateInfo<ONNX_OPERATOR_TYPED_KERNEL_CLASS_NAME(kX, kOnnxDomain, 13,
                                                             MLFloat16, Add)>,
      BuildKernelCreateInfo<ONNX_OPERATOR_TYPED_KERNEL_CLASS_NAME(kX, kOnnxDomain, 13,
                                                             float_float, Add)>,
  };
"""


def test_onnx_kernels_from_the_page_and_from_sources(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        page=KERNELS,
        code=REGISTERED,
        names='x supported_ops = {"Conv",\n "Gemm"};',
        modes='supported_op_mode = {\n {"Xor", V_2022_1, {"CPU", "GPU"}},\n};',
    )
    sources = {"b": files["code"], "c": files["names"], "d": files["modes"]}
    found = onnx.onnx(files["page"], sources)
    assert found.rows == (
        ("Add", "b", "7-12 13+", "float16 float32"),
        ("Add", "cpu", "6 7-13 14+", "float32 float64"),
        ("Conv", "c", "", ""),
        ("Gemm", "c", "", ""),
        ("Xor", "d", "", ""),
        ("com.microsoft.Attention", "cpu", "1+", "float16"),
    )
    for kernels, sources in ((files["code"], {}), (files["page"], {"b": files["page"]})):
        with pytest.raises(BadOperatorTable):
            onnx.onnx(kernels, sources)


@needs_raw
def test_the_migration_lists_give_the_shipped_table() -> None:
    folder = Path(RAW or "") / "migration"
    lists = folder / "supported_op_2_8.json", folder / "op_list_2_8.json"
    found = statements.migration(*lists, program.aten_bases(DATA), "2.8")
    assert found.text() == shipped("npu-lists.csv")


@pytest.mark.parametrize(
    ("file", "raw_file", "derive"),
    [
        ("hpu.csv", "hpu_op.yaml", out_of_tree.hpu),
        ("mlu-2025-02.csv", "mlu_functions-2.4.yaml", out_of_tree.mlu),
        ("xpu-2.13.csv", "xpu_functions-2.13.yaml", lambda path: out_of_tree.xpu(path, None)),
        ("hpu-lists.csv", "hpu_aten_ops_table.csv", lambda p: statements.core_aten(p, "1.19.0")),
    ],
)
def test_other_lists_give_the_shipped_tables(file: str, raw_file: str, derive) -> None:
    if RAW is None or not raw(raw_file).is_file():
        pytest.skip(f"no {raw_file} among the raw lists")
    assert derive(raw(raw_file)).text() == shipped(file)


@needs_raw
def test_cann_kernels_agree_with_another_reading_of_them() -> None:
    listed = {row["op"] for row in read_rows(raw("onnxruntime_cann_ep_single_op.csv"))}
    ours = {row[0] for row in read_csv(DATA / "onnx.csv").rows if row[1] == "cann"}
    assert ours == listed

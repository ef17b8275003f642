"""Suites out of files: both forms of xpu-perf, CSV, the own form, folders, and what is refused."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrade.errors import BadSuite, FutureSchema
from crossgrade.workloads.suites import MOST_CASES, expanded, read_suite, suite_document

DATA = Path(__file__).parents[2] / "data"


def suite_of(folder: Path, document, name: str = "some.json"):
    file = folder / name
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_suite(file)


def failure(folder: Path, document, name: str = "some.json") -> BadSuite:
    with pytest.raises(BadSuite) as caught:
        suite_of(folder, document, name)
    assert str(folder / name) in caught.value.where
    assert caught.value.hint
    return caught.value


# expansion -------------------------------------------------------------------------------------
_values = st.one_of(st.integers(0, 9), st.sampled_from(["a", "b"]), st.booleans())
_plain = st.dictionaries(
    st.sampled_from("pqrs"), st.one_of(_values, st.lists(_values, min_size=1, max_size=4))
)
_rows = st.lists(st.lists(_values, min_size=3, max_size=3), min_size=1, max_size=4)
_zipped = st.dictionaries(st.sampled_from(["t.u", "v.w.x"]), _rows)


@settings(deadline=None)
@given(_plain, _zipped)
def test_an_object_stands_for_the_product_of_its_lists(plain, zipped):
    zipped = {k: [row[: len(k.split("."))] for row in rows] for k, rows in zipped.items()}
    row = {**plain, **zipped}
    cases = list(expanded(row))
    assert len(cases) == math.prod(len(v) for v in row.values() if isinstance(v, list))
    names = {name for key in row for name in key.split(".")}
    assert all(set(case) == names for case in cases)
    for key, rows in zipped.items():
        seen = [tuple(case[name] for name in key.split(".")) for case in cases]
        assert set(map(str, seen)) == {str(tuple(values)) for values in rows}


def test_the_last_key_changes_fastest():
    row = {"dtype": ["float32", "bfloat16"], "K.N": [[1, 2], [3, 4]], "M": [5, 6]}
    found = [(c["dtype"], c["K"], c["N"], c["M"]) for c in expanded(row)]
    wanted = itertools.product(row["dtype"], row["K.N"], row["M"])
    assert found == [(d, k, n, m) for d, (k, n), m in wanted]


def test_lists_of_the_batch_forms_are_values():
    row = {"arg_type": "batch_llm", "q_lens": [1, 2], "cache_lens": [3, 4]}
    assert list(expanded(row)) == [row]


# files of xpu-perf -----------------------------------------------------------------------------
def test_file_with_cases_is_named_after_its_operator():
    suite = read_suite(DATA / "xpu-perf" / "basic" / "tensor_gemm_ops" / "gemm.json")
    assert {case.op for case in suite.cases} == {"gemm"}
    assert suite.name == "gemm"
    first = suite.cases[0]
    assert first.dtype == "float32"
    assert set(first.arguments) == {"arg_type", "K", "N", "M"}
    assert first.source.endswith("gemm.json, gemm, case 1")


def test_file_of_several_operators():
    suite = read_suite(DATA / "xpu-perf" / "llm" / "single_test_ops" / "pre_fa_ops.json")
    assert [(op, len(list(rows))) for op, rows in itertools.groupby(suite.cases, lambda c: c.op)
            ] == [("rotary_embedding", 5), ("store_kv_cache", 16)]  # fmt: skip


def test_folder_is_read_whole_and_equal_cases_are_merged():
    suite = read_suite(DATA / "xpu-perf")
    assert suite.name == "xpu-perf"
    assert len({case.key for case in suite.cases}) == len(suite.cases)
    # Four index operators in two formats and one in three name [1024, 1024] twice.
    assert sum(case.calls for case in suite.cases) - len(suite.cases) == 4 * 2 + 3
    assert any("merged" in note for note in suite.notes)


def test_format_that_xpu_perf_implies_is_filled_in(tmp_path):
    suite = suite_of(tmp_path, {"quant_matmul": [{"num_tokens": 4}], "moe_swiglu": [{"topk": 2}]})
    assert [case.dtype for case in suite.cases] == ["int8", "bfloat16"]


def test_operator_of_a_vendor_is_kept_and_noted(tmp_path):
    suite = suite_of(tmp_path, {"fused_thing": [{"dtype": "bf16", "n": [1, 2]}]})
    assert [case.dtype for case in suite.cases] == ["bfloat16"] * 2
    assert suite.notes == ("2 cases of `fused_thing`, which the catalogue does not have",)


def test_csv(tmp_path):
    text = (
        "task_name,dtype,M,K,N,arg_type,add_residual,q_lens\ngemm,float32,4,8,16,default,,\n"
        'rms_norm,bfloat16,,,,llm,True,"[1, 2]"\n'
    )
    suite = suite_of(tmp_path, text, "some.csv")
    assert [dict(case.arguments) for case in suite.cases] == [
        {"M": 4, "K": 8, "N": 16, "arg_type": "default"},
        {"arg_type": "llm", "add_residual": True, "q_lens": [1, 2]},
    ]


# the own form ----------------------------------------------------------------------------------
def test_own_form_comes_back(tmp_path):
    case = {"op": "gemm", "dtype": "float32", "arguments": {"M": 1}, "seed": 3, "calls": 7}
    suite = suite_of(tmp_path, {"schema": 1, "cases": [case, case, {**case, "seed": 4}]})
    assert [(c.seed, c.calls) for c in suite.cases] == [(3, 14), (4, 7)]
    again = suite_of(tmp_path, suite_document(suite), "again.json")
    assert [c.key for c in again.cases] == [c.key for c in suite.cases]
    assert [c.calls for c in again.cases] == [14, 7]


def test_own_form_of_the_future_is_refused(tmp_path):
    with pytest.raises(FutureSchema, match="schema 2"):
        suite_of(tmp_path, {"schema": 2, "cases": []})


@pytest.mark.parametrize(
    ("case", "what"),
    [
        ({"dtype": "float32"}, "`op` is missing"),
        ({"op": "add"}, "`dtype` is missing"),
        ({"op": "add", "dtype": 3}, "`dtype` is 3"),
        ({"op": "add", "dtype": "float32", "size": 3}, "no key `size`"),
        ({"op": "add", "dtype": "float32", "arguments": [1]}, "`arguments`"),
        ({"op": "add", "dtype": "float32", "calls": 0}, "`calls` is 0"),
        ({"op": "add", "dtype": "float32", "calls": True}, "`calls` is True"),
        ({"op": "add", "dtype": "float32", "seed": -1}, "`seed` is -1"),
        ("add", "not an object"),
    ],
)  # fmt: skip
def test_wrong_case_of_the_own_form(tmp_path, case, what):
    good = {"op": "add", "dtype": "float32"}
    error = failure(tmp_path, {"schema": 1, "cases": [good, case]})
    assert what in error.message
    assert "case 2" in error.where


# refusals --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("document", "what", "where"),
    [
        ("{", "not JSON", ""),
        ("[1]", "not a JSON object", ""),
        ("{}", "not a JSON object", ""),
        ("[" * 100_000, "not JSON", ""),
        ({"gemm": {"M": 1}}, "not a list of cases", "gemm"),
        ({"gemm": [1]}, "not an object", "gemm, case 1"),
        ({"gemm": [{"dtype": "float32", "M": []}]}, "`M` is an empty list", "gemm, case 1"),
        ({"gemm": [{"dtype": "float32"}, {"dtype": "float32", "K.N": [[1, 2, 3]]}]},
         "`K.N` needs lists of 2", "gemm, case 2"),
        ({"gemm": [{"dtype": "float32", "K.N": 1}]}, "`K.N` needs lists of 2", "gemm, case 1"),
        ({"gemm": [{"M": 1}]}, "`dtype` is missing", "gemm, case 1"),
        ({"gemm": [{"dtype": [["float32"]]}]}, "`dtype` is", "gemm, case 1"),
        ({"schema": "1", "cases": []}, "schema '1' is not 1", ""),
        ({"schema": True, "cases": []}, "schema True is not 1", ""),
        ({"schema": 1}, "not a list of cases", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, document, what, where):
    error = failure(tmp_path, document)
    assert what in error.message
    assert where in error.where


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no column"),
        ("op,dtype\nadd,float32\n", "no column `task_name`"),
        ("task_name,dtype\nadd,float32,3\n", "more cells"),
        ("task_name,dtype\n,float32\n", "`task_name` is empty"),
        ("task_name,dtype\nadd,\n", "`dtype` is missing"),
    ],
)
def test_wrong_csv(tmp_path, text, what):
    assert what in failure(tmp_path, text, "some.csv").message


def test_millions_of_cases_are_refused_before_they_are_made(tmp_path):
    error = failure(tmp_path, {"gemm": [{"dtype": "float32", "M": [1] * 3000, "K": [1] * 3000}]})
    assert "100,000" in error.message
    assert "9,000,000" in error.message
    assert MOST_CASES == 100_000


def test_a_folder_has_one_limit_for_all(tmp_path):
    for name in "ab":
        row = {"dtype": "float32", "M": list(range(60_000))}
        (tmp_path / f"{name}.json").write_text(json.dumps({"gemm": [row]}))
    with pytest.raises(BadSuite, match="100,000"):
        read_suite(tmp_path)


def test_paths_that_are_no_suite(tmp_path):
    for path, what in ((tmp_path, "no .json"), (tmp_path / "none.json", "no such file")):
        with pytest.raises(BadSuite, match=what):
            read_suite(path)
    assert "neither" in failure(tmp_path, "x", "some.txt").message
    (tmp_path / "some.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSuite, match="cannot be read"):
        read_suite(tmp_path / "some.json")

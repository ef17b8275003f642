"""`crossgrade chips ops` as a user runs it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from crossgrade.cli.main import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(["chips", "ops", *arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_a_name_on_every_backend(capsys):
    code, out, err = run(capsys, "_grouped_mm")
    assert (code, err) == (0, "")
    assert "| _grouped_mm | composite | native | native |" in out
    assert "this is not a no" in out


def test_a_chip_beside_a_backend_with_evidence(capsys):
    code, out, _ = run(capsys, "topk", "--on", "ascend-950dt", "--backend", "cuda", "--evidence")
    assert code == 0
    assert "npu-api.csv" in out
    assert "aten-2.15.csv [2.15]: topk: CUDA=1" in out


def test_changes_between_two_versions(capsys):
    code, out, _ = run(capsys, "--diff", "npu@2.7", "npu@2.13", "--format", "csv", "--overloads")
    assert code == 0
    kinds = {row[1] for row in csv.reader(io.StringIO(out)) if not row[0].startswith("#")}
    assert kinds == {"kind", "gained", "disappeared", "limits"}


def test_json_and_its_error(capsys):
    _, out, _ = run(capsys, "mm", "--json")
    assert json.loads(out)["data"]["lines"][0]["op"] == "mm"
    code, out, _ = run(capsys, "mm", "--backend", "nope", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "CG-E103"


def test_a_file_is_written_and_named(capsys, tmp_path):
    path = tmp_path / "ops.html"
    code, out, err = run(capsys, "*attention*", "--format", "html", "--out", str(path))
    assert (code, out) == (0, "")
    assert str(path) in err
    assert path.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nothing-like-this",), "CG-E103"),
        (("--backend", "npu@1"), "CG-E103"),
        (("--on", "no-chip"), "CG-E101"),
        (("--level", "good"), "CG-E100"),
        (("--format", "csv", "--json"), "CG-E103"),
        (("--diff", "npu"), "CG-E100"),
        (("--diff", "npu", "npu"), None),
        (("mm", "--out", f"{__file__}/x"), "CG-E208"),
        (("mm", "--namespace", "onnx", "--on", "h200"), "CG-E103"),
    ],
)
def test_wrong_usage_ends_with_two_and_one_line(capsys, arguments, code):
    ended, _, err = run(capsys, *arguments)
    assert ended == (2 if code else 0)
    if code and "--json" not in arguments:
        assert err.startswith(f"error[{code}]")
        assert err.count("\n") == 1


def test_onnx(capsys):
    code, out, _ = run(capsys, "Conv", "--namespace", "onnx", "--backend", "cann")
    assert code == 0
    assert "| Conv | native |" in out

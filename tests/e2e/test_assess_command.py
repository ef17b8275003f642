"""The command as a user runs it: answers, exit codes, errors, records."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from crossgrade.chips.loader import DATA, load_chip
from crossgrade.cli.main import main
from crossgrade.records.codec import load
from crossgrade.workloads.resolve import preset_names


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def shell(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "crossgrade", *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, **options,
    )  # fmt: skip


SIZES = ("--tokens", "64", "--context", "64")


def test_the_answer_comes_first_and_goes_to_stdout(capsys, dense_config):
    code, out, err = run(capsys, "assess", str(dense_config), "--on", "h200", *SIZES)
    assert code == 0
    assert out.splitlines()[0].endswith("on h200: runs")
    assert "capturing prefill" in err
    assert "record: " in err
    for word in ("predicted", "weights", "operators by support", "how we know"):
        assert word in out


def test_json_is_one_document_with_every_number_classed(capsys, dense_config):
    code, out, _ = run(capsys, "assess", str(dense_config), "--on", "h200", "--json", *SIZES)
    assert code == 0
    document = json.loads(out)
    assert set(document) == {"schema", "command", "verdict", "data"}
    chip = document["data"]["chips"][0]
    assert [p["phase"] for p in chip["phases"]] == ["prefill", "decode"]
    for phase in chip["phases"]:
        assert phase["speed"]["time_s"]["kind"] == "predicted"
        assert phase["memory"]["kind"] == "exact"
    assert all(c["url"].startswith("https://") for c in chip["constants"])


def test_all_three_phases_and_several_chips_in_one_run(capsys, moe_config):
    code, out, _ = run(
        capsys, "assess", str(moe_config), "--on", "ascend-910b2", "--on", "mi300x", "--phase",
        "prefill", "--phase", "decode", "--phase", "train", "--json", *SIZES,
    )  # fmt: skip
    chips = json.loads(out)["data"]["chips"]
    assert code == 0
    assert [c["chip"] for c in chips] == ["ascend-910b2", "mi300x"]
    assert [p["phase"] for p in chips[0]["phases"]] == ["prefill", "decode", "train"]
    assert chips[0]["phases"][2]["memory"]["optimizer"] > 0


def test_an_alias_is_resolved_and_shown(capsys, dense_config):
    _, out, _ = run(capsys, "assess", str(dense_config), "--on", "950dt", "--json", *SIZES)
    chip = json.loads(out)["data"]["chips"][0]
    assert (chip["passed"], chip["chip"]) == ("950dt", "ascend-950dt")


def test_a_chip_without_operator_table_ends_with_three(capsys, dense_config, monkeypatch):
    chip = replace(load_chip("gaudi3"), op_table="trainium")
    monkeypatch.setattr("crossgrade.api.assessing.chip", lambda name: chip)
    code, out, _ = run(capsys, "assess", str(dense_config), "--on", "gaudi3", *SIZES)
    assert code == 3
    assert "unknown" in out.splitlines()[0]


def test_the_record_holds_what_was_passed_and_what_was_used(capsys, dense_config, tmp_path):
    run(capsys, "assess", str(dense_config), "--on", "h200", "--out", str(tmp_path), *SIZES)
    [path] = tmp_path.glob("*.json")
    record = load(path)
    assert record.kind == "assessment"
    assert record.passed["tokens"] == 64
    assert record.passed["dtype"] is None
    assert record.resolved["weights"].startswith("bfloat16")
    assert record.data["chips"][0]["phases"][0]["capture_digest"]


def test_no_record_is_written_when_none_is_wanted(capsys, dense_config, tmp_path):
    _, _, err = run(capsys, "assess", str(dense_config), "--on", "h200", "--no-record",
                    "--phase", "decode", "--out", str(tmp_path), *SIZES)  # fmt: skip
    assert "record" not in err
    assert not list(tmp_path.iterdir())


def test_captures_are_saved_and_load_again(capsys, dense_config, tmp_path):
    from crossgrade.capture.codec import load as load_capture

    run(capsys, "assess", str(dense_config), "--on", "h200", "--phase", "decode", "--no-record",
        "--save-captures", str(tmp_path), *SIZES)  # fmt: skip
    [path] = tmp_path.glob("*.cgcap")
    assert load_capture(path).workload.phase == "decode"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("qwen3-0.6b",), "CG-E103", "no chip given"),
        (("qwen3-0.6b", "--on", "asend-950dt"), "CG-E101", "did you mean ascend-950dt"),
        (("qwen3-0.6b", "--on", "cuda:0"), "CG-E101", "cuda:0"),
        (("qwen3-0.7b", "--on", "h200"), "CG-E102", "did you mean"),
        (("qwen3-0.6b", "--on", "h200", "--batch", "-1"), "CG-E103", "--batch -1"),
        (("qwen3-0.6b", "--on", "h200", "--batch", "99999999999"), "CG-E103", "2^31"),
        (("qwen3-0.6b", "--on", "h200", "--tokens", "0"), "CG-E103", "--tokens 0"),
        (("qwen3-0.6b", "--on", "h200", "--context", "-5"), "CG-E103", "--context -5"),
        (("qwen3-0.6b", "--on", "h200", "--dtype", "bf8"), "CG-E103", "one of"),
        (("qwen3-0.6b", "--on", "h200", "--chips", "0"), "CG-E103", "--chips 0"),
        (("qwen3-0.6b", "--on", "h200", "--chips", "many"), "CG-E103", "auto"),
        (("qwen3-0.6b", "--on", "h200", "--price", "h100=3"), "CG-E103", "not among --on"),
        (("qwen3-0.6b", "--on", "h200", "--price", "h200=nan"), "CG-E103", "above 0"),
        (("qwen3-0.6b", "--on", "h200", "--phase", "rest"), "CG-E100", "prefill"),
        (("qwen3-0.6b", "--on", "h200", "--bach", "1"), "CG-E100", "No such option"),
        (("nowhere.module:make", "--on", "h200"), "CG-E203", "ModuleNotFoundError"),
    ],
)
def test_bad_input_is_one_line_with_code_and_hint_and_ends_with_two(capsys, arguments, code, words):
    ended, out, err = run(capsys, "assess", *arguments)
    line = err.strip().splitlines()[-1]
    assert ended == 2
    assert out == ""
    assert line.startswith(f"error[{code}]: ")
    assert words in line
    assert "hint: " in line
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "CG-E201"),
        ("[1, 2]", "CG-E201"),
        ("{}", "CG-E201"),
        ('{"model_type": 3}', "CG-E201"),
        ('{"model_type": "no_such_model"}', "CG-E202"),
        ('{"model_type": "qwen3", "hidden_size": -4}', "CG-E201"),
        ('{"model_type": "qwen3", "num_hidden_layers": 100000000}', "CG-E201"),
        ('{"model_type": "qwen3", "hidden_size": "wide"}', "CG-E201"),
    ],
)
def test_a_broken_configuration_is_refused(capsys, tmp_path, text, code):
    path = tmp_path / "config.json"
    path.write_text(text)
    ended, _, err = run(capsys, "assess", str(path), "--on", "h200")
    assert ended == 2, err
    assert err.strip().splitlines()[-1].startswith(f"error[{code}]")


def test_a_failure_is_json_too_when_json_was_asked_for(capsys):
    ended, out, err = run(capsys, "assess", "qwen3-0.6b", "--on", "h201", "--json")
    error = json.loads(out)["error"]
    assert ended == 2
    assert err == ""
    assert error["code"] == "CG-E101"
    assert error["kind"] == "usage"
    assert error["hint"]


def test_nothing_in_a_model_folder_is_executed_and_nothing_prompts(tmp_path):
    marker = tmp_path / "executed"
    config = {"model_type": "my_model", "architectures": ["MyModel"],
              "auto_map": {"AutoConfig": "configuration_my.MyConfig",
                           "AutoModelForCausalLM": "modeling_my.MyModel"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name in ("configuration_my.py", "modeling_my.py", "__init__.py"):
        (tmp_path / name).write_text(f"open({str(marker)!r}, 'w').close()\n")
    done = shell("assess", str(tmp_path), "--on", "h200", cwd=tmp_path)
    assert done.returncode == 2
    assert "CG-E202" in done.stderr
    assert not marker.exists()


def test_an_interrupted_run_ends_with_130_and_leaves_no_half_file(tmp_path):
    environment = os.environ | {"CROSSGRADE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "crossgrade", "assess", "qwen3-8b", "--on", "h200"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "building" in line
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().endswith("interrupted")
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.tmp"))


def test_lists_of_models_and_chips(capsys):
    code, models, _ = run(capsys, "models")
    assert code == 0
    names = [line.partition("\t")[0] for line in models.splitlines()]
    assert names == ["name", *preset_names()]
    code, chips, _ = run(capsys, "chips", "--json")
    assert code == 0
    data = json.loads(chips)["data"]
    assert data["probed"] == ["cpu"]
    assert {"ascend-950dt", "mi300x"} <= {chip["name"] for chip in data["chips"]}


def test_a_chip_of_the_user_is_assessed_beside_a_shipped_one(capsys, dense_config, tmp_path):
    text = (DATA / "ascend-910b2.toml").read_text(encoding="utf-8")
    text = text.replace('"ascend-910b2"', '"my-npu"', 1)
    text = re.sub(r"aliases = .*", "aliases = []", text, count=1)
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    given = ("--on", "ascend-910b2", "--chip-file", str(path), "--json", "--phase", "decode")
    code, out, _ = run(capsys, "assess", str(dense_config), *given, *SIZES)
    shipped, own = json.loads(out)["data"]["chips"]
    assert code == 0
    assert (own["passed"], own["chip"]) == ("my-npu", "my-npu")
    assert own["phases"][0]["speed"]["time_s"] == shipped["phases"][0]["speed"]["time_s"]
    assert own["constants"] == shipped["constants"]
    path.write_text(text.replace('op_table = "npu"', 'op_table = "none"'), encoding="utf-8")
    assert run(capsys, "assess", str(dense_config), "--chip-file", str(path), *SIZES)[0] == 3
    path.write_text(text.replace('"my-npu"', '"h100"', 1), encoding="utf-8")
    code, out, err = run(capsys, "assess", str(dense_config), "--chip-file", str(path), *SIZES)
    assert (code, out) == (2, "")
    assert err.startswith("error[CG-E204]")


def test_the_library_does_what_the_command_does(dense_config):
    import crossgrade
    from crossgrade.api import AssessOptions

    answer = crossgrade.assess(
        str(dense_config), AssessOptions(on=("h200",), phases=("decode",), context=64)
    )
    assert answer.verdict == "runs"
    assert answer.exit_code == 0


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, crossgrade; "
        "heavy = {'torch', 'numpy', 'rich', 'pydantic', 'duckdb', 'transformers', 'click'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_record_is_read_and_rendered_without_torch():
    code = (
        "import sys, crossgrade.report.terminal, crossgrade.report.assessment, "
        "crossgrade.records.codec, crossgrade.ledger.claims, crossgrade.check.assess; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_folder_that_cannot_be_written_does_not_cost_the_answer(capsys, dense_config, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code, out, err = run(capsys, "assess", str(dense_config), "--on", "h200", "--phase", "decode",
                         "--out", str(blocked / "below"), *SIZES)  # fmt: skip
    assert code == 2
    assert "on h200: runs" in out
    assert "error[CG-E208]" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--on", "h200", "--on", "h200"),
        ("--on", "h200", "--phase", "train", "--context", "64"),
        ("--on", "h200", "--phase", "train", "--phase", "train"),
    ],
)
def test_what_would_be_ignored_is_refused(capsys, arguments):
    code, _, err = run(capsys, "assess", "qwen3-0.6b", *arguments)
    assert code == 2
    assert "error[CG-E103]" in err


def test_a_factory_that_prints_does_not_spoil_json(capsys, tmp_path, monkeypatch):
    (tmp_path / "loud_factory.py").write_text(
        "import torch\nprint('HELLO')\n"
        "def make():\n    print('HELLO')\n    return torch.nn.Linear(8, 8), (torch.zeros(2, 8),)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = run(capsys, "assess", "loud_factory:make", "--on", "h200", "--json")
    assert code == 0
    assert json.loads(out)["command"] == "assess"
    assert "HELLO" in err


def test_reports_are_written_beside_the_answer(capsys, dense_config, tmp_path):
    names = {"--html": "a.html", "--markdown": "a.md", "--sarif": "a.sarif"}
    given = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    code, out, err = run(capsys, "assess", str(dense_config), "--on", "mi308x", "--on", "cpu",
                         *SIZES, *given)  # fmt: skip
    assert code == 0
    assert "## findings" in out
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert "| mi308x |" in (tmp_path / "a.md").read_text()
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"
    assert err.count(str(tmp_path)) == 3


def test_a_report_that_cannot_be_written_costs_nothing_else(capsys, dense_config, tmp_path):
    nowhere, there = f"{__file__}/x.html", tmp_path / "a.md"
    code, out, err = run(capsys, "assess", str(dense_config), "--on", "h200", "--json", *SIZES,
                         "--html", nowhere, "--markdown", str(there))  # fmt: skip
    assert code == 2
    assert json.loads(out)["command"] == "assess"
    assert "error[CG-E208]" in err
    assert "record: " in err
    assert there.exists()


def test_two_reports_in_one_file_are_refused_before_any_work(capsys, dense_config, tmp_path):
    path = str(tmp_path / "a")
    code, out, err = run(capsys, "assess", str(dense_config), "--on", "h200", "--html", path,
                         "--sarif", path)  # fmt: skip
    assert (code, out) == (2, "")
    assert "name one file twice" in err


def test_a_record_of_the_same_question_shows_no_change(capsys, dense_config, tmp_path):
    asked = ("assess", str(dense_config), "--on", "h200", *SIZES)
    run(capsys, *asked, "--out", str(tmp_path))
    (record,) = tmp_path.glob("*.json")
    code, out, _ = run(capsys, *asked, "--compare", str(record), "--no-record")
    assert code == 0
    assert "nothing that both records know is different" in out
    code, out, _ = run(capsys, *asked, "--explain", "decode.time", "--no-record")
    assert code == 0
    assert "memory_bandwidth" in out
    assert run(capsys, *asked, "--explain", "decode.speed")[0] == 2
    assert run(capsys, *asked, "--compare", str(tmp_path / "none.json"))[0] == 2


def test_the_time_of_a_stack_is_shown_and_can_be_chosen(capsys, dense_config):
    asked = ["assess", str(dense_config), "--on", "h100", "--phase", "decode", "--no-record"]
    code, out, _ = run(capsys, *asked)
    assert code == 0
    assert "| h100 | 1 | vllm |" in out
    code, out, _ = run(capsys, *asked, "--stack", "trtllm", "--json")
    assert code == 0
    stack = json.loads(out)["data"]["chips"][0]["phases"][0]["stack"]
    assert stack["stack"] == "trtllm"
    assert stack["low_s"] <= stack["mid_s"] <= stack["high_s"]
    assert {part["tier"] for part in stack["parts"]} <= {"T0", "T1", "T2"}


@pytest.mark.parametrize(("arguments", "words"), [
    (["--stack", "tgi"], "one of compile"),
    (["--stack", "vllm", "--phase", "train"], "does not train"),
    (["--stack", "vllm-ascend"], "does not run on h100"),
])  # fmt: skip
def test_a_stack_that_cannot_be_timed_is_refused(capsys, dense_config, arguments, words):
    code, _, err = run(capsys, "assess", str(dense_config), "--on", "h100", *arguments)
    assert code == 2
    assert words in err


def test_a_stack_is_left_out_on_the_chips_that_it_does_not_run_on(capsys, dense_config):
    code, out, _ = run(capsys, "assess", str(dense_config), "--on", "h100", "--on", "ascend-910b2",
                       "--stack", "trtllm", "--phase", "decode", "--no-record")  # fmt: skip
    assert code == 0
    assert "| h100 | 1 | trtllm |" in out
    assert "| ascend-910b2 | 1 | trtllm |" not in out
    assert "trtllm does not run on ascend-910b2: no time of it there" in out


def test_measured_kernels_go_before_fits_and_are_named(capsys, dense_config, tmp_path):
    pytest.importorskip("scipy")
    grid = [(m, n, k) for m in (1, 64, 4096) for n in (64, 512, 4096) for k in (64, 512, 4096)]
    lines = [f"matmul,mm,bf16,vllm,1,{m},{n},{k},{5e-6 + 2 * m * n * k / 3e14:.6e}"
             for m, n, k in grid]  # fmt: skip
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["family,op,format,stack,batch,m,n,k,seconds", *lines]))
    page, kept = tmp_path / "page.html", tmp_path / "records"
    asked = ["--on", "h100", "--phase", "decode", "--out", str(kept)]
    code, out, err = run(capsys, "assess", str(dense_config), *asked, "--table", f"h100={table}",
                         "--explain", "--html", str(page))  # fmt: skip
    assert code == 0, err
    (record,) = map(load, kept.glob("*.json"))
    assert record.passed["tables"] == [["h100", str(table)]]
    parts = record.data["chips"][0]["phases"][0]["stack"]["parts"]
    assert any("mine.csv, sha256 " in part["basis"] for part in parts)
    assert "27 measured kernels of h100 (mine.csv, sha256 " in out
    assert "27 measured kernels of h100 (mine.csv, sha256 " in page.read_text()
    assert "--table h100=mine.csv" in page.read_text()
    assert str(tmp_path) not in page.read_text()


@pytest.mark.parametrize(("given", "words"), [
    ("h100", "CHIP=FILE"), ("b200=x.csv", "not among --on"), ("h100=x.csv", "no such file"),
])  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_before_any_work(capsys, dense_config, given, words):
    code, _, err = run(capsys, "assess", str(dense_config), "--on", "h100", "--table", given)
    assert code == 2
    assert words in err
    assert "capturing" not in err

"""`doctor`, `explain`, `models` and completion as a shell starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

STARTS = ([sys.executable, "-m", "crossgrade"], {"stdin": subprocess.DEVNULL, "timeout": 120})


def shell(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    line, options = STARTS
    return subprocess.run(
        [*line, *arguments], capture_output=True, text=True, env={**os.environ, **env}, **options
    )


def completed(line: str, shell_name: str = "bash") -> list[str]:
    """Return what the shell gets for a line with the cursor at its end."""
    words = line.split(" ")
    env = {"_CROSSGRADE_COMPLETE": f"{shell_name}_complete", "COMP_WORDS": line,
           "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    if shell_name == "fish":
        env["COMP_CWORD"] = words[-1]
    done = shell(**env)
    assert done.stderr == ""
    return done.stdout.strip("\n").splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("crossgrade exp", ["plain,explain"]),
        (
            "crossgrade assess qwen3-8b --on ascend-950",
            ["plain,ascend-950dt", "plain,ascend-950pr"],
        ),
        ("crossgrade assess --on cp", ["plain,cpu"]),
        ("crossgrade assess qwen3-0", ["plain,qwen3-0.6b"]),
        ("crossgrade assess ./fol", ["file,./fol"]),
        ("crossgrade assess qwen3-8b --save", ["plain,--save-captures"]),
        ("crossgrade assess qwen3-8b --phase dec", ["plain,decode"]),
        ("crossgrade models kimi-k2.", ["plain,kimi-k2.5"]),
        ("crossgrade explain CG-F20", [f"plain,CG-F20{n}" for n in range(1, 8)]),
        ("crossgrade explain compo", ["plain,composite"]),
        ("crossgrade completion z", ["plain,zsh"]),
        ("crossgrade explain nosuch", []),
    ],
)
def test_bash_completes(line, expected):
    assert completed(line) == expected


def test_commands_are_completed():
    names = [line.partition(",")[2] for line in completed("crossgrade ")]
    assert {"assess", "chips", "completion", "doctor", "explain", "models"} <= set(names)


def test_zsh_and_fish_get_a_description():
    zsh = completed("crossgrade explain CG-F101", "zsh")
    assert zsh[:3] == [
        "plain",
        "CG-F101",
        "An operator has no kernel of its own and becomes others",
    ]
    [fish] = completed("crossgrade assess --on ascend-950d", "fish")
    assert fish.startswith("plain,ascend-950dt")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_is_printed(name):
    done = shell("completion", name)
    assert done.returncode == 0
    assert f"_CROSSGRADE_COMPLETE={name}_complete" in done.stdout


def test_real_bash_completes_with_the_script(tmp_path):
    """Source the script in bash and call the function that it registers."""
    (tmp_path / "crossgrade").write_text(f'#!/bin/sh\nexec {sys.executable} -m crossgrade "$@"\n')
    (tmp_path / "crossgrade").chmod(0o755)
    script = """
        eval "$(crossgrade completion bash)"
        complete -p crossgrade
        COMP_WORDS=(crossgrade assess qwen3-8b --on ascend-95); COMP_CWORD=4
        _crossgrade_completion crossgrade
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.splitlines()[1:] == ["ascend-950dt", "ascend-950pr"], done.stderr


def test_completion_and_listing_import_nothing_heavy():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from crossgrade.cli import complete\n"
        "from crossgrade import api\n"
        "for f in (complete.complete_chips, complete.complete_models, complete.complete_codes):\n"
        "    assert f(None, None, '')\n"
        "api.render_models(api.models()); api.render_pages(api.explain())\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_explain_prints_a_page_and_refuses_what_it_does_not_know():
    done = shell("explain", "CG-E101")
    assert done.returncode == 0
    assert done.stdout.startswith("# CG-E101 (error): ")
    done = shell("explain", "CG-F999", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "CG-E110"
    assert "did you mean CG-F" in error["hint"]


def test_models_filters_and_refuses():
    done = shell("models", "qwen3-8b", "--json")
    [row] = json.loads(done.stdout)["data"]
    assert (row["name"], row["parameters"]) == ("qwen3-8b", 8_190_735_360)
    done = shell("models", "nosuch")
    assert done.returncode == 2
    assert done.stderr.startswith("error[CG-E102]: no preset matches 'nosuch'")


# doctor ----------------------------------------------------------------------------------------
def fake_packages(folder, **codes: str) -> str:
    """Write packages that stand before the real ones, and return the search path."""
    for name, code in codes.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(code)
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def test_doctor_says_that_all_works_here():
    done = shell("doctor", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["verdict"], document["command"]) == (0, "works", "doctor")
    states = {p["name"]: p for p in document["data"]["packages"]}
    assert states["torch"]["status"] == "installed"
    assert states["torch"]["facts"]["build for CUDA"]
    assert document["data"]["chips"] >= 13
    assert any(t.startswith("npu ") for t in document["data"]["operator_tables"])


def test_doctor_says_which_sensor_of_energy_is_here(tmp_path):
    (tmp_path / "npu-smi").write_text(
        "#!/bin/sh\n"
        'if [ "$2" = -m ]; then echo "NPU ID  Chip ID  Chip Logic ID  Chip Name"\n'
        "echo '0  0  0  Ascend 910B3'; else echo 'NPU Real-time Power(W) : 93.4'; fi\n"
    )
    (tmp_path / "npu-smi").chmod(0o755)
    done = shell("doctor", "--json", PATH=f"{tmp_path}:{os.environ['PATH']}")
    states = {s["device"]: s for s in json.loads(done.stdout)["data"]["energy"]}
    assert list(states) == ["cpu", "cuda", "npu", "xpu"]
    assert (states["npu"]["sensor"], states["npu"]["reason"]) == ("npu-smi NPU 0 chip 0", None)
    assert all(s["sensor"] or (s["reason"] and s["detail"]) for s in states.values())


def test_doctor_outlives_a_sensor_that_crashes(tmp_path):
    done = shell("doctor", "--json", PYTHONPATH=fake_packages(tmp_path, pynvml=KILL))
    states = {s["device"]: s for s in json.loads(done.stdout)["data"]["energy"]}
    assert (states["cuda"]["reason"], states["cuda"]["detail"]) == ("error", "pynvml is broken")
    # Torch imports the package too, and dies of it.
    assert done.returncode == 2
    assert states["cpu"]["reason"] != "error"


KILL = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_doctor_outlives_a_torch_that_crashes(tmp_path):
    done = shell("doctor", PYTHONPATH=fake_packages(tmp_path, torch=KILL))
    assert done.returncode == 2
    assert "died with signal 11 (SIGSEGV)" in done.stdout
    assert "| capture | BROKEN |" in done.stdout
    assert "| chips | works |" in done.stdout
    assert "| npu | none |  |  | no-sensor: npu-smi is not on the search path |" in done.stdout


def test_doctor_outlives_a_core_that_crashes(tmp_path):
    path = fake_packages(tmp_path, numpy=KILL, rich="raise ImportError('no rich')", torch="")
    done = shell("doctor", "--json", PYTHONPATH=path)
    assert done.returncode == 2, done.stderr
    rooms = {r["name"]: r["status"] for r in json.loads(done.stdout)["data"]["rooms"]}
    assert rooms["chips"] == "broken"
    assert rooms["report"] == "broken"
    assert rooms["explain"] == "works"


def test_a_broken_vendor_package_that_nothing_needs_is_shown_and_no_fault(tmp_path):
    code = "raise ImportError('libhccl.so: cannot open shared object file')"
    done = shell("doctor", PYTHONPATH=fake_packages(tmp_path, torch_npu=code))
    assert done.returncode == 0
    assert "libhccl.so" in done.stdout
    assert "set_env.sh" in done.stdout


def test_an_old_torch_is_said_to_be_old(tmp_path):
    path = fake_packages(tmp_path, torch="__version__ = '2.6.0'")
    info = tmp_path / "torch-2.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.6.0\n")
    done = shell("doctor", PYTHONPATH=path)
    assert "torch 2.6.0 is too old" in done.stdout
    assert "needs torch 2.11 or newer; 2.6.0 is here" in done.stdout


def test_doctor_ends_what_hangs(tmp_path):
    path = fake_packages(tmp_path, openvino="import time; time.sleep(600)")
    done = shell("doctor", "--timeout", "20", "--json", PYTHONPATH=path)
    states = {p["name"]: p for p in json.loads(done.stdout)["data"]["packages"]}
    assert states["openvino"]["error"] == "the import had no end within 20 s"


def test_an_interrupt_does_not_wait_for_what_hangs(tmp_path):
    code = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)"
    )
    path = fake_packages(tmp_path, torch=code)
    process = subprocess.Popen([sys.executable, "-m", "crossgrade", "doctor"],
                               env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in err
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


@pytest.mark.parametrize("value", ["0", "-3", "nan"])
def test_doctor_refuses_a_limit_that_makes_no_sense(value):
    done = shell("doctor", "--timeout", value)
    assert done.returncode == 2
    assert "error[CG-E103]: --timeout" in done.stderr


@pytest.mark.parametrize("model", ["qwen3-0.6b", "nosuch_module:make", "model.pt2"])
def test_assess_with_a_torch_that_cannot_be_imported_is_one_line(tmp_path, model):
    (tmp_path / "model.pt2").write_bytes(b"x")
    code = "raise RuntimeError('Failed to load the backend extension: torch_npu.')"
    spec = str(tmp_path / model) if model.endswith("pt2") else model
    path = fake_packages(tmp_path, torch=code)
    done = shell("assess", spec, "--on", "h200", PYTHONPATH=path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error[CG-E301]" in done.stderr
    assert "`crossgrade doctor` says what is wrong" in done.stderr

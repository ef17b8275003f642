"""Time, memory and calls per second of every shipped preset, one fresh process each.

    python benchmarks/assess.py [--train] [--only NAME] [--tokens N] [--context N] [--json FILE]
    python benchmarks/assess.py --imports

A process per preset makes the peak of memory that preset's own. A preset that does not capture
prints its reason. Nothing is asserted: times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GOALS = {"prefill": 56, "decode": 56, "train": 45}
"""Presets of the shipped 62 that are to capture, per phase."""
HEAD = ("preset", "phase", "calls", "distinct", "build s", "capture s", "calls/s", "price s",
        "peak GB")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    options = _options(argv)
    if options.child:
        _child(options)
    elif options.imports:
        _imports(options.runs)
    else:
        _parent(options)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="this preset; repeatable")
    parser.add_argument("--train", action="store_true", help="capture a train step too")
    parser.add_argument("--tokens", type=int, default=4096, help="prompt and sequence length")
    parser.add_argument("--context", type=int, default=8192, help="cache length of decode")
    parser.add_argument("--timeout", type=float, default=900.0, help="limit per preset, s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--imports", action="store_true", help="time of `import crossgrade`")
    parser.add_argument("--runs", type=int, default=10, help="runs per figure of --imports")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


# one preset ----------------------------------------------------------------------------------
def _child(options: argparse.Namespace) -> None:
    """Capture one preset's phases; print one JSON line per phase."""
    from crossgrade.capture.run import CaptureSession
    from crossgrade.workloads.resolve import find_model

    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not a result
    try:
        start = time.perf_counter()
        found = find_model(options.child)
        session = CaptureSession(found.build(None))
        build_s = time.perf_counter() - start
    except Exception as error:
        for phase in _phases(options):
            _say(out, {"phase": phase, "reason": _reason(error)})
        return
    for phase in _phases(options):
        try:
            row = _measured(session, found.ref, phase, options)
        except Exception as error:
            row = {"reason": _reason(error)}
        _say(out, {"phase": phase, "build_s": build_s, "peak_bytes": _peak_rss()} | row)


def _measured(session: Any, ref: Any, phase: str, options: argparse.Namespace) -> dict[str, Any]:
    from crossgrade.predict.phase import prepare
    from crossgrade.values.workload import Workload

    decode = phase == "decode"
    workload = Workload(
        model=ref, phase=phase, batch=1, tokens=1 if decode else options.tokens,
        context=options.context if decode else 0, dtype=None,
    )  # fmt: skip
    start = time.perf_counter()
    capture = session.capture(workload)
    captured = time.perf_counter()
    prepared = prepare(capture)
    return {
        "calls": capture.calls, "keys": capture.keys, "capture_s": captured - start,
        "price_s": time.perf_counter() - captured, "flops": prepared.flops,
        "parameters": prepared.memory.parameters, "peak_bytes": _peak_rss(),
    }  # fmt: skip


def _phases(options: argparse.Namespace) -> tuple[str, ...]:
    return ("prefill", "decode", "train") if options.train else ("prefill", "decode")


def _say(out: Any, row: dict[str, Any]) -> None:
    print(json.dumps(row), file=out, flush=True)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    known = type(error).__module__.startswith("crossgrade")
    return text if known else f"BUG, not an error of the tree: {type(error).__name__}: {text}"


def _peak_rss() -> int:
    """Return the most memory this process has held, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says includes the parent before exec
        line = next(r for r in status.read_text().splitlines() if r.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# all presets ---------------------------------------------------------------------------------
def _parent(options: argparse.Namespace) -> None:
    from crossgrade.workloads.resolve import preset_names

    names = options.only or list(preset_names())
    width = max(len(n) for n in names)
    print(_line(HEAD, width))
    rows: list[dict[str, Any]] = []
    for name in names:
        for row in _run(name, options):
            rows.append({"preset": name} | row)
            print(_shown(rows[-1], width), flush=True)
    if options.json:
        temporary = options.json.with_name(f".{options.json.name}.tmp")
        temporary.write_text(json.dumps(rows, indent=1) + "\n")
        temporary.replace(options.json)
    print(_summary(rows, len(names), options))


def _run(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of one preset from a process of its own."""
    command = [sys.executable, __file__, "--child", name, "--tokens", str(options.tokens),
               "--context", str(options.context)]  # fmt: skip
    command += ["--train"] if options.train else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, check=False
        )
        output, end = done.stdout, f"the process ended with code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode() if error.stdout else ""
        end = f"not finished after {options.timeout:.0f} s"
    rows = [json.loads(line) for line in output.splitlines()]
    missing = _phases(options)[len(rows) :]
    return rows + [{"phase": phase, "reason": end} for phase in missing]


def _line(cells: Sequence[str], width: int) -> str:
    return f"{cells[0]:<{width}}  {cells[1]:<7}" + "".join(f"{c:>10}" for c in cells[2:])


def _shown(row: dict[str, Any], width: int) -> str:
    if "reason" in row:
        return f"{row['preset']:<{width}}  {row['phase']:<7}  {row['reason']}"
    cells = (
        row["preset"], row["phase"], f"{row['calls']}", f"{row['keys']}", f"{row['build_s']:.2f}",
        f"{row['capture_s']:.2f}", f"{row['calls'] / row['capture_s']:.0f}",
        f"{row['price_s']:.2f}", f"{row['peak_bytes'] / 1e9:.2f}",
    )  # fmt: skip
    return _line(cells, width)


def _summary(rows: list[dict[str, Any]], presets: int, options: argparse.Namespace) -> str:
    parts = []
    for phase in _phases(options):
        done = sum(r["phase"] == phase and "reason" not in r for r in rows)
        goal = f" (goal {GOALS[phase]})" if not options.only else ""
        parts.append(f"{phase} {done} of {presets}{goal}")
    return "captured: " + ", ".join(parts)


# imports -------------------------------------------------------------------------------------
def _imports(runs: int) -> None:
    """Print what `import crossgrade` and `crossgrade --help` add to a bare interpreter."""
    bare = _fastest([sys.executable, "-c", "pass"], runs)
    package = _fastest([sys.executable, "-c", "import crossgrade"], runs)
    api = _fastest([sys.executable, "-c", "import crossgrade.api"], runs)
    entry = "from crossgrade.cli.main import main; main(['--help'])"
    shown = _fastest([sys.executable, "-c", entry], runs)
    print(f"bare interpreter             {bare * 1e3:7.1f} ms")
    print(f"import crossgrade, added     {(package - bare) * 1e3:7.1f} ms")
    print(f"import crossgrade.api, added {(api - bare) * 1e3:7.1f} ms")
    print(f"crossgrade --help, whole     {shown * 1e3:7.1f} ms")
    for title, statement in (
        (
            "chip description, loaded",
            "from crossgrade.chips.loader import load_chip as f; a = 'h200'",
        ),
        (
            "operator table, loaded",
            "from crossgrade.chips.optables import operator_table as f; a = 'npu'",
        ),
    ):
        before = _fastest([sys.executable, "-c", statement], runs)
        after = _fastest([sys.executable, "-c", f"{statement}; f(a)"], runs)
        print(f"{title:<28} {(after - before) * 1e3:7.1f} ms")
    print(f"least of {runs} runs each")


def _fastest(command: list[str], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()

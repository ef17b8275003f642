"""The docs say what the program has, and nothing that it has not.

Names come from the program itself: commands and options from click, codes from the error tree,
finding ids from the checks, columns from the capture schema. No model is built here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest
from tools.docs_site import OUTSIDE, menu

from crossgrade import errors
from crossgrade.api.comparing import Reproduced
from crossgrade.chips.loader import chip_names
from crossgrade.cli.main import COMMANDS, cli
from crossgrade.errors import CrossgradeError
from crossgrade.targets.registry import SHIPPED
from crossgrade.targets.simulated import FAULTS
from crossgrade.targets.torch_table import TORCH_DEVICES
from crossgrade.values.assessment import Assessment, PhaseAssessment, Verdict
from crossgrade.values.audit import CHECK_NAMES
from crossgrade.values.bench import BenchPlan, BenchResult, BenchVerdict, Session, VariantResult
from crossgrade.values.beside import BesideReason, Place
from crossgrade.values.calibration import Ceiling, Ceilings, CeilingVerdict
from crossgrade.values.capture import COLUMNS, ROLES, STAGES, TABLES
from crossgrade.values.collective import (
    OPS,
    SIGNALS,
    CommCell,
    CommPlan,
    CommReason,
    CommResult,
    CommRow,
    CommSession,
    RankReading,
    SignalReason,
    SlowRank,
)
from crossgrade.values.comparison import COMPARISON_VERDICTS
from crossgrade.values.environment import DoctorVerdict, PackageStatus
from crossgrade.values.finding import Severity
from crossgrade.values.kernel_calibration import (
    KernelCalibration,
    KernelPoint,
    KindScore,
    PointErrors,
)
from crossgrade.values.operator_case import AbsentReason
from crossgrade.values.precision import USER_DTYPES
from crossgrade.values.preset import PresetSummary
from crossgrade.values.record import Record, RecordState
from crossgrade.values.serving import (
    METRICS,
    SERVING_VERDICTS,
    ClientCheck,
    Counting,
    Endpoint,
    Limits,
    Load,
    LoadResult,
    Metric,
    Percentile,
    Requests,
    Saturation,
    ServePlan,
    ServeSession,
    ServingResult,
    Share,
)
from crossgrade.values.support import SupportLevel
from crossgrade.values.workload import PHASES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "crossgrade"
PAGES = sorted(DOCS.rglob("*.md"))
PUBLIC = [
    *PAGES,
    *(p for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md")
      if (p := ROOT / name).is_file()),
]  # fmt: skip
DERIVE_PAGES = {"operator-tables.md", "rebuild-operator-tables.md"}
"""Pages about `python -m crossgrade.chips.derive`, which has options of its own."""

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def reference(name: str) -> str:
    return text_of(DOCS / "reference" / name)


def section(text: str, title: str) -> str:
    """Return what stands below a heading, up to the next one of its rank."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found, f"no heading '{title}'"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found.group(1))}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def has(text: str, word: str) -> bool:
    """Return whether a word stands in a code span, or begins or ends one."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def error_classes(base: type[CrossgradeError] = CrossgradeError) -> set[type[CrossgradeError]]:
    return {base}.union(*(error_classes(child) for child in base.__subclasses__()))


def error_codes() -> set[str]:
    return {c.code for c in error_classes() if c.__module__ == errors.__name__}


def finding_ids() -> set[str]:
    text = "".join(p.read_text(encoding="utf-8") for p in (SOURCE / "check").glob("*.py"))
    return set(re.findall(r"CG-F\d{3}", text))


def options_of(command: click.Command) -> set[str]:
    ctx = click.Context(command, info_name=command.name)
    return {
        name
        for parameter in command.get_params(ctx)
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--")
    }


@cache
def commands() -> dict[str, click.Command]:
    """Return every command by its words, subcommands too: `chips ops`."""
    found: dict[str, click.Command] = {}
    todo: list[tuple[str, click.Command]] = [("", cli)]
    while todo:
        words, command = todo.pop()
        if words:
            found[words] = command
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            for name in command.list_commands(ctx):
                below = command.get_command(ctx, name)
                assert below is not None
                todo.append((f"{words} {name}".strip(), below))
    return found


def command_of(words: str) -> click.Command:
    return commands()[words]


def all_options() -> set[str]:
    return options_of(cli).union(*(options_of(command) for command in commands().values()))


# what the program has is documented ----------------------------------------------------------
@pytest.mark.parametrize("name", sorted(commands()))
def test_command_and_its_options_are_documented(name):
    body = section(reference("cli.md"), f"crossgrade {name}")
    missing = [o for o in options_of(command_of(name)) - {"--help"} if not has(body, o)]
    assert not missing


def test_options_of_the_program_itself_are_documented():
    assert [o for o in options_of(cli) if not has(reference("cli.md"), o)] == []


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_error_is_documented(code):
    body = section(reference("errors.md"), code)
    names = [c.__name__ for c in error_classes() if c.code == code]
    assert any(f"`{name}`" in body for name in names)


@pytest.mark.parametrize("code", sorted(finding_ids()))
def test_finding_is_documented(code):
    body = section(reference("findings.md"), code)
    assert "Do: " in body


def test_severities_are_documented():
    assert [s for s in get_args(Severity) if f"`{s}`" not in reference("findings.md")] == []


def test_chips_are_documented():
    assert [n for n in chip_names() if f"| `{n}` |" not in reference("chips.md")] == []


def test_verdicts_are_documented():
    body = section(reference("cli.md"), "Verdicts")
    guide = text_of(DOCS / "howto" / "read-the-numbers.md")
    assert [v for v in get_args(Verdict) if f"| `{v}` |" not in body] == []
    assert [v for v in get_args(Verdict) if f"`{v}`" not in guide] == []


def test_bounds_are_documented():
    from crossgrade.predict.price import BOUNDS

    body = section(text_of(DOCS / "howto" / "read-the-numbers.md"), "What binds")
    assert [b for b in BOUNDS if f"| `{b}` |" not in body] == []


def test_support_levels_are_documented():
    body = section(reference("operator-tables.md"), "Levels")
    assert [v for v in get_args(SupportLevel) if f"| `{v}` |" not in body] == []


def test_formats_and_phases_are_documented():
    body = section(reference("cli.md"), "crossgrade assess")
    assert [w for w in (*USER_DTYPES, *PHASES) if f"`{w}`" not in body] == []


def test_capture_schema_is_documented():
    body = reference("capture.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", body, re.MULTILINE))
    assert {n: rows.get(n) for n in COLUMNS} == dict(COLUMNS)
    tables = re.findall(r"^\| `(\w+)` \|", section(body, "Tables"), re.MULTILINE)
    assert set(tables) == set(TABLES)
    for words in (ROLES, STAGES):
        assert [f"{i} `{w}`" for i, w in enumerate(words) if f"{i} `{w}`" not in body] == []


def test_policies_of_the_capture_are_documented():
    text = text_of(SOURCE / "capture" / "policies.py")
    body = section(reference("capture.md"), "Policies")
    operators = re.findall(r"^    aten\.(\w+)\.\w+: Policy", text, re.MULTILINE)
    assert operators
    assert [o for o in operators if f"`{o}`" not in body] == []


def test_record_fields_are_documented():
    text = reference("record.md").partition("## A measurement")[0]
    rows = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert rows == [f.name for f in dataclasses.fields(Record)]


@pytest.mark.parametrize("kind", [BenchResult, BenchPlan, Session, VariantResult])
def test_fields_of_a_measurement_are_documented(kind):
    body = section(reference("record.md"), "A measurement")
    left_out = {"index"} if kind is Session else {"name"}
    assert [f.name for f in dataclasses.fields(kind)
            if f.name not in left_out and not has(body, f.name)] == []  # fmt: skip


@pytest.mark.parametrize(
    "kind", [Ceilings, Ceiling, KernelCalibration, KernelPoint, KindScore, PointErrors]
)
def test_fields_of_a_calibration_are_documented(kind):
    body = section(reference("record.md"), "A calibration")
    assert [f.name for f in dataclasses.fields(kind) if not has(body, f.name)] == []


@pytest.mark.parametrize("word", [*get_args(BesideReason), *get_args(Place)])
def test_words_beside_a_time_are_documented(word):
    assert f"| `{word}` |" in section(reference("cli.md"), "Beside a time")


def test_verdicts_of_a_calibration_are_documented():
    body = section(reference("cli.md"), "crossgrade calibrate")
    assert [v for v in get_args(CeilingVerdict) if f"| `{v}` |" not in body] == []


@pytest.mark.parametrize(
    "kind", [CommResult, CommPlan, CommCell, CommSession, CommRow, RankReading, SlowRank]
)
def test_fields_of_collectives_are_documented(kind):
    body = section(reference("record.md"), "Collectives")
    left_out = {"index"} if kind is CommSession else set()
    assert [f.name for f in dataclasses.fields(kind)
            if f.name not in left_out and not has(body, f.name)] == []  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [ServingResult, ServePlan, Load, Limits, Endpoint, ServeSession, Requests, LoadResult, Metric,
     Percentile, Share, Saturation, ClientCheck, Counting],
)  # fmt: skip
def test_fields_of_a_load_on_a_served_model_are_documented(kind):
    body = section(reference("record.md"), "Load on a served model")
    assert [f.name for f in dataclasses.fields(kind) if not has(body, f.name)] == []


@pytest.mark.parametrize("word", [*SERVING_VERDICTS, *METRICS])
def test_words_of_a_load_are_explained(word):
    body = text_of(DOCS / "explanation" / "serving.md")
    assert has(body, word) or f"| {word.upper()} |" in body or f"| {word} |" in body


@pytest.mark.parametrize("word", [*OPS, *SIGNALS, *get_args(CommReason), *get_args(SignalReason)])
def test_words_of_collectives_are_documented(word):
    assert has(section(reference("cli.md"), "crossgrade bench comm"), word)


def test_backends_of_groups_are_documented():
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section(reference("targets.md"), "Groups"),
                           re.MULTILINE))  # fmt: skip
    assert rows == {d.name: d.group_backend for d in TORCH_DEVICES if d.group_backend}


@pytest.mark.parametrize("name", [*(t.name for t in SHIPPED), *(d.name for d in TORCH_DEVICES)])
def test_target_is_documented(name):
    assert has(reference("targets.md"), name)


def test_faults_are_documented_with_the_timers_that_lie():
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|$",
                      section(reference("targets.md"), "Faults"), re.MULTILINE)  # fmt: skip
    said = {FAULTS[name].lies: lies for name, lies in rows}
    assert [name for name, _ in rows] == list(FAULTS)
    for timers, text in said.items():
        wanted = {0: "none", 3: "all"}.get(len(timers), ", ".join(timers))
        assert text.strip() == wanted


@pytest.mark.parametrize("name", CHECK_NAMES)
def test_audit_check_is_explained(name):
    assert f"| `{name}` |" in text_of(DOCS / "explanation" / "measuring.md")


@pytest.mark.parametrize("word", [*get_args(AbsentReason), *get_args(BenchVerdict),
                                  *COMPARISON_VERDICTS, *get_args(RecordState),
                                  *get_args(Reproduced)])  # fmt: skip
def test_words_of_measuring_are_documented(word):
    assert has(reference("cli.md"), word)


def test_fields_of_the_answer_are_documented():
    body = section(reference("cli.md"), "JSON")
    names = [f.name for kind in (Assessment, PhaseAssessment) for f in dataclasses.fields(kind)]
    assert [n for n in names if f"`{n}`" not in body] == []


def test_assumptions_are_documented_with_their_values():
    table = tomllib.loads(text_of(SOURCE / "predict" / "assumptions.toml"))
    body = section(text_of(DOCS / "explanation" / "prediction.md"), "Assumptions")
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \| .+ \|$", body, re.MULTILINE)
    documented = {name: (unit, float(low), float(high)) for name, unit, low, high in rows}
    assert documented == {
        name: (row["unit"], row["optimistic"], row["pessimistic"])
        for name, row in table.items()
        if name != "schema"
    }


# what is documented exists -------------------------------------------------------------------
@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.name)
def test_codes_in_the_docs_exist(path):
    named = set(re.findall(r"CG-[EF]\d{3}", text_of(path)))
    assert sorted(named - error_codes() - finding_ids()) == []


def test_reference_has_no_heading_for_a_code_that_is_gone():
    for name, known in (("errors.md", error_codes()), ("findings.md", finding_ids())):
        headings = re.findall(r"^## (CG-\w+)$", reference(name), re.MULTILINE)
        assert sorted(headings) == sorted(known)


def test_reference_has_no_command_that_is_gone():
    headings = re.findall(r"^##+ crossgrade (.+)$", reference("cli.md"), re.MULTILINE)
    assert sorted(headings) == sorted(commands())
    assert set(COMMANDS) <= set(headings)


@pytest.mark.parametrize("path", sorted((DOCS / "reference").glob("*.md")), ids=lambda p: p.name)
def test_options_in_the_reference_exist(path):
    known = all_options()
    if path.name in DERIVE_PAGES | {"chips.md"}:
        known |= derive_options() | {"--n", "--seed"}
    assert sorted(set(_OPTION.findall(text_of(path))) - known) == []


def derive_options() -> set[str]:
    pytest.importorskip("yaml")
    from crossgrade.chips.derive.__main__ import main

    return options_of(main).union(*(options_of(c) for c in main.commands.values()))


def test_derive_subcommands_are_documented():
    pytest.importorskip("yaml")
    from crossgrade.chips.derive.__main__ import main

    guide = text_of(DOCS / "howto" / "rebuild-operator-tables.md")
    assert re.findall(r"^\| `([\w-]+)` \|", guide, re.MULTILINE) == list(main.commands)
    assert sorted(set(_OPTION.findall(guide)) - derive_options()) == []


def test_states_of_doctor_are_documented():
    body = section(reference("cli.md"), "crossgrade doctor")
    for words in (PackageStatus, DoctorVerdict):
        assert [w for w in get_args(words) if f"| `{w}` |" not in body] == []


def test_columns_of_models_are_documented():
    body = section(reference("cli.md"), "crossgrade models")
    rows = re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE)
    assert rows == [f.name for f in dataclasses.fields(PresetSummary)]


# links and command lines ---------------------------------------------------------------------
def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(h) for h in re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(path)), re.MULTILINE)}


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.name)
def test_relative_links_resolve(path):
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text_of(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_index():
    seen, todo = set(), [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = [t.partition("#")[0] for t in _LINK.findall(text_of(page)) if ":" not in t]
        todo.extend((page.parent / name).resolve() for name in links if name)
    assert [p.name for p in PAGES if p.resolve() not in {s.resolve() for s in seen}] == []


def test_every_page_is_in_the_menu_of_the_site():
    listed = [name for entry in menu(DOCS) for pages in entry.values()
              for name in ([pages] if isinstance(pages, str) else pages)]  # fmt: skip
    pages = [p.relative_to(DOCS).as_posix() for p in PAGES]
    assert sorted(listed) == sorted([*pages, *OUTSIDE.values()])


def command_lines(path: Path) -> list[str]:
    """Return the `crossgrade ...` lines of the fenced blocks of a page."""
    lines = []
    for block in _FENCE.finditer(text_of(path)):
        joined = block.group().replace("\\\n", " ")
        lines += re.findall(r"^(?:\$ )?(crossgrade .+)$", joined, re.MULTILINE)
    spans = re.findall(r"`(crossgrade assess [^`\n]+ --on [^`\n]+)`", _FENCE.sub("", text_of(path)))
    return [line for line in [*lines, *spans] if "..." not in line and "[" not in line]


# README in two languages --------------------------------------------------------------------
TRANSLATED = ("README.md", "README.zh-CN.md")


def headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", _FENCE.sub("", text), re.MULTILINE)


def commands_in(text: str) -> list[str]:
    lines = "\n".join(block.group() for block in _FENCE.finditer(text)).splitlines()
    return [re.sub(r"\s+# .*", "", line) for line in lines]


def code_spans(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)))


def figures(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", _FENCE.sub("", text)))


@pytest.mark.parametrize("part", [headings, commands_in, code_spans, figures])
def test_the_two_readmes_say_the_same(part):
    english, chinese = (part(text_of(ROOT / name)) for name in TRANSLATED)
    assert english == chinese


def test_the_two_readmes_link_to_each_other_and_to_the_same_pages():
    english, chinese = (set(_LINK.findall(text_of(ROOT / name))) for name in TRANSLATED)
    assert english - {"README.zh-CN.md"} == chinese - {"README.md"}
    assert "README.zh-CN.md" in english
    assert "README.md" in chinese


CASES = [pytest.param(line, id=line[:60]) for p in PUBLIC for line in command_lines(p)]


@pytest.mark.parametrize("line", CASES)
def test_command_lines_parse(line):
    words = shlex.split(re.split(r"\s[>|]\s|\s2>|\s&&\s", line)[0], comments=True)[1:]
    ctx = cli.make_context("crossgrade", words[:1], resilient_parsing=True)
    command = cli.get_command(ctx, words[0]) if not words[0].startswith("-") else cli
    assert command is not None, f"no command '{words[0]}'"
    with contextlib.suppress(click.exceptions.Exit):  # --help and --version end the program
        below = commands().get(" ".join(words[:2])) if len(words) > 1 else None
        if below is not None:
            command, words = below, words[1:]
        command.make_context(words[0], words[1:], parent=ctx)


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.name)
def test_python_blocks_compile(path):
    for block in re.findall(r"^```python\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL):
        compile(block, path.name, "exec")

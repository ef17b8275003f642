"""A real browser, where there is one, and pages to open in it; command lines in an empty folder."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from pathlib import Path

import pytest
from tests.e2e import hostile
from tests.e2e.bench_lines import one_record

from crossgrade import api
from crossgrade.cli.main import main

CONTROL_C = signal.getsignal(signal.SIGINT)


@pytest.fixture(scope="session")
def chromium():
    """Return a headless Chromium; skips with the reason where it cannot be had."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine; CI installs it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Return a function that opens a file and collects what goes wrong on it."""
    contexts = []

    def opened(path, *, fragment="", width=1280, **context):
        made = chromium.new_context(viewport={"width": width, "height": 900}, **context)
        contexts.append(made)
        page = made.new_page()
        page.wrong = []
        page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.wrong.append(str(e)))
        page.on("dialog", lambda d: page.wrong.append(d.message) or d.dismiss())
        page.on("request", lambda r: page.wrong.append(r.url)
                if not r.url.startswith((path.as_uri(), "blob:")) else None)  # fmt: skip
        page.goto(path.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()


CHIPS = ("ascend-950dt", "ascend-910b2", "h200", "gaudi3", "mi308x")
"""mi308x has no published bandwidth, so no time."""


@pytest.fixture(scope="session")
def assessed(moe_config):
    """Return an answer with two phases, a price, and chips of several kinds of software."""
    options = api.AssessOptions(on=CHIPS, tokens=64, context=256, prices={"h200": 2.5})
    return options, api.assess(str(moe_config), options)


@pytest.fixture(scope="session")
def hostile_assessment():
    """Return the answer for a model whose own name and module names are hostile."""
    options = api.AssessOptions(on=("ascend-910b2", "h200"))
    answer = api.assess("tests.e2e.hostile:make", options)
    model = dataclasses.replace(answer.model, name=" ".join(hostile.NAMES))
    return dataclasses.replace(answer, model=model)


def write_page(folder: Path, assessment, options=None, changes=None) -> Path:
    """Write the page of an answer and return its path."""
    command = api.command_line("model", options or api.AssessOptions(on=("h200",)))
    page = api.html_report(assessment, command=command, created="2026-01-02T03:04:05+00:00",
                           changes=changes)  # fmt: skip
    path = folder / "report.html"
    api.write_text(path, page)
    return path


@pytest.fixture(scope="session")
def page_file(assessed, tmp_path_factory):
    """Return the path of an ordinary page."""
    options, answer = assessed
    return write_page(tmp_path_factory.mktemp("page"), answer, options)


@pytest.fixture(scope="session")
def hostile_file(hostile_assessment, tmp_path_factory):
    """Return the path of a page full of hostile names."""
    return write_page(tmp_path_factory.mktemp("hostile"), hostile_assessment)


@pytest.fixture
def cg(capsys, tmp_path, monkeypatch):
    """Return what runs a command line here, in an empty folder with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSGRADE_HOME", str(tmp_path / "home"))

    def run(*arguments) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    yield run
    signal.signal(signal.SIGINT, CONTROL_C)


@pytest.fixture
def record(cg):
    cg("bench", "op", "gemm", "--on", "null", "--out", "run")
    return one_record("run")

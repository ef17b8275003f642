"""Write the reference of findings, errors and words from the pages of `crossgrade explain`.

    python tools/reference_pages.py            # write docs/reference/{findings,errors,words}.md
    python tools/reference_pages.py --check    # write nothing; exit 1 if a page would change

The pages are `src/crossgrade/explain/pages/*/*.md`; edit those. What stands above the first entry
of each reference page is below.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossgrade.explain.pages import pages
from crossgrade.report.explanation import page_section
from crossgrade.values.page import Page, PageKind

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

FINDINGS = """\
# Findings

A finding is something to act on. It has an id, a severity, the chip and phase, a title, the place
(operators, source lines), the evidence it rests on, and a hint. `crossgrade explain CG-F101` prints
the entry of one.

| severity | meaning |
|---|---|
| `blocker` | it does not run as asked |
| `warning` | it runs, and it costs or differs; the verdict becomes `runs-with-findings` |
| `note` | worth knowing; does not change the verdict |

`assess` shows six findings; `--all` shows all, and the evidence of notes. In the text, findings
with equal id and title over several chips and phases are one entry. `--json` has every one.

`call_share` is a share of the launching calls. `time_share` is a share of the predicted device
time, call by call at the optimistic rates on one chip, without waiting for the host.

Findings CG-F101 to CG-F108 read an [operator table](operator-tables.md). They say what the backend
registers. They are not a run on the device.
"""
ERRORS = """\
# Errors

An error prints as one line on stderr: `error[CODE]: what (where); hint: what to do`. With `--json`
it is a JSON document on stdout. A traceback means a fault in crossgrade: please report it.
`crossgrade explain CG-E101` prints the entry of one.

The classes live in `crossgrade.errors`. All derive from `CrossgradeError`.
"""
WORDS = """\
# Words of an answer

Support levels of operators, verdicts, severities of findings, classes of numbers, and words of
measurements: closed lists.
`crossgrade explain composite` prints the entry of a word.
"""
GROUPS: tuple[tuple[PageKind, str], ...] = (
    ("level", "Support levels"),
    ("verdict", "Verdicts"),
    ("severity", "Severities"),
    ("number", "Classes of numbers"),
    ("measurement", "Words of measurements"),
)


def sections(kind: PageKind) -> list[Page]:
    """Return the pages of a kind, in order."""
    return [page for page in pages() if page.kind == kind]


def flat(intro: str, kind: PageKind) -> str:
    """Return a page with one heading for each entry."""
    return "\n".join((intro, *(page_section(page) for page in sections(kind))))


def words() -> str:
    """Return the page of words: a heading for each list, one below it for each word."""
    parts = [WORDS]
    for kind, title in GROUPS:
        parts.append(f"## {title}\n")
        parts += ["#" + page_section(page) for page in sections(kind)]
    return "\n".join(parts)


def written() -> dict[str, str]:
    """Return file name -> text of each generated page."""
    return {
        "findings.md": flat(FINDINGS, "finding"),
        "errors.md": flat(ERRORS, "error"),
        "words.md": words(),
    }


def main() -> None:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description="Write the reference from the pages of explain.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    options = parser.parse_args()
    changed = False
    for name, text in written().items():
        file = REFERENCE / name
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        changed = True
        print(name, file=sys.stderr)
        if not options.check:
            file.write_text(text, encoding="utf-8")
    sys.exit(int(changed and options.check))


if __name__ == "__main__":
    main()

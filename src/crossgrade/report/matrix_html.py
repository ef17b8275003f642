"""Operators by backends as one HTML file: offline, no script, readable on a phone.

What is not known is drawn hatched and dashed, apart from a no. Must not know where the cells come
from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from crossgrade.report.matrix import (
    CHANGES,
    Found,
    diff_line,
    inert,
    matrix_line,
    rows_called,
)
from crossgrade.values.operators import (
    LEGEND,
    LEVELS,
    OperatorCell,
    OperatorColumn,
    OperatorDiff,
    OperatorMatrix,
)

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #fff; --line: #d0d7de; --quiet: #57606a;
  --good: #d2f0da; --warm: #fdf0c8; --bad: #fbd5d5; --head: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --back: #14171a; --line: #3a4149;
  --quiet: #a3acb5; --good: #173d24; --warm: #453a10; --bad: #551d1d; --head: #1f2429; } }
body { margin: 1rem; font: 15px/1.45 system-ui, sans-serif; color: var(--text);
  background: var(--back); }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p, dd { max-width: 46rem; } dd { margin: 0 0 .4rem 0; color: var(--quiet); }
.scroll { overflow-x: auto; max-height: 85vh; border: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; font-size: .85rem; }
caption { text-align: left; padding: .4rem; color: var(--quiet); }
th, td { padding: .2rem .5rem; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--head); z-index: 1; }
tbody th { position: sticky; left: 0; background: var(--back); font-family: ui-monospace, monospace;
  font-weight: normal; min-width: 7.5rem; max-width: 45vw; overflow-wrap: anywhere;
  white-space: normal; }
td.number { text-align: right; } td.long { white-space: normal; min-width: 16rem; }
.native, .composite { background: var(--good); }
.cpu-fallback, .dtype-limited, .unverified { background: var(--warm); }
.missing { background: var(--bad); font-weight: 600; }
.conflict { background: var(--bad); text-decoration: underline wavy; }
.unknown { color: var(--quiet); font-style: italic; outline: 1px dashed var(--quiet);
  outline-offset: -3px; background: repeating-linear-gradient(45deg, transparent 0 6px,
  var(--head) 6px 9px); }
.word { padding: 0 .4rem; }
details { margin: .2rem 0; } details li { overflow-wrap: anywhere; }
"""


def operators_html(found: Found) -> str:
    """Return a matrix or its changes as one self-contained page."""
    diff = isinstance(found, OperatorDiff)
    title = f"crossgrade: {rows_called(found)}s" + (" that differ" if diff else " by backend")
    body = _diff(found) if isinstance(found, OperatorDiff) else _matrix(found)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_text(title)}</h1>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Return text for HTML; control characters become `?`."""
    plain = "".join(c if c.isprintable() or c == " " else "?" for c in inert(text))
    return escape(plain, quote=True)


def _table(caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls in a box of its own and can be reached by keyboard."""
    head = "".join(f'<th scope="col">{_text(h)}</th>' for h in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(caption)}">\n<table>'
        f"<caption>{_text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        f"{''.join(rows)}</tbody>\n</table>\n</div>\n"
    )


def _row(head: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{_text(head)}</th>{"".join(cells)}</tr>\n'


def _cell(cell: OperatorCell) -> str:
    hint = "; ".join(part for part in (cell.via and f"via {cell.via}", cell.limits) if part)
    title = f' title="{_text(hint)}"' if hint else ""
    return f'<td class="{cell.level}"{title}>{_text(cell.text)}</td>'


def _plain(text: str, kind: str = "long") -> str:
    return f'<td class="{kind}">{_text(text)}</td>'


def _matrix(m: OperatorMatrix) -> Iterator[str]:
    labels = [column.label for column in m.columns]
    yield f"<p>{_text(matrix_line(m))}.</p>\n"
    totals = (
        _row(level, (_plain(str(m.count(i, level)), "number") for i in range(len(labels))))
        for level in LEVELS
    )
    yield _table("rows by level", ("level", *labels), totals)
    yield _words()
    rows = (_row(line.op, map(_cell, line.cells)) for line in m.lines)
    yield "<h2>Operators</h2>\n" + _table("operators", ("operator", *labels), rows)
    if m.with_evidence:
        yield "<h2>Evidence</h2>\n"
        yield from (_evidence(line.op, m.columns, line.cells) for line in m.lines)
    yield _columns(m.columns)


def _diff(d: OperatorDiff) -> Iterator[str]:
    sides = (d.before.label, d.after.label)
    yield f"<p>{_text(diff_line(d))}.</p>\n"
    kinds = (
        _row(kind, (_plain(str(len(d.of_kind(kind))), "number"), _plain(meaning)))
        for kind, meaning in CHANGES.items()
    )
    yield _table("changes by kind", ("kind", "operators", "meaning"), kinds)
    yield _words()
    heads = ("operator", "kind", *sides, *(f"{side} limits" for side in sides))
    rows = (
        _row(
            c.op,
            (
                _plain(c.kind, "kind"),
                *(_cell(x) for x in (c.before, c.after)),
                *(_plain(x.limits) for x in (c.before, c.after)),
            ),
        )
        for c in d.changes
    )
    yield "<h2>Changes</h2>\n" + _table("changes", heads, rows)
    if d.with_evidence:
        yield "<h2>Evidence</h2>\n"
        for c in d.changes:
            yield _evidence(c.op, (d.before, d.after), (c.before, c.after))
    yield _columns((d.before, d.after))


def _words() -> str:
    """Return what each word means."""
    entries = "".join(
        f'<dt><span class="word {level}">{level}</span></dt><dd>{_text(LEGEND[level])}</dd>\n'
        for level in LEVELS
    )
    note = "<p>A share such as 3/5 says how many of the overloads have the level.</p>\n"
    return f"<h2>What the words mean</h2>\n<dl>\n{entries}</dl>\n{note}"


def _evidence(op: str, columns: tuple[OperatorColumn, ...], cells: tuple[OperatorCell, ...]) -> str:
    items = "".join(
        f"<li>{_text(f'{column.label}: {cell.text}: {line}')}</li>\n"
        for column, cell in zip(columns, cells, strict=True)
        for line in cell.evidence
    )
    return f"<details><summary>{_text(op)}</summary><ul>\n{items}</ul></details>\n"


def _columns(columns: tuple[OperatorColumn, ...]) -> str:
    """Return where the columns come from."""
    rows = (
        _row(
            c.label,
            (
                _plain(f"{c.title} {c.version}".strip() + (f", SoC {c.soc}" if c.soc else "")),
                _plain(c.source or "none"),
                _plain(c.note),
            ),
        )
        for c in columns
    )
    heads = ("column", "table", "source", "note")
    return "<h2>Where the columns come from</h2>\n" + _table("sources", heads, rows)

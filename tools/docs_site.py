"""What mkdocs does not do by itself: the menu, pages beside docs/, search without a server.

A hook of `mkdocs.yml`. Needs mkdocs, not crossgrade; the menu alone needs neither.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SECTIONS = {
    "Tutorial": "tutorial",
    "How-to": "howto",
    "Reference": "reference",
    "Explanation": "explanation",
    "Results": "results",
    "Decisions": "adr",
}
"""Section of the menu -> folder of docs/. Pages beside index.md belong to Results."""
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""File of the repository -> page of the site."""

_LINK = re.compile(r"\]\(([\w./-]+\.md)")


def menu(docs: Path) -> list[Any]:
    """Return the menu: a section for each folder, its pages in the order of the index."""
    linked = _LINK.findall((docs / "index.md").read_text(encoding="utf-8"))
    rank = {name: number for number, name in reversed(list(enumerate(linked)))}
    names = [p.relative_to(docs).as_posix() for p in docs.rglob("*.md") if p.name != "index.md"]
    names.sort(key=lambda name: (rank.get(name, len(rank)), name))
    found: list[Any] = [{"Home": "index.md"}]
    for title, folder in SECTIONS.items():
        pages = [n for n in names if n.startswith(folder + "/")]
        if folder == "results":
            pages += [n for n in names if "/" not in n]
        if pages:
            found.append({title: pages})
    return [*found, {"Project": list(OUTSIDE.values())}]


def on_config(config: Any) -> Any:
    """Set the menu."""
    config.nav = menu(Path(config.docs_dir))
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie beside docs/, with their links turned."""
    from mkdocs.structure.files import File

    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links to files beside docs/ into links to their pages."""
    for name, target in OUTSIDE.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return markdown


SEARCH = """
// No worker and no request, which browsers refuse to pages on disk: the index stands in this file.
var search_data = DATA, search_index = null, search_pages = {};
var min_search_length = search_data.config.min_search_length - 1;
function search_now(query) {
  if (!search_index) {
    search_index = lunr(function () {
      this.ref('location'); this.field('title', {boost: 10}); this.field('text');
      search_data.docs.forEach(function (d) { this.add(d); search_pages[d.location] = d; }, this);
    });
  }
  return search_index.search(query).map(function (found) {
    var page = search_pages[found.ref];
    return {location: page.location, title: page.title, summary: page.text.substring(0, 200)};
  });
}
var searchWorker = {postMessage: function (m) { displayResults(search_now(m.query)); }};
function search(query) { return search_now(query); }
document.addEventListener("DOMContentLoaded", initSearch);
"""
MARK = "if (!window.Worker) {\n  console.log("
"""Where mkdocs' own script starts its worker."""


def on_post_build(config: Any) -> None:
    """Make search work from disk."""
    folder = Path(config.site_dir) / "search"
    script = (folder / "main.js").read_text(encoding="utf-8")
    head, mark, _ = script.partition(MARK)
    if not mark:
        raise ValueError("search/main.js of this mkdocs is another: see tools/docs_site.py")
    data = json.loads((folder / "search_index.json").read_text(encoding="utf-8"))
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    lunr = (folder / "lunr.js").read_text(encoding="utf-8")
    tail = SEARCH.replace("DATA", text, 1)
    (folder / "main.js").write_text(lunr + "\n" + head + tail, encoding="utf-8")

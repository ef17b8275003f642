"""Bring the raw lists and tables of tools/data.toml into a folder, and check their hashes.

    python tools/fetch_data.py DIR [--only perf/]

What is there with the right hash is not fetched again. A file with another hash is left out and
told, and the exit code is then 1. Needs the network; nothing in the tests calls it.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tomllib
import urllib.request
from pathlib import Path

LISTED = Path(__file__).with_name("data.toml")


def main() -> int:
    """Bring what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the large data sets")
    parser.add_argument("--only", default="", help="only files whose name begins so")
    given = parser.parse_args()
    wrong = 0
    for entry in tomllib.loads(LISTED.read_text(encoding="utf-8"))["file"]:
        if entry["file"].startswith(given.only):
            wrong += not brought(entry, given.folder / entry["file"])
    return 1 if wrong else 0


def brought(entry: dict[str, str], path: Path) -> bool:
    """Return whether a file lies at its place with the hash that is listed."""
    if path.is_file() and digest(path.read_bytes()) == entry["sha256"]:
        return True
    url = entry["url"].replace("/blob/", "/raw/")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        print(f"{entry['file']}: {error}", file=sys.stderr)
        return False
    if digest(content) != entry["sha256"]:
        print(f"{entry['file']}: {url} has another content than is listed", file=sys.stderr)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    print(entry["file"])
    return True


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())

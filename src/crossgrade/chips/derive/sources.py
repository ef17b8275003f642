"""Reads yaml and csv from a file, a folder or a wheel, with errors that say what to do.

Must not know what the files mean.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import zipfile
from pathlib import Path
from typing import Any

from crossgrade.errors import BadOperatorTable, MissingExtra

NATIVE_FUNCTIONS = "torchgen/packaged/ATen/native/native_functions.yaml"
_NESTED = ("packaged/ATen/native/native_functions.yaml", "ATen/native/native_functions.yaml")


def parse_yaml(text: str, where: str) -> Any:
    """The yaml document; BadOperatorTable where it does not parse."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra(
            "reading operator lists needs pyyaml", hint="pip install pyyaml"
        ) from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise BadOperatorTable(
            f"not yaml: {error}", where=where, hint="take the file as the project publishes it"
        ) from error


def read_text(path: Path, member: str = "") -> str:
    """Text of a file, or of `member` of a wheel; BadOperatorTable where there is none."""
    try:
        if not member:
            return path.read_text(encoding="utf-8")
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member).decode("utf-8")
    except (OSError, UnicodeDecodeError, KeyError, zipfile.BadZipFile) as error:
        raise BadOperatorTable(
            f"cannot read {member or 'it'}: {error}",
            where=path.name,
            hint="give the yaml itself, a folder that holds it, or a wheel",
        ) from error


def read_yaml(path: Path, member: str = "") -> Any:
    """The yaml document in a file, or in `member` of a wheel."""
    return parse_yaml(read_text(path, member), member or path.name)


def entries(document: Any, where: str, section: str = "") -> list[dict[str, Any]]:
    """One mapping with `func` per operator of a list or of a section of a mapping.

    A bare string `- add.out` becomes `{"func": "add.out"}`; an absent section is empty.
    """
    if section:
        if not isinstance(document, dict):
            raise BadOperatorTable(
                f"no section `{section}`", where=where, hint="is this the right file?"
            )
        document = document.get(section) or []
    if not isinstance(document, list):
        raise BadOperatorTable(
            f"expected a list of operators in `{section or 'the file'}`",
            where=where,
            hint="is this the right file?",
        )
    found = [{"func": item} if isinstance(item, str) else item for item in document]
    for item in found:
        if not isinstance(item, dict) or not isinstance(item.get("func"), str):
            raise BadOperatorTable(
                f"an operator without `func`: {item!r}", where=where, hint="is this the right file?"
            )
    return found


def name_of(entry: dict[str, Any]) -> str:
    """Overload name of an entry, without its schema."""
    name: str = entry["func"].partition("(")[0].strip()
    return name


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a csv as mappings; BadOperatorTable where a row has too few or many cells."""
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise BadOperatorTable(
                f"line {number} does not fit the header", where=path.name, hint="is it cut off?"
            )
    return rows


def native_functions(torch: Path | None) -> tuple[Path, str]:
    """Where native_functions.yaml is: a path, and the member if the path is a wheel.

    Args:
        torch: The yaml, a folder above it (site-packages, torchgen, a source tree), a wheel,
            or None for the installed torch.
    """
    if torch is None:
        spec = importlib.util.find_spec("torchgen")
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtra("torch is not installed", hint="give --torch PATH")
        torch = Path(spec.submodule_search_locations[0])
    if torch.suffix == ".whl":
        return torch, NATIVE_FUNCTIONS
    if torch.is_file():
        return torch, ""
    for below in (NATIVE_FUNCTIONS, *_NESTED, "aten/src/ATen/native/native_functions.yaml"):
        if (torch / below).is_file():
            return torch / below, ""
    raise BadOperatorTable(
        "no native_functions.yaml", where=torch.name, hint="give the yaml, a folder or a wheel"
    )

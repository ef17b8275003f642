"""Texts to files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from crossgrade.errors import CannotWrite

_HINT = "name a file in a folder of yours"


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it: it is whole or absent.

    Raises:
        CannotWrite: the folder cannot be made or written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it: it is whole or absent.

    Raises:
        CannotWrite: the folder cannot be made or written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(f"cannot write '{path}': {error.strerror}", hint=_HINT) from error


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written later, before long work; folders may be missing.

    Raises:
        CannotWrite: it is a folder, or lies below something that is none or may not be written to.
    """
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    why = ""
    if path.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"'{folder}' is no folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"the folder '{folder}' may not be written to"
    if why:
        raise CannotWrite(f"cannot write '{path}': {why}", hint=_HINT)

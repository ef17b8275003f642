"""Texts to files, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from crossgrade.errors import CannotWrite


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it: it is whole or absent.

    Raises:
        CannotWrite: the folder cannot be made or written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(
            f"cannot write '{path}': {error.strerror}", hint="name a file in a folder of yours"
        ) from error

"""Sensors that the system offers as files. Must not know which."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from crossgrade.targets.energy.meter import CannotRead

_MOST_BYTES: Final = 256


def number_in(path: Path) -> float:
    """Return the number in a file of the system.

    Raises:
        CannotRead: it is not there, may not be read, or holds no number.
    """
    text = text_in(path)
    try:
        return float(text)
    except ValueError as error:
        raise CannotRead("error", f"{path} holds `{text[:40]}`, no number") from error


def text_in(path: Path) -> str:
    """Return what stands in a file of the system.

    Raises:
        CannotRead: it is not there, or may not be read.
    """
    try:
        return _head(path).decode("ascii", errors="replace").strip()
    except FileNotFoundError as error:
        raise CannotRead("no-sensor", f"there is no {path}") from error
    except PermissionError as error:
        detail = f"only its owner may read {path}; `sudo chmod a+r {path}` holds until a reboot"
        raise CannotRead("not-permitted", detail) from error
    except OSError as error:
        raise CannotRead("error", f"{path}: {error.strerror or error}") from error


def _head(path: Path) -> bytes:
    """Return the beginning of a file; it is read many times a second, beside what is measured."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.read(handle, _MOST_BYTES)
    finally:
        os.close(handle)

"""Where records lie when the user names no folder. Must not know what they mean."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from crossgrade.errors import CannotWrite


def default_folder(env: Mapping[str, str] = os.environ) -> Path:
    """Return `$CROSSGRADE_HOME/records`, else the folder for user data of the XDG rules."""
    if env.get("CROSSGRADE_HOME"):
        return Path(env["CROSSGRADE_HOME"]) / "records"
    base = env.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "crossgrade" / "records"


def ready_folder(folder: Path) -> Path:
    """Return a folder that is there and may be written; asked before time is spent on a result.

    Raises:
        CannotWrite: it is not.
    """
    why = "it may not be written"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or why
    if folder.is_dir() and os.access(folder, os.W_OK):
        return folder
    raise CannotWrite(
        f"cannot write in the folder: {why}", where=str(folder), hint="name a folder of yours"
    )

"""Whether a folder may be written, without making it. Must not know what is written there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from crossgrade.values.environment import FolderState


def folder_state(path: Path, purpose: str) -> FolderState:
    """Return the state of a folder, or of the nearest one above it that exists.

    Writing is tried with a file that has no name or is removed at once: permission bits alone do
    not tell on read-only and network file systems.
    """
    path = path.expanduser().absolute()
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    return FolderState(
        purpose=purpose,
        path=str(path),
        exists=path.is_dir(),
        writable=_may_write(nearest),
        free_bytes=_free(nearest),
    )


def _may_write(folder: Path) -> bool:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None

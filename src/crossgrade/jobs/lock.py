"""One process at a time in a folder. Must not know what is done there.

Where the file system has `flock`, the kernel frees the lock when its holder dies, however it dies.
Elsewhere a file with the number of the holder stands for it, and is removed when no such process
lives on this host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

from crossgrade.errors import CannotWrite, FolderInUse

LOCK: Final = ".lock"
"""File in the folder on which the kernel's lock lies."""
PID_FILE: Final = ".lock.pid"
"""File in the folder that stands for the lock where the kernel has none."""
_FLOCK_HINT: Final = "wait for it, end it, or name another folder; the lock goes with its process"
_PID_FILE_HINT: Final = (
    f"wait for it, end it, or name another folder; where it is long gone, remove {PID_FILE}"
)
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class FolderLock:
    """The right to write in a folder, until it is closed or the process ends."""

    def __init__(self, folder: Path) -> None:
        """Take it; the folder is made.

        Raises:
            FolderInUse: another live process has it.
            CannotWrite: the folder cannot be made or written.
        """
        self.folder = folder
        """Which folder."""
        self._file = -1
        self._own: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self._flocked():
                self._own = _pid_file(folder)
        except OSError as error:
            raise CannotWrite(
                f"cannot write in the folder: {error.strerror}",
                where=str(folder),
                hint="name a folder of yours",
            ) from error

    def close(self) -> None:
        """Give it back."""
        if self._file >= 0:
            # The file stays: another process may wait for this very one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1
        if self._own is not None:
            self._own.unlink(missing_ok=True)
            self._own = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _flocked(self) -> bool:
        """Take the lock of the kernel; return False where there is none."""
        if sys.platform == "win32":
            return False
        import fcntl

        file = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 400).decode("utf-8", "replace")
            os.close(file)
            if error.errno in _NO_LOCKS:
                return False
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise _in_use(self.folder, holder, _FLOCK_HINT) from error
            raise
        os.ftruncate(file, 0)
        os.write(file, _me().encode())
        self._file = file
        return True


def _me() -> str:
    return f"{os.getpid()} {socket.gethostname()}"


def _pid_file(folder: Path) -> Path:
    """Return a new file that names this process; that of a dead one is removed first."""
    path = folder / PID_FILE
    for _ in range(2):
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            holder = path.read_text(encoding="utf-8", errors="replace")
            if _may_live(holder):
                raise _in_use(folder, holder, _PID_FILE_HINT) from None
            path.unlink(missing_ok=True)
            continue
        os.write(file, _me().encode())
        os.close(file)
        return path
    raise _in_use(folder, "", _PID_FILE_HINT)


def _in_use(folder: Path, holder: str, hint: str) -> FolderInUse:
    pid, _, host = holder.partition(" ")
    who = f"process {pid}" if pid else "another process"
    place = f" on {host}" if host and host != socket.gethostname() else ""
    return FolderInUse(
        f"{who}{place} is writing to the folder",
        where=str(folder),
        hint=hint,
    )


def _may_live(holder: str) -> bool:
    """Return whether the process may be alive; of another host nothing is known."""
    pid, _, host = holder.partition(" ")
    if not pid.isdigit() or (host and host != socket.gethostname()):
        return True
    return _lives(int(pid))


if sys.platform == "win32":

    def _lives(pid: int) -> bool:
        import ctypes

        query, running = 0x1000, 259  # PROCESS_QUERY_LIMITED_INFORMATION, STILL_ACTIVE
        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(query, False, pid)
        if not handle:
            return False
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return code.value == running

else:

    def _lives(pid: int) -> bool:
        try:
            os.kill(pid, 0)  # sends nothing
        except ProcessLookupError:
            return False
        except PermissionError:  # it is there, and belongs to another user
            return True
        return True

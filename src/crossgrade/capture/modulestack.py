"""Which module and which source line a dispatched call belongs to.

Forward calls read the stack of running modules. Backward calls look their forward call up by the
autograd sequence number. Must not know what is recorded.
"""

from __future__ import annotations

import os
import sys
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

_TORCH_DIR = os.path.dirname(torch.__file__) + os.sep
_OWN_DIR = os.path.dirname(__file__) + os.sep
_BOUNDARY = os.path.join(os.path.dirname(__file__), "run.py")
_SITE_MARKERS = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class ModuleStack:
    """The path of the module that runs now, while used as a context manager."""

    def __init__(self, root: torch.nn.Module) -> None:
        """Remember the names under `root`."""
        self._names = {id(module): name for name, module in root.named_modules()}
        self._stack: list[str] = [""]
        self._handles: list[Any] = []

    @property
    def path(self) -> str:
        """Dotted path of the innermost running module, empty at the top."""
        return self._stack[-1]

    def __enter__(self) -> ModuleStack:
        """Start to follow modules."""
        self._handles = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop to follow modules."""
        for handle in self._handles:
            handle.remove()
        self._stack = [""]

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        self._stack.append(self._names.get(id(module), self._stack[-1]))

    def _leave(self, module: torch.nn.Module, args: Any, result: Any) -> None:
        if len(self._stack) > 1:
            self._stack.pop()


class SourceLines:
    """Finds the user's or library's line that led to a dispatched call."""

    def __init__(self) -> None:
        self._verdict: dict[CodeType, str] = {}
        self._shown: dict[str, str] = {}

    def current(self) -> tuple[CodeType, int] | None:
        """Return code object and line of the nearest frame outside torch and this package."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            verdict = self._verdict.get(code)
            if verdict is None:
                verdict = self._verdict[code] = _classify(code.co_filename)
            if verdict == "show":
                return code, frame.f_lineno
            if verdict == "stop":
                return None
            frame = frame.f_back
        return None

    def show(self, code: CodeType, line: int) -> str:
        """Return `path:line (function)`; paths are relative to site-packages or the folder."""
        path = self._shown.get(code.co_filename)
        if path is None:
            path = self._shown[code.co_filename] = _short_path(code.co_filename)
        return f"{path}:{line} ({code.co_name})"


def _classify(filename: str) -> str:
    """Return `show` for the code of others, `stop` for what drives the capture, else `skip`."""
    if filename == _BOUNDARY:
        return "stop"
    return "skip" if filename.startswith((_TORCH_DIR, _OWN_DIR, "<")) else "show"


def _short_path(filename: str) -> str:
    """Return a path without the part that belongs to this machine."""
    for marker in _SITE_MARKERS:
        if marker in filename:
            return filename.rsplit(marker, 1)[1]
    try:
        relative = os.path.relpath(filename)
    except ValueError:
        return os.path.basename(filename)
    return os.path.basename(filename) if relative.startswith("..") else relative

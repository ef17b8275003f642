"""Every error that crossgrade raises on purpose.

CrossgradeError                  exit 2
  UsageError          CG-E1xx    what the user typed or passed is wrong
    UnknownChip       CG-E101
      UndescribedChip CG-E104
    UnknownModel      CG-E102
    BadOption         CG-E103
    UnknownTarget     CG-E105
    FolderInUse       CG-E106
    UnknownCode       CG-E110
    InputError          CG-E2xx    a file or a model cannot be read
    BadModelFile      CG-E201
    UnknownArchitecture CG-E202
    FactoryFailed     CG-E203
    BadChipFile       CG-E204
    BadRecord         CG-E205
    FutureSchema      CG-E206
    BadOperatorTable  CG-E207
    CannotWrite       CG-E208
    BadSuite          CG-E209
      ChangedRecord   CG-E210
    BadTrace          CG-E211
  EnvironmentError_   CG-E3xx    something is not installed here
    MissingExtra      CG-E301
    TargetAbsent      CG-E302    exit 3: the target is known, and is not here
    TargetBroken      CG-E303
    EndpointAbsent    CG-E304    exit 3: nothing that serves a model answers at the address
  CaptureError        CG-E4xx    exit 3: the model was built, and could not be traced
    CaptureFailed     CG-E401

Each class has a stable code. The message says what, `where` says where, `hint` what to do.
A user's error prints as one line and ends the program with `exit_code`; a bug is a traceback.
"""

from __future__ import annotations

from typing import ClassVar, Literal

ErrorKind = Literal["usage", "input", "environment", "capture"]
"""Closed list of the `kind` field of a JSON failure."""


class CrossgradeError(Exception):
    """Base of the tree; never raised itself."""

    code: ClassVar[str] = "CG-E000"
    kind: ClassVar[ErrorKind] = "usage"
    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        """Store the message, the place and the hint."""
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        hint = f"; hint: {self.hint}" if self.hint else ""
        return f"error[{self.code}]: {self.message}{where}{hint}"


class UsageError(CrossgradeError):
    """What the user typed or passed is wrong."""

    code = "CG-E100"


class UnknownChip(UsageError):
    """No chip or target has that name."""

    code = "CG-E101"


class UnknownModel(UsageError):
    """No preset, file, folder, factory or archive has that name."""

    code = "CG-E102"


class BadOption(UsageError):
    """An option's value makes no sense."""

    code = "CG-E103"


class UndescribedChip(UnknownChip):
    """The chip is known by name, and no reliable number about it is public."""

    code = "CG-E104"


class UnknownTarget(UsageError):
    """No target has that name, or what follows the name makes no sense to it."""

    code = "CG-E105"


class FolderInUse(UsageError):
    """Another run is writing to the folder."""

    code = "CG-E106"


class UnknownCode(UsageError):
    """Nothing is explained under that name."""

    code = "CG-E110"


class InputError(CrossgradeError):
    """A file or a model cannot be read."""

    code = "CG-E200"
    kind: ClassVar[ErrorKind] = "input"


class BadModelFile(InputError):
    """The model file or folder is empty, broken or not what it should be."""

    code = "CG-E201"


class UnknownArchitecture(InputError):
    """No builder knows the architecture that the configuration names."""

    code = "CG-E202"


class FactoryFailed(InputError):
    """The user's factory could not be imported, raised, or gave something else than a model."""

    code = "CG-E203"


class BadChipFile(InputError):
    """A chip description breaks the schema."""

    code = "CG-E204"


class BadRecord(InputError):
    """A record or capture file is not readable as such."""

    code = "CG-E205"


class FutureSchema(InputError):
    """A file was written by a newer crossgrade."""

    code = "CG-E206"


class BadOperatorTable(InputError):
    """An operator table breaks its schema."""

    code = "CG-E207"


class CannotWrite(InputError):
    """A record, capture or table cannot be written where it was wanted."""

    code = "CG-E208"


class BadSuite(InputError):
    """A suite of operator cases cannot be read."""

    code = "CG-E209"


class ChangedRecord(BadRecord):
    """A record does not match its digest: it was changed after it was written."""

    code = "CG-E210"


class BadTrace(InputError):
    """A trace of requests cannot be read."""

    code = "CG-E211"


class EnvironmentError_(CrossgradeError):
    """Something that the command needs is not installed here."""

    code = "CG-E300"
    kind: ClassVar[ErrorKind] = "environment"


class MissingExtra(EnvironmentError_):
    """An optional dependency is absent or broken."""

    code = "CG-E301"


class TargetAbsent(EnvironmentError_):
    """The target is known, and its runtime or its device is not here."""

    code = "CG-E302"
    exit_code = 3


class TargetBroken(EnvironmentError_):
    """The target's runtime is here, and its process dies before anything is measured."""

    code = "CG-E303"


class EndpointAbsent(EnvironmentError_):
    """Nothing that serves a model by OpenAI's protocol answers at the address."""

    code = "CG-E304"
    exit_code = 3


class CaptureError(CrossgradeError):
    """The model was built, and its execution could not be followed."""

    code = "CG-E400"
    kind: ClassVar[ErrorKind] = "capture"
    exit_code = 3


class CaptureFailed(CaptureError):
    """The forward pass, the backward pass or the optimiser step failed on fake tensors."""

    code = "CG-E401"

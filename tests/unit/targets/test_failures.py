"""What a runtime's exception means, with the words of the runtimes themselves."""

import pytest
import torch

from crossgrade.targets.failures import cannot_run, failing_as_result, reason_of, root_words
from crossgrade.values.operator_case import CannotRun


def _raised(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: torch.empty(2**60), "out-of-memory"),
        (lambda: torch.ones(2, dtype=torch.float8_e4m3fn).add(1), "unsupported-format"),
        (
            lambda: torch.ones(2, 2, dtype=torch.bool) @ torch.ones(2, 2).bool(),
            "unsupported-format",
        ),
        (lambda: torch.ones(2).view(3), "error"),
        (lambda: [].pop(), "error"),
    ],
)
def test_words_of_torch(call, reason):
    assert reason_of(_raised(call)) == reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
        (
            NotImplementedError(
                "Could not run 'aten::_foo' with arguments from the 'XPU' backend.\n"
                "'aten::_foo' is only available for these backends: dtype"
            ),
            "unsupported-operator",
        ),
        (RuntimeError("NOT_IMPLEMENTED : Could not find an implementation for Add(14)"),
         "unsupported-operator"),
        (RuntimeError("Type 'tensor(bfloat16)' of input is invalid: not supported"),
         "unsupported-format"),
        (CannotRun("too-large", "x"), "too-large"),
    ],
)  # fmt: skip
def test_words_of_others(error, reason):
    assert reason_of(error) == reason


def test_a_failure_becomes_one_line():
    error = cannot_run(RuntimeError("\n  first line \nsecond"), doing="exporting")
    assert error.detail == "exporting: RuntimeError: first line"
    assert cannot_run(ValueError()).detail == "ValueError: ValueError"
    assert len(cannot_run(ValueError("x" * 999)).detail) == 300


def test_a_block_fails_as_a_result():
    with pytest.raises(CannotRun, match="out-of-memory"), failing_as_result():
        raise MemoryError
    with pytest.raises(KeyboardInterrupt), failing_as_result():
        raise KeyboardInterrupt


def test_the_root_of_an_exporters_error_is_told_without_colours():
    error = RuntimeError("step 3 of 3")
    error.__cause__ = ValueError("\x1b[96mno function\x1b[0m for it")
    assert root_words(error) == "ValueError: no function for it"


def test_where_a_runtime_failed_in_its_source_says_nothing():
    error = RuntimeError(
        "Exception from src/core.cpp:117:\nCheck 'x' failed\nunsupported precision"
    )
    assert cannot_run(error).detail == "RuntimeError: unsupported precision"

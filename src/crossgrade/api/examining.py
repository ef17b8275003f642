"""`assess --explain` and `--trace`: the answer with what stands behind its times."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from crossgrade.api.assessing import Narrate, Timed, assess
from crossgrade.api.files import write_bytes
from crossgrade.api.options import AssessOptions
from crossgrade.errors import BadOption
from crossgrade.values.explanation import Examination

if TYPE_CHECKING:
    from crossgrade.values.schedule import Schedule

COMPRESSION = 5
"""Level of gzip: higher ones take much longer than they save on text that repeats so much."""


def examine(
    model: str,
    options: AssessOptions,
    *,
    explain: bool = True,
    trace: bool = False,
    narrate: Narrate = lambda _: None,
    save_captures: Path | None = None,
) -> Examination:
    """Return what `assess` returns, with where each time comes from.

    Args:
        model: preset, `config.json`, folder, `.pt2` or `package.module:factory`.
        options: chips, phases and sizes.
        explain: whether to work out kernels, levers and crossovers.
        trace: whether to work out what each stream does when.
        narrate: gets one line per step that takes time.
        save_captures: folder that gets each capture as a file, None for no files.

    Raises:
        CrossgradeError: a name or a value is wrong, or the model cannot be built or captured.
    """
    options.check()
    if (explain or trace) and options.layout() is not None:
        raise BadOption("--explain and --trace know one chip and ideal shards, no layout",
                        hint="leave the degrees out; --chips N divides evenly")  # fmt: skip
    timed: list[Timed] = []
    watch: Callable[[Timed], None] = timed.append
    assessment = assess(model, options, narrate=narrate, save_captures=save_captures, watch=watch)
    from crossgrade.predict.explanation import explain_phase

    return Examination(
        assessment=assessment,
        explanations=tuple(explain_phase(one.execution) for one in timed) if explain else (),
        schedules=tuple(s for one in timed for s in _schedules(one)) if trace else (),
    )


def _schedules(one: Timed) -> Iterator[Schedule]:
    """Yield the schedule of the stack first, where there is one, then those of the two ends."""
    from crossgrade.predict.stack_tracing import trace_stack
    from crossgrade.predict.tracing import trace_phase

    if one.stack is not None:
        yield trace_stack(one.execution, one.stack, one.knowledge)
    yield from trace_phase(one.execution)


def chrome_trace(examination: Examination, command: str) -> str:
    """Return the schedules of an examination as one Chrome trace.

    Args:
        examination: made with `trace=True`.
        command: the command line that gives it again.
    """
    from crossgrade import __version__
    from crossgrade.report.chrome_trace import render_chrome_trace

    assessment = examination.assessment
    known = (
        "all predicted. A stack: P50 of each launch, which says its P10 and P90 and its tier (T3 a "
        "table of this chip, T2 fitted to it, T1 to others, T0 to none). Ends of the band: from "
        "data sheets and assumed rates (T0)"
    )
    about = {
        "model": assessment.model.name,
        "command": command,
        "crossgrade": __version__,
        "times": known,
        "host": "launches one item ahead; the first item of an execution is launched by the one "
        "before it; collectives and composites have no known place: rounds are spread evenly, "
        "composites stand at the end",
    }
    return render_chrome_trace(examination.schedules, about=about)


def write_trace(path: Path, text: str) -> Path:
    """Write a trace and return its path; a name that ends in `.gz` is packed, which Perfetto opens.

    Raises:
        CannotWrite: the folder cannot be made or written.
    """
    data = text.encode()
    if path.suffix == ".gz":
        # No time of day in the file: the same answer is the same bytes.
        data = gzip.compress(data, COMPRESSION, mtime=0)
    write_bytes(path, data)
    return path

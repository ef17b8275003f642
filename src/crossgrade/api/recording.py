"""An assessment as a record, with what was asked and what was used."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossgrade.api.options import AssessOptions
    from crossgrade.values.assessment import Assessment


def _resolved(assessment: Assessment) -> dict[str, Any]:
    """Return what was used after defaults, aliases and detection."""
    return {
        "model": dataclasses.asdict(assessment.model),
        "chips": [c.chip for c in assessment.chips],
        "phases": [
            {
                "phase": p.phase,
                "batch": p.batch,
                "tokens": p.tokens,
                "context": p.context,
                "sizes": dict(p.sizes),
            }
            for p in assessment.chips[0].phases
        ],
        "weights": assessment.weights_format,
    }


def write_record(
    model: str, options: AssessOptions, assessment: Assessment, folder: Path | None = None
) -> Path:
    """Write an assessment as a record and return its path.

    Args:
        model: what the user named.
        options: what the user asked.
        assessment: the answer.
        folder: where; None for `$CROSSGRADE_HOME/records` or the user's data folder.
    """
    import datetime
    import platform

    from crossgrade import __version__
    from crossgrade.records.codec import dump, seal, to_json
    from crossgrade.records.store import default_folder
    from crossgrade.values.record import Record

    now = datetime.datetime.now(datetime.UTC)
    record = seal(
        Record(
            kind="assessment",
            created=now.isoformat(timespec="seconds"),
            passed={"model": model, **to_json(options)},
            resolved=_resolved(assessment),
            environment={
                "crossgrade": __version__,
                "platform": platform.system(),
                "machine": platform.machine(),
                **assessment.environment,
            },
            verdict=assessment.verdict,
            data=to_json(assessment),
        )
    )
    name = re.sub(r"[^\w.-]+", "_", assessment.model.name)
    path = (
        folder or default_folder()
    ) / f"{now:%Y%m%dT%H%M%SZ}-assess-{name}-{record.digest[:8]}.json"
    dump(record, path)
    return path

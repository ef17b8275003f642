"""Write the beginnings of published traces that crossgrade ships.

    CROSSGRADE_DATA=FOLDER python tools/traces.py

FOLDER/traces holds the files as they are published; `src/crossgrade/serving/data/SOURCES.md` says
where. Of each the first REQUESTS lines are written, without what crossgrade does not read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

REQUESTS = 500
DATA = Path(__file__).parents[1] / "src" / "crossgrade" / "serving" / "data"
AZURE = {
    "azure-code.csv": "AzureLLMInferenceTrace_code.csv",
    "azure-conv.csv": "AzureLLMInferenceTrace_conv.csv",
}
MOONCAKE = {
    "mooncake-conversation.jsonl": "mooncake_conversation_trace.jsonl",
    "mooncake-synthetic.jsonl": "mooncake_synthetic_trace.jsonl",
}
KEPT = ("timestamp", "input_length", "output_length")


def main() -> int:
    """Write all four; 2 where the published files are not there."""
    folder = os.environ.get("CROSSGRADE_DATA")
    if not folder:
        print("set CROSSGRADE_DATA to a folder that holds traces/", file=sys.stderr)
        return 2
    source = Path(folder) / "traces"
    for name, published in AZURE.items():
        lines = (source / published).read_text("utf-8").splitlines()
        _write(name, lines[: REQUESTS + 1])
    for name, published in MOONCAKE.items():
        rows = map(json.loads, (source / published).read_text("utf-8").splitlines()[:REQUESTS])
        _write(name, [json.dumps({key: row[key] for key in KEPT}) for row in rows])
    return 0


def _write(name: str, lines: list[str]) -> None:
    (DATA / name).write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())

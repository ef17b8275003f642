"""Draw the output of an assessment as an SVG, for the README.

python tools/picture.py docs/images/assess.svg deepseek-v4-pro ascend-950dt h200
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from crossgrade.api import AssessOptions, assess, render


def main(path: str, model: str, *chips: str) -> None:
    """Assess, render for a terminal of 118 columns, and write what it shows."""
    answer = assess(model, AssessOptions(on=chips, phases=("decode",)), narrate=print)
    text = render(answer, terminal=True, width=118, colour=True)
    console = Console(record=True, width=118, file=open("/dev/null", "w"))  # noqa: SIM115
    shown = " ".join(f"--on {chip}" for chip in chips)
    console.print(Text(f"$ crossgrade assess {model} {shown} --phase decode", style="bold"))
    console.print(Text.from_ansi(text))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="crossgrade", theme=MONOKAI)
    # The picture must not fetch anything: the reader's own monospace font will do.
    Path(path).write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    main(*sys.argv[1:])

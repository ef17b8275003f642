"""Write the tables of parameters and of fits into docs/explanation/kernels.md.

    python tools/kernel_parameters.py            # write the tables
    python tools/kernel_parameters.py --check    # write nothing; exit 1 if the page would change

Units, values, limits and sources come from the kernel models, meanings from kernel_parameters.toml
beside this file, fits from the file that the package ships. All else on the page is written by
hand.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from crossgrade.predict.silicon.attention import COMMON, Decode, Prefill
from crossgrade.predict.silicon.collective import Collective
from crossgrade.predict.silicon.cube import Cube
from crossgrade.predict.silicon.experts import Experts
from crossgrade.predict.silicon.grouped import GroupedCube
from crossgrade.predict.silicon.knowledge import Fit, Kind, shipped
from crossgrade.predict.silicon.latent import Latent
from crossgrade.predict.silicon.matmul import HOSTED, PRODUCT, TileWave
from crossgrade.predict.silicon.model import KernelModel, Parameter
from crossgrade.predict.silicon.quantise import Quantise
from crossgrade.predict.silicon.vector import Vector

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "kernels.md"
MEANINGS = Path(__file__).with_name("kernel_parameters.toml")
MODELS: tuple[KernelModel, ...] = (
    TileWave(), Quantise(), Cube(), Prefill(), Decode(), Latent(decode=False), Latent(decode=True),
    Experts(), GroupedCube(), Vector(), Collective(),
)  # fmt: skip
"""Every formula that prices kernels; a test compares with what `model_for` gives."""


def tables() -> dict[str, tuple[Parameter, ...]]:
    """Return name of a table -> its parameters; what attention models share stands once."""
    heads = tuple(p for p in Prefill().parameters if p.name.startswith("head_"))
    shared = (*COMMON, *heads)
    return {
        "product": PRODUCT,
        "hosted": HOSTED,
        "quantise": Quantise().parameters,
        "cube": Cube().parameters,
        "attention": shared,
        "prefill": _without(Prefill(), shared),
        "decode": _without(Decode(), shared),
        "latent": _without(Latent(decode=True), shared),
        "experts": Experts().parameters,
        "vector": Vector().parameters,
        "collective": Collective().parameters,
    }


def _without(model: KernelModel, shared: Iterable[Parameter]) -> tuple[Parameter, ...]:
    known = set(shared)
    return tuple(p for p in model.parameters if p not in known)


def meanings() -> Mapping[str, Mapping[str, str]]:
    """Return table -> parameter -> meaning."""
    return tomllib.loads(MEANINGS.read_text(encoding="utf-8"))


def table(parameters: Iterable[Parameter], words: Mapping[str, str]) -> str:
    """Return the Markdown table of parameters."""
    head = (
        "| parameter | unit | meaning | start | limits | spread | start rests on |\n"
        "|---|---|---|---:|---:|---:|---|\n"
    )
    return head + "".join(
        f"| `{p.name}` | {p.unit} | {words[p.name]} | {p.start:g} | {p.low:g} to {p.high:g} "
        f"| {p.spread:g} | {p.source} |\n"
        for p in parameters
    )


def fits() -> str:
    """Return the Markdown table of what ships, one row per family."""
    lines = [
        "| family | kinds | chips | fits | T2 | T1 | T0 | kinds with T1 no better than T0 |\n",
        "|---|---:|---:|---:|---:|---:|---:|---:|\n",
    ]
    every = shipped().fits
    for family in dict.fromkeys(f.kind.family for f in every):
        mine = [f for f in every if f.kind.family == family]
        own = [f for f in mine if f.chip]
        lines.append(
            f"| {family} | {len({f.kind for f in own})} | {len({f.chip for f in own})} "
            f"| {len(own)} | {' | '.join(_spread(mine, tier) for tier in ('T2', 'T1', 'T0'))} "
            f"| {_in_vain(mine)} |\n"
        )
    return "".join(lines)


def _spread(found: Iterable[Fit], tier: str) -> str:
    """Return least, middle and greatest of the errors of a tier, in per cent."""
    errors = [fit.error * 100 for fit in found if fit.tier == tier]
    if not errors:
        return "none"
    if len(errors) == 1:
        return f"{errors[0]:.1f}"
    return f"{min(errors):.1f} / {np.median(errors):.1f} / {max(errors):.1f}"


def _in_vain(found: Iterable[Fit]) -> str:
    """Return for how many kinds a transfer is off by as much as the starting parameters."""
    of: dict[str, dict[Kind, float]] = {"T0": {}, "T1": {}}
    for fit in found:
        if not fit.chip:
            of[fit.tier][fit.kind] = fit.error
    return f"{sum(of['T0'][kind] <= error for kind, error in of['T1'].items())} of {len(of['T1'])}"


def written(page: str) -> str:
    """Return the page with its tables as they are now.

    Raises:
        ValueError: a table has no place on the page, or a place no table.
    """
    words = meanings()
    blocks = {name: table(rows, words[name]) for name, rows in tables().items()}
    blocks["fits"] = fits()
    pattern = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    places = [match.group(2) for match in pattern.finditer(page)]
    if sorted(places) != sorted(blocks):
        raise ValueError(f"the page has places for {sorted(places)}, not for {sorted(blocks)}")
    return pattern.sub(lambda m: f"{m.group(1)}\n{blocks[m.group(2)]}\n{m.group(3)}", page)


def main() -> int:
    """Write or check the page; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the tables of docs/explanation/kernels.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    given = parser.parse_args()
    now = PAGE.read_text(encoding="utf-8")
    text = written(now)
    if text == now:
        return 0
    print(PAGE.name, file=sys.stderr)
    if given.check:
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

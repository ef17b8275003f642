"""Write the fitted parameters that the package ships, from the public tables they were fitted to.

    python tools/derive_silicon.py DATA [--only FAMILY ...] [--check]

DATA is the folder of the large data sets. Each chip and kind of kernel gets the parameters of at
most 300 rows that lie far apart, and a band from other rows of it. Between chips, each chip is
predicted from the others (T1) and from nothing (T0), and that gives those bands. `--only` keeps the
other families as they are; `--check` writes nothing and exits 1 where the shipped file differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossgrade.chips.loader import load_chip
from crossgrade.predict.silicon.bands import condensed
from crossgrade.predict.silicon.estimate import moved
from crossgrade.predict.silicon.fitting import Batch, fit_all
from crossgrade.predict.silicon.knowledge import (
    FILE,
    SCHEMA,
    Fit,
    Kind,
    Knowledge,
    decoded,
    encoded,
    regime,
)
from crossgrade.predict.silicon.model import Floats, KernelModel, starting
from crossgrade.predict.silicon.models import facts_for, model_for
from crossgrade.predict.silicon.splits import spread_out
from crossgrade.predict.silicon.vector import Vector
from crossgrade.predict.sources import (
    aiconfigurator,
    aiconfigurator_attention,
    aiconfigurator_experts,
    aiter,
    ascend,
    collectives,
    vector_gpu,
)
from crossgrade.predict.sources import products_fp32 as neusight_fp32
from crossgrade.values.kernel import KernelRows

TARGET = Path(__file__).parents[1] / "src/crossgrade/predict/silicon" / FILE
POINTS = 300
"""Rows that a fit sees at most."""
PROBES = 600
"""Further rows that its band comes from at most."""
AIC = "aiconfigurator@095f58a5, Apache-2.0"


def matmul(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of dense products."""
    yield from _listed(aiconfigurator.matmul(data), AIC)
    yield from _listed(aiter.matmul(data), "ROCm/aiter@e4048607, MIT")


def products_fp32(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of products in fp32."""
    yield from _listed(neusight_fp32.products(data), "sitar-lab/NeuSight@6945927, MIT")


def attention(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of attention."""
    for op in aiconfigurator_attention.ATTENTION:
        yield from _listed(aiconfigurator_attention.attention(data, op), AIC)


def latent(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of attention over a latent."""
    for op in aiconfigurator_attention.LATENT:
        yield from _listed(aiconfigurator_attention.latent(data, op), AIC)


def experts(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of routed experts."""
    yield from _listed(aiconfigurator_experts.experts(data), AIC)


def vector(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of vector kernels."""
    yield from _listed(vector_gpu.vidur(data), "microsoft/vidur@7d47513, MIT")
    yield from _listed(vector_gpu.neusight(data), "sitar-lab/NeuSight@6945927, MIT")


def collective(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of collectives."""
    yield from _listed(collectives.nccl(data), AIC)
    yield from _listed(collectives.all_reduces(data), AIC)


def cube(data: Path) -> Iterator[tuple[str, str, KernelRows]]:
    """Yield (chip, source, rows) of the die that reports exist of."""
    source = "reports of Ascend/msmodeling@84fec853 and its fork @39df672, CANN 8.5, Mulan PSL v2"
    for rows in (
        *ascend.die(data, "matmul").rows,
        *ascend.die(data, "vector").rows,
        *ascend.collectives(data).rows,
    ):
        yield ascend.CHIP, source, rows


READERS = {
    "matmul": matmul, "matmul-fp32": products_fp32, "attention": attention,
    "latent-attention": latent, "experts": experts,
    "vector": vector, "collective": collective, "cube": cube,
}  # fmt: skip


def _listed(
    found: Mapping[str, Sequence[KernelRows]], source: str
) -> Iterator[tuple[str, str, KernelRows]]:
    for chip, several in found.items():
        for rows in several:
            yield chip, source, rows


def pooled(rows: KernelRows, reader: str) -> Kind:
    """Return the kind that rows are fitted with: few rows are pooled over operations, formats."""
    together = rows.family in ("vector", "collective") or reader == "cube"
    return Kind(
        family=rows.family,
        op="" if together else rows.op,
        format="" if reader == "cube" or rows.family == "collective" else rows.format,
        stack=rows.stack,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What is measured of one kind on one chip, cut into what is fitted and what is not."""

    chip: str
    kind: Kind
    source: str
    model: KernelModel
    fitted: list[Batch]
    left: list[Batch]


def parts(data: Path, reader: str) -> list[_Part]:
    """Return every kind of a reader on every chip."""
    found: dict[tuple[str, Kind, str], list[KernelRows]] = {}
    for chip, source, rows in READERS[reader](data):
        found.setdefault((chip, pooled(rows, reader), source), []).append(rows)
    return [_part(*key, rows) for key, rows in found.items()]


def _part(chip: str, kind: Kind, source: str, several: list[KernelRows]) -> _Part:
    fitted, left = [], []
    described = load_chip(chip)
    few = sum(len(rows) for rows in several) <= POINTS
    for rows in several:
        facts = facts_for(rows, described)
        every = np.ones(len(rows), dtype=np.bool_)
        chosen = spread_out(rows, every, len(rows) if few else max(POINTS // len(several), 8))
        every[chosen] = False
        rest = np.flatnonzero(every)
        rest = np.random.default_rng(0).permutation(rest)[: max(PROBES // len(several), 8)]
        fitted.append(Batch(rows=rows.take(chosen), facts=facts))
        left.append(Batch(rows=rows.take(rest), facts=facts))
    model = model_for(several[0].family, several[0].op, fitted[0].facts)
    if kind.family == "vector":
        model = Vector(ops=tuple(sorted({rows.op for rows in several})))
    return _Part(chip=chip, kind=kind, source=source, model=model, fitted=fitted, left=left)


def derived(data: Path, reader: str) -> Iterator[Fit]:
    """Yield the fits of a reader: each chip by itself, then what holds between chips."""
    found = parts(data, reader)
    own: dict[int, dict[str, float]] = {}
    for i, part in enumerate(found):
        own[i] = fit_all(part.model, part.fitted)
        off, where = _held_out(part, own[i])
        rows = sum(len(b.rows) for b in part.fitted)
        print(f"{part.chip} {part.kind} {rows} rows, {_error(off):.1%}", file=sys.stderr)
        yield _fit(part.chip, part.kind, own[i], rows, off, where, part.source, "T2")
    for kind in dict.fromkeys(part.kind for part in found):
        same = [i for i, part in enumerate(found) if part.kind == kind]
        yield from _between(kind, [found[i] for i in same], [own[i] for i in same])


def _held_out(part: _Part, values: Mapping[str, float]) -> tuple[Floats, Floats]:
    """Return (residuals, regimes) of rows that were not fitted; by folds where all were."""
    if sum(len(b.rows) for b in part.left):
        return _off(part.model, part.left, values)
    offs, places = [], []
    for fold in range(5):
        kept = [_every(b, fold, inside=False) for b in part.fitted]
        out = [_every(b, fold, inside=True) for b in part.fitted]
        if not sum(len(b.rows) for b in out):
            continue
        off, where = _off(part.model, out, fit_all(part.model, kept, starts=1))
        offs.append(off)
        places.append(where)
    return np.concatenate(offs), np.concatenate(places)


def _every(batch: Batch, fold: int, *, inside: bool) -> Batch:
    at = (np.arange(len(batch.rows)) % 5 == fold) == inside
    return Batch(rows=batch.rows.take(at), facts=batch.facts)


def _off(
    model: KernelModel, batches: Sequence[Batch], values: Mapping[str, float]
) -> tuple[Floats, Floats]:
    offs, places = [], []
    for batch in (b for b in batches if len(b.rows)):
        terms = model.terms(batch.rows, batch.facts, values)
        assert batch.rows.seconds is not None
        offs.append(np.log(batch.rows.seconds / terms.total))
        places.append(regime(terms))
    return np.concatenate(offs), np.concatenate(places)


def _between(kind: Kind, same: list[_Part], own: list[dict[str, float]]) -> Iterator[Fit]:
    """Yield what a transfer and the starting parameters are worth for a kind."""
    source = "; ".join(dict.fromkeys(part.source for part in same))
    chips = ", ".join(part.chip for part in same)
    begun = [_off(p.model, p.fitted, starting(p.model)) for p in same]
    yield _pooled(kind, begun, f"{chips} ({source})", "T0")
    if len(same) < 2:
        return
    moves = []
    for i, part in enumerate(same):
        others = {p.chip: v for j, (p, v) in enumerate(zip(same, own, strict=True)) if j != i}
        values, _, _ = moved(part.model, load_chip(part.chip), others)
        moves.append(_off(part.model, part.fitted, values))
    yield _pooled(kind, moves, f"{chips}, each from the others ({source})", "T1")


def _pooled(kind: Kind, found: list[tuple[Floats, Floats]], source: str, tier: str) -> Fit:
    off = np.concatenate([o for o, _ in found])
    where = np.concatenate([w for _, w in found])
    return _fit("", kind, {}, 0, off, where, source, tier)


def _error(off: Floats) -> float:
    return float(np.nanmedian(np.abs(np.expm1(-off))))


def _fit(
    chip: str, kind: Kind, values: Mapping[str, float], rows: int, off: Floats, where: Floats,
    source: str, tier: str,
) -> Fit:  # fmt: skip
    """Return a fit with its band at a few regimes."""
    fine = np.isfinite(off) & np.isfinite(where).all(axis=1)
    return Fit(
        chip=chip, kind=kind, values=dict(values), rows=rows, error=_error(off[fine]),
        source=source, tier=tier, band=condensed(off, where),
    )  # fmt: skip


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", action="append", choices=tuple(READERS))
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    fits: dict[str, list[dict[str, object]]] = {}
    if TARGET.exists():
        fits = json.loads(TARGET.read_text(encoding="utf-8"))["fits"]
    for reader in given.only or READERS:
        made = encoded(Knowledge(fits=tuple(derived(given.data, reader))))["fits"]
        fits[reader] = [entry for group in made.values() for entry in group]
    text = json.dumps({"schema": SCHEMA, "fits": fits}, separators=(",", ":"))
    text = text.replace('{"chip"', '\n{"chip"')
    if given.check:
        return 0 if TARGET.read_text(encoding="utf-8") == text + "\n" else 1
    TARGET.write_text(text + "\n", encoding="utf-8")
    decoded(json.loads(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())

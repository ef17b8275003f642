"""Why a layout cannot run a model, before its time is asked for.

Must not know chips but their memory, nor how a layout was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

from crossgrade.predict.layouts.pieces import Pieces
from crossgrade.values.layout import Layout


def layout_faults(pieces: Pieces, layout: Layout) -> Iterator[str]:
    """Yield what keeps a layout from running a model at any batch.

    Serving stacks refuse ranks that do not divide heads, experts or the inner size of an expert;
    keys that fewer heads have than there are ranks are kept by several of them.
    """
    if pieces.heads is not None and pieces.heads % layout.tp:
        yield f"{pieces.heads} heads do not divide over tp {layout.tp}"
    if pieces.shared and pieces.shared % layout.tp and layout.tp % pieces.shared:
        yield f"{pieces.shared} heads of keys do not divide over tp {layout.tp}"
    if layout.cp > 1 and pieces.heads is None:
        yield f"no attention whose tokens cp {layout.cp} could share out"
    if layout.cp > 1 and any(p.op == "recurrence" for p in pieces.pieces):
        yield f"a state goes from token to token, which cp {layout.cp} cannot share out"
    if layout.pp > max(pieces.blocks, 1):
        yield f"{pieces.blocks} blocks for pp {layout.pp}"
    routed = pieces.routed
    if routed is None:
        if layout.ep > 1:
            yield f"no routed experts for ep {layout.ep}"
        return
    if (routed.experts + layout.redundant) % layout.ep:
        copies = f" and {layout.redundant} copies" * (layout.redundant > 0)
        yield f"{routed.experts} experts{copies} do not divide over ep {layout.ep}"
    if routed.inter % layout.expert_tp:
        yield f"experts of {routed.inter} columns do not divide over {layout.expert_tp} ranks"


def batch_faults(layout: Layout, batch: int) -> Iterator[str]:
    """Yield what keeps a layout from working on a batch."""
    if batch < layout.dp * layout.pp:
        yield f"batch {batch} leaves some of {layout.dp} replicas in {layout.pp} stages idle"
    elif layout.two_batch and batch < 2 * layout.dp * layout.pp:
        yield f"batch {batch} leaves ranks with one sequence, which is no two batches"

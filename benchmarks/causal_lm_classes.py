"""Do the causal language models of transformers capture, lower and price? Counts every class.

    python benchmarks/causal_lm_classes.py [--only TYPE ...] [--limit 300] [--layers N] [--write]

Every entry of `MODEL_FOR_CAUSAL_LM_MAPPING_NAMES` is tried with the configuration that its class
has by default, whole and unshrunk: widths and depths cost little on fake tensors. It is written to
a config.json and goes the way of `crossgrade assess ./config.json`: built, captured in prefill and
decode, lowered to eager and fused kernels, priced on one chip. Each entry has a process of its
own, with a limit of time and of memory.

Some classes do not run with their own defaults, in transformers neither: sizes are left out that
every checkpoint brings. These get one more try with the holes filled by one rule, see `filled`.
What the rule does not cover stands in `SPECIAL` with its reason and is not counted as a success.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossgrade.jobs.forking import Nursery
from crossgrade.jobs.run import Job, run
from crossgrade.units import si

CHIP = "h100"
SIZES = {"prefill": (128, 0), "decode": (1, 256)}
"""Phase -> new and cached tokens per sequence; every learned table of positions has room."""
BATCH = 2
MEMORY_BYTES = 3 << 30
PAGE = Path(__file__).parents[1] / "docs" / "results" / "causal-lm.md"

_MODULE = Path(__file__).stem if __name__ == "__main__" else __name__

How = Literal["default", "filled", "special"]
SPECIAL: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "dbrx": (
        {"attn_config": {"model_type": "dbrx", "kv_n_heads": 8, "clip_qkv": 8,
                         "rope_theta": 500000.0}},
        "the default attention part has no rope_theta and clips to nothing; that of dbrx-instruct",
    ),
    "qwen4_exp": (
        {"text_config": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 256,
                         "indexer_budget": 2048, "indexer_compress_ratio": 4}},
        "the default has an indexer and none of its five sizes; ours are made up",
    ),
    "qwen4_exp_text": (
        {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 256,
         "indexer_budget": 2048, "indexer_compress_ratio": 4},
        "the default has an indexer and none of its five sizes; ours are made up",
    ),
    "xlnet": ({"dtype": "float32"}, "multiplies fp32 by bf16 where the weights are bf16"),
}  # fmt: skip
"""Entries that neither the default nor the rule serves -> what is changed, and why."""
NAMED: Mapping[str, str] = {
    "reformer": "in decode, hashes of the data decide which chunks are attended to, and the class "
    "asserts that their number is right",
    "blt": "the class asks its configuration for layers that it does not have, and how many "
    "patches there are depends on the bytes, which a capture does not have",
    "gemma3n": "its vision tower is a model of `timm`, which is not installed",
    "gemma4_assistant": "the default is refused by its own class; it drafts on the keys and "
    "values of a larger model, which a configuration alone does not bring",
    "gemma4_unified_assistant": "the default is refused by its own class; it drafts on the keys "
    "and values of a larger model, which a configuration alone does not bring",
}
"""Entries that cannot be served -> why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one entry of the mapping."""

    model_type: str
    """Its key."""
    cls: str
    """The class that it names."""
    how: How
    """Whose configuration it was."""
    ok: bool
    """Whether everything was done."""
    phase: str = ""
    """Where it stopped: config, build, prefill, decode."""
    error: str = ""
    """First line of the error."""
    built: str = ""
    """The class that was built."""
    calls: tuple[int, int] = (0, 0)
    """Captured calls in prefill and in decode."""
    state: str = ""
    """What a decode step goes on with: bytes of a cache, or `none`."""
    seconds: float = 0.0
    """Time of all of it after the imports."""

    @property
    def counts(self) -> bool:
        """Whether it is a success of the share."""
        return self.ok and self.how != "special"


# configurations ------------------------------------------------------------------------------
def entries() -> dict[str, str]:
    """Return model type -> class of every entry of the mapping."""
    from crossgrade.workloads.huggingface import load_transformers

    load_transformers()
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def default_config(model_type: str) -> dict[str, Any]:
    """Return the configuration that a class has by default, as transformers writes it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    parsed = CONFIG_MAPPING[model_type]()
    config: dict[str, Any] = json.loads(parsed.to_json_string(use_diff=False))
    return config | {"architectures": [entries()[model_type]]}


def filled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without holes, at all depths. The rule, by field:

    `head_dim`: hidden size over heads. `num_key_value_heads`: as many as heads. Experts per token:
    2. Routed experts: 8. Shared experts: 1. `is_decoder`: true. Kinds of layers: full attention
    where there is no list; every fourth is attention where a list has none. `rope_parameters`:
    where it is empty, the default kind with theta 10,000 for each kind of layer. Other fields that
    have a value keep it.
    """
    new = {k: filled(v) if isinstance(v, Mapping) else v for k, v in config.items()}
    heads = new.get("num_attention_heads")
    width = new.get("hidden_size")
    holes: dict[str, Any] = {
        "head_dim": width // heads if width and heads else None,
        "num_key_value_heads": heads,
        "num_experts_per_tok": 2,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
    }
    new |= {k: v for k, v in holes.items() if k in new and new[k] is None}
    if new.get("is_decoder") is False:
        new["is_decoder"] = True
    layers = new.get("num_hidden_layers") or 0
    fourth = list(range(3, layers, 4))
    if "layer_types" in new:
        new["layer_types"] = _kinds(new["layer_types"], layers, fourth)
    if new.get("rope_parameters") == {} and new.get("layer_types"):
        rope = {"rope_type": "default", "rope_theta": 10000.0}
        new["rope_parameters"] = dict.fromkeys(new["layer_types"], rope)
    if new.get("attn_layer_indices", fourth) is None:
        new["attn_layer_indices"] = fourth
    return new


def _kinds(kinds: list[str] | None, layers: int, fourth: list[int]) -> list[str] | None:
    if kinds is None:
        return ["full_attention"] * layers
    if any("attention" in kind and kind != "linear_attention" for kind in kinds):
        return kinds
    return ["full_attention" if i in fourth else kind for i, kind in enumerate(kinds)]


def cut(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """Return a configuration with fewer layers: counts of layers, and the lists as long as them."""
    counted = ("_layers", "n_layer", "depth")
    counts = {v for k, v in config.items()
              if k.endswith(counted) and isinstance(v, int) and v > layers}  # fmt: skip
    new: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            value = cut(value, layers)
        elif key.endswith(counted) and isinstance(value, int):
            value = min(value, layers)
        elif isinstance(value, list) and len(value) in counts:
            value = value[:layers]
        new[key] = value
    return new


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {k: _changed(config[k], v) if isinstance(config.get(k), Mapping) and
              isinstance(v, Mapping) else v for k, v in changes.items()}  # fmt: skip
    return {**config, **merged}


def config_of(model_type: str, how: How) -> dict[str, Any]:
    """Return the configuration to try."""
    config = default_config(model_type)
    if how == "filled":
        return filled(config)
    return _changed(config, SPECIAL[model_type][0]) if how == "special" else config


# one entry, in a process of its own ------------------------------------------------------------
def tried(model_type: str, how: How, layers: int) -> Iterator[dict[str, Any]]:
    """Yield what is known so far, after each step; the last has `ok`."""
    began, phase = time.perf_counter(), "config"
    found: dict[str, Any] = {"ok": False, "calls": [0, 0]}
    try:
        config = config_of(model_type, how)
        for phase, more in served(cut(config, layers) if layers else config):
            found |= more
            yield found | {"phase": phase}
        found |= {"ok": True}
        phase = ""
    except Exception as error:
        line = (str(error).strip() or "no text").splitlines()[0]
        found["error"] = f"{type(error).__name__}: {line}"
    yield found | {"phase": phase, "seconds": time.perf_counter() - began}


def served(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Build, capture, lower and price; yield the step that comes next and what is known."""
    from crossgrade.api import chip
    from crossgrade.api.options import AssessOptions
    from crossgrade.api.sizing import sized
    from crossgrade.capture.run import CaptureSession
    from crossgrade.predict.phase import predict, prepare
    from crossgrade.values.layout import Layout
    from crossgrade.workloads.resolve import find_model

    yield "build", {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / str(config["model_type"]) / "config.json"
        file.parent.mkdir()
        file.write_text(json.dumps(config), encoding="utf-8")
        found = find_model(str(file))
        built = found.build(None)
    session, calls = CaptureSession(built), [0, 0]
    known = {"built": type(built.module).__name__}
    for index, (phase, (tokens, context)) in enumerate(SIZES.items()):
        yield phase, known
        options = AssessOptions(on=(CHIP,), batch=BATCH, tokens=tokens, context=context)
        ready = prepare(session.capture(sized(options, built, (phase,), phase, found.ref)))
        answer = predict(ready, chip(CHIP), Layout(chips=1))
        if not (ready.eager and ready.fused and 0 < answer.time_s.low < math.inf):
            raise ValueError("nothing was lowered, or it has no price")
        calls[index] = ready.capture.calls
        known |= {"calls": list(calls), "state": _state(ready.capture)}
    yield "done", known


def _state(capture: Any) -> str:
    """Return the bytes of the state that a step was given, in words."""
    from crossgrade.values.capture import ROLES

    c = capture.columns
    given = (c["storage_role"] == ROLES.index("kv")) & (c["storage_born"] < 0)
    total = float(c["storage_bytes"][given].sum())
    return si(total, "B") if total else "none"


# all entries -------------------------------------------------------------------------------------
def attempt(model_type: str, how: How, layers: int, limit_s: float, nursery: Nursery) -> Row:
    """Return what becomes of one entry with one configuration."""
    job = Job(function=f"{_MODULE}:tried", silence_s=limit_s,
              arguments={"model_type": model_type, "how": how, "layers": layers},
              memory_bytes=MEMORY_BYTES)  # fmt: skip
    last: dict[str, Any] = {"ok": False, "calls": [0, 0], "phase": "config"}
    with run(job, nursery=nursery) as child:
        for message in child:
            last = message
        ended = child.ended
    if "seconds" not in last:
        last |= {"error": f"{ended.kind}: {ended.detail}", "seconds": limit_s}
    last["calls"] = tuple(last["calls"])
    return Row(model_type=model_type, cls=entries()[model_type], how=how, **last)


def row_of(model_type: str, layers: int, limit_s: float, nursery: Nursery) -> Row:
    """Return what becomes of one entry: as it is by default, filled, and as a special case."""
    row = attempt(model_type, "default", layers, limit_s, nursery)
    if not row.ok and row.phase != "config":
        again = attempt(model_type, "filled", layers, limit_s, nursery)
        row = again
    if not row.ok and model_type in SPECIAL:
        row = attempt(model_type, "special", layers, limit_s, nursery)
    return row


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line of Markdown per entry."""
    yield "| entry | class | configuration | result | calls, prefill and decode | state | time |"
    yield "|---|---|---|---|---:|---:|---:|"
    for row in rows:
        other = f" (built: {row.built})" if row.built not in ("", row.cls) else ""
        result = "ok" if row.ok else f"{row.phase}: {_short(row)}"
        calls = f"{row.calls[0]:,} and {row.calls[1]:,}" if row.calls[0] else ""
        yield (f"| {row.model_type} | {row.cls}{other} | {row.how} | {result} | {calls} "
               f"| {row.state} | {row.seconds:.1f} s |")  # fmt: skip


def _short(row: Row) -> str:
    return row.error.replace("|", "\\|")[:160]


def summary(rows: Sequence[Row]) -> str:
    """Return the share, in words."""
    good = Counter(row.how for row in rows if row.ok)
    served_ = sum(row.counts for row in rows)
    return (
        f"{served_} of {len(rows)} entries ({served_ / max(len(rows), 1):.1%}) capture, lower and "
        f"price: {good['default']} with their default configuration, {good['filled']} with its "
        f"holes filled by the rule. {good['special']} more do as special cases and are not "
        f"counted; {sum(not row.ok for row in rows)} do not."
    )


def page(rows: Sequence[Row]) -> str:
    """Return the page of results."""
    import torch
    import transformers

    left = [f"| {r.model_type} | {SPECIAL[r.model_type][1]} | "
            f"`{json.dumps(SPECIAL[r.model_type][0])}` |"
            for r in rows if r.how == "special"]  # fmt: skip
    cannot = [f"| {r.model_type} | {NAMED.get(r.model_type, _short(r))} |"
              for r in rows if not r.ok]  # fmt: skip
    rule = " ".join((filled.__doc__ or "").split("The rule, by field:")[1].split())
    prefill, decode = SIZES["prefill"], SIZES["decode"]
    return "\n".join((
        "# Causal language models of transformers", "",
        f"Every entry of `MODEL_FOR_CAUSAL_LM_MAPPING_NAMES` of transformers "
        f"{transformers.__version__}, captured with torch {torch.__version__}, lowered to eager "
        f"and fused kernels and priced on `{CHIP}` by", "",
        "```bash", "python benchmarks/causal_lm_classes.py --write", "```", "",
        f"{summary(rows)}", "",
        f"Configurations are whole: nothing is shrunk. Batch {BATCH}; prefill of {prefill[0]} "
        f"tokens, then one decode step beside {decode[1]} cached ones. *Captured and priced* says "
        "nothing about how near the price is; see [the prediction](../explanation/prediction.md). "
        "`state` is what a decode step was given to go on with; with `none` it reads the whole "
        "text again.", "",
        "Recurrences that these classes run as a loop over tokens (Mamba, RWKV, RecurrentGemma, "
        "Zamba, where no kernels package is installed) make calls in proportion to the prompt, and "
        "take as long to capture. Experts of LongCat-Flash are called one by one, 768 a layer.", "",
        "`filled` configurations: these classes do not run with their own defaults in transformers "
        f"either. The rule: {rule}", "",
        "## Special cases, not counted", "", "| entry | why | change |", "|---|---|---|", *left, "",
        "## Not served", "", "| entry | why |", "|---|---|", *cannot, "",
        "## Every entry", "", *table(rows), "",
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="TYPE")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--layers", type=int, default=0, metavar="N",
                        help="cut every model to N layers; 0: whole")  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    given = parser.parse_args()
    names = given.only or list(entries())
    rows = []
    preload = ["torch", "transformers", "crossgrade.capture.run", "crossgrade.predict.phase"]
    with Nursery(preload) as nursery:
        for name in names:
            rows.append(row_of(name, given.layers, given.limit, nursery))
            print(*list(table(rows[-1:]))[2:], flush=True)
    print(f"\n{summary(rows)}")
    if given.write:
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

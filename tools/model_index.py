"""Write the index of the shipped model configurations, or say what is wrong with it.

    python tools/model_index.py            # all presets, about a second each
    python tools/model_index.py --new      # only presets that the index lacks
    python tools/model_index.py --check    # write nothing; exit 1 if a row would change

A new preset needs its file in `data/presets` and one run with `--new`; if it comes from another
place, also an entry in `data/sources.toml`. Each model is built without weights, as `assess` does.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from crossgrade.errors import InputError
from crossgrade.values.preset import PresetSummary
from crossgrade.workloads.built import BuiltModel
from crossgrade.workloads.checkpoint import from_config
from crossgrade.workloads.resolve import find_model, preset_names

DATA = Path(__file__).parents[1] / "src" / "crossgrade" / "workloads" / "data"
INDEX = DATA / "index.json"
KINDS = (
    ("*omni*", "omni"),
    ("llama4forconditionalgeneration", "vision-language"),
    ("*forconditionalgeneration", "language"),
    ("*forcausallm", "language"),
    ("*formaskedlm", "language"),
    ("*forsequenceclassification", "language"),
    ("*forimageclassification", "vision"),
    ("*fordepthestimation", "vision"),
    ("*forobjectdetection", "vision"),
    ("*forsemanticsegmentation", "vision"),
    ("*forctc", "audio"),
    ("*transformer*model", "diffusion"),
    ("*vision*model*", "vision"),
    ("dinov2model", "vision"),
    ("bertmodel", "encoder"),
    ("*robertamodel", "embedding"),
    ("qwen3model", "embedding"),
)
"""Pattern of an architecture in lower case -> kind; a configuration's sections come first."""
OWN = {
    "diffusion-transformer": "diffusion",
    "two-stream-diffusion-transformer": "diffusion",
    "graph-network": "graph",
    "recommender": "recommender",
}
"""Module of our own -> kind."""


def kind_of(config: dict[str, Any], architecture: str) -> str:
    """Return what a model works on, from the sections of its configuration and its class."""
    if "crossgrade_model" in config:
        return OWN[config["crossgrade_model"]]
    if "audio_config" in config and "vision_config" in config:
        return "omni"
    if "vision_config" in config:
        return "vision-language"
    if "audio_config" in config or "num_mel_bins" in config:
        return "audio-language" if "text_config" in config else "audio"
    name = architecture.lower()
    return next((kind for pattern, kind in KINDS if fnmatch.fnmatchcase(name, pattern)), "")


def source_of(name: str) -> str:
    """Return where a preset comes from: its own word, or the table."""
    own = (find_model(name).config or {}).get("source")
    if own:
        return f"written by crossgrade from {own}"
    table = tomllib.loads((DATA / "sources.toml").read_text(encoding="utf-8"))
    return next(s["text"] for s in table["source"] if fnmatch.fnmatchcase(name, s["pattern"]))


def plain_row(name: str) -> dict[str, Any]:
    """Return what stands in the configuration alone; no model is built."""
    config = find_model(name).config or {}
    text = config.get("text_config") or {}
    named = config.get("architectures") or text.get("architectures") or [""]
    architecture = str(config.get("_class_name") or config.get("crossgrade_model") or named[0])
    return {
        "name": name,
        "family": str(config.get("model_type") or ""),
        "architecture": architecture,
        "kind": kind_of(config, architecture),
        "source": source_of(name),
    }


def parameters_of(built: BuiltModel) -> int:
    """Return the number of parameters, tied ones once, as `assess` counts them."""
    return sum(p.numel() for p in built.module.parameters())


def full_row(name: str) -> PresetSummary:
    """Return the row of a preset; the model is built without weights.

    Where the installed transformers cannot build it, the number of parameters stays unknown.
    """
    found = find_model(name)
    try:
        built = found.build(None)
    except InputError as error:
        print(error, file=sys.stderr)
        weights = from_config(found.config).title if found.config else ""
        return PresetSummary(**plain_row(name), parameters=None, weights=weights)
    return PresetSummary(
        **plain_row(name), parameters=parameters_of(built), weights=built.weights.title
    )


def as_text(rows: list[PresetSummary]) -> str:
    """Return the index: one row per line."""
    lines = (json.dumps(dataclasses.asdict(r), ensure_ascii=False) for r in rows)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    """Write or check the index."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--new", action="store_true", help="only presets that the index lacks")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    options = parser.parse_args()
    text = INDEX.read_text(encoding="utf-8") if INDEX.is_file() else "[]"
    known = {row["name"]: PresetSummary(**row) for row in json.loads(text)}
    rows = []
    for name in preset_names():
        keep = options.new and name in known
        print(f"{name}: {'kept' if keep else 'building'}", file=sys.stderr)
        rows.append(known[name] if keep else full_row(name))
    if options.check:
        sys.exit(int(as_text(rows) != text))
    INDEX.write_text(as_text(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

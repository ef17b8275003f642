"""What the user named -> a model reference and how to build it.

Must not know torch until something is built.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadModelFile, UnknownModel
from crossgrade.values.workload import ModelRef

if TYPE_CHECKING:
    from crossgrade.workloads.built import BuiltModel

_FACTORY = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
_LARGEST_CONFIG = 32 << 20


@functools.cache
def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped configurations."""
    return tuple(sorted(_preset_files()))


@functools.cache
def _preset_files() -> dict[str, Traversable]:
    """Return preset -> file: published configurations, and those written for crossgrade."""
    data = resources.files("crossgrade.workloads").joinpath("data")
    return {
        file.name.removesuffix(".json"): file
        for folder in ("presets", "written")
        for file in data.joinpath(folder).iterdir()
        if file.name.endswith(".json")
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model that was found, and how to build it."""

    ref: ModelRef
    """What it is."""
    config: dict[str, Any] | None
    """Its configuration, None for code and archives."""
    path: Path | None
    """The archive, None for everything else."""

    def build(self, dtype: str | None) -> BuiltModel:
        """Return the module with its inputs.

        Args:
            dtype: the user's weight format, None for the checkpoint's own.
        """
        if self.config is not None and "crossgrade_model" in self.config:
            from crossgrade.workloads import written

            return written.build(self.config, name=self.ref.name, dtype=dtype)
        if self.config is not None:
            from crossgrade.workloads import huggingface

            return huggingface.build(self.config, name=self.ref.name, dtype=dtype)
        if self.path is not None:
            from crossgrade.workloads import exported

            return exported.build(self.path, dtype=dtype)
        from crossgrade.workloads import factory

        return factory.build(self.ref.passed, dtype=dtype)


def find_model(spec: str) -> FoundModel:
    """Return the model that `spec` names.

    A preset's name, a `config.json`, a folder that holds one, a `.pt2` archive, or
    `package.module:factory`. Only the last two run code.

    Raises:
        UnknownModel: nothing has that name.
        BadModelFile: the file or folder is empty, broken or something else.
    """
    if spec.lower() in preset_names():
        return _preset(spec, spec.lower())
    path = Path(spec)
    try:
        if path.is_dir():
            return _folder(spec, path)
        if path.is_file():
            return _file(spec, path)
    except OSError as error:  # the name is too long for a path, or may not be looked at
        raise UnknownModel(
            f"cannot look for '{spec[:80]}': {error.strerror}", hint="check the path"
        ) from error
    if _FACTORY.match(spec):
        ref = ModelRef(passed=spec, name=spec, kind="factory", runs_code=True)
        return FoundModel(ref=ref, config=None, path=None)
    close = difflib.get_close_matches(spec.lower(), preset_names(), n=3, cutoff=0.5)
    raise UnknownModel(
        f"no model '{spec}': not a preset, a file, a folder or package.module:factory",
        hint=(f"did you mean {', '.join(close)}? " if close else "")
        + "`crossgrade models` lists the presets",
    )


def _preset(spec: str, name: str) -> FoundModel:
    """Return a shipped configuration, with modelopt's description where it has one."""
    data = resources.files("crossgrade.workloads").joinpath("data")
    config = json.loads(_preset_files()[name].read_text(encoding="utf-8"))
    extra = data.joinpath("quantization", f"{name}.json")
    if extra.is_file():
        config["quantization_config"] = _modelopt(json.loads(extra.read_text(encoding="utf-8")))
    return _configured(spec, name, config, "preset")


def _configured(spec: str, name: str, config: dict[str, Any], kind: Any) -> FoundModel:
    ref = ModelRef(passed=spec, name=name, kind=kind, runs_code=False)
    return FoundModel(ref=ref, config=config, path=None)


def _folder(spec: str, path: Path) -> FoundModel:
    """Return the model of a folder; only its configuration is read."""
    config = path / "config.json"
    if not config.is_file():
        raise BadModelFile(
            f"no config.json in folder '{spec}'", hint="pass the folder that a checkpoint lies in"
        )
    parsed = _read_config(config)
    extra = path / "hf_quant_config.json"
    if extra.is_file() and "quantization_config" not in parsed:
        # modelopt keeps the weights' format in a file of its own.
        parsed["quantization_config"] = _modelopt(_read_config(extra))
    return _configured(spec, path.resolve().name, parsed, "config")


_MODELOPT: dict[str, tuple[int, str, int | None]] = {
    "FP8": (8, "float", None),
    "NVFP4": (4, "float", 16),
    "W4A16": (4, "int", 128),
    "INT8_SQ": (8, "int", None),
}
"""modelopt's names of formats -> bits, type, group size."""


def _modelopt(config: dict[str, Any]) -> dict[str, Any]:
    """Return modelopt's description in the shape of a `quantization_config`."""
    quant = config.get("quantization")
    quant = quant if isinstance(quant, dict) else {}
    bits, kind, group = _MODELOPT.get(str(quant.get("quant_algo")), (16, "float", None))
    weights = {"num_bits": bits, "type": kind, "group_size": group}
    return {
        "quant_algo": quant.get("quant_algo"),
        "config_groups": {"group_0": {"weights": weights}},
        "kv_cache": quant.get("kv_cache_quant_algo"),
        "ignore": quant.get("exclude_modules") or [],
        "ignore_listed": "exclude_modules" in quant,
    }


def _file(spec: str, path: Path) -> FoundModel:
    if path.suffix == ".pt2":
        ref = ModelRef(passed=spec, name=path.stem, kind="pt2", runs_code=True)
        return FoundModel(ref=ref, config=None, path=path)
    if path.suffix != ".json":
        raise BadModelFile(
            f"'{spec}' is neither a config.json nor a .pt2 archive",
            hint="weights and pickles are never opened; pass the model's config.json",
        )
    name = path.resolve().parent.name if path.stem == "config" else path.stem
    return _configured(spec, name, _read_config(path), "config")


def _read_config(path: Path) -> dict[str, Any]:
    """Return a parsed JSON object."""
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise BadModelFile(f"'{path}' has more than 32 MB", hint="is it a configuration?")
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadModelFile(f"cannot read '{path}': {error}", hint="check the path") from error
    except json.JSONDecodeError as error:
        raise BadModelFile(
            f"'{path}' is not JSON: {error.msg}",
            where=f"line {error.lineno}",
            hint="download the file again",
        ) from error
    except ValueError as error:
        raise BadModelFile(
            f"'{path}' is not JSON: {error}", hint="download the file again"
        ) from error
    except RecursionError as error:
        raise BadModelFile(f"'{path}' is nested too deeply", hint="is it a config?") from error
    if not isinstance(parsed, dict):
        raise BadModelFile(
            f"'{path}' holds a {type(parsed).__name__}, not an object",
            hint="pass a model's config.json",
        )
    return parsed

"""Hugging Face configurations -> modules on the meta device, with inputs for each phase.

Only classes that ship with transformers are used. `auto_map` is dropped, so code beside a
configuration is never run and nothing asks. Must not know how execution is recorded.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import io
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crossgrade.errors import BadModelFile, MissingExtra, UnknownArchitecture
from crossgrade.workloads.built import CACHES, INSTALL_TORCH, BuiltModel, routes
from crossgrade.workloads.checkpoint import CheckpointFormat, from_config, from_user
from crossgrade.workloads.factory import scalar_loss
from crossgrade.workloads.feeding import cache_of, feeding_of

if TYPE_CHECKING:
    import torch

_MOST_LAYERS = 10_000
_FLOAT_TAG = "__float__"
_TAGGED = ("Infinity", "-Infinity", "NaN")


def build(config: Mapping[str, Any], *, name: str, dtype: str | None) -> BuiltModel:
    """Return the module that a configuration describes, on the meta device.

    Args:
        config: the parsed `config.json`.
        name: what to call the model in messages.
        dtype: the user's weight format, None for the checkpoint's own.

    Raises:
        UnknownArchitecture: transformers has no class for it.
        BadModelFile: the class refuses the configuration.
        MissingExtra: torch or transformers is absent.
    """
    transformers = load_transformers()
    notes: list[str] = []
    config = _without_code(config)
    _check_counts(config, name)
    cls, parsed = _find_class(transformers, config, name, notes)
    _choose_language(parsed, notes)
    weights = from_user(dtype) if dtype else from_config(config)
    module = _instantiate(cls, parsed, weights, name)
    notes.extend(_format_notes(config, name, weights) if dtype is None else ())
    feeding = feeding_of(module)
    looks = "images" in feeding.own_sizes
    notes.extend((*feeding.notes, *_left_out(config, module, looks=looks)))
    return BuiltModel(
        module=module,
        weights=weights,
        loss=scalar_loss,
        cache_of=cache_of,
        cache_arguments=frozenset(CACHES),
        set_training=module.train,
        environment=_environment(transformers, module),
        notes=tuple(notes),
        **feeding.fields(),
    )


def _environment(transformers: Any, module: torch.nn.Module) -> dict[str, str]:
    """Return versions and choices that shaped the module."""
    return {
        "transformers": transformers.__version__,
        "class": type(module).__name__,
        "attention": str(getattr(module.config, "_attn_implementation", "")),
        "experts": _experts(module),
    }


def load_transformers() -> Any:
    """Return the library, set to stay off the network."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        import torch  # noqa: F401
        import transformers
    except (ImportError, OSError, RuntimeError) as error:
        # torch raises RuntimeError where an extension that it loads by itself is broken.
        raise MissingExtra(
            f"building a model needs torch and transformers: {error}",
            hint=INSTALL_TORCH,
        ) from error
    return transformers


def _without_code(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without every reference to code, at all depths."""
    cleaned: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("auto_map", "custom_pipelines", "trust_remote_code", "source"):
            continue
        cleaned[key] = _plain(value)
    return cleaned


def _plain(value: Any) -> Any:
    """Return a value without references to code; tagged numbers become numbers.

    JSON has no infinity: transformers writes `{"__float__": "Infinity"}` (configuration_utils.py).
    """
    if isinstance(value, Mapping):
        if value.keys() == {_FLOAT_TAG} and value[_FLOAT_TAG] in _TAGGED:
            return float(value[_FLOAT_TAG])
        return _without_code(value)
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def _check_counts(config: Mapping[str, Any], name: str) -> None:
    """Refuse counts of modules that would take hours to build; published models have under 1,000.

    Raises:
        BadModelFile: names the entry.
    """
    for key, value in config.items():
        if isinstance(value, Mapping):
            _check_counts(value, name)
        counted = key.endswith(("_layers", "n_layer", "depth")) and isinstance(value, int)
        if counted and not 0 <= value <= _MOST_LAYERS:
            raise BadModelFile(
                f"{name}: {key} is {value}", hint=f"a count from 0 to {_MOST_LAYERS:,}"
            )


def _find_class(
    transformers: Any, config: dict[str, Any], name: str, notes: list[str]
) -> tuple[Any, Any]:
    """Return the model class and the parsed configuration."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise BadModelFile(
            f"{name}: the configuration has no model_type", hint="is it a model's config.json?"
        )
    plain = {k: v for k, v in config.items() if k != "quantization_config"}
    for architecture in config.get("architectures") or ():
        cls: Any = getattr(transformers, str(architecture), None)
        if inspect.isclass(cls) and getattr(cls, "config_class", None) is not None:
            return cls, _parsed_for(cls, model_type, plain, name, notes)
    if model_type in CONFIG_MAPPING:
        parsed = _parse(CONFIG_MAPPING[model_type], plain, name)
        for mapping in _class_mappings():
            if type(parsed) in mapping:
                cls = mapping[type(parsed)]
                return cls, _part(parsed, cls, notes)
    close = difflib.get_close_matches(model_type, list(CONFIG_MAPPING.keys()), n=1)
    raise UnknownArchitecture(
        f"{name}: transformers {transformers.__version__} has no model class for "
        f"model_type '{model_type}'",
        hint=(f"the nearest is '{close[0]}'; " if close else "")
        + "code that came with a model is never run; pass the model as package.module:factory",
    )


def _parsed_for(
    cls: Any, model_type: str, plain: dict[str, Any], name: str, notes: list[str]
) -> Any:
    """Return the configuration, parsed for a class that it names."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    own: Any = cls.config_class
    # Not `get`: the mapping imports lazily and has nothing for it to find.
    known = model_type in CONFIG_MAPPING
    config_class: Any = CONFIG_MAPPING[model_type] if known else own
    if own in getattr(config_class, "sub_configs", {}).values():
        return _part(_parse(config_class, plain, name), cls, notes)
    if not issubclass(config_class, own):
        config_class = own
    if config_class.model_type != model_type:
        notes.append(
            f"model_type '{model_type}' is unknown to transformers; built as "
            f"{cls.__name__}, which its 'architectures' names"
        )
        plain["model_type"] = config_class.model_type
    return _parse(config_class, plain, name)


def _part(parsed: Any, cls: Any, notes: list[str]) -> Any:
    """Return the part of a configuration that a class is for; the whole where it is for that."""
    own = getattr(cls, "config_class", None)
    if own is None or isinstance(parsed, own):
        return parsed
    for key in getattr(parsed, "sub_configs", {}):
        part = getattr(parsed, key, None)
        if isinstance(part, own):
            notes.append(
                f"{cls.__name__} is built from `{key}` alone: what else the configuration "
                "describes is neither counted nor executed"
            )
            return part
    return parsed


def _class_mappings() -> list[Any]:
    """Return transformers' class mappings, in the order in which a language model is sought."""
    from transformers.models.auto import modeling_auto as auto

    return [
        auto.MODEL_FOR_CAUSAL_LM_MAPPING,
        auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        auto.MODEL_MAPPING,
    ]


def _parse(config_class: Any, plain: dict[str, Any], name: str) -> Any:
    """Return the parsed configuration."""
    try:
        parsed = config_class.from_dict(plain)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise BadModelFile(
            f"{name}: {config_class.__name__} refuses the configuration: {text}",
            hint="compare it with the model's published config.json",
        ) from error
    _check_sizes_taken(plain, parsed, name)
    return parsed


def _check_sizes_taken(plain: Mapping[str, Any], parsed: Any, name: str) -> None:
    """Refuse a configuration whose sizes the class ignores: it would build its default model.

    Raises:
        UnknownArchitecture: names the size, what was given and what would be built.
    """
    given = plain.get("text_config") or plain
    taken = getattr(parsed, "text_config", None) or parsed
    for key in ("hidden_size", "num_hidden_layers", "vocab_size"):
        value, used = given.get(key), getattr(taken, key, None)
        if value is not None and used is not None and value != used:
            raise UnknownArchitecture(
                f"{name}: {type(parsed).__name__} of transformers does not read {key} {value} from "
                f"this layout of the file and would build {used}",
                hint="pass the model as package.module:factory",
            )


def _choose_language(parsed: Any, notes: list[str]) -> None:
    """Choose the language of a model that has layers per language, where nobody did."""
    languages = getattr(parsed, "languages", None)
    if languages and getattr(parsed, "default_language", "") is None:
        parsed.default_language = languages[0]
        notes.append(
            f"the configuration names no default_language: the layers of {languages[0]} are "
            f"executed, one of {len(languages)} languages in the weights"
        )


def _instantiate(cls: Any, parsed: Any, weights: CheckpointFormat, name: str) -> torch.nn.Module:
    """Return the module on the meta device, in the format that arithmetic runs in."""
    import torch

    base = getattr(torch, weights.base or "bfloat16")
    try:
        with torch.device("meta"), contextlib.redirect_stdout(io.StringIO()):
            module: torch.nn.Module = cls._from_config(parsed, dtype=base)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise BadModelFile(
            f"{name}: {cls.__name__} cannot be built: {type(error).__name__}: {text}",
            hint="sizes in the configuration contradict each other, or transformers has a fault",
        ) from error
    return module


def _experts(module: torch.nn.Module) -> str:
    """Return how transformers runs routed experts, empty for a model without any."""
    if not routes(module):
        return ""
    return str(getattr(module.config, "_experts_implementation", "") or "")


def _left_out(config: Mapping[str, Any], module: torch.nn.Module, *, looks: bool) -> Iterator[str]:
    """Yield what the module does not contain although the checkpoint does."""
    text = config.get("text_config") or config
    extra = text.get("num_nextn_predict_layers") or text.get("num_mtp_modules") or 0
    if extra and not any("mtp" in n or "nextn" in n for n, _ in module.named_modules()):
        yield f"{extra} multi-token-prediction layer(s) of the checkpoint are not in the module"
    towers = ("model.visual", "model.vision", "vision_model.", "vision_tower.")
    if any(n.startswith(towers) for n, _ in module.named_modules()):
        if not looks:
            yield "text only: the vision tower is counted in the weights and not executed"
        if "vision_config" not in config and "text_config" in config:
            yield (
                "the configuration has no vision_config: the vision tower has the sizes that "
                "transformers takes by default"
            )


def _format_notes(config: Mapping[str, Any], name: str, weights: CheckpointFormat) -> Iterator[str]:
    """Yield what the figures of the checkpoint's own format leave open."""
    if "fp8" in name.lower() and not weights.rules:
        yield (
            "the name says FP8 and the configuration names no quantisation (modelopt keeps it in "
            "hf_quant_config.json): weights are counted unquantised; --dtype fp8 counts them as fp8"
        )
    quant = config.get("quantization_config")
    quant = quant if isinstance(quant, Mapping) else {}
    if quant.get("ignore_listed") is False:
        yield (
            "the description of the quantisation lists no exceptions: every linear layer is "
            "counted as quantised, so the weights are a lower bound"
        )
    if quant.get("kv_cache"):
        yield (
            f"the checkpoint asks for a cache in {quant['kv_cache']}; the cache is counted as the "
            "module keeps it, or as --kv says"
        )

"""How a checkpoint stores its parameters: format and bytes per parameter, scales included.

Built from the configuration alone (`quantization_config`, `expert_dtype`, `torch_dtype`), or from
the user's `--dtype`. Must not know torch, chips or the module beyond a parameter's name, shape and
owner.

Which parameters a quantiser touches: weights of linear layers and of fused experts. Embeddings,
norms, routers, biases and the output head stay in the base format unless the configuration says
otherwise; that is what the published checkpoints of these methods do.
"""

from __future__ import annotations

import contextlib
import fnmatch
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossgrade.errors import BadModelFile
from crossgrade.values.precision import DTYPES, USER_DTYPES
from crossgrade.values.quantisation import QUANTISATIONS, WHOLE_ROW, Quantisation

_BYTES = {d.name: d.bytes for d in DTYPES}
_NAMED = {"int8": "w8a8", "fp4": "mxfp4", "int4": "w4a16"}
"""What `--dtype` calls a quantisation -> its name."""
_ALWAYS_KEPT = ("lm_head", "embed_tokens", "output_layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One parameter in the checkpoint."""

    bytes: float
    """Bytes of the values and of their scales."""
    format: str
    """Format of the values, such as `float8_e4m3fn`, `fp4`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantRule:
    """One quantised format and the parameters it covers."""

    format: str
    """Storage format of the values."""
    block: tuple[int, ...]
    """Elements that share a scale, over the last dimensions; empty: one scale per tensor."""
    scale_bytes: float
    """Bytes per scale."""
    experts_only: bool = False
    """Whether only fused expert weights are covered."""

    def bytes_for(self, shape: tuple[int, ...]) -> float:
        """Return bytes of a parameter of this shape, scales included."""
        values = math.prod(shape) * _BYTES[self.format]
        if not self.block:
            return values + self.scale_bytes
        tail = shape[-len(self.block) :]
        lead = math.prod(shape[: -len(self.block)])
        scales = lead * math.prod(math.ceil(s / b) for s, b in zip(tail, self.block, strict=True))
        return values + scales * self.scale_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFormat:
    """The storage format of every parameter of one model."""

    title: str
    """In words, such as `fp8 e4m3 in 128x128 blocks, experts fp4 in groups of 32`."""
    origin: str
    """Where that stands: `quantization_config`, `torch_dtype`, `--dtype`, `module`."""
    base: str | None
    """Storage format of what is not quantised; None: as the module has it."""
    rules: tuple[QuantRule, ...] = ()
    """Quantised formats; the first that covers a parameter holds."""
    kept: tuple[str, ...] = ()
    """Names and patterns (`re:`, `*`) of modules that the quantiser leaves alone."""

    def stored(self, name: str, shape: tuple[int, ...], dtype: str, owner: str) -> Stored:
        """Return bytes and format of one parameter.

        Args:
            name: dotted name in the module.
            shape: elements per dimension.
            dtype: torch dtype name in the module.
            owner: type name of the module that owns it.
        """
        base = self.base if self.base and dtype in _FLOATS else dtype
        plain = Stored(bytes=math.prod(shape) * _BYTES[base], format=base)
        experts = "expert" in owner.lower() or len(shape) == 3
        linear = experts or "Linear" in owner
        if len(shape) < 2 or not linear or name.endswith("bias") or self._is_kept(name):
            return plain
        for rule in self.rules:
            if experts or not rule.experts_only:
                return Stored(bytes=rule.bytes_for(shape), format=rule.format)
        return plain

    def _is_kept(self, name: str) -> bool:
        module = name.rsplit(".", 1)[0]
        if any(part in _ALWAYS_KEPT for part in name.split(".")):
            return True
        return any(_matches(pattern, name, module) for pattern in self.kept)


_FLOATS = frozenset(d.name for d in DTYPES if d.kind == "float")


def _matches(pattern: str, name: str, module: str) -> bool:
    """Return whether a `modules_to_not_convert` entry covers a parameter."""
    if pattern.startswith("re:"):
        with contextlib.suppress(re.error):
            return re.match(pattern[3:], module) is not None
        return False
    if "*" in pattern:
        return fnmatch.fnmatch(module, pattern) or fnmatch.fnmatch(module, pattern + ".*")
    return module == pattern or module.startswith(pattern + ".") or f".{pattern}." in f".{name}."


def as_module(title: str = "the module's own formats") -> CheckpointFormat:
    """Return the format of a module that comes without a configuration."""
    return CheckpointFormat(title=title, origin="module", base=None)


def from_user(dtype: str) -> CheckpointFormat:
    """Return the format that `--dtype` or `--quant` asks for.

    Of quantised formats embeddings, norms, routers and the head stay bf16.

    Raises:
        KeyError: neither knows it.
    """
    quantised = QUANTISATIONS.get(_NAMED.get(dtype, dtype))
    if quantised is None:
        base = USER_DTYPES[dtype]
        return CheckpointFormat(title=f"{dtype} throughout", origin="--dtype", base=base)
    rules = [_rule(quantised, experts_only=quantised.rest is not None)]
    title = quantised.title
    if quantised.rest is not None:
        rest = QUANTISATIONS[quantised.rest]
        rules.append(_rule(rest, experts_only=False))
        title = f"{title}, {rest.title}"
    origin = "--quant" if dtype in QUANTISATIONS and dtype not in USER_DTYPES else "--dtype"
    return CheckpointFormat(title=f"{title}, the rest bf16", origin=origin, base="bfloat16",
                            rules=tuple(rules))  # fmt: skip


def _rule(quantised: Quantisation, *, experts_only: bool) -> QuantRule:
    return QuantRule(format=quantised.storage, block=quantised.block,
                     scale_bytes=quantised.scale_bytes, experts_only=experts_only)  # fmt: skip


def from_config(config: Mapping[str, Any]) -> CheckpointFormat:
    """Return the checkpoint's own format, from a Hugging Face configuration."""
    text = config.get("text_config") or {}
    base = _config_dtype(config) or _config_dtype(text)
    quant = config.get("quantization_config") or text.get("quantization_config")
    if not isinstance(quant, Mapping):
        shown = base or "bfloat16 (assumed: the configuration names none)"
        return CheckpointFormat(
            title=f"{shown} throughout", origin="torch_dtype", base=base or "bfloat16"
        )
    rules, titles = _quant_rules(quant)
    expert = config.get("expert_dtype") or text.get("expert_dtype")
    if expert in ("fp4", "mxfp4"):
        rules.insert(0, QuantRule(format="fp4", block=(32,), scale_bytes=1, experts_only=True))
        titles.append("experts fp4 in groups of 32")
    kept = (*(quant.get("modules_to_not_convert") or ()), *(quant.get("ignore") or ()))
    base = base or "bfloat16"
    titles.append(f"the rest {base}")
    return CheckpointFormat(
        title=", ".join(titles),
        origin="hf_quant_config.json" if "ignore_listed" in quant else "quantization_config",
        base=base,
        rules=tuple(rules),
        kept=tuple(str(k) for k in kept),
    )


def _quant_rules(quant: Mapping[str, Any]) -> tuple[list[QuantRule], list[str]]:
    """Return rules and their titles for one `quantization_config`."""
    method = str(quant.get("quant_method") or quant.get("quant_algo") or "").lower()
    groups = quant.get("config_groups")
    if isinstance(groups, Mapping) and groups:
        return _group_rules(groups)
    if method == "fp8":
        block = _sizes(quant.get("weight_block_size"))
        scale = 1.0 if quant.get("scale_fmt") == "ue8m0" else 4.0
        shown = f"in {'x'.join(map(str, block))} blocks" if block else "with a scale per tensor"
        rule = QuantRule(format="float8_e4m3fn", block=block, scale_bytes=scale)
        return [rule], [f"fp8 e4m3 {shown}"]
    if method == "mxfp4":
        rule = QuantRule(format="fp4", block=(32,), scale_bytes=1, experts_only=True)
        return [rule], ["mxfp4 experts in groups of 32"]
    if method in ("awq", "gptq") and quant.get("bits", 4) == 4:
        group = _group_size(quant.get("group_size", 128))
        # A half-precision scale and a packed 4-bit zero point per group.
        rule = QuantRule(format="int4", block=(group,), scale_bytes=2.5)
        return [rule], [f"int4 ({method}) {_grouped(group)}"]
    return [], [f"quantisation '{method}' is not understood, counted as unquantised"]


def _group_rules(groups: Mapping[str, Any]) -> tuple[list[QuantRule], list[str]]:
    """Return rules for compressed-tensors and modelopt `config_groups`."""
    rules, titles = [], []
    for group in groups.values():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if not isinstance(weights, Mapping) or not str(weights.get("num_bits")).isdigit():
            continue
        bits, kind = int(weights["num_bits"]), str(weights.get("type", "float"))
        name = {(8, "float"): "float8_e4m3fn", (4, "float"): "fp4", (8, "int"): "int8",
                (4, "int"): "int4"}.get((bits, kind))  # fmt: skip
        if name is None:
            continue
        size = weights.get("group_size")
        if size is None and weights.get("strategy") == "channel":
            size = -1
        block = (_group_size(size),) if size is not None else ()
        # mxfp4 and nvfp4 keep one byte per group; others a half-precision number.
        scale = 1.0 if name == "fp4" or weights.get("scale_dtype") == "torch.uint8" else 2.0
        rules.append(QuantRule(format=name, block=block, scale_bytes=scale))
        titles.append(f"{name} {_grouped(block[0]) if block else 'with a scale per tensor'}")
    return rules, titles


def _grouped(size: int) -> str:
    return "with a scale per row" if size == WHOLE_ROW else f"in groups of {size}"


def _group_size(value: Any) -> int:
    """Return elements per scale; -1 stands for a whole row.

    Raises:
        BadModelFile: not a whole number above 0.
    """
    if value == -1:
        return WHOLE_ROW
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadModelFile(
            f"quantization_config: group or block size {value!r}", hint="a whole number above 0"
        )
    return value


def _sizes(value: Any) -> tuple[int, ...]:
    """Return a block's sizes, empty where none is given.

    Raises:
        BadModelFile: not a list of whole numbers above 0.
    """
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise BadModelFile(
            f"quantization_config: weight_block_size {value!r}", hint="a list such as [128, 128]"
        )
    return tuple(_group_size(v) for v in value)


def _config_dtype(config: Mapping[str, Any]) -> str | None:
    """Return the configuration's float format, None where it names none we know."""
    value = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    return value if value in _FLOATS else None

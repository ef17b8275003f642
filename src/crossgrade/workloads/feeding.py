"""The inputs of a transformers model: which sizes they follow, and the arguments per phase.

A model is fed by what it takes first: token ids, pictures or sound. Must not know configurations'
formats, nor how execution is recorded.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crossgrade.values.workload import PHASES, Item, Phase
from crossgrade.workloads.built import CACHES, OwnSize, Tensors, tensors_under
from crossgrade.workloads.pictures_in_text import tower_of, with_pictures

if TYPE_CHECKING:
    import torch

    from crossgrade.values.workload import Workload

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_MODEL_SIZES = frozenset({"batch", "tokens", "context"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """How a model is fed; the fields are those of `BuiltModel`."""

    make_inputs: Callable[[Workload, torch.device], Arguments]
    """Gives positional and named arguments, on the device passed."""
    sizes: frozenset[str] = _MODEL_SIZES
    """Which usual sizes the inputs follow."""
    own_sizes: Mapping[str, OwnSize] = field(default_factory=dict)
    """Further sizes, by name."""
    phases: tuple[Phase, ...] = PHASES
    """Phases that the model has."""
    defaults: Mapping[Phase, Mapping[str, int]] = field(default_factory=dict)
    """Sizes per phase where the usual default does not suit."""
    most_positions: int | None = None
    """Cached and new tokens at most."""
    items: Mapping[Phase, Item] = field(default_factory=dict)
    """What rates count."""
    describe: Callable[[Workload], str] | None = None
    """Says what one execution works on."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the inputs."""

    def fields(self) -> dict[str, Any]:
        """Return the fields that a built model has too."""
        names = ("make_inputs", "sizes", "own_sizes", "phases", "defaults", "most_positions",
                 "items", "describe")  # fmt: skip
        return {name: getattr(self, name) for name in names}


def feeding_of(module: torch.nn.Module) -> Feeding:
    """Return how a transformers model is fed, by the argument that it takes first."""
    first = getattr(module, "main_input_name", "input_ids")
    config: Any = module.config
    if first == "pixel_values":
        return _pictures(module)
    if first == "input_values" and hasattr(config, "conv_stride"):
        return _waves(module)
    if first == "input_features" and config.is_encoder_decoder:
        return _speech(module)
    if _generates(module):
        return _language(module)
    return _encoder(module)


def _generates(module: torch.nn.Module) -> bool:
    """Return whether the model gives tokens one after another, so that it has a cache."""
    asked: Any = getattr(module, "can_generate", None)
    return True if asked is None else bool(asked())


def _dtype(module: torch.nn.Module) -> torch.dtype:
    """Return the format of the first parameter, in which inputs come too."""
    return next(module.parameters()).dtype


def ids(batch: int, tokens: int, device: torch.device) -> torch.Tensor:
    """Return token ids, shape [batch, tokens]."""
    import torch

    return torch.zeros((batch, tokens), dtype=torch.int64, device=device)


class LanguageInputs:
    """Makes the arguments of a model that generates text."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._accepts = set(inspect.signature(module.forward).parameters)
        # MusicGen's decoder reads a row per codebook, several to a sequence.
        self._rows = int(getattr(module.config, "num_codebooks", None) or 1)

    @property
    def rereads(self) -> bool:
        """Whether a step has nothing to go on with: no state is taken, or none as configured."""
        # Encoders with a language head (BERT and its kin) have a cache as decoders alone.
        decodes = {vars(child).get("is_decoder") for child in self._module.modules()}
        encoder = False in decodes and True not in decodes
        return encoder or not self._accepts & set(CACHES)

    def __call__(self, workload: Workload, device: torch.device) -> Arguments:
        """Return token ids, and the cache where the phase has one."""
        given = self._ids(workload, workload.tokens, device)
        if workload.phase == "train":
            return (), {"input_ids": given, "labels": given, "use_cache": False}
        kwargs: dict[str, Any] = {"input_ids": given, "use_cache": True} | self._last_only()
        if not workload.context:
            return (), kwargs | self._new_cache()
        if self.rereads:
            every = self._ids(workload, workload.context + workload.tokens, device)
            return (), kwargs | {"input_ids": every}
        return (), self._going_on(workload, kwargs, self._cache(workload, device), device)

    def _going_on(
        self,
        workload: Workload,
        kwargs: dict[str, Any],
        cache: dict[str, Any],
        device: torch.device,
    ) -> dict[str, Any]:
        """Return the arguments of a step on a cache: some models (CPM-Ant) want all ids again."""
        from transformers import GenerationMixin

        own, usual = self._module, GenerationMixin.prepare_inputs_for_generation
        prepare: Any = getattr(own, "prepare_inputs_for_generation", None)
        sliced = "next_sequence_length" in inspect.signature(usual).parameters
        if sliced and getattr(prepare, "__func__", usual) is not usual:
            every = self._ids(workload, workload.context + workload.tokens, device)
            given = {"past_key_values": next(iter(cache.values()), None)} | cache
            # It may print, or ask for what only `generate` has.
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                asked = prepare(
                    every, next_sequence_length=workload.tokens, use_cache=True, **given
                )
                if asked["input_ids"].shape == every.shape:
                    return kwargs | cache | {"input_ids": every}
        return kwargs | cache

    def _ids(self, workload: Workload, tokens: int, device: torch.device) -> torch.Tensor:
        return ids(workload.batch * self._rows, tokens, device)

    def _last_only(self) -> dict[str, Any]:
        """Ask for the logits of the last position, as generation does."""
        return {"logits_to_keep": 1} if "logits_to_keep" in self._accepts else {}

    def _new_cache(self) -> dict[str, Any]:
        """Return an empty cache where the model would make one for another number of layers.

        transformers (5.23) takes the layers of a decoder alone from those of its encoder.
        """
        config: Any = self._module.config
        layers = getattr(config, "decoder_layers", None)
        if layers is None or layers == getattr(config, "num_hidden_layers", layers):
            return {}
        from transformers import DynamicCache

        return {"past_key_values": DynamicCache()}

    def _cache(self, workload: Workload, device: torch.device) -> dict[str, Any]:
        """Return the cache as a prefill of `context` tokens leaves it."""
        import torch

        given = self._ids(workload, workload.context, device)
        extra = self._last_only() | self._new_cache()
        with torch.no_grad():
            result = self._module(input_ids=given, use_cache=True, **extra)
        for name in CACHES:
            cache = getattr(result, name, None)
            if cache is not None:
                return {name: cache}
        return {}


def cache_of(result: Any) -> Tensors:
    """Yield the tensors of the cache that a forward pass returns."""
    for name in CACHES:
        cache = getattr(result, name, None)
        if cache is not None:
            yield from tensors_under(cache, name)


def _language(module: torch.nn.Module) -> Feeding:
    """Return the feeding of a model that generates text."""
    inputs = LanguageInputs(module)
    again = (
        "as it is configured, the model keeps no cache: a decode step reads the whole text again"
    )
    plain = Feeding(make_inputs=inputs, notes=(again,) if inputs.rereads else ())
    tower = tower_of(module)
    return plain if tower is None else with_pictures(plain, module, tower)


def _encoder(module: torch.nn.Module) -> Feeding:
    """Return the feeding of a text model without a cache: encoders and embedding models."""
    accepts = set(inspect.signature(module.forward).parameters)
    name = type(module).__name__
    uncached = {"use_cache": False} if "use_cache" in accepts else {}
    most = _positions(module)

    def inputs(workload: Workload, device: torch.device) -> Arguments:
        given = ids(workload.batch, workload.tokens, device)
        kwargs: dict[str, Any] = {"input_ids": given, **uncached}
        if workload.phase == "train" and name.endswith(("ForMaskedLM", "ForTokenClassification")):
            kwargs["labels"] = given
        elif workload.phase == "train" and name.endswith("ForSequenceClassification"):
            kwargs["labels"] = given[:, 0]
        return (), kwargs

    tokens = {"tokens": min(512, most or 512)}
    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch", "tokens"}),
        phases=("prefill", "train"),
        defaults={"prefill": tokens, "train": tokens},
        most_positions=most,
        describe=lambda w: f"batch {w.batch}, {w.tokens:,} tokens per sequence, no padding",
        notes=("prefill is one forward pass: the model keeps no cache and does not generate",),
    )


def _positions(module: torch.nn.Module) -> int | None:
    """Return how many positions an encoder has a learned vector for; None without such a table."""
    for name, table in module.named_modules():
        if name.endswith("position_embeddings") and hasattr(table, "num_embeddings"):
            # RoBERTa counts positions from behind its padding token.
            padding: int | None = getattr(table, "padding_idx", None)
            return int(table.num_embeddings) - (0 if padding is None else padding + 1)
    return None


def _pictures(module: torch.nn.Module) -> Feeding:
    """Return the feeding of a model of pictures."""
    config: Any = module.config
    patch = int(getattr(config, "patch_size", None) or 0)
    # Without patches the sides are halved five times before the pooling.
    side = OwnSize(default=int(getattr(config, "image_size", None) or 224), least=patch or 32,
                   most=1 << 14, step=patch or 1, meaning="pixels per side")  # fmt: skip
    accepts = set(inspect.signature(module.forward).parameters)
    learned = int(getattr(config, "image_size", None) or 0) if patch else 0

    def inputs(workload: Workload, device: torch.device) -> Arguments:
        import torch

        pixels = workload.size("image")
        shape = (workload.batch, int(getattr(config, "num_channels", 3)), pixels, pixels)
        kwargs: dict[str, Any] = {
            "pixel_values": torch.zeros(shape, dtype=_dtype(module), device=device)
        }
        if pixels != learned and "interpolate_pos_encoding" in accepts:
            kwargs["interpolate_pos_encoding"] = True
        if workload.phase == "train" and type(module).__name__.endswith("ForImageClassification"):
            kwargs["labels"] = torch.zeros((workload.batch,), dtype=torch.int64, device=device)
        return (), kwargs

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch"}),
        own_sizes={"image": side},
        phases=("prefill", "train"),
        items={"prefill": "images", "train": "images"},
        describe=_describe_pictures,
        notes=("prefill is one forward pass; decoding and resizing of pictures are not counted",),
    )


def _describe_pictures(workload: Workload) -> str:
    side = workload.size("image")
    return f"batch {workload.batch}, pictures of {side:,} x {side:,} pixels"


_HERTZ = 16_000
"""Samples per second of the models that read waves (wav2vec 2.0, arXiv 2006.11477)."""


def _waves(module: torch.nn.Module) -> Feeding:
    """Return the feeding of a model that reads sound as a wave."""

    def inputs(workload: Workload, device: torch.device) -> Arguments:
        import torch

        shape = (workload.batch, workload.size("seconds") * _HERTZ)
        return (), {"input_values": torch.zeros(shape, dtype=_dtype(module), device=device)}

    return Feeding(
        make_inputs=inputs,
        sizes=frozenset({"batch"}),
        own_sizes={"seconds": OwnSize(default=10, most=3600, meaning="seconds of sound")},
        phases=("prefill", "train"),
        items={"prefill": "executions", "train": "executions"},
        describe=lambda w: f"batch {w.batch}, {w.size('seconds')} s of sound",
        notes=(f"an execution is one recording of the given length, {_HERTZ:,} samples a second",),
    )


_SECONDS = 30
"""Length of the windows that Whisper hears; shorter sound is padded (arXiv 2212.04356)."""


def _speech(module: torch.nn.Module) -> Feeding:
    """Return the feeding of a model that hears 30 seconds and writes text."""
    config: Any = module.config
    most = int(config.max_target_positions)
    return Feeding(
        make_inputs=lambda workload, device: _heard(module, workload, device),
        defaults={
            "prefill": {"tokens": 4},
            "decode": {"context": most // 2},
            "train": {"tokens": most},
        },
        most_positions=most,
        items={"prefill": "executions"},
        describe=_describe_speech,
        notes=(
            f"an execution of prefill hears one window of {_SECONDS} s and reads the prompt of "
            "the decoder; shorter sound is padded to it",
            "the spectrogram is computed ahead of the model and is not counted",
        ),
    )


def _heard(module: torch.nn.Module, workload: Workload, device: torch.device) -> Arguments:
    """Return a spectrogram and text; in decode what the encoder heard, and both caches."""
    import torch

    config: Any = module.config
    frames = 2 * int(config.max_source_positions)  # the second convolution halves them
    shape = (workload.batch, int(config.num_mel_bins), frames)
    heard = torch.zeros(shape, dtype=_dtype(module), device=device)
    given = ids(workload.batch, workload.tokens, device)
    if workload.phase == "train":
        return (), {"input_features": heard, "labels": given, "use_cache": False}
    if not workload.context:
        return (), {"input_features": heard, "decoder_input_ids": given, "use_cache": True}
    past = ids(workload.batch, workload.context, device)
    with torch.no_grad():
        result = module(input_features=heard, decoder_input_ids=past, use_cache=True)
    return (), {
        "encoder_outputs": (result.encoder_last_hidden_state,),
        "decoder_input_ids": given,
        "past_key_values": result.past_key_values,
        "use_cache": True,
    }


def _describe_speech(workload: Workload) -> str:
    heard = f"batch {workload.batch}, {_SECONDS} s of sound"
    if workload.phase == "decode":
        return (
            f"{heard} in the cross-attention cache, {workload.tokens:,} new and "
            f"{workload.context:,} cached tokens per sequence"
        )
    return f"{heard}, {workload.tokens:,} text tokens per sequence"

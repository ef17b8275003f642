"""Quantised weights that a user can ask for, as deployments name them.

Must not know which parameters a quantiser touches, nor chips.
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_ROW = 1 << 40
"""Elements of a block that is a whole row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """How weights are stored."""

    storage: str
    """Storage format of the values, as in `DTYPES`."""
    block: tuple[int, ...]
    """Elements that share a scale, over the last dimensions."""
    scale_bytes: float
    """Bytes of a scale."""
    title: str
    """In words."""
    source: str
    """Where the layout of the scales is written."""
    rest: str | None = None
    """What other weights than those of routed experts are stored as, a key of QUANTISATIONS; None:
    all alike."""


QUANTISATIONS: dict[str, Quantisation] = {
    "w8a8": Quantisation(
        storage="int8", block=(1, WHOLE_ROW), scale_bytes=4,
        title="int8 weights with a scale per row",
        source="docs.vllm.ai/projects/ascend, Quantization Guide (W8A8_DYNAMIC of ModelSlim)",
    ),
    "w4a16": Quantisation(
        storage="int4", block=(128,), scale_bytes=2, title="int4 weights in groups of 128",
        source="GPTQ and AWQ checkpoints, group_size 128 with fp16 scales",
    ),
    "w4a8": Quantisation(
        storage="int4", block=(256,), scale_bytes=2, title="int4 experts in groups of 256",
        source="docs.vllm.ai/projects/ascend, Quantization Guide (W4A8_DYNAMIC of ModelSlim): "
        "experts in 4 bits, the rest W8A8; activations in 8 bits",
        rest="w8a8",
    ),
    "fp8": Quantisation(
        storage="float8_e4m3fn", block=(1, WHOLE_ROW), scale_bytes=4,
        title="fp8 weights with a scale per row",
        source="docs.vllm.ai, FP8 W8A8: one scale per output channel",
    ),
    "fp8-block": Quantisation(
        storage="float8_e4m3fn", block=(128, 128), scale_bytes=4,
        title="fp8 weights in blocks of 128 x 128",
        source="deepseek-ai/DeepSeek-V3, config.json: weight_block_size, fp32 scales",
    ),
    "mxfp8": Quantisation(
        storage="float8_e4m3fn", block=(32,), scale_bytes=1, title="fp8 weights in groups of 32",
        source="OCP Microscaling Formats (MX) 1.0",
    ),
    "hif8": Quantisation(
        storage="hif8", block=(WHOLE_ROW, WHOLE_ROW), scale_bytes=4,
        title="HiF8 weights with a scale per matrix",
        source="Luo et al., 2024, arXiv 2409.16626: a tapered exponent, scaled per tensor",
    ),
    "mxfp4": Quantisation(
        storage="fp4", block=(32,), scale_bytes=1, title="fp4 weights in groups of 32",
        source="OCP Microscaling Formats (MX) 1.0",
    ),
    "nvfp4": Quantisation(
        storage="fp4", block=(16,), scale_bytes=1, title="fp4 weights in groups of 16",
        source="docs.nvidia.com, TensorRT Model Optimizer: NVFP4, fp8 scales",
    ),
}  # fmt: skip
"""What `--quant` takes. Activations are as narrow as the stack makes them: see its rules."""

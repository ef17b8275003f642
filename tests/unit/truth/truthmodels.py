"""Small models written out by hand, as factories, and configurations of well-known families."""

from __future__ import annotations

import itertools
import json
from importlib import resources

import torch
from torch import nn
from torch.nn import functional as F


def preset(name, **changes):
    """Return a shipped configuration with some keys changed, in its text part where it has one."""
    folder = resources.files("crossgrade.workloads").joinpath("data", "presets")
    config = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    text.update(changes)
    layers = changes.get("num_hidden_layers")
    for key in ("layer_types", "mlp_layer_types", "hybrid_layer_pattern"):
        if layers and isinstance(text.get(key), list):
            text[key] = text[key][:layers]
    return config


def family(model_type, architecture, **sizes):
    """Return the configuration of a small model of one family, in float32."""
    return {
        "model_type": model_type, "architectures": [architecture], "torch_dtype": "float32",
        "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 384, "vocab_size": 1000, "max_position_embeddings": 512,
    } | sizes  # fmt: skip


DENSE = {
    "llama-3.1-8b": lambda: preset("meta-llama-3.1-8b", num_hidden_layers=2),
    "qwen3-8b": lambda: preset("qwen3-8b", num_hidden_layers=2),
    "qwen3-0.6b": lambda: preset("qwen3-0.6b", num_hidden_layers=2),
    "gemma2": lambda: family("gemma2", "Gemma2ForCausalLM", num_key_value_heads=2, head_dim=32),
    "gpt2": lambda: family("gpt2", "GPT2LMHeadModel", n_embd=128, n_layer=2, n_head=4),
    "mistral": lambda: family("mistral", "MistralForCausalLM", num_key_value_heads=2),
    "phi": lambda: family("phi", "PhiForCausalLM"),
    "opt": lambda: family("opt", "OPTForCausalLM", ffn_dim=512, word_embed_proj_dim=128),
    "nemotron": lambda: family("nemotron", "NemotronForCausalLM", num_key_value_heads=2),
    "olmo2": lambda: family("olmo2", "Olmo2ForCausalLM", num_key_value_heads=4),
    "cohere": lambda: family("cohere", "CohereForCausalLM", num_key_value_heads=2),
    "gpt-neox": lambda: family("gpt_neox", "GPTNeoXForCausalLM"),
}
"""Dense language models; the first three are shipped configurations with fewer layers."""
NARROW = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
          "intermediate_size": 384, "vocab_size": 1000, "torch_dtype": "float32"}  # fmt: skip
"""Changes that make a shipped configuration small enough to run for real."""


class Block(nn.Module):
    """A residual pair of 3x3 convolutions, halving the picture where channels grow."""

    def __init__(self, inside, outside):
        super().__init__()
        stride = 1 if inside == outside else 2
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outside), nn.BatchNorm2d(outside)])
        same = inside == outside
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x):
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.shortcut(x))


def resnet(batch=2):
    """Return a ResNet of four blocks with 64x64 pictures."""
    widths = (16, 16, 32, 64, 64)
    blocks = [Block(a, b) for a, b in itertools.pairwise(widths)]
    net = nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 100),
    )  # fmt: skip
    return net, (torch.empty(batch, 3, 64, 64),)


def mobile(batch=2):
    """Return depthwise and pointwise convolutions."""
    net = nn.Sequential(
        nn.Conv2d(16, 64, 1), nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU(),
        nn.Conv2d(64, 32, 1), nn.Conv2d(32, 32, 5, stride=2, dilation=2, groups=4),
    )  # fmt: skip
    return net, (torch.empty(batch, 16, 40, 40),)


def upscaler(batch=2):
    """Return a convolution and its transpose, as decoders of pictures have."""
    net = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(32, 12, 4, 2, 1)
    )
    return net, (torch.empty(batch, 8, 20, 20),)


def encoder(batch=2, tokens=64):
    """Return a BERT-like encoder: post-norm, learned positions, a pooled classifier."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=512,
        vocab_size=1000, attn_implementation="eager", hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    ids = torch.zeros(batch, tokens, dtype=torch.int64)
    return BertForSequenceClassification(config), {"input_ids": ids}


class Attention(nn.Module):
    """Multi-head self-attention, written out or as one operator."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, s, d = x.shape
        q, k, v = self.qkv(x).view(b, s, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5
            y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, s, d))


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.attention = Attention(width, heads, fused)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.mlp(self.norms[1](x))


def transformer(batch=4, tokens=128, fused=False):
    """Return four transformer layers with eager attention."""
    net = nn.Sequential(*[Layer(256, 4, fused) for _ in range(4)], nn.Linear(256, 512))
    return net, (torch.empty(batch, tokens, 256),)


def transformer_fused(batch=4, tokens=128):
    """Return the same layers with `scaled_dot_product_attention`."""
    return transformer(batch, tokens, fused=True)


def perceptron(batch=512):
    """Return an MLP of four layers."""
    net = nn.Sequential(
        nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 512),
        nn.Tanh(), nn.Linear(512, 64),
    )  # fmt: skip
    return net, (torch.empty(batch, 256),)


class Mixer(nn.Module):
    """An MLP-mixer layer: one MLP over positions, one over channels."""

    def __init__(self, tokens, width):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.across = nn.Sequential(
            nn.Linear(tokens, 2 * tokens), nn.SiLU(), nn.Linear(2 * tokens, tokens)
        )
        self.along = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.across(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.along(self.norms[1](x))


def mixer(batch=8):
    """Return three mixer layers over 64 patches."""
    net = nn.Sequential(*[Mixer(64, 192) for _ in range(3)], nn.Linear(192, 100))
    return net, (torch.empty(batch, 64, 192),)

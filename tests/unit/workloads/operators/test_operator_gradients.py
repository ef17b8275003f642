"""Backward passes, convolutions and the rest, against autograd and references in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from crossgrade.values.operator_case import CannotRun, OperatorCase
from crossgrade.workloads.operators import build, default_case
from crossgrade.workloads.operators.training import DECAY, FIRST, RATE, SECOND, STEP, TINY

CPU = torch.device("cpu")


def made(op: str, dtype: str = "float64", **arguments):
    built = build(OperatorCase(op=op, dtype=dtype, arguments=arguments))
    return built, built.make_inputs(torch.Generator().manual_seed(2), CPU)


def same(found, wanted) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def gradients(function, inputs, grad):
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    return torch.autograd.grad(function(*leaves), leaves, grad)


# gradients -------------------------------------------------------------------------------------
def test_gemm_backward():
    built, (a, b, grad) = made("gemm_backward", m=4, k=5, n=6)
    same(built.run(a, b, grad), gradients(torch.mm, (a, b), grad))


def test_softmax_backward():
    built, (grad, y) = made("softmax_backward", batch_size=3, dim_size=7)
    wanted = gradients(lambda x: functional.softmax(x, -1), (y.log(),), grad)
    same((built.run(grad, y),), wanted)


def test_layer_norm_backward():
    built, inputs = made("layer_norm_backward", batch_size=3, dim_size=7)
    grad, x, w, b = inputs[:4]
    wanted = gradients(lambda x, w, b: functional.layer_norm(x, (7,), w, b), (x, w, b), grad)
    same(built.run(*inputs), wanted)


def test_rms_norm_backward():
    built, (grad, x, w) = made("rms_norm_backward", batch_size=3, dim_size=7)
    wanted = gradients(lambda x, w: functional.rms_norm(x, (7,), w, 1e-5), (x, w), grad)
    same(built.run(grad, x, w), wanted)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_activation_backward(name):
    built, (grad, x) = made(f"{name}_backward", batch_size=3, dim_size=7)
    same((built.run(grad, x),), gradients(getattr(functional, name), (x,), grad))


@pytest.mark.parametrize("causal", [True, False])
def test_flash_attention_backward(causal):
    built, (grad, out, q, k, v) = made(
        "flash_attention_backward", batch_size=2, q_head_num=4, kv_head_num=2, q_len=5,
        kv_len=5 if causal else 6, head_dim=8, causal=causal,
    )  # fmt: skip

    def attention(q, k, v):
        k, v = (t.repeat_interleave(2, dim=1) for t in (k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(8)
        if causal:
            scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -math.inf)
        return scores.softmax(-1) @ v

    wanted = gradients(attention, (q, k, v), grad)
    same(built.run(grad, out, q, k, v), wanted)
    with torch.no_grad():
        same(built.run(grad, out, q, k, v), wanted)


def test_flash_attention_backward_needs_as_many_keys_when_causal():
    case = default_case("flash_attention_backward")
    with pytest.raises(CannotRun, match="`kv_len`"):
        made(case.op, **{**case.arguments, "kv_len": 1})


def test_conv2d_backward():
    built, (grad, x, w) = made(
        "conv2d_backward", batch_size=2, in_channels=3, out_channels=4, height=7, width=6,
        stride=2, padding=1,
    )  # fmt: skip
    wanted = gradients(lambda x, w: functional.conv2d(x, w, stride=2, padding=1), (x, w), grad)
    same(built.run(grad, x, w), wanted)


def test_embedding_backward():
    built, (grad, index) = made(
        "embedding_backward", src_batch_size=4, dst_batch_size=9, dim_size=3
    )
    table = torch.zeros(4, 3, dtype=torch.float64)
    wanted = gradients(lambda t: functional.embedding(index, t), (table,), grad)
    same((built.run(grad, index),), wanted)


# convolutions ----------------------------------------------------------------------------------
def windows(x, size: int, stride: int):
    """Return the windows of an image, [n, c, h, w, size, size]."""
    return x.unfold(2, size, stride).unfold(3, size, stride)


@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d(groups):
    built, (x, w) = made("conv2d", batch_size=2, in_channels=4, out_channels=6, height=7, width=8,
                         stride=2, groups=groups)  # fmt: skip
    parts = zip(windows(x, 3, 2).chunk(groups, 1), w.chunk(groups, 0), strict=True)
    wanted = torch.cat([torch.einsum("nchwij,ocij->nohw", a, b) for a, b in parts], dim=1)
    same((built.run(x, w),), (wanted,))
    assert built.flop == 2 * wanted.numel() * (4 // groups) * 9


def test_conv1d():
    built, (x, w) = made("conv1d", batch_size=2, in_channels=4, out_channels=3, length=9)
    wanted = torch.einsum("nclk,ock->nol", x.unfold(2, 3, 1), w)
    same((built.run(x, w),), (wanted,))
    assert built.flop == 2 * 2 * 3 * 7 * 4 * 3


def test_conv3d():
    built, (x, w) = made("conv3d", batch_size=1, in_channels=2, out_channels=3, depth=4, height=5,
                         width=6)  # fmt: skip
    parts = x.unfold(2, 3, 1).unfold(3, 3, 1).unfold(4, 3, 1)
    wanted = torch.einsum("ncdhwijk,ocijk->nodhw", parts, w)
    same((built.run(x, w),), (wanted,))
    assert built.flop == 2 * wanted.numel() * 2 * 27


def test_depthwise_conv2d():
    built, (x, w) = made("depthwise_conv2d", batch_size=2, channels=3, height=5, width=6)
    wanted = torch.einsum("nchwij,cij->nchw", windows(x, 3, 1), w[:, 0])
    same((built.run(x, w),), (wanted,))
    assert built.flop == 2 * wanted.numel() * 9


def test_conv_transpose2d_is_the_gradient_of_conv2d():
    built, (x, w) = made("conv_transpose2d", batch_size=2, in_channels=3, out_channels=4, height=5,
                         width=6, stride=2, padding=1)  # fmt: skip
    image = torch.zeros(2, 4, 9, 11, dtype=torch.float64)
    wanted = gradients(lambda y: functional.conv2d(y, w, stride=2, padding=1), (image,), x)
    same((built.run(x, w),), wanted)
    assert built.flop == 2 * 2 * 3 * 4 * 9 * 30


@pytest.mark.parametrize(
    ("op", "changes", "word"),
    [
        ("conv2d", {"kernel_size": 40}, "`kernel_size`"),
        ("conv2d", {"groups": 3}, "`groups`"),
        ("conv_transpose2d", {"padding": 80}, "`padding`"),
        ("max_pool2d", {"kernel_size": 33}, "`kernel_size`"),
    ],
)
def test_sizes_that_do_not_fit(op, changes, word):
    case = default_case(op)
    with pytest.raises(CannotRun) as caught:
        made(op, **{**case.arguments, **changes})
    assert caught.value.reason == "bad-arguments"
    assert caught.value.detail.startswith(word)


# the rest --------------------------------------------------------------------------------------
def test_bmm_and_linear():
    built, (a, b) = made("bmm", batch_size=2, m=3, k=4, n=5)
    same((built.run(a, b),), (torch.einsum("bmk,bkn->bmn", a, b),))
    built, (x, w, bias) = made("linear", batch_size=3, in_features=4, out_features=5)
    same((built.run(x, w, bias),), (torch.einsum("ri,oi->ro", x, w) + bias,))
    assert built.flop == 2 * 3 * 4 * 5 + 15


def test_adamw_step_is_that_of_torch():
    built, (p, g, m, v) = made("adamw_step", numel=11)
    ours = p.clone().requires_grad_()
    optimizer = torch.optim.AdamW([ours], lr=RATE, betas=(FIRST, SECOND), eps=TINY,
                                  weight_decay=DECAY)  # fmt: skip
    ours.grad = g.clone()
    state = {"step": torch.tensor(float(STEP - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.state[ours] = state
    optimizer.step()
    built.run(p, g, m, v)
    same((p, m, v), (ours.detach(), state["exp_avg"], state["exp_avg_sq"]))
    assert built.bytes == 7 * 11 * 8


def test_cross_entropy():
    built, (x, target) = made("cross_entropy", batch_size=5, num_classes=7)
    wanted = -(x.exp() / x.exp().sum(-1, keepdim=True)).log()[torch.arange(5), target].mean()
    same((built.run(x, target),), (wanted,))


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training):
    built, (x, mean, var, w, b) = made("batch_norm", batch_size=3, channels=2, height=4, width=5,
                                       training=training)  # fmt: skip
    shape = (1, 2, 1, 1)
    at = x.mean((0, 2, 3)) if training else mean.clone()
    spread = x.var((0, 2, 3), correction=0) if training else var.clone()
    wanted = (x - at.view(shape)) / (spread.view(shape) + 1e-5).sqrt() * w.view(shape)
    same((built.run(x, mean, var, w, b),), (wanted + b.view(shape),))
    assert built.exportable is not training


def test_max_pool2d():
    built, (x,) = made("max_pool2d", batch_size=2, channels=3, height=7, width=8, kernel_size=3,
                       stride=2)  # fmt: skip
    same((built.run(x),), (windows(x, 3, 2).amax((-1, -2)),))
    assert built.bytes == 8 * 2 * 3 * (7 * 7 + 3 * 3)


def test_interpolate():
    built, (x,) = made("interpolate", batch_size=1, channels=2, height=3, width=4, mode="nearest")
    wanted = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    same((built.run(x),), (wanted,))


def test_cumsum_and_sort():
    built, (x,) = made("cumsum", batch_size=3, dim_size=5)
    same((built.run(x),), (x @ torch.ones(5, 5, dtype=torch.float64).triu(),))
    built, (x,) = made("sort", "int32", batch_size=3, dim_size=50)
    ordered, index = built.run(x)
    assert (ordered.diff() >= 0).all()
    assert torch.equal(x.gather(1, index), ordered)

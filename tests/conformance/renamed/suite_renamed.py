"""The suite over a torch device that an extension registers under a name of its own.

The extension is written here, in Python: its tensors keep their values in CPU tensors, and every
operator runs there. It lives in a process of its own, because a process can rename one device once.
"""

from __future__ import annotations

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

from crossgrade.testing import TargetConformance

NAME = "madeup"

# Experimental in torch 2.13 and private: tests alone may use it. Real extensions do this in C++.
backend_registration._setup_privateuseone_for_python_backend(NAME)


class MadeUpTensor(torch.Tensor):
    """A tensor that says it lies on the device; its values are in `held`."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        made = torch._C._acc.create_empty_tensor(held.shape, held.dtype)
        made.__class__ = cls
        return made

    def __init__(self, held):
        self.held = held


def _inside(value):
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.held if isinstance(value, MadeUpTensor) else value


def _outside(value):
    return MadeUpTensor(value) if type(value) is torch.Tensor else value


LIBRARY = torch.library.Library("_", "IMPL")


def run_on_cpu(op, *args, **kwargs):
    """Run any operator on the values; what changes its input gives that input back."""
    result = op(*tree_map(_inside, args), **tree_map(_inside, kwargs))
    if op._schema.is_mutable:
        return args[0]
    return tree_map(_outside, result)


def copy(source, target, non_blocking=False):
    """Copy between the device and the CPU in either direction."""
    _inside(target).copy_(_inside(source))
    return target


LIBRARY.fallback(run_on_cpu, "PrivateUse1")
torch.library.impl("aten::_copy_from", "PrivateUse1")(copy)


class TestRenamed(TargetConformance):
    spec = f"{NAME}:0"
    required = True


def test_without_an_index_it_is_the_current_device():
    from crossgrade.targets.registry import open_target

    target = open_target(NAME)
    assert target.spec == f"{NAME}:0"
    assert not target.forkable
    # It has neither events nor a way to wait: what is left is to read an output.
    assert [timer.kind for timer in target.timers()] == ["wall-read"]

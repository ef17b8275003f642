"""Build once, capture phases: the driver of a capture.

Puts a built model on the fake device, feeds it, and turns what the recorder wrote into a
`Capture`. Must not know chips or prices.
"""

from __future__ import annotations

import contextlib
import gc
import platform
import re
from collections.abc import Iterator
from typing import Any

import torch

from crossgrade.capture.attention import FusedAttention
from crossgrade.capture.device import DEVICE_NAME, AccelFakeMode, ensure_device, move_module
from crossgrade.capture.expand import dissolve
from crossgrade.capture.modulestack import ModuleStack
from crossgrade.capture.optimizers import steady
from crossgrade.capture.ownstate import OwnState
from crossgrade.capture.recorder import Recorder
from crossgrade.capture.rehearsal import Rehearsal
from crossgrade.capture.replay import Replays
from crossgrade.errors import BadOption, CaptureFailed, CrossgradeError
from crossgrade.values.capture import Capture
from crossgrade.values.workload import CACHED_BYTES, CacheFormat, Workload
from crossgrade.workloads.built import BuiltModel, tensors_under

KEYS_OR_VALUES = re.compile(r"(^|[._])(keys?|values?|compressed_kv\.\w+|past_key_values(\.\d+)+)$")
"""Names of cached tensors that hold keys or values, not a state or what is yet to be compressed."""
ensure_device()  # before the first backward pass of the process, see _hint


class CaptureSession:
    """One built model on the fake device; captures as many phases as asked."""

    def __init__(self, built: BuiltModel) -> None:
        """Move the model's tensors to the fake device."""
        self.built = built
        self.device = ensure_device()
        self.mode = AccelFakeMode(allow_non_fake_inputs=True)
        self.owners = move_module(built.module, self.mode, self.device)
        self._known: Replays = {}
        self._inner: dict[Any, dict[str, int]] = {}

    def capture(self, workload: Workload) -> Capture:
        """Return the capture of one phase.

        Raises:
            CaptureFailed: the model stopped on fake tensors; the message names the reason.
        """
        if self.built.set_training is not None:
            self.built.set_training(workload.phase == "train")
        modules = ModuleStack(self.built.module)
        recorder = Recorder(modules, {self.device.type: DEVICE_NAME}, self._known)
        try:
            with self._fake(), modules:
                self._run(workload, recorder)
        except CrossgradeError:
            raise
        except Exception as error:
            raise CaptureFailed(
                f"{workload.model.name} stopped in {workload.phase}: {_first_line(error)}",
                where=modules.path,
                hint=_hint(error),
            ) from error
        finally:
            recorder.stop_watching()
            self.built.module.zero_grad(set_to_none=True)
        self._dissolve(recorder)
        return Capture(
            workload=workload,
            environment=self._environment(),
            tables=recorder.tables.texts(),
            columns=recorder.tables.columns(),
            notes=self.built.notes,
        )

    @contextlib.contextmanager
    def _fake(self) -> Iterator[None]:
        # Freed storages must die when the last reference goes, not when the collector runs.
        enabled = gc.isenabled()
        gc.disable()
        try:
            with self.mode, FusedAttention():
                yield
        finally:
            if enabled:
                gc.enable()

    def _run(self, workload: Workload, recorder: Recorder) -> None:
        """Execute the phase under the recorder."""
        with OwnState(self.built.module) as own:
            # Filling a cache runs the model.
            with torch.no_grad(), Rehearsal(self._known):
                args, kwargs = self.built.inputs(workload, self.device)
            self._tag_module(recorder)
            self._tag_inputs(recorder, args, kwargs, workload.kv)
            if workload.phase == "train":
                self._train(workload, recorder, args, kwargs)
                return
            self._tag_cache(recorder, list(own.tensors()), workload.kv)
            self._infer(workload, recorder, own, args, kwargs)

    def _infer(
        self, workload: Workload, recorder: Recorder, own: OwnState, args: Any,
        kwargs: dict[str, Any],
    ) -> None:  # fmt: skip
        """One forward pass."""
        with torch.no_grad(), recorder:
            result = self.built.module(*args, **kwargs)
            cache = [*self.built.cache_of(result), *own.tensors()]
            self._tag_cache(recorder, cache, workload.kv)
            if workload.kv and not any(KEYS_OR_VALUES.search(name) for name, _ in cache):
                raise BadOption(f"--kv {workload.kv}: {workload.model.name} caches no keys or "
                                "values that are called so", hint="leave it out")  # fmt: skip
        # The outputs and the cache are alive at the end of the step.
        recorder.stop_watching()

    def _train(
        self, workload: Workload, recorder: Recorder, args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Forward, backward and one step of the optimizer."""
        module = self.built.module
        trainable = [p for p in module.parameters() if p.requires_grad]
        optimizer = steady(workload.optimizer, trainable)
        for tensor, name in optimizer.state:
            recorder.tag(tensor, "optimizer", name)
        with torch.enable_grad(), recorder:
            loss = self.built.loss(module(*args, **kwargs))
            recorder.stage = "backward"
            loss.backward()
            for name, parameter in module.named_parameters():
                if parameter.grad is not None:
                    recorder.tag(parameter.grad, "gradient", name)
            recorder.stage, recorder.default_role = "optimizer", "activation"
            optimizer.step()
        recorder.stop_watching()

    def _tag_inputs(
        self, recorder: Recorder, args: Any, kwargs: dict[str, Any], kv: CacheFormat | None
    ) -> None:
        """Mark what the step is given; keep no reference: the step replaces its cache."""
        given = list(tensors_under([list(args), kwargs], "arguments"))
        self._tag_cache(recorder, [row for row in given if self.built.is_cache(row[0])], kv)
        for name, tensor in given:
            if not self.built.is_cache(name):
                recorder.tag(tensor, "input", name)

    def _tag_cache(
        self, recorder: Recorder, cache: list[tuple[str, torch.Tensor]], kv: CacheFormat | None
    ) -> None:
        """Mark the cache's storages; they must hold the tensors, not what these are cut from.

        Keys and values count in the format that they are to be cached in; states stay.
        """
        tables = recorder.tables
        held: dict[int, float] = {}
        for name, tensor in cache:
            storage = recorder.tag(tensor, "kv", name)
            width = float(tensor.element_size())
            if kv is not None and KEYS_OR_VALUES.search(name):
                width = min(width, CACHED_BYTES)
                tables.stored_format[storage] = tables.formats(kv)
            held[storage] = held.get(storage, 0.0) + tensor.numel() * width
        for storage, kept in held.items():
            tables.stored_bytes[storage] = min(kept, tables.storage["bytes"][storage])

    def _tag_module(self, recorder: Recorder) -> None:
        """Register parameters and buffers with role, name and checkpoint format."""
        tables = recorder.tables
        for name, parameter in self.built.module.named_parameters():
            storage = recorder.tag(parameter, "parameter", name)
            stored = self.built.weights.stored(
                name,
                tuple(parameter.shape),
                str(parameter.dtype).removeprefix("torch."),
                self.owners.get(id(parameter), ""),
            )
            tables.stored_bytes[storage] = stored.bytes
            tables.stored_format[storage] = tables.formats(stored.format)
        for name, buffer in self.built.module.named_buffers():
            recorder.tag(buffer, "buffer", name)

    def _dissolve(self, recorder: Recorder) -> None:
        """Record what composite operators dissolve into, per distinct call, inner ones too."""
        tables = recorder.tables
        for key, (func, template, metas) in recorder.examples.items():
            call = (func, template, tuple(metas))
            if call not in self._inner:
                self._inner[call] = dissolve(func, template, metas, self.mode)
            for operator, count in self._inner[call].items():
                tables.inner.append((key, tables.operators(operator), count))

    def _environment(self) -> dict[str, str]:
        return {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": f"{DEVICE_NAME} (fake, out of tree)",
            **self.built.environment,
        }


def _hint(error: BaseException) -> str:
    """Return what to do about a failure on fake tensors."""
    if "device_ready_queues_" in str(error):
        # Autograd counts devices at the first backward pass of a process, never again.
        return (
            "a backward pass ran in this process before crossgrade did; import "
            "crossgrade.capture.run before it, or use a fresh process"
        )
    return "the model needs values that fake tensors do not have, or an unusual input"


def _first_line(error: BaseException) -> str:
    """Return the kind of an exception and the first line of its text."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__

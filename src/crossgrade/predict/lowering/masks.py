"""What an attention mask hides, worked out from the calls that made it.

A mask is arithmetic on positions (`arange`, comparisons, `where`), and a capture holds that
arithmetic. It is repeated here with numpy, on drawn query rows where the mask is large.
Positions that the model picks from its data are only counted: a `scatter` of k indices shows at
most k of them. A mask that rests on anything else stays unknown. Must not know models or chips.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossgrade.predict.lowering.cost import base_name
from crossgrade.predict.lowering.positions import (
    ANY_INPUT,
    ARITY,
    FILLS,
    HARMLESS,
    POINTWISE,
    RESHAPES,
    RULES,
    WHOLE,
    Array,
    Cut,
    Known,
    Step,
    Unknown,
    axes_of,
    each,
    number,
    numpy_type,
    range_of,
    truncated,
)
from crossgrade.values.capture import ALIAS_VIEW, Capture

HIDDEN_BELOW = -6e4
"""An additive mask hides what it lowers by more than this; the least fp16 number is -65,504."""
_MOST_ELEMENTS = 1 << 24
"""Elements of the largest array made here."""
_MOST_ROWS = 256
"""Query rows that stand for all."""
_MOST_HEADS = 4
"""Entries of each leading dimension (sequence, head) that stand for all."""
_DEEPEST = 100
"""Calls behind each other that are repeated; a longer chain stays unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """How much of the scores a mask leaves."""

    share: float
    """Share of all (query, key) pairs that are not hidden."""
    keys: float
    """Share of the keys that at least one query sees."""


def _spread(size: int, most: int) -> Array:
    """Return at most so many indices of a dimension, one from each of as many equal parts.

    Which one is drawn, always the same way: even steps would meet a periodic mask in step.
    """
    if size <= most:
        return np.arange(size)
    edges = np.linspace(0, size, most + 1)
    drawn = edges[:-1] + np.random.default_rng(0).random(most) * np.diff(edges)
    return np.minimum(drawn.astype(np.int64), size - 1)


class MaskReader:
    """Works out masks of one capture; what it has found it keeps."""

    def __init__(self, capture: Capture) -> None:
        """Read the masks of this capture."""
        self._capture = capture
        c = capture.columns
        self._producer = c["value_producer"].tolist()
        self._meta = c["value_meta"].tolist()
        self._key = c["call_key"].tolist()
        self._overwritten = _overwritten(capture)
        self._storage = c["value_storage"].tolist()
        self._depth = 0
        self._possible = self._rests_on_positions()
        self._done: dict[tuple[int, tuple[Any, ...]], Known | None] = {}
        self._seen: dict[tuple[int, bool], Visible | None] = {}

    def additive(self, value: int) -> Visible | None:
        """Return what is left by a mask that is added to the scores; None if that is unknown."""
        return self._visible(value, hides=lambda array: array <= HIDDEN_BELOW, inverted=False)

    def hiding(self, value: int) -> Visible | None:
        """Return what is left by a boolean mask that is true where scores are hidden."""
        return self._visible(value, hides=lambda array: array.astype(bool), inverted=True)

    def may_know(self, value: int) -> bool:
        """Return whether a value may rest on positions and constants alone, by its operators."""
        return self._possible[value]

    def _rests_on_positions(self) -> list[bool]:
        """Return per value whether all that it is made of has a rule here."""
        c = self._capture.columns
        possible = [False] * len(self._producer)
        starts, inputs = c["call_input_start"].tolist(), c["call_input"].tolist()
        outputs_from, outputs = c["call_output_start"].tolist(), c["call_output"].tolist()
        names = [base_name(self._capture.tables["operators"][o]).rstrip("_")
                 for o in c["key_operator"].tolist()]  # fmt: skip
        for call, key in enumerate(self._key):
            name = names[key]
            if name in ANY_INPUT:
                known = True
            elif name in RULES:
                values = inputs[starts[call] : starts[call + 1]]
                known = all(possible[v] for v in (values[:1] if name == "scatter" else values))
            else:
                continue
            for v in outputs[outputs_from[call] : outputs_from[call + 1]]:
                possible[v] = known
        return possible

    def _visible(
        self, value: int, hides: Callable[[Array], Array], *, inverted: bool
    ) -> Visible | None:
        key = (value, inverted)
        if key not in self._seen:
            try:
                self._seen[key] = self._measure(value, hides)
            except Unknown:
                self._seen[key] = None
        return self._seen[key]

    def _measure(self, value: int, hides: Callable[[Array], Array]) -> Visible:
        """Count what a mask of shape [..., queries, keys] shows."""
        shape = self._shape(value)
        if len(shape) < 2 or 0 in shape:
            raise Unknown
        queries, keys = shape[-2:]
        cut = {i: _spread(n, _MOST_HEADS) for i, n in enumerate(shape[:-2])}
        heads = math.prod(len(at) for at in cut.values())
        rows = min(queries, _MOST_ROWS, max(16, _MOST_ELEMENTS // (keys * heads)))
        cut[len(shape) - 2] = _spread(queries, rows)
        with np.errstate(all="ignore"):  # infinities and masks that are turned around are common
            known = self._evaluate(value, cut)
        goal = self._cut_shape(shape, cut)
        seen = ~np.broadcast_to(hides(known.rest), goal).reshape(-1, rows, keys)
        count, reach = seen.sum(-1), float(seen.any(1).mean())
        if known.picked is not None:
            more = ~np.broadcast_to(hides(known.picked), goal).reshape(-1, rows, keys)
            extra = more & ~seen
            count = count + np.minimum(extra.sum(-1), known.most)
            reach += min(float(extra.any(1).mean()), queries * known.most / keys)
        return Visible(
            share=float(count.mean()) / keys, keys=min(1.0, reach * max(1.0, queries / rows))
        )

    # evaluation --------------------------------------------------------------------------------
    def _shape(self, value: int) -> tuple[int, ...]:
        return self._capture.meta(self._meta[value]).shape

    @staticmethod
    def _cut_shape(shape: tuple[int, ...], cut: Cut) -> tuple[int, ...]:
        return tuple(len(cut[i]) if i in cut else n for i, n in enumerate(shape))

    def _evaluate(self, value: int, cut: Cut) -> Known:
        """Return a value at the cut.

        Raises:
            Unknown: it rests on data, or would be too large.
        """
        shape = self._shape(value)
        size = 1
        for n in self._cut_shape(shape, cut):
            size *= n
        key = (value, tuple((i, cut[i].tobytes()) for i in sorted(cut)))
        if key not in self._done:
            self._done[key] = None
            if self._depth >= _DEEPEST:
                raise Unknown
            if (
                size <= _MOST_ELEMENTS
                and self._possible[value]
                and self._storage[value] not in self._overwritten
            ):
                self._depth += 1
                try:
                    self._done[key] = self._compute(value, shape, cut)
                finally:
                    self._depth -= 1
        found = self._done[key]
        if found is None:
            raise Unknown
        return found

    def _compute(self, value: int, shape: tuple[int, ...], cut: Cut) -> Known | None:
        call = self._producer[value]
        if call < 0:
            return None
        outputs = self._capture.outputs_of(call)
        if len(outputs) != 1:
            return None
        key = self._capture.key(self._key[call])
        name = base_name(key.operator).rstrip("_")
        arguments, named = json.loads(key.arguments)
        if named.keys() - HARMLESS:
            return None
        inputs = self._capture.inputs_of(call)
        step = Step(name, arguments, named, inputs, shape, key.outputs[0], cut)
        rules = (self._filled, self._pointwise, self._reshaped, self._sliced, self._scattered,
                 self._joined)  # fmt: skip
        for rule in rules:
            found = rule(step)
            if found is not None:
                return found
        return self._whole(step)

    def _filled(self, step: Step) -> Known | None:
        """Return a constant: `zeros`, `ones`, `full` and their relatives."""
        at = FILLS.get(step.name)
        if at is None:
            return None
        fill = number(step.arguments[at] if at >= 0 else (step.name.find("one") >= 0) * 1)
        dtype = numpy_type(step.meta)
        return Known(np.broadcast_to(np.array(fill).astype(dtype),
                                      self._cut_shape(step.shape, step.cut)))  # fmt: skip

    def _pointwise(self, step: Step) -> Known | None:
        """Return arithmetic element by element."""
        function = POINTWISE.get(step.name)
        if function is None:
            return None
        parts = [self._operand(a, step) for a in step.arguments]
        alpha = step.named.get("alpha", 1)
        if alpha != 1:
            scaled = 0 if step.name == "rsub" else 1
            parts[scaled] = each(lambda x: x * alpha, [parts[scaled]])
        mode = step.named.get("rounding_mode")
        if step.name == "div" and mode is not None:
            function = np.floor_divide if mode == "floor" else truncated
        try:
            result = each(function, parts[: ARITY.get(step.name, 2)])
        except TypeError as error:
            raise Unknown from error
        return each(lambda x: x.astype(numpy_type(step.meta)), [result])

    def _operand(self, argument: Any, step: Step) -> Known:
        """Return one operand: a number, or a tensor cut where it has more than one element."""
        if not isinstance(argument, dict):
            return Known(np.array(number(argument)))
        value = step.inputs[argument["t"]]
        shape = self._shape(value)
        shift = len(step.shape) - len(shape)
        cut = {i - shift: at for i, at in step.cut.items() if i >= shift and shape[i - shift] != 1}
        return self._evaluate(value, cut)

    def _reshaped(self, step: Step) -> Known | None:
        """Return the same elements in another shape."""
        if step.name not in RESHAPES:
            return None
        shape = self._shape(step.inputs[0])
        axes = axes_of(step, shape)
        if axes is None:
            return None
        cut: dict[int, Array] = {}
        for i, at in step.cut.items():
            axis = axes[i]
            if axis is not None:
                cut[axis] = at
        source = self._evaluate(step.inputs[0], cut)
        order = [a for a in axes if a is not None]
        goal = self._cut_shape(step.shape, step.cut)

        def lay(array: Array) -> Array:
            array = np.broadcast_to(array, self._cut_shape(shape, cut))
            others = [a for a in range(len(shape)) if a not in order]
            array = array.transpose(order + others)
            kept = [n if axes[i] is not None else 1 for i, n in enumerate(goal)]
            return np.broadcast_to(array.reshape(kept), goal)

        return each(lay, [source])

    def _sliced(self, step: Step) -> Known | None:
        """Return a range of one dimension; where that one is cut, the places it comes from."""
        if step.name != "slice":
            return None
        shape = self._shape(step.inputs[0])
        dim, start, stop, stride = range_of(step, shape)
        cut = dict(step.cut)
        if dim in cut:
            cut[dim] = np.arange(start, stop, stride)[cut[dim]]
            return self._evaluate(step.inputs[0], cut)
        source = self._evaluate(step.inputs[0], cut)
        index = (*[slice(None)] * dim, slice(start, stop, stride))
        return each(lambda x: np.broadcast_to(x, self._cut_shape(shape, cut))[index], [source])

    def _scattered(self, step: Step) -> Known | None:
        """Return a base of which the model's data picks some elements along the last dimension."""
        if step.name != "scatter" or len(step.arguments) != 4:
            return None
        base, dim, index, fill = step.arguments
        if isinstance(fill, dict) or dim % len(step.shape) != len(step.shape) - 1:
            return None
        source = self._operand(base, step)
        if source.picked is not None:
            return None
        picked = np.full_like(source.rest, number(fill))
        most = self._shape(step.inputs[index["t"]])[-1]
        return Known(source.rest, picked, most)

    def _joined(self, step: Step) -> Known | None:
        """Return pieces one after another, where the cut leaves that dimension whole."""
        if step.name != "cat":
            return None
        dim = (step.arguments[1] if len(step.arguments) > 1 else 0) % len(step.shape)
        if dim in step.cut:
            return None
        goal = self._cut_shape(step.shape, step.cut)
        pieces = []
        for argument in step.arguments[0]:
            value = step.inputs[argument["t"]]
            shape = self._shape(value)
            if len(shape) != len(step.shape):
                continue  # an empty tensor of one dimension, as a cache begins with
            part = self._evaluate(value, step.cut)
            whole = (*goal[:dim], shape[dim], *goal[dim + 1 :])
            pieces.append(each(lambda x, whole=whole: np.broadcast_to(x, whole), [part]))
        return each(lambda *arrays: np.concatenate(arrays, axis=dim), pieces)

    def _whole(self, step: Step) -> Known | None:
        """Return what needs its inputs whole: small arithmetic on positions."""
        function = WHOLE.get(step.name)
        if function is None:
            return None
        inputs = [self._evaluate(v, {}) for v in step.inputs]
        if any(i.picked is not None for i in inputs):
            return None
        result = function(step, [i.rest for i in inputs])
        if result.shape != step.shape:
            return None
        for axis, at in step.cut.items():
            result = result.take(at, axis)
        return Known(result)


def _overwritten(capture: Capture) -> set[int]:
    """Return storages whose values cannot be told from the calls that made them.

    Those that some call writes through a view, whole or in part, and those of which a view was
    taken before a write: what the view shows has changed, and its own call does not say so.
    """
    c = capture.columns
    inputs, storage = c["call_input"].tolist(), c["value_storage"].tolist()
    producer = c["value_producer"].tolist()
    starts, outputs = c["call_output_start"].tolist(), c["call_output"].tolist()
    views = {
        outputs[i]: producer[outputs[i]]
        for i in (c["call_output_alias"] == ALIAS_VIEW).nonzero()[0].tolist()
    }
    first_view: dict[int, int] = {}
    for value, call in views.items():
        first_view[storage[value]] = min(first_view.get(storage[value], call), call)
    call_of = np.searchsorted(c["call_input_start"], np.arange(len(inputs)), side="right") - 1
    found = set()
    for position in c["call_input_mutated"].nonzero()[0].tolist():
        written = storage[inputs[position]]
        call = int(call_of[position])
        if inputs[position] in views or first_view.get(written, len(starts)) < call:
            found.add(written)
    return found

"""Packing loses nothing but digits, and stays inert inside a script element."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from crossgrade.report.packed import pack, script_json, unpack

leaves = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=30)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from(["long enough to repeat", "x"]), "value": inner}
            ),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1), values, max_size=4))
def test_unpacking_undoes_packing(document):
    assert unpack(json.loads(json.dumps(pack(document)))) == document


@given(st.dictionaries(st.just("key"), values))
def test_nothing_in_it_ends_the_script(document):
    text = script_json(document)
    assert not set("<>&\u2028\u2029") & set(text)
    assert unpack(json.loads(text)) == document


def test_numbers_keep_six_digits():
    assert unpack(pack({"a": [1 / 3, 123456789, 1e-30]})) == {"a": [0.333333, 123456789, 1e-30]}


def test_what_repeats_stands_once():
    rows = [{"evidence": ["a rather long line of evidence"]} for _ in range(50)]
    assert script_json({"rows": rows}).count("rather long") == 1

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ganwatch.store.strict_json import decode, encode

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3).filter(lambda name: name != "nonfinite")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | names
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


@given(st.dictionaries(names, values, max_size=4))
def test_what_json_cannot_hold_survives_it(mapping: dict[str, object]) -> None:
    text = json.dumps(encode(mapping), allow_nan=False)
    assert repr(decode(json.loads(text))) == repr(mapping)


def test_other_things_are_named_by_their_text() -> None:
    assert encode({"path": {1}, "type": int, 3: "a\0b"}) == {"path": [1], "type": "<class 'int'>", "3": "a\ufffdb"}
    assert encode({"a\udcff": ["\ud800"]}) == {"a\ufffd": ["\ufffd"]}

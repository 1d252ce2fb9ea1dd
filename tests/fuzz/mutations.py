"""Damage to bytes: flips, truncation, insertions, splices, swapped chunks and extreme numbers."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
TOKENS = (b"\0", b"\0" * 64, b"\xff" * 16, b"\n", b"\r", b'"', b"'", b"(", b"[" * 3000, b"{" * 300, b"-", b"1e999", b"9" * 400, b"nan",
    b"\xed\xa0\x80", b"PK\x05\x06",
          b"\xef\xbb\xbf", b"%s%n", b"..", b"/", b"\x1b[31m", b"\xc3\x28", b"0x10", b"1_0", b",", b"=", b"\\u0000")  # fmt: skip
PLACES = st.floats(0.0, 1.0)
_FORMATS = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q")

Plan = list[tuple[str, float, float, int]]

PLANS: st.SearchStrategy[Plan] = st.lists(
    st.tuples(
        st.sampled_from(("flip", "flip", "byte", "number", "number", "cut", "end", "insert", "repeat", "swap", "splice", "zero")),
        PLACES,
        PLACES,
        st.integers(0, 2**16 - 1),
    ),
    min_size=1,
    max_size=4,
)
"""Plans of what is damaged: the operation, two places as shares of the length, and a number."""


def damage(content: bytes, plan: Plan, other: bytes = b"") -> bytes:
    """Carry out a plan; ``other`` is what is spliced in."""
    value = bytearray(content)
    for operation, first, second, number in plan:
        low, high = sorted((int(first * len(value)), int(second * len(value))))
        at = min(low, max(len(value) - 1, 0))
        short = min(high, low + number % 64 + 1)
        match operation:
            case "flip" if value:
                value[at] ^= 1 << number % 8
            case "byte" if value:
                value[at] = number % 256
            case "number":
                form = _FORMATS[number % len(_FORMATS)]
                packed = struct.pack(form, EXTREME[number // 7 % len(EXTREME)] % 2 ** (8 * struct.calcsize(form)))
                value[at : at + len(packed)] = packed
            case "cut":
                del value[low:short]
            case "end":
                del value[max(low, 1) :]
            case "insert":
                value[at:at] = TOKENS[number % len(TOKENS)]
            case "repeat":
                value[at:at] = bytes(value[low:short]) * (number % 5 + 1)
            case "swap":
                half = (low + high) // 2
                value[low:high] = value[half:high] + value[low:half]
            case "splice" if other:
                start = number % len(other)
                value[low:high] = other[start : start + high - low]
            case "zero":
                value[low:short] = bytes(short - low)
    return bytes(value)


JSON: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((10**18, -(10**18), 10**400, 2**63, float("nan"), float("inf"), -float("inf"), 1e308, -0.0, "", "\0", "\ud800",
        "a" * 5000, "running", "nan"))
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
"""Plain values of JSON types, with numbers and texts at their limits."""


SHARES = st.integers(0, 2**20 - 1).map(lambda number: number * 0.6180339887498949 % 1.0)
"""Places as shares of a whole, evenly."""


def replace_leaf(value: Any, place: float, new: Any) -> Any:
    """Return a nest of dicts and lists in which the part at a place, as a share of all its parts, is another one."""
    count = _count(value)
    return _replace(value, int(place * (count - 1)), new)[0]


def _count(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 1 + sum(map(_count, inner))


def _replace(value: Any, index: int, new: Any) -> tuple[Any, int]:
    if index == 0:
        return new, -1
    index -= 1
    if isinstance(value, dict):
        changed = {}
        for key, item in value.items():
            changed[key], index = _replace(item, index, new) if index >= 0 else (item, index)
        return changed, index
    if isinstance(value, list | tuple):
        items = []
        for item in value:
            one, index = _replace(item, index, new) if index >= 0 else (item, index)
            items.append(one)
        return type(value)(items), index
    return value, index

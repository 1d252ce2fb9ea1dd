"""Records are made from plain types of unknown origin only if every field has its type."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganwatch.core.coverage import Span
from ganwatch.core.detector import NotApplicable, Verdict
from ganwatch.core.errors import UserError
from ganwatch.core.incidents import Incident, incident_from_plain, incident_to_plain
from ganwatch.core.outcome import Outcome
from ganwatch.core.plain_records import read_record

NUMBERS = st.floats() | st.integers(-(2**63) + 1, 2**63 - 1).map(float)


@given(st.builds(Verdict, NUMBERS, NUMBERS, st.text(), st.integers(0, 2**62), st.text(), st.text(), st.none() | st.integers(0, 9)))
def test_what_was_written_is_read_back(verdict):
    plain = {name: getattr(verdict, name) for name in Verdict.__slots__}
    assert repr(read_record(Verdict, plain)) == repr(verdict)


@pytest.mark.parametrize(
    ("cls", "plain", "reason"),
    [
        (Span, None, "Span must be a mapping of its fields, got None"),
        (Span, {"first": 1, "last": 2}, "Span must have the field count, got none"),
        (Span, {"": 1}, "Span must have the fields first, last, count, got ''"),
        (Span, {"first": True, "last": 2, "count": 3}, "first must be an integer .*, got True"),
        (Span, {"first": 2**63, "last": 2, "count": 3}, "first must be an integer within"),
        (NotApplicable, {"reason": 3}, "reason must be a text, got 3"),
        (Verdict, {"value": 10**400, "threshold": 0, "signal": "", "window": 1, "origin": "", "explanation": ""},
        "value must be a number, got 1000"),
        (Outcome, {"incidents": "GW101"}, "incidents must be a list, got 'GW101'"),
        (Outcome, {"failures": {"a": "b"}}, r"failures\['a'\] must be an integer"),
        (Outcome, {"unjudged": [{"code": 1}]}, "Unjudged must have the field"),
    ],
)
def test_a_field_of_another_type_is_named(cls, plain, reason):
    with pytest.raises(UserError, match=reason):
        read_record(cls, plain)


def test_an_integer_becomes_a_float_and_a_list_a_tuple():
    assert math.isclose(read_record(Outcome, {"incidents": ["a"], "step": 3}).step, 3)
    assert read_record(Outcome, {"incidents": ["a"]}).incidents == ("a",)
    incident = Incident("GW101-1", "GW101", "", "page", "firing", 1, 2)
    assert incident_to_plain(incident_from_plain(incident_to_plain(incident))) == incident_to_plain(incident)

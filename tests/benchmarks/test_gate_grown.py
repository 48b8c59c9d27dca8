"""What grew between two sides, and how it is said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.grown import SHOWN, grown, merge, sentence
from benchmarks.gate.instruments import Details
from benchmarks.gate.outcome import SecondLook

THINGS = st.dictionaries(st.text(max_size=4), st.integers(0, 10**6), max_size=30)


def look(before: Details, now: Details) -> SecondLook:
    return SecondLook(details_before=before, details_now=now)


def test_the_largest_growth_comes_first_and_what_shrank_is_left_out() -> None:
    before = {"SQL statements": {"SELECT ?": 3, "INSERT ?": 5, "COMMIT": 1}}
    now = {"SQL statements": {"SELECT ?": 4, "INSERT ?": 1, "PRAGMA x": 7, "COMMIT": 1}}
    found = grown(look(before, now))
    assert found == {"SQL statements": [("PRAGMA x", 0, 7), ("SELECT ?", 3, 4)]}
    assert sentence(found) == "SQL statements: PRAGMA x 0 → 7"


def test_a_thousandth_of_all_is_noise() -> None:
    before = {"functions": {"loop": 1_000_000, "call": 500}}
    assert grown(look(before, {"functions": {"loop": 1_000_900, "call": 1_400}})) == {}
    found = grown(look(before, {"functions": {"loop": 1_000_000, "call": 1_600}}))
    assert found == {"functions": [("call", 500, 1_600)]}


def test_nothing_grew() -> None:
    assert grown(look({}, {})) == {}
    assert sentence({}) == ""


@given(THINGS, THINGS)
def test_rows_are_growth_sorted_and_few(before: dict[str, int], now: dict[str, int]) -> None:
    for rows in grown(look({"kind": before}, {"kind": now})).values():
        assert 0 < len(rows) <= SHOWN
        growth = [new - old for _, old, new in rows]
        assert growth == sorted(growth, reverse=True)
        assert growth[-1] > 0
        for name, old, new in rows:
            assert (before.get(name, 0), now[name]) == (old, new)


def test_details_of_several_instruments_stand_side_by_side() -> None:
    details: Details = {}
    merge(details, {"a": {"x": 1}})
    merge(details, {"b": {"y": 2}, "a": {"z": 3}})
    assert details == {"a": {"x": 1, "z": 3}, "b": {"y": 2}}

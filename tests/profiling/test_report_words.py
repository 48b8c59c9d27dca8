"""Figures, places and foreign text in words; colours; small pieces of HTML."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script_modules import SCRIPTS, script_module

if TYPE_CHECKING:
    import _colours as colours
    import _html as pieces
    import _page_lanes as lanes
    import _words as words
else:
    colours = script_module("_colours")
    pieces = script_module("_html")
    lanes = script_module("_page_lanes")
    words = script_module("_words")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (12.3456, "12.3 s"),
        (0.0712, "71.2 ms"),
        (0.00099961, "1.00 ms"),
        (8.1e-05, "81.0 µs"),
        (999.6, "1,000 s"),
        (1200.0, "20.0 min"),
        (7200.0, "2.00 h"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(value: float | None, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (4.0e5, "400 kB"),
        (72_600_000, "72.6 MB"),
        (3e9, "3.00 GB"),
    ],
)
def test_sizes_are_decimal(value: float, said: str) -> None:
    assert words.size(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0%"), (0.0004, "<0.1%"), (0.042, "4.2%"), (0.4, "40%"), (1.0, "100%")],
)
def test_a_small_share_is_not_called_nothing(value: float, said: str) -> None:
    assert words.share(value) == said


@given(st.floats(1e-7, 1e7))
def test_digits_keep_the_value_within_its_third_digit(value: float) -> None:
    comp = float(words.digits(value).replace(",", ""))
    assert comp == pytest.approx(value, rel=0.006)


@given(st.text(st.characters(), max_size=300))
def test_clean_text_has_nothing_to_obey(text: str) -> None:
    comp = words.clean(text, 100)
    assert comp.isprintable()
    comp.encode("utf-8")
    if len(text) <= 100 and text.isprintable():
        assert comp == text


def test_the_middle_of_a_long_name_is_left_out() -> None:
    comp = words.clean("a" * 900 + "z" * 100, 50)
    assert len(comp) == 50
    assert comp.startswith("aaa")
    assert comp.endswith("zzz")
    assert "…" in comp


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/home/a/study/model.py", "model.py:7"),
        (
            "/home/a/.venv/lib/python3.11/site-packages/optuna/study/study.py",
            "optuna/study/study.py:7",
        ),
        ("/usr/lib/python3.11/json/decoder.py", "json/decoder.py:7"),
        ("/very/long/way/to/a/file.py", "to/a/file.py:7"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>:7"),
    ],
)
def test_places_are_short(file: str, said: str) -> None:
    assert words.place(file, 7, "/home/a/study") == said


def test_every_phase_of_the_rules_has_a_place_and_a_colour() -> None:
    css = (SCRIPTS / "_page.css").read_text(encoding="utf-8")
    rules = script_module("_rules")
    assert set(rules.PHASES) == set(colours.ORDER)
    for phase in colours.ORDER:
        name = colours.css_class(phase)
        variable = name.removeprefix("ph-")
        assert f".{name} {{ --c: var(--{variable}); }}" in css
        assert len(re.findall(rf"--{variable}: #", css)) == 2, f"{phase}: light and dark"


def test_unknown_phases_get_a_class_that_is_there() -> None:
    css = (SCRIPTS / "_page.css").read_text(encoding="utf-8")
    for name in ("quantum", '"><script>', "x y z", "", "\udcff"):
        comp = colours.css_class(name)
        assert re.fullmatch(r"ph-unknown-\d", comp)
        assert f".{comp} " in css
    assert colours.css_class("compile (JIT)") == "ph-compile"


@given(st.text(st.characters(), max_size=80))
def test_text_is_never_markup(text: str) -> None:
    comp = pieces.text(text)
    assert not set(comp) & set("<>\"'")
    assert html.unescape(comp) == words.clean(text)


@given(st.text(st.characters(), max_size=80))
def test_data_cannot_end_its_element(text: str) -> None:
    import json

    comp = pieces.data(json.dumps(text))
    assert "<" not in comp
    assert "&" not in comp
    assert json.loads(comp) == text


@given(st.floats(0.001, 1e9), st.integers(2, 9))
def test_ticks_are_round_and_within(largest: float, count: int) -> None:
    comp = pieces.ticks(largest, count)
    assert comp[0] == 0
    assert comp[-1] <= largest * (1 + 1e-9)
    assert 2 <= len(comp) <= count + 2


def test_step_areas_only_say_where_the_height_changes() -> None:
    assert pieces.step_area([10, 10, 40, 0]) == "M0 100V90H2V60H3V100H4V100Z"


@given(
    st.lists(st.tuples(st.floats(0, 9), st.floats(0.001, 3), st.sampled_from("abc")), max_size=30),
    st.integers(1, 20),
)
def test_bins_hold_all_the_time_of_their_segments(
    spans: list[tuple[float, float, str]], bins: int
) -> None:
    model = script_module("_model")
    segments = [model.Segment(start, start + length, name) for start, length, name in spans]
    comp = lanes.binned(segments, 12.0, bins)
    for name in {name for _, _, name in spans}:
        ref = sum(length for _, length, other in spans if other == name)
        assert sum(comp[name]) == pytest.approx(ref)

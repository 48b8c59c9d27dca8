"""The model reads back what it wrote, and says what it cannot read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from script_modules import script_module

model: Any = script_module("_model")


def profile() -> Any:
    phase = model.Phase("sampler", 3.0, 0.6, 1.5, None, 2.0, (model.Hot("f", "a.py", 7, 2.5),))
    lane = model.Lane(7, "MainThread", 0.0, 5.0, 4.0, (model.Segment(0.0, 5.0, "sampler"),))
    memory = model.Memory(
        (
            model.Process(7, None, "main", True, "", 1000),
            model.Process(8, 7, "fork", False, "x", None),
        ),
        (model.Curve(7, ((0.0, 10, None), (1.0, 20, 15))),),
        model.Leak(4.0, 3.5, 4.5, "f", "a.py", 7, 7),
        "",
        (model.Allocator("f", "a.py", 7, 100, 2, 7),),
        1000,
    )
    return model.Profile(
        kind="time",
        title="a stüdy\udcff",
        run={"rate_hz": 200, "tool": None, "deep": [{"x": 1.5}]},
        duration_s=5.0,
        trials=(model.Trial(0, 7, 0.5, None, "running"),),
        trials_absent="",
        phases=(phase,),
        lanes=(lane,),
        flame=model.Flame((("f", "a.py", 7),), (model.Stack((0,), 3.0, "sampler"),)),
        memory=memory,
        advice=(model.Advice("sampler", 0.6, "text", "figure", "source"),),
        remarks=("one",),
    )


def test_a_profile_reads_back_equal() -> None:
    ref = profile()
    assert model.from_json(model.to_json(ref)) == ref
    bare = dataclasses.replace(ref, flame=None, memory=None, trials_absent="why")
    assert model.from_json(model.to_json(bare)) == bare


def test_a_later_schema_is_refused_in_one_line() -> None:
    text = json.dumps({**json.loads(model.to_json(profile())), "schema": model.SCHEMA + 1})
    with pytest.raises(model.UnreadableProfile, match=r"^this profile has schema 2 .*$"):
        model.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration_s": "long"}, "duration_s is 'long'; expected float"),
        ({"kind": "space"}, "kind is 'space'; expected one of time, memory"),
        ({"trials": 3}, "trials is int; expected a list"),
        ({"phases": [{"name": "x"}]}, "phases holds name; expected name, seconds"),
        ({"more": 1}, "profile holds"),
    ],
)
def test_what_is_no_profile_is_said(change: dict[str, Any], message: str) -> None:
    text = json.dumps({**json.loads(model.to_json(profile())), **change})
    with pytest.raises(model.UnreadableProfile, match=message):
        model.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "1"}', "null"])
def test_other_json_is_no_profile(text: str) -> None:
    with pytest.raises(model.UnreadableProfile, match="not a profile"):
        model.from_json(text)


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        model.to_json(dataclasses.replace(profile(), duration_s=float("nan")))

"""How far a long step came, said now and then."""

from __future__ import annotations

import pytest

from benchmarks.gate.ticker import Ticker


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("benchmarks.gate.ticker.time.monotonic", lambda: now[0])
    return now


def test_it_speaks_once_in_a_while(clock: list[float]) -> None:
    said: list[str] = []
    one = Ticker(said.append, "counters", "10 cases")
    for _ in range(10):
        one.begin()
        clock[0] += 7.0
    assert said == ["counters: 3 of 10 cases", "counters: 6 of 10 cases", "counters: 9 of 10 cases"]


def test_a_step_that_others_share_tells_how_far_it_is(clock: list[float]) -> None:
    said: list[str] = []
    one = Ticker(said.append, "instructions", "40 cases")
    clock[0] = 30.0
    one.begin(17)
    assert said == ["instructions: 17 of 40 cases"]

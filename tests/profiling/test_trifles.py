"""A growth of memory that nobody needs to mend is told, and is no alarm."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from sample_profiles import barely_growing, leaking
from script_modules import script_module

if TYPE_CHECKING:
    import _advice as advice
    import _findings as findings
    import _leak as leaks
    import _model as model
    import _page_memory as page_memory
    import _page_top as page_top
    import _terminal as terminal
    import compare
else:
    advice = script_module("_advice")
    findings = script_module("_findings")
    leaks = script_module("_leak")
    model = script_module("_model")
    page_memory = script_module("_page_memory")
    page_top = script_module("_page_top")
    terminal = script_module("_terminal")
    compare = script_module("compare")


def with_growth(per_100: float, sample: model.Profile) -> model.Profile:
    assert sample.memory is not None
    assert sample.memory.leak is not None
    leak = dataclasses.replace(
        sample.memory.leak, bytes_per_100_trials=per_100, low=0.9 * per_100, high=1.1 * per_100
    )
    return dataclasses.replace(sample, memory=dataclasses.replace(sample.memory, leak=leak))


def test_a_hundredth_of_the_peak_in_ten_times_the_trials_is_where_alarms_begin() -> None:
    assert leaks.least_per_100(100, 93_200_000) == pytest.approx(93_200)
    assert leaks.least_per_100(5000, 93_200_000) == pytest.approx(1864)
    assert findings.leaks(leaking())
    assert not findings.leaks(barely_growing())
    assert findings.leaks(with_growth(94e3, barely_growing()))


def test_a_trifle_is_told_everywhere_without_alarm() -> None:
    sample = barely_growing()
    said = " ".join(findings.sentences(sample))
    assert "The heap grows little: by 54.1 kB more per 100 trials, less than 1% of the peak" in said
    assert advice.advise(sample) == ()
    (tile,) = [one for one in page_top.tiles(sample) if one.name == "growth"]
    assert (tile.value, tile.bad) == ("54.1 kB", False)
    page = page_memory.section(sample)
    assert "It grows little: 54.1 kB" in page
    assert "leak bad" not in page
    assert "less than 1% of the peak" in " ".join(terminal.lines(sample, 200))


def test_a_leak_is_still_an_alarm_everywhere() -> None:
    sample = leaking()
    assert len(advice.advise(sample)) == 1
    (tile,) = [one for one in page_top.tiles(sample) if one.name == "growth"]
    assert tile.bad
    assert "leak bad" in page_memory.section(sample)
    assert "little" not in " ".join((*findings.sentences(sample), *terminal.lines(sample, 200)))


def test_a_trifle_that_is_new_is_not_worse() -> None:
    sample = barely_growing()
    assert sample.memory is not None
    memory = dataclasses.replace(sample.memory, leak=None, leak_absent=leaks.NO_GROWTH)
    before = dataclasses.replace(sample, memory=memory)
    for per_100, verdict in ((54.1e3, "same"), (540e3, "worse")):
        moves, _ = compare.moved(before, with_growth(per_100, sample), 0.1)
        assert {move.name: move.verdict for move in moves}[compare.GROWTH] == verdict

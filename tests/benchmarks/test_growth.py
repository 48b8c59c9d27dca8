"""How a trial's cost grows: each curve in a process of its own, told as it was found."""

from __future__ import annotations

import argparse
import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _growth, _growth_chart, _growth_curves, optuna_storage
from benchmarks._growth_curves import Curve, Group
from benchmarks.gate.errors import GateError, NotMeasuredError, UsageError

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WARM", "_TRIALS", "_STUDIES"):
        monkeypatch.setattr(_growth_curves, name, 1)


def linear(n: int) -> Mapping[str, float]:
    return {"linear": 2.0 * n, "flat": 3.0}


def given(monkeypatch: pytest.MonkeyPatch, *curves: Curve) -> None:
    group = Group("a trial", curves or (Curve("both", linear),))
    monkeypatch.setattr(_growth_curves, "GROUPS", {"made": group})


def here(group: str, curve: str, n: int) -> dict[str, float]:
    """Measured in this process."""
    (found,) = (one for one in _growth_curves.GROUPS[group].curves if one.name == curve)
    return dict(found.measure(n))


def report(
    monkeypatch: pytest.MonkeyPatch, *curves: Curve, sizes: tuple[int, ...] = (10, 1_000)
) -> Any:
    given(monkeypatch, *curves)
    return _growth.measured([], sizes, here)


# --- the registry


def test_what_the_project_measures() -> None:
    storages = {curve.name for curve in _growth_curves.GROUPS["storage"].curves}
    assert {"ours, process", "ours, power", "RDBStorage", "JournalStorage, file"} <= storages
    assert len(storages) == len(_growth_curves.GROUPS["storage"].curves)
    assert _growth_curves.SIZES == (100, 1_000, 10_000, 100_000)


LONG = [pytest.param(peer, marks=pytest.mark.stress) for peer in ("rdb", "rdb-wal")]


@pytest.mark.parametrize("peer", ["memory", "process", "power", "journal", *LONG])
def test_every_storage_is_measured_where_trials_are_finished(peer: str) -> None:
    found = _growth_curves.kept_trial_ms(peer, "x", 4)
    assert [*found] == ["x"]
    assert found["x"] > 0


def test_a_storage_that_loses_trials_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    created = optuna_storage._created
    monkeypatch.setattr(optuna_storage, "_created", lambda n: created(n)[: max(1, n - 1)])
    with pytest.raises(AssertionError, match="x has 5 trials where 4 were finished before"):
        _growth_curves.kept_trial_ms("memory", "x", 4)


# --- what is measured


def test_every_curve_has_every_size_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    (group,) = report(monkeypatch, sizes=(1_000, 10, 10))["groups"]
    assert group["lines"] == {
        "linear": [[10, 20.0], [1_000, 2_000.0]],
        "flat": [[10, 3.0], [1_000, 3.0]],
    }
    assert (group["name"], group["title"], group["ended"]) == ("made", "a trial", {})


def test_a_curve_ends_where_it_is_no_longer_bearable(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(monkeypatch, Curve("both", linear, longest=100))
    (group,) = found["groups"]
    assert group["lines"]["flat"] == [[10, 3.0]]
    assert group["ended"] == {"both": "not beyond 100: too long to wait for"}
    assert "both: not beyond 100: too long to wait for" in _growth.lines_of(found)


def test_a_part_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(n: int) -> Mapping[str, float]:
        raise NotImplementedError("no rustuna: `nox -s parity` installs it")

    found = report(monkeypatch, Curve("absent", absent), Curve("both", linear))
    (group,) = found["groups"]
    assert [*group["lines"]] == ["linear", "flat"]
    assert group["ended"] == {"absent": "no rustuna: `nox -s parity` installs it"}


@pytest.mark.parametrize(
    ("groups", "sizes", "told"),
    [
        (["other"], [10], "no group other; expected some of made"),
        ([], [10, 0], "a size is 0; expected how many trials are finished, over 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, groups: list[str], sizes: list[int], told: str
) -> None:
    given(monkeypatch)
    with pytest.raises(UsageError, match=told):
        _growth.measured(groups, sizes, here)


# --- each in a process


def test_a_process_answers_with_a_figure() -> None:
    found = _growth.asked("storage", "InMemoryStorage (not kept)", 5)
    assert [*found] == ["InMemoryStorage (not kept)"]
    assert all(value > 0 for value in found.values())


def test_a_process_that_fails_is_told() -> None:
    told = "storage, no such curve: a process exited with 1: ValueError: not enough values"
    with pytest.raises(GateError, match=told):
        _growth.asked("storage", "no such curve", 5)


def test_a_process_that_takes_too_long_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_growth, "LONGEST_S", 0.01)
    with pytest.raises(NotMeasuredError, match="n = 5 took longer than"):
        _growth.asked("storage", "InMemoryStorage (not kept)", 5)


# --- what is told


def test_the_growth_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _growth.lines_of(report(monkeypatch))
    told = {line.split()[0]: line.split()[-1] for line in lines if "n^" in line}
    assert told == {"linear": "n^1.00", "flat": "n^0.00"}


def test_one_size_has_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _growth.growth([[10, 3.0]]) is None
    assert _growth.growth([[10, 4.0], [1_000, 40.0]]) == pytest.approx(0.5)
    lines = _growth.lines_of(report(monkeypatch, sizes=(10,)))
    assert [line.split()[-1] for line in lines if line.startswith("flat")] == ["-"]


def options(tmp_path: Path, **fields: Any) -> argparse.Namespace:
    values = {"groups": [], "sizes": [10, 100], "json": tmp_path / "growth.json"}
    return argparse.Namespace(**values | fields)


def test_the_numbers_and_the_chart_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch)
    monkeypatch.setattr(_growth, "asked", here)
    assert _growth.main(options(tmp_path)) == 0
    stored = json.loads((tmp_path / "growth.json").read_text(encoding="utf-8"))
    assert stored["tree"]
    assert capsys.readouterr().out.splitlines()[:-1] == _growth.lines_of(stored)
    chart = (tmp_path / "growth-made.svg").read_text(encoding="utf-8")
    assert chart == _growth_chart.svg(stored["groups"][0], _growth.caption(stored))


def test_a_failure_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch)
    assert _growth.main(options(tmp_path, groups=["other"])) == 2
    assert capsys.readouterr().err == "growth: no group other; expected some of made\n"
    assert not (tmp_path / "growth.json").exists()


# --- the chart


def drawn(lines: dict[str, list[list[float]]]) -> ElementTree.Element:
    return ElementTree.fromstring(_growth_chart.svg({"title": "a <b>", "lines": lines}, "2026"))


def test_the_chart_has_a_line_and_a_label_for_each_curve() -> None:
    found = drawn({"one & two": [[100, 1.0], [10_000, 10.0]], "other": [[100, 5.0]]})
    labels = [one.text for one in found.iter(f"{SVG}text")]
    assert {"one & two", "other", "2026", "100", "10,000", "1 ms", "10 ms"} <= {*labels}
    assert len([*found.iter(f"{SVG}polyline")]) == 2
    assert len([*found.iter(f"{SVG}circle")]) == 3
    assert not [one for one in found.iter() if "href" in str(one.attrib)]


def test_ten_times_as_much_is_as_far_wherever_it_is() -> None:
    found = drawn({"x": [[100, 1.0], [1_000, 10.0], [10_000, 100.0]]})
    places = [
        (float(one.attrib["cx"]), float(one.attrib["cy"])) for one in found.iter(f"{SVG}circle")
    ]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert x1 > x0
    assert y1 < y0  # more is higher


def test_no_label_lies_over_another() -> None:
    found = drawn({str(k): [[100, 1.0 + k / 1_000]] for k in range(6)})
    ends = sorted(
        float(one.attrib["y"]) for one in found.iter(f"{SVG}text") if one.text in {*"012345"}
    )
    assert len(ends) == 6
    assert all(after - before >= 14.9 for before, after in itertools.pairwise(ends))


def test_a_chart_of_nothing_says_what_it_would_be_of() -> None:
    assert any("a <b>" in str(one.text) for one in drawn({}).iter(f"{SVG}text"))

"""A configuration's dataclass or validation takes what it is, and refuses the rest."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
from typing import Any, Literal

import pytest

from optimizer.configuration import ConfigurationError, DefaultConfiguration

LONG_AGO_S = 1_700_000_000  # a version that no later write can have


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nobody can change one."""

    fee_rate: float = 0.0
    tiers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Nobody can change one."""

    name: str
    workers: int = 1
    costs: Costs = dataclasses.field(default_factory=Costs)
    side: Literal["long", "short"] = "long"
    stop: float | None = None
    since: datetime.date | None = None
    span: tuple[int, float] = (1, 2.0)


@dataclasses.dataclass
class Open:
    """Everybody can change one."""

    names: list[str] = dataclasses.field(default_factory=list)
    limits: dict[str, float] = dataclasses.field(default_factory=dict)
    rules: list[Costs] = dataclasses.field(default_factory=list)
    extra: Any = None


def write(path: pathlib.Path, text: str, at_s: float | None = LONG_AGO_S) -> None:
    """Write it in place; unless None, as if at that time."""
    path.write_text(text, encoding="utf-8")
    if at_s is not None:
        os.utime(path, (at_s, at_s))


@pytest.fixture(name="path")
def _path(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "defaults.json"
    write(path, '{"a": [1, {"b": 2}]}')
    return path


REFUSED: list[tuple[type, Any, str]] = [
    (Defaults, {}, "found no 'name', expected one"),
    (Defaults, {"name": 1}, "found 1 of type int for 'name', expected str"),
    (Defaults, {"name": "x", "worker": 1}, "found the name 'worker', expected one of name, work"),
    (Defaults, {"name": "x", "workers": True}, "found True of type bool for 'workers', expected"),
    (Defaults, {"name": "x", "workers": 1.0}, "found 1.0 of type float for 'workers'"),
    (Defaults, {"name": "x", "workers": "4"}, "found '4' of type str for 'workers'"),
    (Defaults, {"name": "x", "costs": {"fee": 1}}, "found the name 'costs.fee', expected one of"),
    (Defaults, {"name": "x", "costs": {"fee_rate": None}}, "for 'costs.fee_rate', expected float"),
    (Defaults, {"name": "x", "costs": {"tiers": [1, 2.5]}}, "found 2.5 .* for 'costs.tiers.1.'"),
    (Defaults, {"name": "x", "costs": [1]}, "for 'costs', expected Costs"),
    (Defaults, {"name": "x", "side": "both"}, "found 'both' .* for 'side', expected .*Literal"),
    (Defaults, {"name": "x", "stop": "1"}, "for 'stop', expected float | None"),
    (Defaults, {"name": "x", "stop": False}, "found False of type bool for 'stop'"),
    (Defaults, {"name": "x", "since": "2024-01-02"}, "for 'since'"),
    (Defaults, {"name": "x", "span": [1]}, "for 'span', expected tuple"),
    (Defaults, {"name": "x", "span": [1, 2, 3]}, "for 'span', expected tuple"),
    (Open, {"names": ["a", 1]}, "found 1 of type int for 'names.1.', expected str"),
    (Open, {"limits": {"x": "y"}}, "found 'y' of type str for 'limits.x', expected float"),
    (Open, {"rules": [{"fee": 1}]}, "found the name 'rules.0..fee'"),
    (Open, {"rules": {}}, "for 'rules', expected list"),
]


@pytest.mark.parametrize(("cls", "table", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_dataclass_refuses_what_it_is_not(
    path: pathlib.Path, cls: type, table: Any, message: str
) -> None:
    write(path, json.dumps(table))
    with pytest.raises(ConfigurationError, match=message) as caught:
        DefaultConfiguration(path, cls).get()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_dataclass_takes_what_it_is(path: pathlib.Path) -> None:
    write(path, '{"name": "x", "side": "short", "stop": 2, "span": [3, 4], "workers": 7}')
    ref = Defaults("x", 7, side="short", stop=2.0, span=(3, 4.0))
    assert DefaultConfiguration(path, Defaults).get() == ref


def test_a_dataclass_may_refuse_by_itself(path: pathlib.Path) -> None:
    @dataclasses.dataclass
    class Positive:
        a: int

        def __post_init__(self) -> None:
            if self.a <= 0:
                raise ValueError(f"a is {self.a}")

    write(path, '{"a": -1}')
    with pytest.raises(ConfigurationError, match="refuses, ValueError: a is -1; mend the file"):
        DefaultConfiguration(path, Positive).get()


def test_a_refused_version_is_asked_for_again_and_never_answered_by_the_last(
    path: pathlib.Path,
) -> None:
    refusing = [False]

    def validate(table: dict[str, Any]) -> int:
        if refusing[0]:
            raise KeyError("no")
        return len(table)

    held = DefaultConfiguration(path, validate)
    assert held.get() == 1
    refusing[0] = True
    write(path, '{"a": 1, "b": 2}', LONG_AGO_S + 1)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="KeyError: 'no'") as caught:
            held.get()
        assert isinstance(caught.value.__cause__, KeyError)
    refusing[0] = False
    assert held.get() == 2

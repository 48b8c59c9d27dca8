"""TOML and JSON configurations: a damaged file is one clear error."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
from typing import Any

import pytest

from optimizer import _versioned
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
    costs: Costs = dataclasses.field(default_factory=Costs)
    stop: float | None = None
    since: datetime.date | None = None


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


def test_toml_is_read_with_its_dates(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "defaults.TOML"
    write(
        path, 'name = "ä"\nsince = 2024-01-02\nstop = 1\n[costs]\nfee_rate = 0.001\ntiers = [3]\n'
    )
    comp = DefaultConfiguration(path, Defaults).get()
    assert comp == Defaults(
        "ä", costs=Costs(0.001, (3,)), stop=1.0, since=datetime.date(2024, 1, 2)
    )
    assert type(comp.stop) is float


def test_a_byte_order_mark_is_no_damage(path: pathlib.Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert DefaultConfiguration(path).get() == {"a": 1}


@pytest.mark.parametrize("name", ["defaults.yaml", "defaults", "json", "defaults.json.bak", ""])
def test_other_suffixes_are_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"found the suffix .* expected \.json or \.toml"):
        DefaultConfiguration(name)


DAMAGE = [
    (b"", "found damage, JSONDecodeError: Expecting value"),
    (b'{"a": 1', "found damage, JSONDecodeError"),
    (b'{"a": 1}}', "Extra data"),
    (b'{"a": "\xff"}', "found damage, UnicodeDecodeError"),
    (b'{"a": 1, "b": 2, "a": 3}', "the name 'a' stands twice"),
    (b'{"a": [{"b": 1, "b": 1}]}', "the name 'b' stands twice"),
    (b'{"a": NaN}', "NaN is no JSON number"),
    (b'{"a": -Infinity}', "-Infinity is no JSON number"),
    (b'{"a": ' + b"9" * 5_000 + b"}", "found damage, ValueError"),
    (b'{"a": ' * 50_000, "found damage, RecursionError"),
    (b"[1]", r"found \[1\] at the top, expected a table"),
    (b"null", "found None at the top"),
    (b"\x00" * 100, "found damage"),
]


@pytest.mark.parametrize(("data", "message"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_is_one_clear_error_until_it_is_mended(
    path: pathlib.Path, data: bytes, message: str
) -> None:
    held = DefaultConfiguration(path)
    held.get()
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=message) as caught:
            held.get()
        assert str(caught.value).startswith(f"{path}: found ")
        assert len(str(caught.value)) < 500
        assert caught.value.__cause__ is None
    write(path, '{"a": 2}')
    assert held.get() == {"a": 2}


@pytest.mark.parametrize(
    "text", ["a = ", "a = 1\na = 2", "[a]\n[a]\n", "a = nan x", "a = 1\x00", "= 1"]
)
def test_damaged_toml_is_one_clear_error(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "defaults.toml"
    write(path, text)
    with pytest.raises(ConfigurationError, match="found damage, TOMLDecodeError"):
        DefaultConfiguration(path).get()


def test_a_file_cut_anywhere_is_an_error_or_whole(path: pathlib.Path) -> None:
    text = json.dumps({"a": [1, {"b": 2.5, "c": None}], "d": "ä"})
    for length in range(len(text)):
        path.write_text(text[:length], encoding="utf-8")
        with pytest.raises(ConfigurationError, match="found damage"):
            DefaultConfiguration(path).get()


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: pathlib.Path) -> None:
    held = DefaultConfiguration(tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match=r"none\.json: found 'No such file or directory'"):
        held.get()
    (tmp_path / "none.json").mkdir()
    with pytest.raises(ConfigurationError, match="found no regular file"):
        held.get()
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ConfigurationError, match="found no regular file"):
        DefaultConfiguration(tmp_path / "pipe.json").get()
    write(tmp_path / "file.json", "{}")
    with pytest.raises(ConfigurationError, match="Not a directory"):
        DefaultConfiguration(tmp_path / "file.json" / "x.json").get()


def test_a_file_that_never_rests_is_refused(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _versioned.read_file

    def written_meanwhile(name: str) -> Any:
        before, data, after = plain(name)
        return before, data, (after[0] + 1, *after[1:])

    monkeypatch.setattr(_versioned, "read_file", written_meanwhile)
    with pytest.raises(ConfigurationError, match="found it changed during each of 5 reads"):
        DefaultConfiguration(path).get()

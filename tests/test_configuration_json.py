"""JSON files: what `json.load` returns, and kept where the environment says so."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

from optimizer import configuration
from optimizer.configuration import ConfigurationError, read_json

LONG_AGO_S = 1_700_000_000


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


@pytest.fixture(name="kept", params=["", "1"])
def _kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv(configuration.JSON_CACHE, request.param)
    return bool(request.param)


def test_json_is_what_json_load_returns_either_way(path: pathlib.Path, kept: bool) -> None:
    for text in ('{"a": [1, {"b": 2}]}', "[NaN, 1e400]", "18446744073709551616", '"x"', "null"):
        write(path, text)
        ref = json.loads(text)
        for _ in range(2):
            comp = read_json(path)
            assert repr(comp) == repr(ref)
            if isinstance(comp, (dict, list)):
                comp.clear()


@pytest.mark.parametrize("data", [b"", b"{", b"[1,]", b'"\xff"', b"[" * 100_000])
def test_damaged_json_is_the_same_error_either_way(
    path: pathlib.Path, kept: bool, data: bytes
) -> None:
    read_json(path)
    path.write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"found damage.*expected JSON") as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ConfigurationError, match="No such file"):
        read_json(path.with_name("none"))
    assert str(path.with_name("none")) not in configuration._json_files


@pytest.mark.parametrize(
    ("value", "parses"),
    [(None, 3), ("", 3), ("0", 3), ("off", 3), ("False", 3), ("1", 1), ("true", 1), ("on", 1)],
)
def test_json_is_kept_where_the_environment_says_so(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, value: str | None, parses: int
) -> None:
    monkeypatch.delenv(configuration.JSON_CACHE, raising=False)
    if value is not None:
        monkeypatch.setenv(configuration.JSON_CACHE, value)
    calls: list[bytes] = []
    plain = json.loads

    def counted(data: bytes) -> Any:
        calls.append(data)
        return plain(data)

    monkeypatch.setattr(json, "loads", counted)
    for _ in range(3):
        read_json(str(path))["a"].clear()
    assert len(calls) == parses
    write(path, '{"changed": 1}', LONG_AGO_S + 1)
    assert read_json(path) == {"changed": 1}


def test_relative_names_go_by_the_working_directory_of_the_call(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(configuration.JSON_CACHE, "1")
    for k in (1, 2):
        folder = tmp_path / str(k)
        folder.mkdir()
        write(folder / "x.json", str(k))
        monkeypatch.chdir(folder)
        assert read_json("x.json") == k

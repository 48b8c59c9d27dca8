"""Optional packages and the switch that hides them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer import _compat


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    _compat.available.cache_clear()
    yield
    _compat.available.cache_clear()


def test_an_installed_package_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_compat.SWITCH, raising=False)
    assert _compat.available("orjson")


@pytest.mark.parametrize("value", ["orjson", " orjson ", "numba, orjson", "orjson,"])
def test_the_switch_hides_a_package(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(_compat.SWITCH, value)
    with pytest.warns(_compat.SlowFallbackWarning, match=r"orjson is not available.*pip install"):
        assert not _compat.available("orjson")


@pytest.mark.parametrize("value", ["", ",", "orjso", "orjsonx", "json", "ORJSON"])
def test_the_switch_hides_nothing_else(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(_compat.SWITCH, value)
    assert _compat.available("orjson")


def test_a_missing_package_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.warns(_compat.SlowFallbackWarning, match="numba is not available"):
        assert not _compat.available("numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not _compat.available("numba")


def test_a_package_that_refuses_to_be_imported_is_not_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "orjson.py").write_text("raise ImportError('needs an older numpy')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "orjson", raising=False)
    with pytest.warns(_compat.SlowFallbackWarning, match="needs an older numpy.*pip install"):
        assert not _compat.available("orjson")

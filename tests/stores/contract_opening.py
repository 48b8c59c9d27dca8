"""How the tests of the contract open a store, and what they share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ONE, TWO = bytes(16), bytes(15) + b"\1"
NAN, INF = float("nan"), float("inf")


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Opening:
    """A store of its own for every test, and the same one opened twice."""

    def open(self, place: Path, study: str = "default", **settings: Any) -> Any:
        """A store; every call with the same place opens the same one."""
        raise NotImplementedError

    def older(self, place: Path, seconds: float) -> None:
        """Make everything that is stored, and every lease, that much older."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "study.db"

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Any]:
        store = self.open(place)
        yield store
        store.check()
        store.close()

    @pytest.fixture
    def other(self, place: Path, store: Any) -> Iterator[Any]:
        """The same study, opened once more, as another process would."""
        other = self.open(place)
        yield other
        other.close()

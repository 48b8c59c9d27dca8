"""Optuna's own tests of storages: in one process, reopened at every call, by two processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection
from storage_proxies import Alternating, Child, Reopening

from optimizer.stores.optuna_storage import SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")

suite = pytest.importorskip("optuna.testing.pytest_storages", reason="this Optuna ships no suite")
StorageTestCase: Any = suite.StorageTestCase


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


class TestOneProcess(StorageTestCase):  # type: ignore[misc]  # absent below Optuna 5
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[SQLiteStorage]:
        with SQLiteStorage(tmp_path / "study.db") as storage:
            yield storage
            storage.check()


@pytest.mark.stress
class TestOtherDurabilities(StorageTestCase):  # type: ignore[misc]  # see above
    @pytest.fixture(params=["power", "batch"])
    def storage(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SQLiteStorage]:
        with SQLiteStorage(tmp_path / "study.db", durability=request.param) as storage:
            yield storage
            storage.check()


@pytest.mark.stress
class TestReopenedAtEveryCall(StorageTestCase):  # type: ignore[misc]  # see above
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Reopening:
        return Reopening(tmp_path / "study.db")


class TestTwoProcesses(StorageTestCase):  # type: ignore[misc]  # see above
    """What is kept for a while is written without another call: the proxies wait for it."""

    @pytest.fixture
    def storage(self, tmp_path: Path, child: Child) -> Iterator[Alternating]:
        storage = Alternating(tmp_path / "study.db", child, delay_s=0.002)
        # Each has seen that the other writes, so that both look at every call.
        for _ in range(2):
            storage.delete_study(storage.create_new_study([StudyDirection.MINIMIZE]))
            storage.get_all_studies()
        yield storage
        storage.here.check()
        storage.close()


@pytest.mark.stress
class TestTwoProcessesAtOnce(StorageTestCase):  # type: ignore[misc]  # see above
    @pytest.fixture(params=["process", "power", "batch"])
    def storage(
        self, tmp_path: Path, child: Child, request: pytest.FixtureRequest
    ) -> Iterator[Alternating]:
        path = tmp_path / "study.db"
        storage = Alternating(path, child, durability=request.param, delay_s=0.0)
        yield storage
        storage.close()

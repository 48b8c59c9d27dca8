"""SQLite keeps the contract of a store, and what only it promises."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from contract_opening import ONE, sig
from store_contract import StoreContract

from optimizer.errors import StoreCorruptError
from optimizer.protocols import Evaluation, Store
from optimizer.space import SearchSpace
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.sqlite import SqliteStore


def make_older(path: Path, seconds: float) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("UPDATE evaluations SET stored = stored - ?", (round(1000 * seconds),))
        # Whoever set a clock by hand would have to say so to those who keep things in memory.
        raw.execute("UPDATE namespaces SET generation = generation + 1")
        raw.execute("UPDATE claims SET lease = lease - ?", (round(1000 * seconds),))
        raw.execute("COMMIT")


class TestSqlite(StoreContract):
    def open(self, place: Path, study: str = "default", **settings: Any) -> SqliteStore:
        return SqliteStore(place, study=study, **settings)

    def older(self, place: Path, seconds: float) -> None:
        make_older(place, seconds)


def test_it_is_a_store(path: Path) -> None:
    with SqliteStore(path) as opened:
        store: Store = opened  # what mypy says about this line is the test
        store.check()


def statements_of(part: Any, call: Callable[[], object]) -> list[str]:
    seen: list[str] = []
    raw = part._database._here.kept.raw
    raw.set_trace_callback(lambda text: seen.append(text.split()[0]))
    call()
    raw.set_trace_callback(None)
    return seen


def test_statements_per_call(path: Path) -> None:
    with EvaluationCache(path, ONE) as cache, EvaluationCache(path, ONE) as other:
        claims = Claims(cache)
        put = ["BEGIN", "SELECT", "INSERT", "UPDATE", "COMMIT"]
        assert statements_of(cache, lambda: cache.put(sig(1), 1.0)) == put
        assert statements_of(cache, lambda: cache.get(sig(1))) == ["SELECT"]
        assert statements_of(cache, lambda: cache.get(sig(1))) == ["PRAGMA", "SELECT"]
        assert statements_of(cache, lambda: cache.get(sig(1))) == ["PRAGMA"]
        assert statements_of(cache, lambda: cache.get_batch([sig(1)] * 9)) == ["PRAGMA"]
        other.put(sig(2), 2.0)
        assert statements_of(cache, lambda: cache.get(sig(1))) == ["PRAGMA", "SELECT"]
        assert statements_of(cache, lambda: claims.claim(sig(1))) == ["PRAGMA"]
        assert statements_of(cache, lambda: claims.claim(sig(3))) == ["SELECT", "INSERT"]
        mine = claims.claim(sig(4))
        fulfil = ["BEGIN", "DELETE", "SELECT", "INSERT", "UPDATE", "COMMIT"]
        assert statements_of(cache, lambda: claims.fulfil(mine, 1.0)) == fulfil  # type: ignore[arg-type]  # it is a claim


def test_a_value_that_comes_between_look_up_and_claim_is_served(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EvaluationCache(path, ONE) as cache, EvaluationCache(path, ONE) as other:

        def get_and_be_late(params: Any) -> None:
            other.put(params, 5.0)

        monkeypatch.setattr(cache, "get", get_and_be_late)
        assert Claims(cache).claim(sig(1)) == Evaluation((5.0,))


def test_the_error_of_an_objective_is_told_though_its_claim_cannot_be_released(path: Path) -> None:
    with (
        EvaluationCache(path, ONE, timeout_s=0.01) as cache,
        closing(sqlite3.connect(path, isolation_level=None)) as raw,
    ):

        def objective(params: Any) -> float:
            raw.execute("BEGIN IMMEDIATE")
            raise KeyError("the objective's")

        with pytest.raises(KeyError, match="the objective's"):
            Claims(cache).evaluate_once(objective, {"x": 1})


def test_parts_alone_see_what_the_store_sees(path: Path) -> None:
    with SqliteStore(path, study="s") as store, NoDupeGuard(path, study="s") as guard:
        guard.add(sig(1))
        assert store.signatures.seen(sig(1))
        store.evaluations(ONE).put(sig(1), 1.0)
        with EvaluationCache(path, ONE, study="s") as cache:
            assert cache.get(sig(1)) is not None
            assert store.signatures._database is store.trials._database


def test_parts_are_pickled_as_they_are(path: Path) -> None:
    space = SearchSpace({"x": {"type": "float", "min": 0, "max": 1, "step": 0.1}})
    with (
        EvaluationCache(path, ONE, study="s", space=space, maxsize=3, ttl_s=9, front=2) as cache,
        SqliteStore(path, space=space) as store,
    ):
        cache.put({"x": 0.3}, 1.0)
        for part in (cache, store):
            with pickle.loads(pickle.dumps(part)) as copy:
                assert repr(copy) == repr(part)
        with pickle.loads(pickle.dumps(cache)) as copy:
            assert copy.get({"x": 0.1 + 0.2}).value == 1.0
        claims = pickle.loads(pickle.dumps(Claims(cache, lease_s=7)))
        assert (claims.lease_s, claims.claim({"x": 0.3}).value) == (7, 1.0)


def test_uses_reach_other_processes_at_the_latest_after_so_many(path: Path) -> None:
    with (
        EvaluationCache(path, ONE, maxsize=2, uses_per_write=3) as mine,
        EvaluationCache(path, ONE, maxsize=2, uses_per_write=3) as theirs,
    ):
        mine.put(sig(1), 1.0)
        mine.put(sig(2), 2.0)
        for _ in range(3):  # one signature counts once
            mine.get(sig(1))
        mine.close()
        theirs.put(sig(3), 3.0)
        assert [sig(i) in theirs for i in (1, 2, 3)] == [True, False, True]
    with (
        EvaluationCache(path, ONE, maxsize=2, uses_per_write=1) as mine,
        EvaluationCache(path, ONE, maxsize=2) as theirs,
    ):
        mine.get(sig(1))
        theirs.put(sig(4), 4.0)
        assert [sig(i) in theirs for i in (1, 3, 4)] == [True, False, True]


def test_check_finds_what_sqlite_does_not(path: Path) -> None:
    with EvaluationCache(path, ONE) as cache, SqliteStore(path) as store:
        cache.put(sig(1), 1.0)
        for statement, match in (
            ("UPDATE evaluations SET value = x'0102'", "1 evaluations are malformed"),
            ("UPDATE namespaces SET entries = 2", "another number of entries"),
            (
                "UPDATE evaluations SET namespace = 99",
                "belong to a study or namespace that is not there",
            ),
        ):
            cache.check()
            with closing(sqlite3.connect(path, isolation_level=None)) as raw:
                raw.execute("CREATE TEMP TABLE kept AS SELECT * FROM evaluations")
                raw.execute("CREATE TEMP TABLE counts AS SELECT * FROM namespaces")
                raw.execute(statement)
                for part in (cache, store):
                    with pytest.raises(StoreCorruptError, match=match):
                        part.check()
                raw.execute("DELETE FROM evaluations")
                raw.execute("INSERT INTO evaluations SELECT * FROM kept")
                raw.execute("UPDATE namespaces SET entries = (SELECT entries FROM counts)")


def test_a_namespace_that_was_deleted_is_named(path: Path) -> None:
    with EvaluationCache(path, ONE) as cache:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("DELETE FROM namespaces")
        with pytest.raises(StoreCorruptError, match="namespace"):
            cache.put(sig(1), 1.0)

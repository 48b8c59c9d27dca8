"""Stores with something of every kind in them, and the parts that open one alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract_opening import ONE, sig

from optimizer.protocols import Claim, Trial
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.named_values import NamedValues
from optimizer.stores.optuna_storage import SQLiteStorage
from optimizer.stores.sqlite import SqliteStore

Open = Callable[..., Any]


def cache(path: Path, **settings: Any) -> EvaluationCache:
    return EvaluationCache(path, ONE, **settings)


PARTS = [NoDupeGuard, cache, NamedValues, SqliteStore, SQLiteStorage]


def fill(store: SqliteStore, first: int, number: int) -> None:
    evaluations = store.evaluations(ONE)
    for i in range(first, first + number):
        trial = Trial(i, "complete", {"x": i}, (float(i),))
        evaluations.put(sig(i), float(i), {"i": i}, trial=trial)
    store.signatures.add_batch(sig(i) for i in range(first, first + number))
    store.metadata.update({f"m{i}": i for i in range(first, first + number)})


def assert_whole(path: Path, number: int) -> None:
    with SqliteStore(path) as store:
        store.check()
        found = store.evaluations(ONE).get_batch(sig(i) for i in range(number + 1))
        assert [e and (e.value, e.attributes["i"]) for e in found] == [
            *((float(i), i) for i in range(number)),
            None,
        ]
        assert store.trials.load().keys() == set(range(number))
        assert len(store.signatures) == len(store.metadata.all()) == number


def whole_store(path: Path, number: int = 60) -> bytes:
    with SqliteStore(path) as store:
        fill(store, 0, number)
        claim = store.claims(ONE).claim({"x": -1})
        assert isinstance(claim, Claim)
    assert os.listdir(path.parent) == [path.name]
    return path.read_bytes()

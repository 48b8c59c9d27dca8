"""The cache against a plain dict: random calls, ages, bounds, one object and several."""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from contract_opening import ONE, TWO, sig
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_sqlite import make_older

from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.sqlite import SqliteStore

TTL_S = 101.0  # no sum of the ages below
MAXSIZE = 4


class Model:
    """What a namespace means: the entry used last comes last."""

    def __init__(self, maxsize: int | None, ttl_s: float | None) -> None:
        self.maxsize, self.ttl_s = maxsize, ttl_s
        self.entries: OrderedDict[bytes, tuple[tuple[float, ...], dict[str, Any]]] = OrderedDict()
        self.ages: dict[bytes, float] = {}

    def living(self, signature: bytes) -> bool:
        age = self.ages.get(signature)
        return age is not None and (self.ttl_s is None or age < self.ttl_s)

    def get(self, signature: bytes) -> tuple[tuple[float, ...], dict[str, Any]] | None:
        if not self.living(signature):
            return None
        self.entries.move_to_end(signature)
        return self.entries[signature]

    def put_batch(self, rows: list[tuple[bytes, float]], attributes: dict[str, Any]) -> int:
        if not rows:
            return 0
        for signature in [s for s in self.entries if not self.living(s)]:
            self.remove(signature)
        new = 0
        for signature, value in rows:
            if signature not in self.entries:
                self.entries[signature] = ((value,), attributes)
                self.ages[signature] = 0.0
                new += 1
        while self.maxsize is not None and len(self.entries) > self.maxsize:
            self.remove(next(iter(self.entries)))
        return new

    def remove(self, signature: bytes) -> bool:
        self.ages.pop(signature, None)
        return self.entries.pop(signature, None) is not None

    def __len__(self) -> int:
        return sum(map(self.living, self.entries))


signatures = st.integers(0, 7).map(sig)
values = st.integers(0, 3).map(float)
members = st.integers(0, 3)


class CacheMachine(RuleBasedStateMachine):
    """Two namespaces of one file, each by one or two cache objects, against two models."""

    per_namespace = 2
    uses_per_write = 1

    @initialize(
        maxsize=st.sampled_from([None, 1, MAXSIZE]),
        ttl_s=st.sampled_from([None, TTL_S]),
        front=st.sampled_from([0, 2, 100]),
    )
    def begin(self, maxsize: int | None, ttl_s: float | None, front: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(os.path.join(self.folder.name, "study.db"))
        self.settings = {"maxsize": maxsize, "ttl_s": ttl_s, "front": front}
        self.refs = [Model(maxsize, ttl_s) for _ in range(2)]
        self.comps = [self.opened(member) for member in range(2 * self.per_namespace)]

    def opened(self, member: int) -> EvaluationCache:
        uses = self.uses_per_write
        fingerprint = (ONE, TWO)[member % 2]
        return EvaluationCache(self.path, fingerprint, uses_per_write=uses, **self.settings)  # type: ignore[arg-type]  # the settings differ in type

    def pair(self, member: int) -> tuple[EvaluationCache, Model]:
        member %= len(self.comps)
        return self.comps[member], self.refs[member % 2]

    @rule(member=members, signature=signatures)
    def get(self, member: int, signature: bytes) -> None:
        comp, ref = self.pair(member)
        found, expected = comp.get(signature), ref.get(signature)
        assert (found and (found.values, found.attributes)) == expected

    @rule(member=members, asked=st.lists(signatures, max_size=10))
    def get_batch(self, member: int, asked: list[bytes]) -> None:
        comp, ref = self.pair(member)
        found = comp.get_batch(iter(asked))
        assert [e and (e.values, e.attributes) for e in found] == [ref.get(s) for s in asked]

    @rule(member=members, signature=signatures, value=values, named=st.booleans())
    def put(self, member: int, signature: bytes, value: float, named: bool) -> None:
        comp, ref = self.pair(member)
        attributes = {"named": [value]} if named else {}
        expected = ref.put_batch([(signature, value)], attributes)
        assert comp.put(signature, value, attributes) == expected

    @rule(member=members, rows=st.lists(st.tuples(signatures, values), max_size=6))
    def put_batch(self, member: int, rows: list[tuple[bytes, float]]) -> None:
        comp, ref = self.pair(member)
        assert comp.put_batch(iter(rows)) == ref.put_batch(rows, {})

    @rule(member=members, signature=signatures)
    def forget(self, member: int, signature: bytes) -> None:
        comp, ref = self.pair(member)
        assert comp.forget(signature) is ref.remove(signature)

    @rule(member=members)
    def clear(self, member: int) -> None:
        comp, ref = self.pair(member)
        assert comp.clear() == len(ref.entries)
        for signature in list(ref.entries):
            ref.remove(signature)

    @rule(member=members)
    def forget_others(self, member: int) -> None:
        ref = self.refs[1 - member % 2]
        with SqliteStore(self.path) as store:
            assert store.forget_others((ONE, TWO)[member % 2]) == len(ref.entries)
        for signature in list(ref.entries):
            ref.remove(signature)

    @rule(seconds=st.sampled_from([25.0, 50.0]))
    def older(self, seconds: float) -> None:
        make_older(self.path, seconds)
        for ref in self.refs:
            for signature in ref.ages:
                ref.ages[signature] += seconds

    @rule(member=members)
    def reopen(self, member: int) -> None:
        member %= len(self.comps)
        self.comps[member].close()
        self.comps[member] = self.opened(member)

    @invariant()
    def lengths_agree(self) -> None:
        for member, comp in enumerate(getattr(self, "comps", [])):
            assert len(comp) == len(self.refs[member % 2])

    def teardown(self) -> None:
        for comp in getattr(self, "comps", []):
            comp.check()
            comp.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class AloneMachine(CacheMachine):
    """One object per namespace, whose uses are written late."""

    per_namespace = 1
    uses_per_write = 5


def cases(machine: type[CacheMachine], examples: int) -> type[Any]:
    case: type[Any] = machine.TestCase
    made = type(f"{machine.__name__}{examples}", (case,), {})
    made.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None)  # type: ignore[attr-defined]  # read by hypothesis
    return made


TestTogether = cases(CacheMachine, 6)
TestAlone = cases(AloneMachine, 6)
TestTogetherLong = pytest.mark.stress(cases(CacheMachine, 150))
TestAloneLong = pytest.mark.stress(cases(AloneMachine, 150))

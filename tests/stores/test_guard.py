"""NoDupeGuard does what a set does, and refuses what is no signature."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contract_opening import sig
from guard_probes import raw_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from optimizer.errors import SignatureError, StoreArgumentError
from optimizer.protocols import SignatureGuard
from optimizer.reference.guard import ConnectPerCallGuard, SetGuard
from optimizer.stores.guard import NoDupeGuard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


# --- the same as a set


small = st.integers(0, 40).map(sig)
batches = st.lists(small, max_size=60)
studies = st.sampled_from(["default", "a'; DROP TABLE studies; --", "\N{SNOWMAN} %s ?"])


class GuardMachine(RuleBasedStateMachine):
    """Random calls on three studies of one file, against three sets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "seen.db")
        self.comp: dict[str, NoDupeGuard] = {}
        self.ref: dict[str, SetGuard] = {}

    def pair(self, study: str) -> tuple[NoDupeGuard, SetGuard]:
        if study not in self.comp:
            self.comp[study] = NoDupeGuard(self.path, study=study)
            self.ref.setdefault(study, SetGuard())
        return self.comp[study], self.ref[study]

    @rule(study=studies, signature=small)
    def add(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.add(signature) is ref.add(signature)

    @rule(study=studies, signature=small)
    def seen(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.seen(signature) is ref.seen(signature)
        assert (signature in comp) is (signature in ref)

    @rule(study=studies, signatures=batches)
    def add_batch(self, study: str, signatures: list[bytes]) -> None:
        comp, ref = self.pair(study)
        assert comp.add_batch(iter(signatures)) == ref.add_batch(signatures)

    @rule(study=studies, signatures=batches)
    def seen_batch(self, study: str, signatures: list[bytes]) -> None:
        comp, ref = self.pair(study)
        assert comp.seen_batch(iter(signatures)) == ref.seen_batch(signatures)

    @rule(study=studies, signature=small)
    def remove(self, study: str, signature: bytes) -> None:
        comp, ref = self.pair(study)
        assert comp.remove(signature) is ref.remove(signature)

    @rule(study=studies)
    def clear(self, study: str) -> None:
        comp, ref = self.pair(study)
        assert comp.clear() == ref.clear()

    @rule(study=studies)
    def reopen(self, study: str) -> None:
        comp, _ = self.pair(study)
        comp.close()
        del self.comp[study]

    @invariant()
    def lengths_agree(self) -> None:
        for study, comp in self.comp.items():
            assert len(comp) == len(self.ref[study])

    def teardown(self) -> None:
        for study in self.ref:
            self.pair(study)[0].check()
        for comp in self.comp.values():
            comp.close()
        self.folder.cleanup()


GuardMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestGuardMachine = GuardMachine.TestCase


@pytest.mark.parametrize("number", [0, 1, 499, 500, 501, 1_000, 1_237])
def test_batches_around_the_chunk_size(path: Path, number: int) -> None:
    ref = SetGuard()
    with NoDupeGuard(path) as comp:
        added = [sig(3 * i) for i in range(number)]
        assert comp.add_batch(added) == ref.add_batch(added) == number
        asked = [sig(i) for i in range(2 * number)][::-1]
        assert comp.seen_batch(asked) == ref.seen_batch(asked)
        assert comp.add_batch(added[::2] + added[::2]) == 0


@given(batches, batches)
@settings(max_examples=15, deadline=None)
def test_reports_guard_agrees_with_the_set(added: list[bytes], asked: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        comp, ref = ConnectPerCallGuard(os.path.join(folder, "old.db")), SetGuard()
        other = ConnectPerCallGuard(os.path.join(folder, "old.db"), study="other")
        assert comp.add_batch(added[:8]) == ref.add_batch(added[:8])
        assert comp.seen_batch(asked) == ref.seen_batch(asked)
        assert len(comp) == len(ref)
        assert len(other) == 0
        for signature in asked[:4]:
            assert comp.remove(signature) is ref.remove(signature)
        assert comp.clear() == ref.clear()


def test_all_guards_keep_the_promise_of_the_protocol(path: Path, tmp_path: Path) -> None:
    with NoDupeGuard(path) as guard:
        for one in (guard, SetGuard(), ConnectPerCallGuard(tmp_path / "old.db")):
            assert isinstance(one, SignatureGuard)


# --- arguments


NOT_SIGNATURES = st.one_of(
    st.binary(max_size=40).filter(lambda value: len(value) != 16),
    st.binary(min_size=16, max_size=16).map(bytearray),
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.none(),
    st.lists(st.binary(), max_size=2),
)


@given(NOT_SIGNATURES, st.integers(0, 5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_not_a_signature_is_named(
    tmp_path_factory: pytest.TempPathFactory, wrong: object, index: int
) -> None:
    guard = NoDupeGuard(tmp_path_factory.getbasetemp() / "arguments.db")
    with guard:
        for call in (guard.seen, guard.add, guard.remove, guard.__contains__):
            with pytest.raises(SignatureError, match=f"found {type(wrong).__name__}"):
                call(wrong)  # type: ignore[arg-type]  # wrong on purpose
        batch = [sig(i) for i in range(5)]
        batch.insert(index, wrong)  # type: ignore[arg-type]  # wrong on purpose
        for call_batch in (guard.seen_batch, guard.add_batch):
            with pytest.raises(SignatureError, match=f"at index {index} of the batch"):
                call_batch(batch)
        assert len(guard) == 0


@pytest.mark.parametrize("whole", [bytes(16), bytearray(16), "x" * 16])
def test_one_signature_is_no_batch(path: Path, whole: bytes | bytearray | str) -> None:
    with NoDupeGuard(path) as guard, pytest.raises(SignatureError, match="Wrap a single one"):
        guard.add_batch(whole)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("study", ["", None, 3, b"study", "\ud800"])
def test_study_names_refused(path: Path, study: object) -> None:
    with pytest.raises(StoreArgumentError, match="the study"):
        NoDupeGuard(path, study=study)  # type: ignore[arg-type]  # wrong on purpose
    assert not path.exists()


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), "soon", None])
def test_time_outs_refused(path: Path, timeout_s: object) -> None:
    with pytest.raises(StoreArgumentError, match="timeout_s"):
        NoDupeGuard(path, timeout_s=timeout_s)  # type: ignore[arg-type]  # wrong on purpose
    assert not path.exists()


def test_unknown_durability_is_refused(path: Path) -> None:
    with pytest.raises(StoreArgumentError, match="'process', 'power'"):
        NoDupeGuard(path, durability="memory")
    assert not path.exists()


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
def test_settings_in_force_on_every_connection(
    path: Path, durability: str, synchronous: int
) -> None:
    def settings_of(_: object = None) -> list[object]:
        guard.seen(sig(0))
        return [
            raw_of(guard).execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "journal_mode", "cache_size", "busy_timeout")
        ]

    expected = [synchronous, "wal", -10 * 1024, 2500]
    with NoDupeGuard(path, durability=durability, timeout_s=2.5) as guard:
        assert settings_of() == expected
        with ThreadPoolExecutor(1) as threads:
            assert list(threads.map(settings_of, [0])) == [expected]


@pytest.mark.parametrize("name", ["a b.db", "ü?mode=ro.db", "100%41#x.db", "file:x.db"])
def test_any_file_name_is_taken_literally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with NoDupeGuard(name) as guard:
        guard.add(sig(1))
        assert (tmp_path / name).is_file()
        monkeypatch.chdir("/")
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(guard.seen, sig(1)).result()
    assert os.listdir(tmp_path) == [name]

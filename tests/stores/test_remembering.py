"""A guard with a memory answers as one without, whoever writes between."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from optimizer.errors import SignatureError, StoreArgumentError
from optimizer.protocols import SignatureGuard
from optimizer.reference.guard import SetGuard
from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.remembering import RememberingGuard


def sig(number: int) -> bytes:
    return number.to_bytes(16, "big")


small = st.integers(0, 12).map(sig)
batches = st.lists(small, max_size=12)
members = st.integers(0, 2)


class RememberingMachine(RuleBasedStateMachine):
    """Two guards with a memory and one without on one file, against one set."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = os.path.join(self.folder.name, "seen.db")
        self.ref = SetGuard()
        self.comps = [
            RememberingGuard(path, remember=100),
            RememberingGuard(path, remember=3),
            NoDupeGuard(path),
        ]

    @rule(member=members, asked=batches)
    def seen_batch(self, member: int, asked: list[bytes]) -> None:
        assert self.comps[member].seen_batch(iter(asked)) == self.ref.seen_batch(asked)

    @rule(member=members, signature=small)
    def seen(self, member: int, signature: bytes) -> None:
        assert self.comps[member].seen(signature) is self.ref.seen(signature)

    @rule(member=members, signature=small)
    def add(self, member: int, signature: bytes) -> None:
        assert self.comps[member].add(signature) is self.ref.add(signature)

    @rule(member=members, added=batches)
    def add_batch(self, member: int, added: list[bytes]) -> None:
        assert self.comps[member].add_batch(iter(added)) == self.ref.add_batch(added)

    @rule(member=members, signature=small)
    def remove(self, member: int, signature: bytes) -> None:
        assert self.comps[member].remove(signature) is self.ref.remove(signature)

    @rule(member=members)
    def clear(self, member: int) -> None:
        assert self.comps[member].clear() == self.ref.clear()

    @invariant()
    def memory_is_bounded(self) -> None:
        for comp in self.comps[:2]:
            assert isinstance(comp, RememberingGuard)
            assert len(comp._memory.answers) <= comp._remember

    def teardown(self) -> None:
        for comp in self.comps:
            comp.check()
            comp.close()
        self.folder.cleanup()


RememberingMachine.TestCase.settings = settings(
    max_examples=6, stateful_step_count=25, deadline=None
)
TestRememberingMachine = RememberingMachine.TestCase


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seen.db"


def test_memory_answers_until_anybody_writes(path: Path) -> None:
    with RememberingGuard(path) as guard, NoDupeGuard(path, study="another") as other:
        assert isinstance(guard, SignatureGuard)
        raw = guard._database._here.kept.raw
        assert raw is not None
        seen: list[str] = []
        raw.set_trace_callback(lambda text: seen.append(text.split()[0]))
        batch = [sig(i) for i in range(700)]
        expected: list[tuple[Callable[[], object], list[str]]] = [
            (lambda: guard.seen_batch(batch), ["PRAGMA", "SELECT", "SELECT"]),
            (lambda: guard.seen_batch(batch), ["PRAGMA"]),
            (lambda: guard.add(sig(3)), ["PRAGMA", "INSERT", "PRAGMA"]),
            (lambda: guard.seen_batch(batch), ["PRAGMA"]),
            (lambda: other.add(sig(3)), []),
            (lambda: guard.seen_batch(batch[:9]), ["PRAGMA", "SELECT"]),
        ]
        for call, statements in expected:
            seen.clear()
            call()
            assert seen == statements


def test_who_writes_in_the_middle_of_an_add_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RememberingGuard(path) as guard, NoDupeGuard(path) as other:
        plain = NoDupeGuard.add

        def add_beside(self: NoDupeGuard, signature: bytes) -> bool:
            plain(other, sig(1))
            return plain(self, signature)

        assert not guard.seen(sig(1))
        monkeypatch.setattr(NoDupeGuard, "add", add_beside)
        assert guard.add(sig(2))
        assert guard.seen_batch([sig(1), sig(2)]) == [True, True]


def test_threads_have_memories_of_their_own(path: Path) -> None:
    with RememberingGuard(path) as guard, ThreadPoolExecutor(1) as threads:
        assert not guard.seen(sig(1))
        assert threads.submit(guard.add, sig(1)).result()
        assert guard.seen(sig(1))
        assert threads.submit(guard.remove, sig(1)).result()
        assert not guard.seen(sig(1))


def test_a_fork_forgets(run: Callable[..., str], path: Path) -> None:
    run(
        """
from optimizer.stores.remembering import RememberingGuard
guard = RememberingGuard(path)
assert not guard.seen(sig(1))
child = os.fork()
if child == 0:
    os._exit(0 if guard.add(sig(1)) and guard.seen(sig(1)) else 1)
assert os.waitpid(child, 0)[1] == 0
assert guard.seen(sig(1))
""",
        path,
    )


def test_arguments(path: Path) -> None:
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(StoreArgumentError, match="remember"):
            RememberingGuard(path, remember=wrong)  # type: ignore[arg-type]  # wrong on purpose
    with RememberingGuard(path, study="s", remember=7) as guard:
        with pytest.raises(SignatureError, match="at index 0"):
            guard.seen(b"short")
        with pytest.raises(SignatureError, match="found bytes"):
            guard.add(b"short")
        assert guard.seen_batch([]) == []
        guard.seen_batch([sig(1)])
        for batch in ([sig(1), bytearray(16)], [sig(1), None], bytes(16), "x" * 16):
            with pytest.raises(SignatureError):
                guard.seen_batch(batch)  # type: ignore[arg-type]  # wrong on purpose
        with pickle.loads(pickle.dumps(guard)) as copy:
            assert repr(copy) == repr(guard)

"""Hot paths of the stores room: recording signatures, and asking for them.

`before` is the reports' guard, reconstructed: SQLite's defaults, a connection and a commit for
each call. Most of what separates it from a batch is the connection and the fsync, so the middle
way stands beside both: `AddEach` and `SeenEach` keep the connection and make single calls.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_SINGLE = ("statements", "steps", "commits", "fsyncs", "instructions", "cpu", "wall", "claim")
# Single calls leave memory out: sqlite3 sweeps its dead cursors now and then, a sawtooth in it.
_WITNESSES = (*_SINGLE, "memory")
_STORED = 10_000  # signatures in the file when lookups are measured


def _signatures(n: int, seed: int) -> list[bytes]:
    everything = random.Random(seed).randbytes(16 * n)
    return [everything[i : i + 16] for i in range(0, 16 * n, 16)]


class _Guards:
    """Our guard and the reports' guard, each on a file of its own."""

    def setup(self, n: int) -> None:
        try:
            from optimizer.reference.guard import ConnectPerCallGuard
            from optimizer.stores.guard import NoDupeGuard
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.folder = tempfile.TemporaryDirectory()
        self.fast = NoDupeGuard(Path(self.folder.name) / "fast.db")
        self.slow_file = Path(self.folder.name) / "slow.db"
        self.connect = ConnectPerCallGuard
        self.slow = ConnectPerCallGuard(self.slow_file)
        self.signatures = _signatures(n, seed=1)

    def teardown(self, n: int) -> None:
        self.fast.close()
        self.folder.cleanup()


class _Adding(_Guards):
    """Each call adds to guards that hold nothing."""

    slow_runs = 0

    def fresh(self, n: int) -> None:
        self.fast.clear()

    def before(self, n: int) -> Any:
        self.slow_runs += 1
        self.slow = self.connect(self.slow_file, study=f"run {self.slow_runs}")
        for signature in self.signatures:
            self.slow.add(signature)
        return self.slow

    def agree(self, before: Any, after: Any) -> bool:
        probe = self.signatures + _signatures(100, seed=10**9)
        return len(before) == len(after) and before.seen_batch(probe) == after.seen_batch(probe)


@_hot_path(
    claim="dedup-insert",
    witnesses=_WITNESSES,
    after_only=(100_000,),
    uncounted=(100_000,),
    slow_before=(1_000,),
    claim_at=1_000,
)
class AddBatch(_Adding):
    """One `add_batch` of n signatures: one transaction."""

    params = (100, 1_000, 100_000)
    param_names = ("n",)

    def after(self, n: int) -> Any:
        self.fast.add_batch(self.signatures)
        return self.fast


@_hot_path(
    claim="dedup-insert-per-op",
    witnesses=_SINGLE,
    slow_before=(1_000,),
    untimed=(100,),
    claim_at=1_000,
)
class AddEach(_Adding):
    """n single `add` calls on the connection that the guard keeps open."""

    params = (100, 1_000)
    param_names = ("n",)

    def after(self, n: int) -> Any:
        for signature in self.signatures:
            self.fast.add(signature)
        return self.fast


class _Asking(_Guards):
    """Both guards hold 10,000 signatures; half of those asked for are among them."""

    def setup(self, n: int) -> None:
        super().setup(n)
        stored = _signatures(_STORED, seed=10**6)
        self.fast.add_batch(stored)
        self._fill_slow(stored)
        known = stored[:: _STORED // (n // 2)][: n // 2]
        self.asked = [s for pair in zip(known, self.signatures, strict=False) for s in pair]

    def _fill_slow(self, stored: list[bytes]) -> None:
        """Fill the reports' table in one go: one by one it would take minutes."""
        with closing(sqlite3.connect(self.slow_file)) as connection, connection:
            insert = "INSERT INTO seen (study, signature) VALUES ('default', ?)"
            connection.executemany(insert, ((signature,) for signature in stored))

    def before(self, n: int) -> list[bool]:
        return [self.slow.seen(signature) for signature in self.asked]

    def agree(self, before: list[bool], after: list[bool]) -> bool:
        return before == after and sum(after) == len(after) // 2


@_hot_path(
    claim="dedup-lookup",
    witnesses=_WITNESSES,
    claim_at=100,
)
class SeenBatch(_Asking):
    """One `seen_batch` of n signatures: one query for each 500."""

    params = (100, 1_000)
    param_names = ("n",)

    def after(self, n: int) -> list[bool]:
        return self.fast.seen_batch(self.asked)


@_hot_path(
    claim="",
    witnesses=_SINGLE,
    claim_at=100,
)
class SeenEach(_Asking):
    """n single `seen` calls on the connection that the guard keeps open."""

    params = (100,)
    param_names = ("n",)

    def after(self, n: int) -> list[bool]:
        return [self.fast.seen(signature) for signature in self.asked]

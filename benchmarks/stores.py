"""Hot paths of the stores room: recording signatures, and asking for them.

`before` is the reports' guard, reconstructed: SQLite's defaults, a connection and a commit for
each call. Most of what separates it from a batch is the connection and the fsync, so the middle
way stands beside both: `AddEach` and `SeenEach` keep the connection and make single calls. The
best plain way, a batch by hand, is `Executemany`.

What the reports' guard acknowledged survives a power cut, so a claim of adding is judged with
`durability="power"` on our side. Our default, which a power cut may take the last adds of, is a
case of its own.
"""

from __future__ import annotations

import os
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
_DURABILITIES = ("power", "process")


def _signatures(n: int, seed: int) -> list[bytes]:
    everything = random.Random(seed).randbytes(16 * n)
    return [everything[i : i + 16] for i in range(0, 16 * n, 16)]


class _Guards:
    """Our guard and the reports' guard, each on a file of its own."""

    def setup(self, n: int, durability: str = "process") -> None:
        try:
            from optimizer.reference.guard import ConnectPerCallGuard
            from optimizer.stores.guard import NoDupeGuard
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.folder = tempfile.TemporaryDirectory()
        self.fast = NoDupeGuard(Path(self.folder.name) / "fast.db", durability=durability)
        self.slow_file = Path(self.folder.name) / "slow.db"
        self.connect = ConnectPerCallGuard
        self.slow = ConnectPerCallGuard(self.slow_file)
        self.signatures = _signatures(n, seed=1)

    def teardown(self, n: int, durability: str = "process") -> None:
        self.fast.close()
        self.folder.cleanup()


class _Adding(_Guards):
    """Each call adds to guards that hold nothing."""

    slow_runs = 0

    def fresh(self, n: int, durability: str) -> None:
        self.fast.clear()

    def before(self, n: int, durability: str) -> Any:
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
    after_only=tuple((100_000, durability) for durability in _DURABILITIES),
    uncounted=((100, "process"), *((100_000, durability) for durability in _DURABILITIES)),
    slow_before=tuple((1_000, durability) for durability in _DURABILITIES),
    untimed=tuple((n, "power") for n in (100, 1_000, 100_000)),  # as `AddEach` says
    claim_at=(1_000, "power"),
)
class AddBatch(_Adding):
    """One `add_batch` of n signatures: one transaction."""

    params = ((100, 1_000, 100_000), _DURABILITIES)
    param_names = ("n", "durability")

    def after(self, n: int, durability: str) -> Any:
        self.fast.add_batch(self.signatures)
        return self.fast


@_hot_path(
    claim="dedup-insert-per-op",
    witnesses=_SINGLE,
    uncounted=((100, "process"), (1_000, "power")),
    slow_before=tuple((1_000, durability) for durability in _DURABILITIES),
    # Most CPU time of an add that waits for the disk is the kernel's; it differs from call to call.
    untimed=((100, "power"), (100, "process"), (1_000, "power")),
    claim_at=(1_000, "power"),
)
class AddEach(_Adding):
    """n single `add` calls on the connection that the guard keeps open."""

    params = ((100, 1_000), _DURABILITIES)
    param_names = ("n", "durability")

    def after(self, n: int, durability: str) -> Any:
        for signature in self.signatures:
            self.fast.add(signature)
        return self.fast


class _Asking(_Guards):
    """Both guards hold 10,000 signatures; half of those asked for are among them."""

    def setup(self, n: int) -> None:  # type: ignore[override]  # it has no other parameter
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


# --- what the reports do not do


class _Folder:
    """A folder that goes with the workload, and our guard to be opened in it."""

    def setup(self, n: int) -> None:
        try:
            from optimizer.stores.guard import NoDupeGuard
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.guard_of = NoDupeGuard
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file = Path(self.folder.name) / "fast.db"
        self.slow_file = Path(self.folder.name) / "slow.db"

    def teardown(self, n: int) -> None:
        self.folder.cleanup()


class _Plain(_Folder):
    """Our guard, and our table on a plain connection, both kept open and both empty.

    Both survive a power cut, as SQLite's defaults do.
    """

    def setup(self, n: int) -> None:
        super().setup(n)
        self.signatures = _signatures(n, seed=2)
        self.fast = self.guard_of(self.fast_file, durability="power")
        self.slow = sqlite3.connect(self.slow_file, isolation_level=None)
        self.slow.execute(
            "CREATE TABLE signatures (study INTEGER NOT NULL, signature BLOB NOT NULL,"
            " PRIMARY KEY (study, signature)) WITHOUT ROWID"
        )

    def teardown(self, n: int) -> None:
        self.fast.close()
        self.slow.close()
        super().teardown(n)

    def fresh(self, n: int) -> None:
        self.fast.clear()
        self.slow.execute("DELETE FROM signatures")


_INSERT = "INSERT INTO signatures VALUES (1, ?) ON CONFLICT DO NOTHING"
_OPENING = (*_WITNESSES, "opens", "connections")


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=1_000)
class Executemany(_Plain):
    """n signatures in one transaction: by hand with the same settings, or by `add_batch`.

    What is lost here is what the guard's checks cost; the answer is how many were new.
    """

    params = (1_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.add_batch = self.fast.add_batch
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -10240"):
            self.slow.execute(f"PRAGMA {pragma}")

    def before(self, n: int) -> list[int]:
        slow = self.slow
        slow.execute("BEGIN IMMEDIATE")
        added = slow.executemany(_INSERT, [(signature,) for signature in self.signatures])
        slow.execute("COMMIT")
        return [added.rowcount]

    def after(self, n: int) -> list[int]:
        return [self.add_batch(self.signatures)]

    def agree(self, before: list[int], after: list[int]) -> bool:
        stored = self.fast.seen_batch(self.signatures)
        return before == after == [len(self.fast)] == [sum(stored)]


@_hot_path(claim="sqlite-settings", witnesses=_SINGLE, claim_at=100)
class Settings(_Plain):
    """n adds, a commit each, on a connection that is kept: SQLite's defaults against ours.

    `synchronous` is FULL on both sides, and the table is the same: what differs is the write-ahead
    log and the page cache, and that ours checks each signature.
    """

    params = (100,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.add = self.fast.add

    def before(self, n: int) -> list[bool]:
        insert = self.slow.execute
        return [insert(_INSERT, (signature,)).rowcount == 1 for signature in self.signatures]

    def after(self, n: int) -> list[bool]:
        add = self.add
        return [add(signature) for signature in self.signatures]

    def agree(self, before: list[bool], after: list[bool]) -> bool:
        return before == after and all(after) and len(self.fast) == len(after)


@_hot_path(claim="dedup-disk", witnesses=_OPENING, claim_at=10_000)
class Disk(_Folder):
    """n signatures into a new file in one transaction; the answer: its bytes, and how many it has.

    `before` is the reports' table: rows with an index beside them, so every signature lies there
    twice. What the claim is about is the answer, not the time.
    """

    params = (10_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.signatures = _signatures(n, seed=1)

    def fresh(self, n: int) -> None:
        for name in os.listdir(self.folder.name):
            os.remove(os.path.join(self.folder.name, name))

    def before(self, n: int) -> list[int]:
        with closing(sqlite3.connect(self.slow_file)) as connection, connection:
            connection.execute(
                "CREATE TABLE seen (study TEXT NOT NULL, signature BLOB NOT NULL,"
                " PRIMARY KEY (study, signature))"
            )
            rows = [("default", signature) for signature in self.signatures]
            added = connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", rows)
        return [os.path.getsize(self.slow_file), added.rowcount]

    def after(self, n: int) -> list[int]:
        with self.guard_of(self.fast_file, durability="power") as guard:
            added = guard.add_batch(self.signatures)
        return [os.path.getsize(self.fast_file), added]

    def agree(self, before: list[int], after: list[int]) -> bool:
        """As many, in fewer bytes; the report's bound is the claim's to judge."""
        return after[0] < before[0] and before[1] == after[1] == len(self.signatures)

    def figures(self, before: list[int], after: list[int]) -> dict[str, tuple[int, int]]:
        return {"bytes": (before[0], after[0])}


# --- answers from memory


_UNRELATED = bytes(range(16))


class _Remembering(_Folder):
    """`seen_batch` of n signatures, half of them among 10,000: a query per 500 on one side."""

    def setup(self, n: int) -> None:
        super().setup(n)
        try:
            from optimizer.stores.remembering import RememberingGuard
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.signatures = _signatures(n, seed=5)
        self.slow = self.guard_of(self.fast_file)
        self.slow.add_batch(_signatures(_STORED, seed=6) + self.signatures[::2])
        self.fast = RememberingGuard(self.fast_file)
        self.after(n)

    def teardown(self, n: int) -> None:
        self.fast.close()
        self.slow.close()
        super().teardown(n)

    def before(self, n: int) -> list[bool]:
        return self.slow.seen_batch(self.signatures)

    def after(self, n: int) -> list[bool]:
        return self.fast.seen_batch(self.signatures)

    def agree(self, before: list[bool], after: list[bool]) -> bool:
        """The same, and no answer that contradicts what another connection committed."""
        absent = self.signatures[1]
        self.slow.add(absent)
        told = self.fast.seen(absent)
        self.slow.remove(absent)
        again = self.fast.seen_batch(self.signatures)  # in memory for the next round
        return told and before == after == again and sum(after) == len(after) // 2


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=5_000)
class Remembered(_Remembering):
    """Nobody wrote since: memory answers, after one statement that reads no table."""

    params = (5_000,)
    param_names = ("n",)


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=5_000)
class Forgotten(_Remembering):
    """Another connection commits before each call: memory is dropped, and filled again."""

    params = (5_000,)
    param_names = ("n",)

    def fresh(self, n: int) -> None:
        self.slow.add(_UNRELATED)
        self.slow.remove(_UNRELATED)

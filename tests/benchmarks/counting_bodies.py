"""Bodies whose counts are known by hand; run as a script, it counts them all. (Not a test file.)

    python counting_bodies.py FOLDER [FSYNC_LOG]

Standard library only, like the gate's core: it runs on an interpreter without packages.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gate.counters import CallCounter

FOLDER = Path(sys.argv[1])
ROWS = 50


class Simple:
    """A body made of a function; `fresh` does what must never be counted."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.after = call

    def fresh(self) -> None:
        (FOLDER / "fresh").open("w").close()
        connection.execute("DELETE FROM t")
        connection.commit()
        descriptor = os.open(FOLDER, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def before(self) -> None:
        """Never counted."""

    def agree(self, before: Any, after: Any) -> bool:
        return True

    def close(self) -> None:
        """Nothing to release."""


def connect(**options: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = sqlite3.connect(FOLDER / "rows.db", **options)
    return connection


def autocommit() -> None:
    for i in range(3):
        bare.execute("INSERT INTO t VALUES (?)", (i,))


def explicit() -> None:
    bare.execute("BEGIN IMMEDIATE")
    for i in range(3):
        bare.execute("INSERT INTO t VALUES (?)", (i,))
    bare.execute("COMMIT;")


def implicit() -> None:
    connection.executemany("INSERT INTO t VALUES (?)", ((i,) for i in range(3)))
    connection.commit()


def rolled_back() -> None:
    bare.execute("BEGIN")
    bare.execute("INSERT INTO t VALUES (1)")
    bare.execute("ROLLBACK")


def reading() -> None:
    bare.execute("SELECT 1").fetchall()
    bare.execute("PRAGMA user_version").fetchall()


def lookup(table: str) -> Callable[[], Any]:
    query = f"SELECT 1 FROM {table} WHERE a = {ROWS}"  # noqa: S608 - two names from below
    return lambda: bare.execute(query).fetchall()


def triggered() -> None:
    bare.execute("INSERT INTO watched VALUES (1)")


def new_connection() -> None:
    connect().close()


def files() -> None:
    for name in ("a", "b", "a"):
        with (FOLDER / name).open("w"):
            pass
    os.listdir(FOLDER)
    os.scandir(FOLDER).close()


def processes() -> None:
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def one() -> int:
    return 1


def calls() -> None:
    for _ in range(10):
        one()
        len("abc")


def loop(n: int) -> Callable[[], int]:
    def run() -> int:
        total = 0
        for i in range(n):
            total += i
        return total

    return run


def raising() -> None:
    raise ArithmeticError("on purpose")


def synced() -> None:
    descriptor = os.open(FOLDER / "a", os.O_RDWR | os.O_CREAT)
    for _ in range(2):
        os.fsync(descriptor)
    os.fdatasync(descriptor)
    os.close(descriptor)


def synced_by_threads() -> None:
    """Calls that overlap: strace splits their lines."""

    def sync(name: str) -> None:
        with (FOLDER / name).open("w") as stream:
            for _ in range(5):
                stream.write("x" * 10_000)
                os.fsync(stream.fileno())

    threads = [threading.Thread(target=sync, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def synchronous(level: str) -> Callable[[], None]:
    def run() -> None:
        bare.execute(f"PRAGMA synchronous = {level}")
        bare.execute("INSERT INTO t VALUES (1)")

    return run


BODIES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "autocommit": autocommit,
    "explicit": explicit,
    "implicit": implicit,
    "rolled_back": rolled_back,
    "reading": reading,
    "scan": lookup("heap"),
    "search": lookup("keyed"),
    "triggered": triggered,
    "new_connection": new_connection,
    "files": files,
    "processes": processes,
    "calls": calls,
    "short_loop": loop(100),
    "long_loop": loop(200),
    "synced": synced,
    "synced_by_threads": synced_by_threads,
    "synchronous_full": synchronous("FULL"),
    "synchronous_off": synchronous("OFF"),
    "synchronous_3": synchronous("3"),
}

if __name__ == "__main__":
    counter = CallCounter(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    bare, connection = connect(isolation_level=None), connect()
    bare.executescript(
        f"""
        CREATE TABLE t (a);
        CREATE TABLE heap (a);
        CREATE TABLE keyed (a INTEGER PRIMARY KEY);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {ROWS})
            INSERT INTO heap SELECT i FROM n;
        INSERT INTO keyed SELECT a FROM heap;
        CREATE TABLE watched (a);
        CREATE TRIGGER inner AFTER INSERT ON watched BEGIN
            INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);
        END;
        """  # noqa: S608 - a number of ours
    )
    counts: dict[str, Any] = {name: counter.count(Simple(call)) for name, call in BODIES.items()}
    again = counter.count(Simple(BODIES["long_loop"]))
    try:
        counter.count(Simple(raising))
    except ArithmeticError:
        left = sys.gettrace() is None and sys.getprofile() is None
        counts["after an error"] = {
            "instruments_off": int(left),
            "repeats": int(counter.count(Simple(BODIES["long_loop"])) == again),
        }
    print(json.dumps(counts))

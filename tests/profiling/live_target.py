"""A process to attach to: works in threads, a worker and SQLite until told, and checks itself.

Prints `ready`, works until its stdin is closed, and ends with exit code 0 if every round gave the
same answer.  Each round adds a line to the file it is given.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def chain(steps: int) -> str:
    value = b"seed"
    for _ in range(steps):
        value = hashlib.sha256(value).digest()
    return value.hex()


def in_threads() -> set[str]:
    answers: set[str] = set()
    threads = [threading.Thread(target=lambda: answers.add(chain(2000))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def in_sqlite(database: sqlite3.Connection) -> int:
    with database:
        database.execute("INSERT INTO rows (text) VALUES (?)", ("x" * 100,))
    (count,) = database.execute("SELECT count(*) FROM rows").fetchone()
    return int(count)


def in_c() -> str:
    time.sleep(0.01)  # the work itself: a call that waits in C
    done = subprocess.run(["/bin/sh", "-c", "echo said"], capture_output=True, text=True)
    return done.stdout


def wait_for_the_end(closed: threading.Event) -> None:
    os.read(0, 1)
    closed.set()


def main(beat: Path, method: str) -> int:
    closed = threading.Event()
    # Not sys.stdin: a forked worker would wait for ever for the lock that its reader holds.
    threading.Thread(target=wait_for_the_end, args=(closed,), daemon=True).start()
    expected, rounds = chain(2000), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        multiprocessing.get_context(method).Pool(1) as pool,
    ):
        database = sqlite3.connect(Path(folder, "rows.db"))
        database.execute("CREATE TABLE rows (text TEXT)")
        print("ready", flush=True)
        while not closed.is_set():
            answers = in_threads() | {pool.apply(chain, (2000,))}
            rounds += 1
            right = answers == {expected} and in_c() == "said\n" and in_sqlite(database) == rounds
            if not right:
                print(f"round {rounds} went wrong: {answers}", flush=True)
                return 1
            with beat.open("a", encoding="ascii") as file:
                file.write("x")
        database.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2]))

"""Workers of every kind that hold memory of a known size: prints, as JSON, who held what.

python workers_study.py METHOD... [briefly] [terminate] [cut] [unseen] [other]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection

MB = 1_000_000
Held = tuple[int, int]  # process, bytes


def hold(megabytes: int) -> Held:
    held = bytearray(megabytes * MB)
    time.sleep(0.1)
    return os.getpid(), len(held)


def hold_and_say(megabytes: int, pipe: Connection) -> None:
    pipe.send(hold(megabytes))


def hold_until_terminated(megabytes: int, pipe: Connection) -> None:
    held = bytearray(megabytes * MB)
    pipe.send((os.getpid(), len(held)))
    time.sleep(60)


def fill_the_disk(pipe: Connection) -> None:
    """No file of this process may grow any more: its capture cannot, either."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    kept = [[n] for n in range(300_000)]
    pipe.send((os.getpid(), len(kept)))
    time.sleep(4)


def through_a_pipe(method: str, target: object, *words: object, end: bool = False) -> Held:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*words, theirs))  # type: ignore[attr-defined]  # every context has one
    process.start()
    held: Held = ours.recv()
    if end:
        process.terminate()
    process.join()
    return held


def of_one_method(method: str, words: list[str]) -> dict[str, list[Held]]:
    context = multiprocessing.get_context(method)
    held = {}
    if "briefly" not in words:
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            held[f"{method} futures"] = list(executor.map(hold, [21, 22]))
    with context.Pool(2) as pool:  # leaving it terminates its workers
        held[f"{method} pool"] = pool.map(hold, [23, 24], chunksize=1)
    if "briefly" not in words:
        held[f"{method} process"] = [through_a_pipe(method, hold_and_say, 25)]
    if "terminate" in words:
        held[f"{method} terminated"] = [through_a_pipe(method, hold_until_terminated, 26, end=True)]
    return held


def by_command(*flags: str) -> Held:
    code = "import os, time; held = bytearray(27_000_000); time.sleep(2); print(os.getpid())"
    line = [sys.executable, *flags, "-c", code]
    return int(subprocess.run(line, capture_output=True, text=True).stdout), 27 * MB


def main(words: list[str]) -> None:
    held: dict[str, list[Held]] = {}
    for method in ("spawn", "forkserver", "fork"):
        if method in words:
            held |= of_one_method(method, words)
    if "cut" in words:
        held["cut"] = [through_a_pipe("spawn", fill_the_disk)]
    if "unseen" in words:
        held["unseen"] = [by_command("-I")]
    if "other" in words:
        held["other"] = [by_command()]
    print(json.dumps(held))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The stacks of all Python threads of one process, and who these threads are."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import _layouts
import _remote
import _symbols
from _code_objects import Codes, Frame
from _remote import Gone, Torn
from _stacks import ATTEMPTS, Stack, Thread

_MOST_THREADS = 4096
_REFRESH_ROUNDS = 20  # between two walks over the list of threads
_WORD = struct.Struct("<Q")


class Starting(Exception):
    """A Python that is not ready yet, or in the midst of a fork: look again."""


class Ending(Torn):
    """A Python without an interpreter: it frees what is left."""


class Process:
    """One process that runs Python, as far as its memory tells.

    torn: readings that did not fit together and were done again.
    """

    def __init__(self, pid: int, numbers: dict[Frame, int], parent: Process | None = None) -> None:
        """parent: what is known of its code is believed of this one too, if it is its fork.

        Raises NoPython, Unknown (a Python of another kind), Starting, Gone or Forbidden.
        """
        self.pid = pid
        try:
            self.symbols = _symbols.of(pid)
            self.layout = _layouts.of(pid, self.symbols.runtime, self.symbols.version)
        except Torn as error:
            raise Starting from error
        self.version = _layouts.in_words(self.symbols.version)
        self.codes = Codes(
            pid, self.layout, self.symbols.code_type, self.symbols.text_type, numbers
        )
        if parent is not None and parent.symbols == self.symbols:
            self.codes.known = dict(parent.codes.known)
        self.threads: dict[int, Thread] = {}  # by the id outside of its namespace
        self.torn = 0
        self.interpreters: dict[int, int] = {}  # by address the first of its threads
        self._inner: dict[int, int] = {}
        self._rounds_to_go = 0
        try:
            self._list_threads()
        except Torn as error:
            raise Starting from error
        if not self.threads:
            raise Starting

    def close(self) -> None:
        for thread in self.threads.values():
            thread.close()
        self.threads = {}

    def inner(self, tid: int) -> int:
        """The id of a thread in its own namespace, as its Python knows it."""
        return self._inner.get(tid, tid)

    def look(self) -> tuple[dict[int, Stack], int]:
        """(stack by thread, threads that could not be read).

        Raises Gone, Forbidden, Ending, or Torn where there is no Python in it any more.
        """
        stacks: dict[int, Stack] = {}
        missed = 0
        for thread in self.threads.values():
            try:
                if thread.stack is not None and thread.slept():
                    stacks[thread.tid] = thread.stack
            except Gone:
                self._rounds_to_go = 0
        if len(stacks) == len(self.threads):
            return stacks, 0
        self._follow()
        for thread in self.threads.values():
            if thread.tid in stacks:
                continue
            try:
                stacks[thread.tid] = thread.look()
            except Torn:
                missed += 1
            except Gone:
                self._rounds_to_go = 0
        return stacks, missed

    def _follow(self) -> None:
        """See whether threads have come or gone."""
        self._rounds_to_go -= 1
        if self._rounds_to_go > 0:
            with contextlib.suppress(Torn):
                if self._first_threads.read() == self._first_known:
                    return
        self._list_threads()

    def _list_threads(self) -> None:
        """Walk the list of all threads, which changes while it is walked."""
        for attempt in range(ATTEMPTS):
            try:
                found = self._walked()
                break
            except Torn:
                if attempt == ATTEMPTS - 1:
                    raise
        self._rounds_to_go = _REFRESH_ROUNDS
        for tid in list(self.threads):
            if found.get(tid) != self.threads[tid].state:
                self.threads.pop(tid).close()
        for tid, state in found.items():
            if tid not in self.threads:
                self.threads[tid] = Thread(self, state, tid)

    def _walked(self) -> dict[int, int]:
        """The state of each thread."""
        layout, pid = self.layout, self.pid
        interpreters: dict[int, int] = {}
        states: dict[int, int] = {}  # by the id that Python knows
        interpreter = _remote.read_word(pid, self.symbols.runtime + layout.interpreters)
        if not interpreter:
            raise Ending("no interpreter")
        while interpreter and len(interpreters) < _MOST_THREADS:
            state = _remote.read_word(pid, interpreter + layout.threads)
            interpreters[interpreter] = state
            while state and len(states) < _MOST_THREADS:
                content = _remote.read(pid, state, layout.native_id + 8)
                following, own, native = (
                    _WORD.unpack_from(content, offset)[0]
                    for offset in (layout.next_thread, layout.interpreter, layout.native_id)
                )
                if own != interpreter:
                    raise Torn("the state of another thread")
                states.setdefault(native, state)
                state = following
            interpreter = _remote.read_word(pid, interpreter + layout.next_interpreter)
        self.interpreters = interpreters
        pieces = [(one + layout.threads, 8) for one in interpreters]
        self._first_threads = _remote.Pieces(pid, pieces)
        self._first_known = b"".join(map(_WORD.pack, interpreters.values()))
        return self._living(states)

    def _living(self, states: dict[int, int]) -> dict[int, int]:
        """The same by the ids outside, of those that the kernel knows."""
        try:
            tasks = [int(name) for name in os.listdir(f"/proc/{self.pid}/task")]
        except OSError as error:
            raise Gone from error
        if not states.keys() & set(tasks):
            self._inner = {task: inner for task in tasks if (inner := _inner_id(self.pid, task))}
        return {task: states[i] for task in tasks if (i := self._inner.get(task, task)) in states}


def _inner_id(pid: int, task: int) -> int:
    """The id of a thread in the innermost namespace that it lives in; 0 where not known."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/task/{task}/status").read_text("utf-8", "replace")
        return int(text.partition("\nNSpid:")[2].partition("\n")[0].split()[-1])
    return 0

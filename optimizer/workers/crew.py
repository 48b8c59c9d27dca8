"""The worker processes of a pool as the parent sees them: started, listened to, replaced."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optimizer.errors import WorkerDiedError
from optimizer.workers import frames
from optimizer.workers.launch import Ended, Launch
from optimizer.workers.starter import PLACES

MOST_DEAD_STARTS = 5  # in a row; one more try would hardly tell anything new

_MOST_WAIT_S = 1e6  # the system counts milliseconds in 31 bits


@dataclass(slots=True, eq=False)
class Flight:
    """A task that was submitted and has not ended."""

    task: int
    body: bytes
    attempt: int = 0
    asked: int = 0  # messages handed out that wait for a reply
    unread: int = 0  # times that a worker ended before it had read the task


@dataclass(slots=True, eq=False)
class Member:
    """One worker process."""

    birth: int
    place: int
    line: socket.socket
    inbox: frames.Inbox
    ready: bool = False
    flight: Flight | None = None
    since_s: float = 0.0  # monotonic; when the task was sent
    deadline_s: float = math.inf
    left_s: float = math.inf  # of its time, when it last got a task or a reply
    moved_bytes: int = 0  # of tasks and answers that did not travel at once
    moved_before: int = 0  # the same when its time was last looked at
    asking: bool = False
    heard: bool = False  # of this attempt: so the worker began it
    hung: bool = False
    unread: bool = False
    stopped: bool = False
    outgoing: memoryview | None = None
    gone: bool = False


class Crew:
    """Not thread-safe; the pool sees to that.

    Args:
        workers: how many.
        method: one of `launch.METHODS`.
        memory: the descriptor of `shared.place`, closed by `close`.
        start_s: seconds for a worker to be ready; inf for no limit.
    """

    def __init__(self, workers: int, method: str, memory: int, start_s: float = math.inf) -> None:
        self._method = method
        self.start_s = start_s
        self._memory = memory
        self._scratch = memoryview(bytearray(frames.SCRATCH_BYTES))
        self._by_line: dict[int, Member] = {}
        self.members: dict[int, Member] = {}  # by birth
        self._turn = 0
        self._dead_starts = 0
        self.started = 0
        self._poll = select.poll()
        # Also for a crew that nobody closed; the launch sees to its own process.
        self._let_go = weakref.finalize(self, _let_go, self.members, memory)
        try:
            self._launch = self._launched()
        except BaseException:
            self._let_go()
            raise
        try:
            for place in range(workers):
                self.enlist(place)
        except BaseException:
            self.close(0.0)
            raise

    def _launched(self) -> Launch:
        launch = Launch(self._method, self._memory)
        self._poll.register(launch.fileno(), select.POLLIN)
        return launch

    def enlist(self, place: int) -> None:
        """Starts a worker for a place."""
        self._turn += 1
        birth = self._turn * PLACES + place
        line = self._launch.start(birth)
        member = Member(birth, place, line, frames.Inbox(line, self._scratch))
        member.deadline_s = time.monotonic() + self.start_s
        self._by_line[line.fileno()] = member
        self.members[birth] = member
        self._poll.register(line.fileno(), select.POLLIN)
        self.started += 1

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        """What is ready to be looked at; costs one call of the system."""
        wait_ms = None
        if timeout_s < _MOST_WAIT_S:
            wait_ms = math.ceil(max(0.0, timeout_s) * 1000)
        return self._poll.poll(wait_ms)

    def look(self, ready: list[tuple[int, int]]) -> Iterator[tuple[Member, Any]]:
        """Each member with its frame, or with the words of its end.

        Looks at one after the other while the caller goes on: a frame is good until the next.

        Raises:
            WorkerError: something that was to be imported cannot be.
        """
        for line, events in ready:
            if line == self._launch.fileno():
                continue
            member = self._by_line.get(line)
            if member is not None:
                if events & select.POLLOUT:
                    self._flush(member)
                yield from self._pulled(member)
        if any(line == self._launch.fileno() for line, _ in ready):
            yield from self._ends()

    def _pulled(self, member: Member) -> Iterator[tuple[Member, Any]]:
        try:
            frame = self._frame(member)
        except (EOFError, OSError, ValueError, MemoryError):
            # Deaf: a worker that cannot be listened to is ended, and its end is what counts.
            self._deafen(member)
            self._launch.kill(member.birth)
            return
        if frame is not None:
            yield member, frame

    def _frame(self, member: Member) -> Any:
        before = member.inbox.filled_bytes
        try:
            frame = member.inbox.pull()
        except ConnectionResetError:
            member.unread = True  # Linux tells so that something sent was never read
            raise
        member.moved_bytes += max(0, member.inbox.filled_bytes - before)
        if frame is not None and frame[0][0] == frames.READY:
            member.ready = True
            member.deadline_s = math.inf
            self._dead_starts = 0
        return frame

    def _ends(self) -> Iterator[tuple[Member, Any]]:
        try:
            reports = self._launch.reports()
        except EOFError:
            yield from self._starter_ended()
            return
        for report in reports:
            member = self.members.get(report.birth)
            if member is not None:
                how = end_of(report)
                if member.hung and not member.ready:
                    how = f"by this pool, for it was not ready after {self.start_s:g} s"
                yield from self._ended(member, how)
                if not member.ready:
                    self._dead_starts += 1
                    self._give_up(f"the last ended {how}")

    def _starter_ended(self) -> Iterator[tuple[Member, Any]]:
        self._poll.unregister(self._launch.fileno())
        self._launch.end()
        self._dead_starts += 1
        before = list(self.members.values())
        self._give_up("their starter process ended before they were ready")
        self._launch = self._launched()
        for member in before:
            yield from self._ended(member, "with the process that started it")

    def _ended(self, member: Member, how: str) -> Iterator[tuple[Member, Any]]:
        member.gone = True
        with contextlib.suppress(EOFError, OSError, ValueError, MemoryError):
            if member.line.fileno() >= 0:
                frame = self._frame(member)  # it may have answered just before
                if frame is not None:
                    yield member, frame
        self._forget(member)
        yield member, how

    def _give_up(self, how: str) -> None:
        if self._dead_starts >= MOST_DEAD_STARTS:
            raise WorkerDiedError(
                f"{self._dead_starts} workers in a row died at their start ({how}); expected "
                "them to load the function and the data and to run warm_up; run warm_up and the "
                "imports of the function in a process of their own to see what ends it"
            )

    def send(self, member: Member, header: bytes, body: bytes) -> bool:
        """Sends a frame, the rest of a long one later; False when the worker is gone."""
        whole = header + body
        try:
            count = member.line.send(whole, frames.AT_ONCE)
        except BlockingIOError:
            count = 0
        except OSError:
            return False
        if count < len(whole):
            member.outgoing = memoryview(whole)[count:]
            self._poll.modify(member.line.fileno(), select.POLLIN | select.POLLOUT)
        return True

    def _flush(self, member: Member) -> None:
        try:
            while member.outgoing:
                count = member.line.send(member.outgoing, frames.AT_ONCE)
                member.outgoing = member.outgoing[count:]
                member.moved_bytes += count
        except BlockingIOError:
            return
        except OSError:
            pass  # its end will be told
        member.outgoing = None
        self._poll.modify(member.line.fileno(), select.POLLIN)

    def next_deadline_s(self) -> float:
        """When the first worker that is not ready will have had its time (monotonic)."""
        late = (each.deadline_s for each in self.members.values() if not each.ready)
        return min(late, default=math.inf)

    def end_the_late(self) -> None:
        """Ends the workers that had their time to be ready."""
        now_s = time.monotonic()
        for member in self.members.values():
            if not member.ready and member.deadline_s <= now_s:
                member.deadline_s = math.inf
                member.hung = True
                self._launch.kill(member.birth)

    def kill(self, member: Member) -> None:
        """Ends a worker; look() tells when it is gone."""
        self._launch.kill(member.birth)

    def _deafen(self, member: Member) -> None:
        if self._by_line.pop(member.line.fileno(), None) is not None:
            self._poll.unregister(member.line.fileno())
            member.line.close()

    def _forget(self, member: Member) -> None:
        self.members.pop(member.birth, None)
        self._deafen(member)

    def close(self, timeout_s: float) -> None:
        """Lets workers end for so long, then kills them; nothing of them is left."""
        until = time.monotonic() + timeout_s
        for member in list(self.members.values()):
            self._deafen(member)  # an end of file, after which a worker ends by itself
        with contextlib.suppress(Exception):  # a starter that is gone, or never could import
            # Who is not ready yet has nothing to finish.
            while any(member.ready for member in self.members.values()):
                left = until - time.monotonic()
                if left <= 0:
                    break
                if self.wait(left):
                    for report in self._launch.reports():
                        self.members.pop(report.birth, None)
        self.members.clear()
        self._launch.end()
        self._let_go()

    def forsake(self) -> None:
        """In a forked copy of the parent: lets go of everything, and ends nothing."""
        for member in list(self.members.values()):
            self._forget(member)
        self._launch.forsake()
        self._let_go()


def _let_go(members: dict[int, Member], memory: int) -> None:
    for member in members.values():
        member.line.close()
    os.close(memory)


def end_of(report: Ended) -> str:
    """How a process ended, in words."""
    code = os.waitstatus_to_exitcode(report.status)
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"by signal {-code}"

"""The tasks of a pool on their way: queued, at a worker, asked about, ended, tried again."""

from __future__ import annotations

import contextlib
import math
import pickle
import time
from collections import deque
from typing import Any

from optimizer.errors import TaskTimeoutError, WorkerDiedError, WorkerError
from optimizer.workers import frames
from optimizer.workers.crew import MOST_DEAD_STARTS, Crew, Flight, Member
from optimizer.workers.events import Done, Event, Failed, Message
from optimizer.workers.meter import Meter


class Traffic:
    """Not thread-safe, and not to be left half way; the pool sees to both.

    Attributes:
        flights: the tasks that have not ended, by number.
        running: the workers that have one, by its number.
        events: what nobody has fetched yet.
    """

    def __init__(self, crew: Crew, meter: Meter, timeout_s: float, retries: int) -> None:
        self._crew = crew
        self._meter = meter
        self._timeout_s = timeout_s
        self._retries = retries
        self._limits = timeout_s != math.inf or crew.start_s != math.inf
        self._queue: deque[Flight] = deque()
        self._free: deque[Member] = deque()
        self.flights: dict[int, Flight] = {}
        self.running: dict[int, Member] = {}
        self.events: list[Event] = []

    def submit(self, flight: Flight) -> None:
        """A new task, to an idle worker or to the queue."""
        self.flights[flight.task] = flight
        self._queue.append(flight)
        self._hand_out()

    def turn(self, ready: list[tuple[int, int]]) -> None:
        """Goes through what came, replaces who ended, hands out what waits.

        Raises:
            WorkerError, OSError: no worker can be started.
        """
        for member, news in self._crew.look(ready):
            if isinstance(news, str):
                self._lost(member, news)
            else:
                self._heard(member, *news)
        self._hand_out()
        self._end_the_late()

    def next_deadline_s(self) -> float:
        """When the first running task, or worker to be, will have had its time (monotonic)."""
        if not self._limits:
            return math.inf
        running_s = min((member.deadline_s for member in self.running.values()), default=math.inf)
        return min(running_s, self._crew.next_deadline_s())

    def reply(self, task: int, body: bytes) -> None:
        """The answer to the oldest open question of a task."""
        flight = self.flights.get(task)
        if flight is None or not flight.asked:
            return
        flight.asked -= 1
        member = self.running.get(task)
        if flight.asked or member is None or not member.asking:
            return  # for an attempt that is over
        member.asking = False
        self._let_run(member, member.left_s)
        head = frames.DOWN.pack(frames.REPLY, flight.attempt, task, len(body))
        self._crew.send(member, head, body)

    def cancel(self, task: int) -> bool:
        """Whether the task was in flight, and is no more."""
        flight = self.flights.pop(task, None)
        if flight is None:
            return False
        member = self.running.pop(task, None)
        if member is None:
            self._queue.remove(flight)
        else:
            member.flight = None
            self._stop(member)
        self._forget_questions(flight)
        return True

    def clear(self) -> None:
        """Forgets all tasks; events of those that ended stay."""
        self.flights.clear()
        self.running.clear()
        self._queue.clear()
        self._free.clear()
        self.events = [event for event in self.events if not isinstance(event, Message)]

    def check(self) -> None:
        """Raises AssertionError unless the parts fit together."""
        waiting = {flight.task for flight in self._queue}
        assert len(waiting) == len(self._queue)
        assert not waiting & self.running.keys()
        assert waiting | self.running.keys() == self.flights.keys()
        for task, member in self.running.items():
            assert member.flight is self.flights[task]
        assert all(member.flight is None and member.ready for member in self._free)

    def _stop(self, member: Member) -> None:
        member.stopped = True
        self._crew.kill(member)

    def _hand_out(self) -> None:
        while self._queue and self._free:
            member, flight = self._free.popleft(), self._queue[0]
            head = frames.DOWN.pack(frames.TASK, flight.attempt + 1, flight.task, len(flight.body))
            if not self._crew.send(member, head, flight.body):
                continue  # gone: its end will be told
            self._queue.popleft()
            flight.attempt += 1
            member.flight = flight
            member.heard = False
            member.since_s = time.monotonic()
            self._let_run(member, self._timeout_s)
            self.running[flight.task] = member

    def _let_run(self, member: Member, seconds: float) -> None:
        member.left_s = seconds
        member.deadline_s = time.monotonic() + seconds
        member.moved_before = member.moved_bytes

    def _heard(self, member: Member, head: Any, body: memoryview) -> None:
        kind, _, task, _, started_s, seconds, cpu_s, peak_bytes = head
        self._meter.peak(member.place, peak_bytes)
        if kind == frames.READY:
            self._meter.ready(started_s)
            if not (member.gone or member.hung):
                self._free.append(member)
            return
        if kind == frames.UNREADY:
            raise _unready(body)
        flight = member.flight
        if flight is None:
            return  # cancelled
        if flight.task != task:
            self._crew.kill(member)  # something else wrote over its line
            return
        member.heard = True
        if kind == frames.ASKED:
            self._asked(member, flight, body, seconds)
            return
        self._landed(member, flight)
        self._meter.ended(member.place, seconds, cpu_s)
        place, attempt = member.place, flight.attempt
        event: Event
        if kind == frames.RETURNED:
            try:
                result = pickle.loads(body)
                event = Done(task, result, place, started_s, seconds, cpu_s, attempt)
            except Exception as fault:
                unread = _unreadable("result", task, fault)
                event = Failed(task, unread, "", place, seconds, attempt)
        else:
            raised, lines = frames.unpack_error(body)
            event = Failed(task, raised, lines, place, seconds, attempt)
        self.events.append(event)

    def _asked(self, member: Member, flight: Flight, body: memoryview, seconds: float) -> None:
        try:
            content = pickle.loads(body)
        except Exception as fault:
            self._landed(member, flight, stop=True)
            error = _unreadable("question", flight.task, fault)
            seconds = time.monotonic() - member.since_s
            self._meter.ended(member.place, seconds, 0.0)
            self._fail(member, flight, error, seconds)
            return
        member.asking = True
        member.left_s -= seconds  # as the worker counts them: the parent may have been away
        member.deadline_s = math.inf
        flight.asked += 1
        self.events.append(Message(flight.task, content))

    def _landed(self, member: Member, flight: Flight, *, stop: bool = False) -> None:
        del self.flights[flight.task]
        del self.running[flight.task]
        member.flight = None
        if stop:
            self._stop(member)
        elif not (member.gone or member.hung):
            self._free.append(member)
            # The next one first: what has come is read while the worker is at it again.
            self._hand_out()

    def _end_the_late(self) -> None:
        if not self._limits:
            return
        self._crew.end_the_late()
        now_s = time.monotonic()
        for member in self.running.values():
            if member.deadline_s > now_s:
                continue
            if member.moved_bytes > member.moved_before:
                # What it is to read or has written is still on its way, so this is no hang yet.
                member.moved_before = member.moved_bytes
                member.deadline_s = now_s + self._timeout_s
                continue
            member.deadline_s = math.inf
            member.hung = True
            self._crew.kill(member)

    def _lost(self, member: Member, how: str) -> None:
        with contextlib.suppress(ValueError):
            self._free.remove(member)
        if member.hung:
            self._meter.timed_out += 1
        elif not member.stopped:
            self._meter.died += 1
        flight = member.flight
        if flight is not None:
            member.flight = None
            del self.running[flight.task]
            self._forget_questions(flight)
            self._again(member, flight, how)
        self._crew.enlist(member.place)

    def _forget_questions(self, flight: Flight) -> None:
        kept = [event for event in self.events if not _is_message(event, flight.task)]
        flight.asked -= len(self.events) - len(kept)
        self.events = kept

    def _again(self, member: Member, flight: Flight, how: str) -> None:
        begun = member.heard or member.hung or not member.unread
        if not begun and flight.unread < MOST_DEAD_STARTS:
            flight.unread += 1
            flight.attempt -= 1
            self._queue.appendleft(flight)
        elif flight.attempt <= self._retries:
            self._meter.retried += 1
            self._queue.appendleft(flight)
        else:
            del self.flights[flight.task]
            seconds = time.monotonic() - member.since_s
            self._meter.ended(member.place, 0.0, 0.0)
            self._fail(member, flight, self._cause(member, flight, how), seconds)

    def _cause(self, member: Member, flight: Flight, how: str) -> WorkerError:
        times = f"{flight.attempt} {'times' if flight.attempt > 1 else 'time'}"
        if member.hung:
            return TaskTimeoutError(
                f"task {flight.task} was tried {times}, the last one took longer than "
                f"{self._timeout_s:g} s; expected it to return; raise timeout_s or see what it "
                "waits for"
            )
        return WorkerDiedError(
            f"task {flight.task} was tried {times}, the last worker ended {how}; expected the "
            "function to return or raise; run it in this process to see why, or raise retries"
        )

    def _fail(self, member: Member, flight: Flight, error: BaseException, seconds: float) -> None:
        self.events.append(Failed(flight.task, error, "", member.place, seconds, flight.attempt))


def _unready(body: memoryview) -> WorkerError:
    error, lines = frames.unpack_error(body)
    first = (str(error).splitlines() or [""])[0]
    told = WorkerError(
        f"a worker could not start: {type(error).__name__}: {first}; expected the function, the "
        "data and warm_up to work there; see the cause, and the worker's traceback in the notes"
    )
    told.add_note(lines)
    told.__cause__ = error
    return told


def _unreadable(what: str, task: int, fault: Exception) -> WorkerError:
    """The error for something of a worker that cannot be loaded here."""
    lines = str(fault).splitlines() or [""]
    return WorkerError(
        f"the {what} of task {task} cannot be read in the parent: {type(fault).__name__}: "
        f"{lines[0]}; expected what it is made of to be importable here too"
    )


def _is_message(event: Event, task: int) -> bool:
    return isinstance(event, Message) and event.task == task

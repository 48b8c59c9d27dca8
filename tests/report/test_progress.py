"""The live line: what it tells, and where it stays silent."""

from __future__ import annotations

import io
import os
import shutil

import pytest

from optimizer.report import ProgressLine, progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    size = os.terminal_size((200, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda fallback=None: size)
    return clock


def test_the_line(clock: Clock) -> None:
    stream = Terminal()
    line = ProgressLine(300, stream)
    clock.now_s += 10.0
    line.show(20, -1.25, 4, 2, 2)
    told = "20/300 trials · 2.0/s · 2:20 left · best -1.25 · 4 served · 2/2 workers busy"
    assert stream.getvalue() == f"\r{told}"
    line.end()
    assert stream.getvalue().endswith(f"\r{told}\n")
    written = stream.getvalue()
    line.end()
    assert stream.getvalue() == written


def test_without_a_total_a_best_or_a_trial(clock: Clock) -> None:
    stream = Terminal()
    line = ProgressLine(None, stream)
    line.show(0, None, 0, 1, 2)
    assert stream.getvalue() == "\r0 trials · 0 served · 1/2 workers busy"


def test_at_most_ten_times_a_second_and_the_last_state_at_the_end(clock: Clock) -> None:
    stream = Terminal()
    line = ProgressLine(1_000, stream)
    for done in range(1, 101):
        clock.now_s += 0.01
        line.show(done, None, 0)
    assert 9 <= stream.getvalue().count("\r") <= 11
    line.end()
    assert stream.getvalue().split("\r")[-1].startswith("100/1000 trials")


def test_a_shorter_line_wipes_the_longer(clock: Clock) -> None:
    stream = Terminal()
    line = ProgressLine(10, stream)
    clock.now_s += 1.0
    line.show(1, -0.123456, 0)
    long = len(stream.getvalue())
    clock.now_s += 1.0
    line.show(2, None, 0)
    last = "\r" + stream.getvalue().split("\r")[-1]
    assert len(last) == long
    assert last.endswith(" ")


def test_it_fits_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    size = os.terminal_size((30, 24))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda fallback=None: size)
    stream = Terminal()
    ProgressLine(10, stream).show(1, 0.5, 0)
    assert len(stream.getvalue()) == 1 + 29


def test_silent_where_nobody_looks() -> None:
    stream = io.StringIO()
    line = ProgressLine(10, stream)
    line.show(5, 1.0, 0)
    line.end()
    assert stream.getvalue() == ""
    ProgressLine(10, None).end()
    closed = Terminal()
    closed.close()
    ProgressLine(10, closed).show(1, None, 0)


def test_a_stream_that_fails_ends_no_run(clock: Clock) -> None:
    class Gone(Terminal):
        written = 0

        def write(self, text: str) -> int:
            self.written += 1
            raise BrokenPipeError

    stream = Gone()
    line = ProgressLine(10, stream)
    for done in range(3):
        clock.now_s += 1.0
        line.show(done, None, 0)
    line.end()
    assert stream.written == 1


def test_a_terminal_that_knows_only_ascii(clock: Clock) -> None:
    class Plain(Terminal):
        encoding = "ascii"

    stream = Plain()
    ProgressLine(10, stream).show(1, None, 0)
    assert stream.getvalue().isascii()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s"), (59, "59 s"), (60, "1:00"), (3_725, "1:02:05")]
)
def test_durations(seconds: float, told: str) -> None:
    assert progress._duration(seconds) == told

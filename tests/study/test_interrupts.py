"""When a Ctrl-C arrives: at once, after a compilation, or not at all any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from optimizer.study.interrupts import AGAIN_S, Interrupts

LIMIT_S = 30.0


def compiler(steps: list[str], presses: int = 1) -> Callable[[], None]:
    """What numba is while it compiles, as far as the name of its module goes."""
    scope = {"__name__": "numba.core.made", "signal": signal, "time": time, "steps": steps}
    text = f"""
def compile_it():
    for number in range({presses}):
        steps.append(f"press {{number}}")
        signal.raise_signal(signal.SIGINT)
        time.sleep({2 * AGAIN_S})
    steps.append("compiled")
"""
    exec(text, scope)
    made: Callable[[], None] = scope["compile_it"]  # type: ignore[assignment]  # any scope's values
    return made


def compile_and_run(steps: list[str]) -> None:
    compiler(steps)()
    ends_s = time.monotonic() + LIMIT_S
    while time.monotonic() < ends_s:
        time.sleep(0.001)
    steps.append("run to its end")


def test_it_ends_a_welcoming_block_at_once() -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.welcome():
        signal.raise_signal(signal.SIGINT)


def test_a_compilation_comes_to_its_end_first() -> None:
    steps: list[str] = []
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.welcome():
        compile_and_run(steps)
    assert steps == ["press 0", "compiled"]


def test_a_second_one_does_not_wait_for_a_compilation() -> None:
    steps: list[str] = []
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.welcome():
        compiler(steps, presses=2)()
    assert steps == ["press 0", "press 1"]


def test_one_that_waited_is_not_sent_once_the_study_has_ended() -> None:
    calls: list[int] = []

    def own(number: int, frame: object) -> None:
        calls.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, own)
    try:
        with Interrupts() as interrupts, interrupts.welcome():
            compiler([])()
            interrupts.hold()
        time.sleep(4 * AGAIN_S)
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [signal.SIGINT]  # a handler of the program's own hears of it once
    assert interrupts.came

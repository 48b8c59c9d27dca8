"""An interrupt at any line of a call leaves memory and file agreeing, and nothing told is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.stores import _mirror
from optimizer.stores.optuna_storage import SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")

LONG_S = 1_000.0  # nothing is written by itself
UNIT = FloatDistribution(0, 1)
FILES = {
    str(Path(_mirror.__file__).with_name(name))
    for name in (
        "_mirror.py",
        "_mirrors.py",
        "_one_connection.py",
        "_open_trials.py",
        "_spaces.py",
        "_stored_trials.py",
        "_writing.py",
    )
}


class Interrupt:
    """Raises KeyboardInterrupt at the line that is the `at`th of those it sees in `FILES`.

    Lines of `with` and `try` are passed by: tracing stops there at instructions, on the way in and
    out, where no signal can.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def __enter__(self) -> None:
        self._before: Any = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line" and (frame.f_code.co_filename, frame.f_lineno) not in passed_by():
            self.seen += 1
            if self.seen == self.at:
                where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt(where)
        return self._trace


_passed_by: set[tuple[str, int]] = set()


def passed_by() -> set[tuple[str, int]]:
    if not _passed_by:
        for name in FILES:
            for number, line in enumerate(Path(name).read_text().splitlines(), 1):
                if line.strip().startswith(("with ", "try:")):
                    _passed_by.add((name, number))
    return _passed_by


def scenario(ours: SQLiteStorage, theirs: SQLiteStorage, study_id: int, told: list[int]) -> None:
    """What a worker does, with another at work beside it; `told` are those whose end returned."""
    first = ours.create_new_trial(study_id)
    ours.set_trial_param(first, "x", 0.5, UNIT)
    ours.set_trial_user_attr(first, "a", 1)
    ours.set_trial_intermediate_value(first, 0, 1.0)
    waiting = ours.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    assert ours.set_trial_state_values(waiting, TrialState.RUNNING)
    ours.set_trial_param(waiting, "y", 0.25, UNIT)
    ours.set_trial_state_values(first, TrialState.COMPLETE, [3.0])
    told.append(first)
    tracing: Any = sys.gettrace()
    sys.settrace(None)
    for value in (2.0, 4.0):
        trial_id = theirs.create_new_trial(study_id)
        theirs.set_trial_param(trial_id, "z", 0.125, UNIT)
        theirs.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
        told.append(trial_id)
    theirs.set_trial_state_values(waiting, TrialState.PRUNED)
    told.append(waiting)
    theirs.flush()
    sys.settrace(tracing)
    if tracing is not None:
        sys._getframe().f_trace = tracing
    ours.get_all_trials(study_id, deepcopy=False)
    ours.get_best_trial(study_id)
    last = ours.create_new_trial(study_id)
    ours.set_trial_state_values(last, TrialState.FAIL)
    told.append(last)
    ours.flush()


def comparable(trials: list[FrozenTrial]) -> list[str]:
    return [repr(trial) for trial in trials]


def interrupted_at(path: Path, durability: str, at: int) -> bool:
    """Run it; whether it was interrupted. Fails where memory and file differ afterwards."""
    settings: dict[str, Any] = {"durability": durability, "delay_s": LONG_S}
    with SQLiteStorage(path, **settings) as ours, SQLiteStorage(path, **settings) as theirs:
        study_id = ours.create_new_study([StudyDirection.MINIMIZE])
        told: list[int] = []
        interrupted = False
        try:
            with Interrupt(at):
                scenario(ours, theirs, study_id, told)
        except KeyboardInterrupt:
            interrupted = True
        ours.flush()
        mine = ours.get_all_trials(study_id, deepcopy=False)
        its = theirs.get_all_trials(study_id, deepcopy=False)
        assert [trial.state for trial in mine] == [trial.state for trial in its]
        assert {t._trial_id for t in mine if t.state.is_finished()} >= set(told)
        for trial in mine:
            if not trial.state.is_finished():
                ours.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        if any(trial.state == TrialState.COMPLETE for trial in mine):
            best = ours.get_best_trial(study_id)
            assert best == theirs.get_best_trial(study_id)
        trial_id = ours.create_new_trial(study_id)
        assert ours.get_trial(trial_id).number == len(mine)
        mine = ours.get_all_trials(study_id, deepcopy=False)
        assert comparable(mine) == comparable(theirs.get_all_trials(study_id, deepcopy=False))
        ours.check()
        ours.delete_study(study_id)
        return interrupted


def at_each(path: Path, durability: str, first: int, step: int) -> None:
    at = first
    while interrupted_at(path, durability, at):
        at += step
    assert at > 200  # lines, or it was not the whole


Each = Callable[[Path, str], None]


@pytest.mark.parametrize("durability", ["process", "power", "batch"])
def test_an_interrupt_leaves_memory_and_file_agreeing(tmp_path: Path, durability: str) -> None:
    at_each(tmp_path / "study.db", durability, first=3, step=59)


@pytest.mark.stress
@pytest.mark.parametrize("durability", ["process", "power", "batch"])
def test_an_interrupt_at_each_line(tmp_path: Path, durability: str) -> None:
    at_each(tmp_path / "study.db", durability, first=1, step=1)

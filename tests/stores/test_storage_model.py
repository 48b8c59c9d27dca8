"""Two SQLiteStorages on one file against Optuna's storage in memory: random calls, same answers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optimizer.stores.optuna_storage import SQLiteStorage

DISTRIBUTIONS = [
    FloatDistribution(0, 1),
    FloatDistribution(-1, 2),
    FloatDistribution(0.1, 1, log=True),
    IntDistribution(0, 9),
    IntDistribution(0, 9, step=3),
    CategoricalDistribution((None, True, 1, 1.5, "a")),
    CategoricalDistribution((True, 1, None, 1.5, "a")),
]
ATTRIBUTES: list[Any] = [None, True, 1, 0.1, math.inf, "\u00e4\n'", [1, "x"], {"a": [None, {}]}]
NAMES = ["x", "y", "drop table; --"]
FLOATS = st.sampled_from([0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1e308])
STATES = list(TrialState)
WHO, TRIAL, STUDY = st.integers(0, 1), st.integers(0, 12), st.integers(0, 3)
Outcome = tuple[str, Any]


def outcome(call: Callable[[], Any]) -> Outcome:
    try:
        return "answer", call()
    except (KeyError, ValueError, RuntimeError) as error:
        return "error", type(error)


def comparable(trial: FrozenTrial) -> dict[str, Any]:
    skipped = ("_trial_id", "_datetime_start", "datetime_complete")
    found = {name: value for name, value in vars(trial).items() if name not in skipped}
    # Equal to the type: True, 1 and 1.0 are three values.
    types = [(name, type(value)) for name, value in trial.params.items()]
    dates = (trial.datetime_start is None, trial.datetime_complete is None)
    return {**found, "types": types, "dates": dates}


def template(state: TrialState, value: float) -> FrozenTrial:
    """A trial to add; its parameter is none that the rules set."""
    return create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"t": 0.25, "u": "b"},
        distributions={"t": FloatDistribution(0, 1), "u": CategoricalDistribution(("a", "b"))},
        user_attrs={"given": [1]},
        system_attrs={"fixed_params": {"x": 1}},
        intermediate_values={3: 0.5, 1: math.nan} if value == 0.0 else {},
    )


class StorageMachine(RuleBasedStateMachine):
    durability = "process"

    @initialize()
    def begin(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "study.db"
        self.ref = optuna.storages.InMemoryStorage()
        self.comps = [
            SQLiteStorage(path, delay_s=0.0, durability=self.durability) for _ in range(2)
        ]
        self.studies: list[tuple[int, int]] = []  # ids in the reference and in the file
        self.trials: list[tuple[int, int]] = []
        self.create_study(0, 0)

    def study(self, index: int) -> tuple[int, int]:
        return self.studies[index % len(self.studies)]

    def trial(self, index: int) -> tuple[int, int]:
        return self.trials[index % len(self.trials)] if self.trials else (-1, -1)

    def both(self, who: int, name: str, ids: tuple[int, int], *args: Any, **kwargs: Any) -> Outcome:
        """Call it on both, with the same outcome; what it was in the file."""
        ref = outcome(lambda: getattr(self.ref, name)(ids[0], *args, **kwargs))
        comp = outcome(lambda: getattr(self.comps[who], name)(ids[1], *args, **kwargs))
        assert comp[0] == ref[0], (name, args, ref, comp)
        if ref[0] == "error":
            assert comp[1] is ref[1], (name, args)
        self.last = ref
        return comp

    @rule(who=WHO, direction=st.integers(0, 1))
    def create_study(self, who: int, direction: int) -> None:
        directions = [(StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE)[direction]]
        name = f"s{len(self.studies)}"
        ref = self.ref.create_new_study(directions, name)
        self.studies.append((ref, self.comps[who].create_new_study(directions, name)))

    @rule(who=WHO, study=STUDY)
    def delete_study(self, who: int, study: int) -> None:
        if len(self.studies) > 1:
            self.both(who, "delete_study", self.study(study))

    @rule(who=WHO, study=STUDY)
    def create_trial(self, who: int, study: int) -> None:
        kind, comp = self.both(who, "create_new_trial", self.study(study))
        if kind == "answer":
            self.trials.append((self.last[1], comp))

    @rule(who=WHO, study=STUDY, state=st.sampled_from(STATES), value=FLOATS)
    def add_trial(self, who: int, study: int, state: TrialState, value: float) -> None:
        ids = self.study(study)
        kind, comp = self.both(who, "create_new_trial", ids, template(state, value))
        if kind == "answer":
            self.trials.append((self.last[1], comp))

    @rule(
        who=WHO,
        trial=TRIAL,
        name=st.sampled_from(NAMES),
        value=st.integers(0, 4),
        distribution=st.sampled_from(DISTRIBUTIONS),
    )
    def set_param(self, who: int, trial: int, name: str, value: int, distribution: Any) -> None:
        self.both(who, "set_trial_param", self.trial(trial), name, float(value), distribution)
        self.both(who, "get_trial_param", self.trial(trial), name)

    @rule(who=WHO, trial=TRIAL, name=st.sampled_from(NAMES), value=st.sampled_from(ATTRIBUTES))
    def set_attributes(self, who: int, trial: int, name: str, value: Any) -> None:
        self.both(who, "set_trial_user_attr", self.trial(trial), name, value)
        self.both(1 - who, "set_trial_system_attr", self.trial(trial), name, value)

    @rule(who=WHO, study=STUDY, name=st.sampled_from(NAMES), value=st.sampled_from(ATTRIBUTES))
    def set_study_attributes(self, who: int, study: int, name: str, value: Any) -> None:
        self.both(who, "set_study_user_attr", self.study(study), name, value)
        self.both(1 - who, "set_study_system_attr", self.study(study), name, value)

    @rule(who=WHO, trial=TRIAL, step=st.integers(0, 3), value=FLOATS)
    def report(self, who: int, trial: int, step: int, value: float) -> None:
        self.both(who, "set_trial_intermediate_value", self.trial(trial), step, value)

    @rule(who=WHO, trial=TRIAL, state=st.sampled_from(STATES), value=FLOATS)
    def set_state(self, who: int, trial: int, state: TrialState, value: float) -> None:
        values = [value] if state == TrialState.COMPLETE else None
        _, comp = self.both(who, "set_trial_state_values", self.trial(trial), state, values)
        assert comp is self.last[1]

    @rule(who=WHO, study=STUDY)
    def best(self, who: int, study: int) -> None:
        kind, comp = self.both(who, "get_best_trial", self.study(study))
        if kind == "answer":
            assert comp.value == self.last[1].value

    @invariant()
    def trials_agree(self) -> None:
        for number, (ref_id, comp_id) in enumerate(getattr(self, "studies", [])):
            ref = outcome(partial(self.ref.get_all_trials, ref_id))
            comp_storage = self.comps[number % 2]
            comp = outcome(partial(comp_storage.get_all_trials, comp_id))
            assert comp[0] == ref[0]
            if ref[0] == "error":
                continue
            # As text, in which a NaN equals itself.
            for mine, its in zip(comp[1], ref[1], strict=True):
                assert repr(comparable(mine)) == repr(comparable(its))
            for state in TrialState:
                count = comp_storage.get_n_trials(comp_id, state)
                assert count == sum(trial.state == state for trial in ref[1])
            waiting = comp_storage.get_all_trials(comp_id, False, (TrialState.WAITING,))
            assert [t.number for t in waiting] == [
                t.number for t in ref[1] if t.state == TrialState.WAITING
            ]

    @invariant()
    def studies_agree(self) -> None:
        if not hasattr(self, "comps"):
            return
        ref, comp = self.ref.get_all_studies(), self.comps[0].get_all_studies()
        assert [vars_of(study) for study in comp] == [vars_of(study) for study in ref]

    def teardown(self) -> None:
        for comp in getattr(self, "comps", []):
            comp.check()
            comp.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()
        optuna.logging.set_verbosity(optuna.logging.INFO)


def vars_of(study: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(study).items() if name != "_study_id"}


class BatchMachine(StorageMachine):
    durability = "batch"


def cases(machine: type[StorageMachine], examples: int) -> type[Any]:
    case: type[Any] = machine.TestCase
    made = type(f"{machine.__name__}{examples}", (case,), {})
    made.settings = settings(max_examples=examples, stateful_step_count=25, deadline=None)  # type: ignore[attr-defined]  # read by hypothesis
    return made


TestStorage = cases(StorageMachine, 12)
TestStorageLong = pytest.mark.stress(cases(StorageMachine, 300))
TestBatchLong = pytest.mark.stress(cases(BatchMachine, 100))

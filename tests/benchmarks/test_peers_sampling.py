"""What compares our sampler with Optuna's: it can say no, and studies differ in the two alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import optuna
import pytest
from suite_sources import PATHS as GATED

from benchmarks import _peers, _peers_sampling, sampling
from benchmarks._claims_goals import Goal, GoalKind
from benchmarks._claims_plan import lines_of
from benchmarks._claims_table import read_beyond, split_case
from optimizer.sampling._tpe_optuna import VERIFIED

PATHS = {path.name: path for path in _peers.load() if path.name.startswith("peers_sampling.")}
SUGGESTION, STUDY = (PATHS[f"peers_sampling.{name}"] for name in ("Suggestion", "WholeStudy"))
FEW = 14  # trials: more than the ten random ones
verified = pytest.mark.skipif(
    optuna.__version__ not in VERIFIED, reason="elsewhere the sampler hands over to Optuna's"
)


@pytest.fixture(autouse=True)
def _two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers_sampling, "_TAKEN", 2)


@pytest.fixture(scope="module")
def compared() -> Iterator[tuple[Any, Any, Any]]:
    """A small whole study: body, before's, after's."""
    body = _peers_sampling._WholeStudy()
    body.set_up_once(FEW)  # type: ignore[attr-defined]  # what the decorator adds
    body.fresh(FEW)
    before = body.before(FEW)
    body.fresh(FEW)
    yield body, before, body.after(FEW)
    body.teardown(FEW)


# --- a suggestion


@pytest.mark.parametrize("label", [f"n=10,densities={one}" for one in sampling._OPTIONS])
def test_both_sides_suggest_the_same_and_could_differ(label: str) -> None:
    body = SUGGESTION.case(label).open()
    for _ in range(2):
        before, after = body.before(), body.after()
        assert len(after) == 20
        assert body.agree(before, after)
    assert not body.agree(before, after[:-10])
    assert not body.agree(before, [*after[:-1], not after[-1]])


@verified
@pytest.mark.parametrize(("densities", "relative"), [("multivariate", 10), ("univariate", 0)])
def test_both_sides_have_the_densities_that_are_named(densities: str, relative: int) -> None:
    """How many parameters are suggested together."""
    instance: Any = SUGGESTION.case(f"n=10,densities={densities}").open()._instance
    for study in (instance.study, instance.slow):
        trial = study.ask()
        assert len(trial.relative_params) == relative
        study.tell(trial, state=optuna.trial.TrialState.FAIL)


def test_the_samplers_are_the_two_that_are_compared() -> None:
    instance: Any = SUGGESTION.case("n=10,densities=multivariate").open()._instance
    assert type(instance.slow.sampler) is optuna.samplers.TPESampler
    assert type(instance.study.sampler).__name__ == "IncrementalTPESampler"
    assert instance.slow._storage is instance.study._storage


# --- a whole study


def test_the_two_studies_have_the_same_trials(compared: tuple[Any, Any, Any]) -> None:
    body, before, after = compared
    assert body.agree(before, after)
    assert len(after.trials) == len(before.trials) == FEW
    assert after.sampler.counters.startup + after.sampler.counters.handed_over > 0
    assert type(before._storage).__name__ == "_CachedStorage"
    assert type(before.sampler) is optuna.samplers.TPESampler
    assert type(after._storage).__name__ == "SQLiteStorage"


@pytest.mark.parametrize("changed", ["seed", "fewer"])
def test_another_study_is_noticed(
    compared: tuple[Any, Any, Any], changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, before, _ = compared
    body.fresh(FEW)
    if changed == "seed":
        make = body.sampler_of
        monkeypatch.setattr(body, "sampler_of", lambda seed: make(seed=seed + 1))
    after = body.after(FEW - (changed == "fewer"))
    assert not body.agree(before, after)


def test_each_study_has_a_file_of_its_own_and_ours_is_kept_on_it(
    compared: tuple[Any, Any, Any],
) -> None:
    body, _, _ = compared
    files = []
    for _ in range(2):
        body.fresh(FEW)
        assert len(body.opened) == 1
        body.after(FEW)
        files.append(body._file)
    assert len({*files}) == len(body.opened) == 2
    with body.storage_of(files[-1]) as storage:
        kept = optuna.load_study(study_name=None, storage=storage).trials
    assert len(kept) == FEW
    assert all(trial.state.is_finished() for trial in kept)


# --- what is said of them


def test_no_path_of_the_gate_stands_among_them() -> None:
    assert not {*PATHS} & {*GATED}
    assert {"sampling.Suggest", "sampling.Resume", "sampling.Density"} <= {*GATED}


def wall_goal(goals: Iterable[Goal]) -> float | None:
    (found,) = (goal.goal for goal in goals if goal.kind is GoalKind.WALL)
    return found


def test_every_case_has_its_goal_and_each_floor_lies_below_it() -> None:
    goals = {
        name: claim.goals for name, claim in read_beyond().items() if split_case(name)[0] in PATHS
    }
    assert {*goals} == {
        f"{path.name}[{case.label}]" for path in PATHS.values() for case in path.cases
    }
    for n, wall in {10: 1.0, 1_000: 10.0, 10_000: 25.0}.items():
        for densities in sampling._OPTIONS:
            assert wall_goal(goals[f"{SUGGESTION.name}[n={n},densities={densities}]"]) == wall
    assert wall_goal(goals[f"{STUDY.name}[n_trials=1000]"]) == 20.0
    for each in goals.values():
        for goal in each:
            assert goal.floor is not None
            assert goal.goal is None or goal.floor <= goal.goal


def test_a_quick_run_has_each_quick_case_once_and_with_its_own_goals() -> None:
    beyond = read_beyond()
    lines = lines_of({}, PATHS, quick=True, beyond=beyond)
    cases = [(path.name, case) for path in PATHS.values() for case in path.cases]
    quick = [f"{name}[{case.label}]" for name, case in cases if case.compared]
    assert sorted(line.name for line in lines) == sorted(quick)
    assert all(line.claim == beyond[line.name] for line in lines)

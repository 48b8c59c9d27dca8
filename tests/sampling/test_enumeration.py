"""What remains of a finite space: all of it, once, and nothing that was evaluated."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import SignatureError, SpaceError
from optimizer.sampling._permutation import Permutation
from optimizer.sampling.enumeration import CapWarning, cap, remaining
from optimizer.signature import param_signature
from optimizer.space import SearchSpace
from optimizer.stores.guard import NoDupeGuard

pytestmark = pytest.mark.usefixtures("quiet")

SPACE = SearchSpace(
    {
        "stop": {"type": "float", "min": 0, "max": 1, "step": 0.1},
        "period": {"type": "int", "min": 2, "max": 8, "step": 2},
        "kind": {"type": "categorical", "choices": ["sma", None, True, 1, 1.0]},
    }
)
SIZE = 11 * 4 * 5
FOUR = SearchSpace({"p": {"type": "int", "min": 1, "max": 4}})
LARGE = SearchSpace(
    {name: {"type": "float", "min": 0, "max": 1e5, "step": 1e-4} for name in "abcdef"}
)


def places(found: Any, space: SearchSpace = SPACE) -> list[int]:
    """The index of each combination in its grid."""
    grid = space.grid()
    return [grid.index(params) for params in found]


# --- every remaining combination exactly once


@given(st.sets(st.integers(0, SIZE - 1)), st.sets(st.integers(0, SIZE - 1)), st.data())
def test_what_remains_is_the_rest_once_each(
    as_params: set[int], as_signatures: set[int], data: st.DataObject
) -> None:
    grid = SPACE.grid()
    evaluated: list[Any] = [grid[k] for k in as_params]
    evaluated += [param_signature(grid[k], SPACE) for k in as_signatures]
    evaluated = data.draw(st.permutations(evaluated))
    seed = data.draw(st.one_of(st.none(), st.integers(-(2**70), 2**70)))
    ref = sorted({*range(SIZE)} - as_params - as_signatures)
    comp = places(remaining(SPACE, evaluated, seed=seed))
    assert sorted(comp) == ref
    if seed is None:
        assert comp == ref


def test_repeated_strange_and_foreign_sets_count_as_what_they_are() -> None:
    evaluated: list[dict[str, Any]] = [
        {"stop": 0.1 + 0.2, "period": 4, "kind": "sma"},
        {"stop": 0.3, "period": 4.0, "kind": "sma"},  # the same point
        {"kind": 1.0, "period": 2, "stop": 1},
        {"stop": 0.35, "period": 4, "kind": "sma"},  # off the grid
        {"stop": 0.3, "period": 4},  # no value for kind
        {"stop": 0.3, "period": 4, "kind": "sma", "more": 1},
        {"stop": [1], "period": 4, "kind": "sma"},
        {},
    ]
    left = places(remaining(SPACE, evaluated))
    assert len(left) == SIZE - 2
    signatures = {param_signature(SPACE.grid()[k], SPACE) for k in left}
    assert param_signature(evaluated[1], SPACE) not in signatures
    assert param_signature({"kind": 1, "period": 2, "stop": 1}, SPACE) in signatures
    assert param_signature({"kind": True, "period": 2, "stop": 1}, SPACE) in signatures


def test_all_evaluated_leaves_nothing() -> None:
    assert list(remaining(SPACE, SPACE.grid())) == []
    assert list(remaining(SPACE, list(SPACE.grid()), seed=3)) == []
    assert list(remaining(SPACE, [param_signature(one, SPACE) for one in SPACE.grid()])) == []


def test_each_combination_is_the_callers_own() -> None:
    for params in remaining(SPACE, seed=1):
        params.clear()
    assert len(list(remaining(SPACE))) == SIZE


def test_nothing_is_expanded() -> None:
    space = LARGE
    assert space.size() == (10**9 + 1) ** 6
    one, two = (list(islice(remaining(space, [], seed=5), 20)) for _ in range(2))
    assert one == two
    assert len({*places(one, space)}) == 20
    assert list(islice(remaining(space, one, seed=5), 20)) != one
    assert not {*places(islice(remaining(space, one, seed=5), 20), space)} & {*places(one, space)}
    assert cap(space, 10**6, one) == 10**6


def test_a_space_without_an_end_is_refused_at_once() -> None:
    space = SearchSpace({"p": {"type": "float", "min": 0, "max": 1}})
    with pytest.raises(SpaceError, match="parameter 'p': found a float without a step"):
        remaining(space)
    assert cap(space, 7) == 7


@pytest.mark.parametrize(
    "evaluated",
    [
        {"p": 1}, b"0" * 16, "x", None, 7, [b"0" * 15], [bytearray(16)], ["x"], [None], [3],
        [("p", 1)], [memoryview(b"0" * 16)],
    ],
)  # fmt: skip
def test_what_is_neither_parameters_nor_signature_is_refused_at_once(evaluated: Any) -> None:
    for call in (lambda: remaining(FOUR, evaluated), lambda: cap(FOUR, 3, evaluated)):
        with pytest.raises(SignatureError, match=r"found .*, expected"):
            call()


# --- orders


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 17, 99, 100, 101, 1_000])
def test_an_order_is_a_bijection(size: int) -> None:
    for seed in range(20):
        assert sorted(Permutation(size, seed)) == list(range(size))


@pytest.mark.parametrize("size", [2, 3, 4, 6, 8])
def test_every_number_comes_at_every_place_equally_often(size: int) -> None:
    seeds = 2_000
    seen = Counter(
        (place, number)
        for seed in range(seeds)
        for place, number in enumerate(Permutation(size, seed))
    )
    expected = seeds / size
    chi2 = sum((seen[p, n] - expected) ** 2 / expected for p in range(size) for n in range(size))
    # (size - 1) ** 2 degrees of freedom; five deviations above their mean.
    freedom = (size - 1) ** 2
    assert chi2 < freedom + 5 * (2 * freedom) ** 0.5
    assert len(seen) == size**2


def test_neighbours_do_not_stay_together() -> None:
    order = list(Permutation(10_000, 1))
    steps = Counter(b - a for a, b in pairwise(order))
    assert steps.most_common(1)[0][1] < 15


def test_an_order_is_the_same_in_every_process() -> None:
    assert list(Permutation(10, 7)) == PINNED
    code = (
        "from optimizer.sampling._permutation import Permutation;"
        "print(list(Permutation(10, 7)), [Permutation(10**40, -1)[k] for k in range(3)])"
    )
    environments = ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    root = Path(__file__).resolve().parents[2]
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for environment in environments
    }  # fmt: skip
    assert texts == {f"{PINNED} {[Permutation(10**40, -1)[k] for k in range(3)]}\n"}


def test_enumerating_loads_nothing_heavy() -> None:
    code = (
        "import sys, optimizer as o;"
        "s = o.SearchSpace({'p': {'type': 'float', 'min': 0, 'max': 1, 'step': 0.1}});"
        "print(o.cap(s, 3), len([*o.remaining(s, [{'p': 0.3}], seed=1)]),"
        "[m for m in ('numpy', 'numba', 'pandas', 'optuna', 'orjson') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "3 10 []\n", done.stderr


PINNED = [3, 2, 4, 8, 1, 0, 6, 7, 9, 5]


@pytest.mark.parametrize("seed", [1.5, "1", True, b"1"])
def test_a_seed_is_an_integer(seed: Any) -> None:
    with pytest.raises(SpaceError, match="found seed"):
        remaining(FOUR, seed=seed)


@pytest.mark.parametrize("place", [-1, 4])
def test_a_place_beyond_the_ends_is_refused(place: int) -> None:
    with pytest.raises(IndexError, match="found place"):
        Permutation(4, 1)[place]


# --- guards and studies


def test_a_guard_is_asked_as_the_combinations_come(tmp_path: Path) -> None:
    space = SearchSpace({"p": {"type": "int", "min": 1, "max": 1_200}})
    with NoDupeGuard(tmp_path / "seen.db") as guard:
        guard.add_batch(param_signature({"p": p}, space) for p in range(1, 1_101))
        assert [one["p"] for one in remaining(space, guard)] == list(range(1_101, 1_201))
        assert cap(space, 60, guard) == 60
        with pytest.warns(CapWarning, match=r"1200 unique combinations, 1100 of them evaluated,"):
            assert cap(space, 500, guard) == 100


def study_of(*trials: tuple[str, dict[str, Any]]) -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for state, params in trials:
        if state == "WAITING":
            study.enqueue_trial(params)
            continue
        distributions = {
            name: one for name, one in SPACE.to_distributions().items() if name in params
        }
        finished = state in ("COMPLETE", "PRUNED", "FAIL")
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[state],
                params=params,
                distributions=distributions,
                value=1.0 if state == "COMPLETE" else None,
            )
        )
        assert study.trials[-1].state.is_finished() == finished
    return study


@pytest.mark.parametrize(
    ("state", "counts"),
    [("COMPLETE", True), ("PRUNED", True), ("RUNNING", True), ("WAITING", True), ("FAIL", False)],
)
def test_trials_of_a_study_count_by_their_state(state: str, counts: bool) -> None:
    params = {"stop": 0.1 + 0.2, "period": 4, "kind": True}
    study = study_of((state, params))
    left = places(remaining(SPACE, study))
    assert (SPACE.grid().find(params) not in left) is counts
    assert len(left) == SIZE - counts


def test_a_trial_that_was_enqueued_and_runs_counts_by_what_it_is_bound_to() -> None:
    params = {"stop": 0.3, "period": 4, "kind": True}
    study = study_of(("WAITING", params), ("WAITING", {"stop": 0.5}))
    study.ask()  # it has suggested nothing yet
    assert SPACE.grid().find(params) not in places(remaining(SPACE, study))
    assert len(list(remaining(SPACE, study))) == SIZE - 1


def test_a_study_goes_on_through_all_that_remains() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    # Not of SPACE: Optuna itself takes the choices True and 1.0 for the 1 before them.
    kind = {"type": "categorical", "choices": ["sma", None, True, 2, 0.5]}
    small = SearchSpace({"stop": {"type": "float", "min": 0, "max": 1, "step": 0.1}, "kind": kind})
    distributions = small.to_distributions()
    for _ in range(30):
        study.tell(study.ask(distributions), 0.0)
    first = {small.grid().index(trial.params) for trial in study.trials}
    for params in remaining(small, study, seed=4):
        study.enqueue_trial(params)
    while any(trial.state.name == "WAITING" for trial in study.trials):
        study.tell(study.ask(distributions), 0.0)
    found = Counter(small.grid().index(trial.params) for trial in study.trials[30:])
    assert {*found} == {*range(55)} - first
    assert {*found.values()} == {1}


# --- the cap


def test_the_cap_says_it_in_the_reports_words() -> None:
    with pytest.warns(CapWarning) as caught:
        assert cap(FOUR, 100) == 4
    assert [str(one.message) for one in caught] == [
        "Parameter space has only 4 unique combinations but 100 trials were requested. "
        "Capping to 4."
    ]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("evaluated", [[{"p": 2}, {"p": 2.0}], None])
def test_the_cap_counts_what_was_evaluated(evaluated: Any) -> None:
    signatures = [param_signature({"p": 2}, FOUR), param_signature({"p": 9}, FOUR)]
    with pytest.warns(
        CapWarning, match=r"4 unique combinations, 1 of them evaluated, but 4 .*Capping to 3\."
    ):
        assert cap(FOUR, 4, evaluated or signatures) == 3


@given(st.sets(st.integers(1, 4)), st.sets(st.integers(1, 4)), st.integers(0, 6))
def test_the_cap_is_what_remains(one: set[int], other: set[int], n_trials: int) -> None:
    evaluated: list[Any] = [{"p": p} for p in one]
    evaluated += [param_signature({"p": p}, FOUR) for p in other]
    ref = min(n_trials, len(list(remaining(FOUR, evaluated))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cap(FOUR, n_trials, evaluated) == ref
    assert len(caught) == (ref < n_trials)


@pytest.mark.parametrize("n_trials", [-1, 1.5, "4", None, True])
def test_a_number_of_trials_is_an_integer(n_trials: Any) -> None:
    with pytest.raises(SpaceError, match="found n_trials"):
        cap(FOUR, n_trials)

"""An evaluation and the end of its Optuna trial: both are stored, or neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optimizer.errors import ClaimLostError, StoreArgumentError
from optimizer.protocols import Claim
from optimizer.stores import _rows
from optimizer.stores.claims import Claims
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.optuna_storage import DURABILITIES, SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")

ONE = b"\1" * 16
LONG_S = 1_000.0  # nothing is written by itself

KILLS = """
import os, random, signal, time
import optuna
from optuna.trial import TrialState
from optimizer.stores.evaluations import EvaluationCache
from optimizer.stores.optuna_storage import SQLiteStorage
optuna.logging.set_verbosity(optuna.logging.WARNING)
rng = random.Random(5)
SQLiteStorage(path).create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
def work(seed, out):
    storage = SQLiteStorage(path, durability=sys.argv[3])
    cache = EvaluationCache(path, bytes(16), study="s")
    study = optuna.load_study(study_name="s", storage=storage)
    study.sampler = optuna.samplers.RandomSampler(seed=seed)
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        storage.record_at_end(trial._trial_id, cache, {"x": x}, {"n": trial.number})
        os.write(out, b".")
        return -x
    study.optimize(objective)
for life in range(int(sys.argv[2])):
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            work(life, theirs)
        finally:
            os._exit(1)
    os.close(theirs)
    assert os.read(ours, 1)
    time.sleep(rng.random() * 0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ours)
with SQLiteStorage(path) as storage, EvaluationCache(path, bytes(16), study="s") as cache:
    trials = storage.get_all_trials(storage.get_study_id_from_name("s"))
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) > int(sys.argv[2])
    assert len(cache) == len(complete)
    for trial in complete:
        found = cache.get(trial.params)
        assert (found.value, found.attributes) == (trial.value, {"n": trial.number})
    cache.check()
    storage.check()
"""


def new_trial(storage: SQLiteStorage) -> int:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    return trial_id


@pytest.mark.parametrize("durability", DURABILITIES)
def test_both_are_stored_at_once(path: Path, durability: str) -> None:
    with (
        SQLiteStorage(path, durability=durability, delay_s=LONG_S) as storage,
        EvaluationCache(path, ONE, maxsize=1) as cache,
        EvaluationCache(path, ONE) as theirs,
        SQLiteStorage(path) as other,
    ):
        cache.put({"x": 0}, 0.0)
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, cache, {"x": 0.5}, {"seconds": 3})
        assert theirs.get({"x": 0.5}) is None
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.5, 2.5])
        found = theirs.get({"x": 0.5})
        assert found is not None
        assert (found.values, found.attributes) == ((1.5, 2.5), {"seconds": 3})
        assert other.get_trial(trial_id).values == [1.5, 2.5]
        assert other.get_trial(trial_id).params == {"x": 0.5}
        assert theirs.get({"x": 0}) is None  # there is room for one
        assert cache.counters().evictions == 1
        assert not storage._recordings
        cache.check()


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_other_ends_store_no_evaluation(path: Path, state: TrialState) -> None:
    with SQLiteStorage(path) as storage, EvaluationCache(path, ONE) as cache:
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, cache, {"x": 0.5})
        storage.set_trial_state_values(trial_id, state)
        assert len(cache) == 0
        assert storage.get_trial(trial_id).state == state
        assert not storage._recordings


def test_a_value_that_is_there_stays(path: Path) -> None:
    with SQLiteStorage(path) as storage, EvaluationCache(path, ONE) as cache:
        cache.put({"x": 0.5}, 9.0)
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, cache, {"x": 0.5})
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        found = cache.get({"x": 0.5})
        assert found is not None
        assert found.value == 9.0
        assert storage.get_trial(trial_id).value == 1.0


def test_a_claim_ends_with_its_trial(path: Path) -> None:
    with SQLiteStorage(path) as storage, EvaluationCache(path, ONE) as cache:
        claims = Claims(cache)
        claim = claims.claim({"x": 0.5})
        assert isinstance(claim, Claim)
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, claims, claim)
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        assert not claims.renew(claim)
        found = cache.get({"x": 0.5})
        assert found is not None
        assert found.value == 1.0


def test_the_holder_of_a_lost_claim_stores_nothing(path: Path) -> None:
    with SQLiteStorage(path) as storage, EvaluationCache(path, ONE) as cache:
        claims = Claims(cache)
        claim = claims.claim({"x": 0.5})
        assert isinstance(claim, Claim)
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, claims, claim)
        claims.release(claim)
        with pytest.raises(ClaimLostError):
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        assert storage.get_trial(trial_id).state == TrialState.RUNNING
        assert len(cache) == 0
        storage.set_trial_state_values(trial_id, TrialState.FAIL)  # which the engine may choose
        assert storage.get_trial(trial_id).params == {"x": 0.5}


def test_neither_is_stored_where_one_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SQLiteStorage(path) as storage, EvaluationCache(path, ONE) as cache:
        trial_id = new_trial(storage)
        storage.record_at_end(trial_id, cache, {"x": 0.5})

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(_rows, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        monkeypatch.undo()
        assert storage.get_trial(trial_id).state == TrialState.RUNNING
        assert len(cache) == 0
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])  # said again
        assert len(cache) == 1


def test_what_cannot_be_one_transaction_is_refused(path: Path, tmp_path: Path) -> None:
    with (
        SQLiteStorage(path) as storage,
        EvaluationCache(path, ONE) as cache,
        EvaluationCache(tmp_path / "other.db", ONE) as elsewhere,
    ):
        trial_id = new_trial(storage)
        claims = Claims(cache)
        claim = claims.claim({"x": 1})
        assert isinstance(claim, Claim)
        with pytest.raises(StoreArgumentError, match="another file"):
            storage.record_at_end(trial_id, elsewhere, {"x": 1})
        with pytest.raises(StoreArgumentError, match="Claims and one of its claims"):
            storage.record_at_end(trial_id, cache, claim)
        with pytest.raises(StoreArgumentError, match="Claims and one of its claims"):
            storage.record_at_end(trial_id, claims, {"x": 1})
        with pytest.raises(KeyError):
            storage.record_at_end(77, cache, {"x": 1})
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
        with pytest.raises(RuntimeError, match="finished"):
            storage.record_at_end(trial_id, cache, {"x": 1})
        assert not storage._recordings


@pytest.mark.parametrize("durability", ["process", "batch"])
def test_no_kill_leaves_them_apart(run: Callable[..., str], path: Path, durability: str) -> None:
    run(KILLS, path, 4, durability)


@pytest.mark.stress
@pytest.mark.parametrize("durability", DURABILITIES)
def test_no_kill_of_100_leaves_them_apart(
    run: Callable[..., str], path: Path, durability: str
) -> None:
    run(KILLS, path, 100, durability, timeout_s=300)

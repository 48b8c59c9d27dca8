"""SQLiteStorage with what people use around Optuna: copies, frames, pruners, dashboards."""

from __future__ import annotations

import json
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from optimizer.stores.guard import NoDupeGuard
from optimizer.stores.optuna_storage import SQLiteStorage

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SQLiteStorage]:
    with SQLiteStorage(tmp_path / "study.db") as storage:
        yield storage
        storage.check()


def pruned_objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    trial.set_user_attr("kind", [kind, trial.number])
    for step in range(4):
        trial.report(x**2 + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    if trial.number == 3:
        raise ValueError("planned")
    return x**2 + (1.0 if kind == "a" else 0.0) + trial.suggest_int("n", 1, 3)


def filled(storage: SQLiteStorage | optuna.storages.InMemoryStorage) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        study_name="s",
        sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.set_user_attr("data", {"rows": 3})
    study.enqueue_trial({"x": 1.0, "kind": "b"})
    study.optimize(pruned_objective, n_trials=25, catch=ValueError)
    study.enqueue_trial({"x": 2.0})
    return study


def comparable(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """All but times and ids; attributes as JSON has them, which knows no tuples."""
    skipped = ("_trial_id", "_datetime_start", "datetime_complete")
    found = {name: value for name, value in vars(trial).items() if name not in skipped}
    return {**found, "_system_attrs": json.loads(json.dumps(trial.system_attrs))}


def test_a_study_goes_as_it_goes_in_memory(storage: SQLiteStorage) -> None:
    ref, comp = filled(optuna.storages.InMemoryStorage()), filled(storage)
    assert [comparable(t) for t in comp.trials] == [comparable(t) for t in ref.trials]
    states = {trial.state for trial in comp.trials}
    assert states >= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING}
    assert comparable(comp.best_trial) == comparable(ref.best_trial)
    for state in TrialState:
        assert storage.get_n_trials(comp._study_id, state) == len(ref.get_trials(states=(state,)))


def test_a_study_is_copied_in_and_out(storage: SQLiteStorage) -> None:
    memory = optuna.storages.InMemoryStorage()
    original = filled(memory)
    optuna.copy_study(
        from_study_name="s", from_storage=memory, to_storage=storage, to_study_name="in"
    )
    again = optuna.storages.InMemoryStorage()
    optuna.copy_study(
        from_study_name="in", from_storage=storage, to_storage=again, to_study_name="out"
    )
    for name, where in (("in", storage), ("out", again)):
        study = optuna.load_study(study_name=name, storage=where)
        assert study.user_attrs == original.user_attrs
        assert study.directions == original.directions
        for ref, comp in zip(original.trials, study.trials, strict=True):
            assert comparable(comp) == comparable(ref)
            assert comp.datetime_start == ref.datetime_start
            assert comp.datetime_complete == ref.datetime_complete


def test_a_study_becomes_a_frame(storage: SQLiteStorage) -> None:
    pytest.importorskip("pandas")
    ref, comp = filled(optuna.storages.InMemoryStorage()), filled(storage)
    columns = ("number", "value", "params", "user_attrs", "state")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas', about its own future
        assert comp.trials_dataframe(columns).equals(ref.trials_dataframe(columns))
    assert list(comp.trials_dataframe()) == list(ref.trials_dataframe())


def test_several_objectives_and_constraints(storage: SQLiteStorage) -> None:
    def constraints(trial: optuna.trial.FrozenTrial) -> list[float]:
        return [float(trial.params["x"]) - 0.5]

    def study_on(where: Any) -> optuna.Study:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental in old versions, deprecated in new ones
            sampler = optuna.samplers.NSGAIISampler(
                seed=1, population_size=8, constraints_func=constraints
            )
        study = optuna.create_study(
            storage=where, directions=["minimize", "maximize"], sampler=sampler
        )
        study.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), 40)
        return study

    ref, comp = study_on(optuna.storages.InMemoryStorage()), study_on(storage)
    assert [comparable(t) for t in comp.best_trials] == [comparable(t) for t in ref.best_trials]
    assert comp.trials[0].values == ref.trials[0].values
    with pytest.raises(RuntimeError):
        storage.get_best_trial(comp._study_id)


def test_a_guard_of_the_same_study_shares_the_file(storage: SQLiteStorage) -> None:
    with NoDupeGuard(storage.path, study="s") as guard:
        assert guard.add(bytes(16))
        study = filled(storage)
        optuna.delete_study(study_name="s", storage=storage)
        assert guard.seen(bytes(16))
        assert optuna.get_all_study_names(storage) == []
        assert filled(storage)._study_id != study._study_id
        guard.check()


@pytest.mark.stress
def test_the_dashboard_reads_a_study(storage: SQLiteStorage) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    study = filled(storage)
    server = make_server("127.0.0.1", 0, dashboard.wsgi(storage), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        studies = json.load(urllib.request.urlopen(f"{root}/api/studies", timeout=30))
        assert [s["study_name"] for s in studies["study_summaries"]] == ["s"]
        url = f"{root}/api/studies/{study._study_id}?after=0"
        found = json.load(urllib.request.urlopen(url, timeout=30))
        assert len(found["trials"]) == len(study.trials)
        assert [t["number"] for t in found["trials"]] == [t.number for t in study.trials]
        states = [t["state"].upper() for t in found["trials"]]
        assert states == [t.state.name for t in study.trials]
        # A note is a system attribute of the study, which the dashboard writes.
        note = json.dumps({"body": "seen", "version": 1}).encode()
        request = urllib.request.Request(
            f"{root}/api/studies/{study._study_id}/note",
            data=note,
            method="PUT",
            headers={"Content-Type": "application/json"},
        )
        assert urllib.request.urlopen(request, timeout=30).status == 204
        assert "seen" in json.dumps(storage.get_study_system_attrs(study._study_id))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

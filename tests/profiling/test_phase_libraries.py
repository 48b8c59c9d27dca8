"""Whose code a file is: libraries where they lie, and the user's own whatever it is called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from script_modules import ROOT, script_module
from test_phase_rules import LIB, MAIN, OBJECTIVE, RUN, SITE, verdict

libraries: Any = script_module("_libraries")
sources: Any = script_module("_sources")
LOKY = f"{SITE}/joblib/externals/loky/process_executor.py"
JOBLIB = f"{SITE}/joblib/parallel.py"
POOL = f"{LIB}/multiprocessing/pool.py"
WORKER = [
    ("_process_worker", LOKY),
    ("_CallItem.__call__", LOKY),
    ("BatchedCalls.__call__", JOBLIB),
]
FIT = ("fit", f"{SITE}/sklearn/tree/_classes.py")


@pytest.mark.parametrize(
    "folder", ["optuna", "numba", "mlflow", "redis", "optimizer/sampling", "optuna/samplers"]
)
def test_a_study_may_lie_in_a_folder_called_as_a_library(folder: str) -> None:
    own = f"/home/me/{folder}/study.py"
    assert verdict(("<module>", own), RUN, ("evaluate", own)).phase == "objective"
    assert verdict(("<module>", own), ("main", own)).phase == "objective"


def test_optuna_may_be_imported_from_its_sources() -> None:
    source = "/home/me/optuna/optuna"
    run = ("_run_trial", f"{source}/study/_optimize.py")
    assert verdict(MAIN, run, ("_tell", f"{source}/study/_tell.py")).phase == "storage"
    assert verdict(MAIN, run, ("sample", f"{source}/samplers/_random.py")).phase == "sampler"
    assert verdict(MAIN, run, ("objective", "/home/me/optuna/study.py")).phase == "objective"


def test_a_folder_of_libraries_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "optuna-5.0.0.dist-info").mkdir()
    run = ("_run_trial", f"{tmp_path}/optuna/study/_optimize.py")
    numba = ("_compile", f"{tmp_path}/numba/core/dispatcher.py")
    assert verdict(MAIN, run, OBJECTIVE, numba).phase == "compile"


def test_a_name_that_no_file_can_have_has_no_source() -> None:
    assert sources.Sources().line("/a\0b.py", 1) == ""
    assert not sources.Sources().has("/a\0b.py", 1)


def test_a_part_of_a_path_begins_at_the_library() -> None:
    known = libraries.Libraries(["/src/optuna/trial/_trial.py"])
    assert known.part(f"{SITE}/numba/core/x.py") == "/numba/core/x.py"
    assert known.part("/src/optuna/x.py") == "/optuna/x.py"
    assert known.part(f"{ROOT}/optimizer/sweep.py") == "/optimizer/sweep.py"
    assert known.part("/src/study.py") == ""


@pytest.mark.parametrize(
    "frames",
    [
        [("objective", f"{SITE}/mystrategy/run.py")],
        [("objective", f"{SITE}/mystrategy/run.py"), ("dot", f"{SITE}/numpy/core/x.py")],
        [
            ("_OptunaObjective.__call__", f"{SITE}/optuna_integration/_lightgbm_tuner/optimize.py"),
            ("update", f"{SITE}/lightgbm/basic.py"),
        ],
        [("__call__", f"{SITE}/optuna/integration/sklearn.py"), FIT],
        [("wrapper", f"{SITE}/optuna_integration/mlflow/mlflow.py"), ("go", f"{SITE}/mine/run.py")],
        [("inner", f"{LIB}/contextlib.py"), ("go", f"{SITE}/mine/run.py")],
    ],
)
def test_an_objective_may_be_installed(frames: list[Any]) -> None:
    comp = verdict(MAIN, RUN, *frames)
    assert (comp.phase, comp.waits) == ("objective", False)


def test_what_optuna_calls_besides_is_no_objective() -> None:
    assert verdict(MAIN, RUN, ("value", f"{SITE}/optuna/trial/_frozen.py")).phase == "storage"
    logging = [("info", f"{LIB}/logging/__init__.py"), ("emit", f"{SITE}/rich/logging.py")]
    assert verdict(MAIN, RUN, *logging).phase == "logging"


# --- workers of pools


@pytest.mark.parametrize(
    "worker",
    [
        WORKER,
        [("_process_worker", f"{LIB}/concurrent/futures/process.py")],
        [
            ("worker", f"{LIB}/multiprocessing/pool.py"),
            ("mapstar", f"{LIB}/multiprocessing/pool.py"),
        ],
    ],
)
def test_what_a_worker_runs_is_its_work(worker: list[Any]) -> None:
    comp = verdict(*worker, FIT)
    assert (comp.phase, comp.waits, comp.blamed) == ("objective", False, len(worker))


def test_a_workers_loop_moves_messages_or_waits() -> None:
    assert verdict(*WORKER).phase == "transport"
    reads = ("_reconstruct", f"{SITE}/numpy/core/multiarray.py")
    queue = ("get", f"{LIB}/multiprocessing/queues.py")
    assert verdict(("_process_worker", LOKY), queue, reads).phase == "transport"
    idle = verdict(
        ("_process_worker", LOKY), queue, ("poll", f"{LIB}/multiprocessing/connection.py")
    )
    assert (idle.phase, idle.waits) == ("wait for workers", True)


def test_joblib_sleeps_until_its_workers_are_done() -> None:
    comp = verdict(MAIN, RUN, OBJECTIVE, FIT, ("Parallel._retrieve", JOBLIB))
    assert (comp.phase, comp.waits) == ("wait for workers", True)


# --- lines of source


def test_only_lines_that_ran_are_read(tmp_path: Path) -> None:
    file, pipe = tmp_path / "study.py", tmp_path / "pipe"
    file.write_text("a = 1\nconnection.commit()\n", encoding="utf-8")
    os.utime(file, (1000.0, 1000.0))
    os.mkfifo(pipe)  # to read it would wait for ever
    now = sources.Sources(1000.0)
    assert now.line(str(file), 2) == "connection.commit()\n"
    assert now.has(str(file), 2)
    assert not now.has(str(file), 3)
    assert now.line(str(pipe), 1) == ""
    assert now.line("<frozen os>", 1) == ""
    assert now.changed == set()
    earlier = sources.Sources(900.0)
    assert earlier.line(str(file), 2) == ""
    assert earlier.changed == {str(file)}

"""The table of phases: each rule with a stack that it decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script_modules import ROOT, script_module

classify: Any = script_module("_classify")
rules: Any = script_module("_rules")

LIB = "/usr/lib/python3.11"
SITE = f"{LIB}/site-packages"
USER = "/home/me/study.py"
LOOP = ("Loop.run", f"{SITE}/optimizer/study/loop.py")
CALL = ("call", f"{SITE}/optimizer/study/objectives.py")
RUN = ("_run_trial", f"{SITE}/optuna/study/_optimize.py")
MAIN = ("<module>", USER)
OBJECTIVE = ("objective", USER)


def verdict(*frames: tuple[str, str] | tuple[str, str, int]) -> Any:
    """The verdict on a stack, root first; files that do not exist have no lines."""
    full = [(frame[0], frame[1], frame[2] if len(frame) == 3 else 0) for frame in frames]
    return classify.Classifier(full).verdict(tuple(range(len(full))))


def lines(folder: Path, text: str, name: str = "study.py") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("phase", "frames"),
    [
        ("objective", [MAIN, RUN, OBJECTIVE]),
        ("objective", [MAIN, OBJECTIVE, ("dot", f"{SITE}/numpy/core/multiarray.py")]),
        ("sampler", [MAIN, RUN, ("sample", f"{SITE}/optuna/samplers/_tpe/sampler.py")]),
        (  # the innermost owner: a sampler that reads the trials waits for the storage
            "storage",
            [
                *(MAIN, RUN, ("sample", f"{SITE}/optuna/samplers/_random.py")),
                ("get_all_trials", f"{SITE}/optuna/storages/_in_memory.py"),
                ("deepcopy", f"{LIB}/copy.py"),
            ],
        ),
        (  # generic frames of Optuna belong to who asked for them
            "sampler",
            [
                *(MAIN, RUN, ("sample", f"{SITE}/optuna/samplers/_random.py")),
                ("params", f"{SITE}/optuna/trial/_frozen.py"),
            ],
        ),
        ("storage", [MAIN, RUN, ("_tell", f"{SITE}/optuna/study/_tell.py")]),
        (
            "sampler",
            [MAIN, RUN, OBJECTIVE, ("Trial.suggest_float", f"{SITE}/optuna/trial/_trial.py")],
        ),
        (
            "pruner",
            [MAIN, RUN, OBJECTIVE, ("Trial.should_prune", f"{SITE}/optuna/trial/_trial.py")],
        ),
        (  # to read a trial belongs to who reads it
            "dedup",
            [MAIN, ("is_duplicate", USER), ("params", f"{SITE}/optuna/trial/_frozen.py")],
        ),
        ("dedup", [MAIN, RUN, OBJECTIVE, ("Guard.seen", USER), ("execute", f"{SITE}/apsw/x.py")]),
        ("storage", [MAIN, ("flush", f"{SITE}/sqlalchemy/orm/session.py")]),
        ("pruner", [MAIN, ("prune", f"{SITE}/optuna/pruners/_median.py")]),
        ("logging", [MAIN, RUN, ("info", f"{LIB}/logging/__init__.py"), ("x", f"{LIB}/copy.py")]),
        ("compile", [MAIN, OBJECTIVE, ("_compile_for_args", f"{SITE}/numba/core/dispatcher.py")]),
        (
            "transport",
            [("worker", f"{LIB}/multiprocessing/pool.py"), ("dumps", f"{LIB}/pickle.py")],
        ),
        ("data loading", [MAIN, ("load_prices", USER), ("read_csv", f"{SITE}/pandas/io/p.py")]),
        ("data loading", [MAIN, ("prepare", USER), ("r", f"{SITE}/pandas/io/p.py")]),
        ("features", [MAIN, OBJECTIVE, ("build_features", USER), ("roll", f"{SITE}/numpy/r.py")]),
        ("trial records", [MAIN, ("save_trial", USER), ("dumps", f"{LIB}/json/__init__.py")]),
        ("cache", [MAIN, OBJECTIVE, ("ResultCache.get", USER)]),
        ("import", [MAIN, ("_find_and_load", "<frozen importlib._bootstrap>")]),
        (  # whatever a library does while it is imported
            "import",
            [
                *(MAIN, ("exec_module", "<frozen importlib._bootstrap_external>")),
                ("<module>", f"{SITE}/sqlalchemy/orm/__init__.py"),
                ("define", f"{SITE}/sqlalchemy/orm/base.py"),
            ],
        ),
        (  # but a study may run while a module of the user's own is imported
            "sampler",
            [
                *(MAIN, ("exec_module", "<frozen importlib._bootstrap_external>")),
                *(("<module>", "/home/me/other.py"), RUN),
                ("sample", f"{SITE}/optuna/samplers/_random.py"),
            ],
        ),
        (
            "import",
            [MAIN, ("exec_module", "<frozen importlib._bootstrap>"), ("<module>", "/home/me/m.py")],
        ),
        ("other", [("_bootstrap", f"{LIB}/threading.py"), ("run", f"{LIB}/sched.py")]),
        ("dedup", [MAIN, ("NoDupeGuard.add", f"{SITE}/optimizer/stores/guard.py")]),
        ("sampler", [MAIN, ("remaining", f"{ROOT}/optimizer/sampling/enumeration.py")]),
        ("storage", [MAIN, LOOP]),
        ("dedup", [MAIN, LOOP, ("Duplicates.known", f"{SITE}/optimizer/study/duplicates.py")]),
        ("objective", [MAIN, LOOP, CALL, ("smooth", "/home/me/study.py")]),
        ("objective", [MAIN, LOOP, CALL, ("fit", f"{SITE}/theirs/fit.py")]),
        ("transport", [MAIN, LOOP, ("WorkerPool.submit", f"{SITE}/optimizer/workers/pool.py")]),
    ],
)
def test_a_stack_has_the_phase(phase: str, frames: list[Any]) -> None:
    comp = verdict(*frames)
    assert (comp.phase, comp.waits) == (phase, False)


@pytest.mark.parametrize(
    ("phase", "line", "frames"),
    [
        ("garbage collection", "    gc.collect()", [MAIN, RUN]),
        ("wait for disk", "    os.fsync(f.fileno())", [MAIN, RUN]),
        ("wait for disk", "        connection.commit()", [MAIN, RUN]),
        ("transport", "    return pickle.loads(data)", [MAIN]),
        ("data loading", "    np.load(path)", [MAIN]),
        ("trial records", "    text = json.dumps(trial)", [MAIN]),
        ("storage", "    connection.execute(query)", [MAIN]),
        ("logging", "    print(trial.number)", [MAIN]),
        ("import", "    from scipy import stats", [MAIN]),
        ("objective", "    return x * x", [MAIN]),
    ],
)
def test_the_line_of_the_leaf_decides(
    phase: str, line: str, frames: list[Any], tmp_path: Path
) -> None:
    file = lines(tmp_path, f"def f():\n{line}\n")
    assert verdict(*frames, ("f", file, 2)).phase == phase


@pytest.mark.parametrize("name", ["threading.py", "queue.py", "multiprocessing/connection.py"])
def test_a_wait_of_the_standard_library_is_for_workers(name: str) -> None:
    comp = verdict(MAIN, ("wait", f"{LIB}/concurrent/futures/_base.py"), ("wait", f"{LIB}/{name}"))
    assert (comp.phase, comp.waits, comp.blamed) == ("wait for workers", True, 0)


def test_a_library_that_waits_owns_its_wait() -> None:
    comp = verdict(
        MAIN, ("get", f"{SITE}/sqlalchemy/pool/base.py"), ("wait", f"{LIB}/threading.py")
    )
    assert (comp.phase, comp.waits) == ("storage", False)


def test_a_program_that_a_trial_waits_for_is_its_objective() -> None:
    wait = ("wait", f"{LIB}/subprocess.py")
    assert verdict(MAIN, RUN, OBJECTIVE, wait).phase == "objective"
    assert verdict(MAIN, RUN, OBJECTIVE, wait).program
    selector = ("select", f"{LIB}/selectors.py")  # as with captured output
    comp = verdict(MAIN, RUN, OBJECTIVE, wait, selector)
    assert (comp.phase, comp.program) == ("objective", True)
    assert verdict(MAIN, RUN, OBJECTIVE, selector).phase == "wait for workers"
    assert verdict(MAIN, ("go", USER), wait).phase == "wait for workers"


def test_the_head_of_a_message_is_waited_for_and_its_body_transported(tmp_path: Path) -> None:
    text = "buf = self._recv(4)\nreturn self._recv(size)\nchunk = read(handle, remaining)\n"
    file = lines(tmp_path, text, "lib/python3.11/multiprocessing/connection.py")
    leaf = ("Connection._recv", file, 3)
    head = verdict(MAIN, ("Connection._recv_bytes", file, 1), leaf)
    body = verdict(MAIN, ("Connection._recv_bytes", file, 2), leaf)
    assert (head.phase, head.waits) == ("wait for workers", True)
    assert (body.phase, body.waits) == ("transport", False)


@pytest.mark.parametrize(
    ("function", "file"), [("Starter._serve", "starter.py"), ("Crew.wait", "crew.py")]
)
def test_our_pool_waits_for_its_workers(function: str, file: str) -> None:
    comp = verdict(MAIN, LOOP, (function, f"{SITE}/optimizer/workers/{file}"))
    assert (comp.phase, comp.waits, comp.blamed) == ("wait for workers", True, 2)


def test_our_worker_waits_for_the_head_of_a_message(tmp_path: Path) -> None:
    text = "filled += _some(line, scratch[filled:])\nfilled += _some(line, whole[filled:size])\n"
    file = lines(tmp_path, text, "site-packages/optimizer/workers/frames.py")
    head, body = (verdict(MAIN, ("read_whole", file, n), ("_some", file, 0)) for n in (1, 2))
    assert (head.phase, head.waits) == ("wait for workers", True)
    assert (body.phase, body.waits) == ("transport", False)


def test_who_sends_waits_for_who_receives() -> None:
    sends = ("Connection._send", f"{LIB}/multiprocessing/connection.py")
    comp = verdict(("_feed", f"{LIB}/multiprocessing/queues.py"), sends)
    assert (comp.phase, comp.waits) == ("transport", True)


def test_a_sleep_outside_a_trial_yields_to_work(tmp_path: Path) -> None:
    file = lines(tmp_path, "time.sleep(1)\n")
    assert verdict(MAIN, ("poll", file, 1)).waits
    assert not verdict(MAIN, RUN, ("poll", file, 1)).waits


def test_frames_of_ours_belong_to_their_caller() -> None:
    hook = ("ask", "/x/profiling/_hook/_trial_hook.py")
    assert verdict(MAIN, RUN, OBJECTIVE, hook).phase == "objective"


@pytest.mark.parametrize("file", ["<string>", "<attrs generated init study.Point>", "<stdin>", ""])
def test_generated_code_belongs_to_its_caller(file: str) -> None:
    comp = verdict(MAIN, RUN, OBJECTIVE, ("unique", file, 3129337200))
    assert (comp.phase, comp.blamed) == ("objective", 2)
    sampler = ("sample", f"{SITE}/optuna/samplers/_random.py")
    assert verdict(MAIN, RUN, sampler, ("__init__", file, 1)).phase == "sampler"
    assert verdict(("<module>", file, 1)).phase == "other"


def test_an_import_and_a_compilation_are_blamed_on_the_users_line() -> None:
    library = ("<module>", f"{SITE}/pandas/__init__.py")
    machinery = ("_find_and_load", "<frozen importlib._bootstrap>")
    assert verdict(MAIN, ("load", USER), machinery, library, machinery).blamed == 1
    compiler = ("_compile", f"{SITE}/numba/core/dispatcher.py")
    assert verdict(MAIN, RUN, OBJECTIVE, compiler, compiler).blamed == 2
    assert verdict(compiler, compiler).blamed == 1


def test_an_interpreter_that_starts_has_no_frame() -> None:
    assert verdict().phase == "import"


@pytest.mark.parametrize(
    ("phase", "name"),
    [
        ("dedup", "DuplicateGuard.seen"),
        ("dedup", "make_signature"),
        ("dedup", "main.<locals>.isDuplicate"),
        ("cache", "ResultCache.put"),
        ("cache", "load_from_cache"),
        ("trial records", "load_existing_trials"),
        ("data loading", "read_candles"),
        ("data loading", "Backtest.load_prices"),
        ("features", "computeFeatures"),
        ("objective", "cached_objective"),
        ("objective", "Strategy.backtest"),
        ("", "dedup.<locals>.inner"),  # the functions around it say nothing
        ("", "<module>"),
        ("", "helper"),
        ("", "preload"),
    ],
)
def test_names_that_speak(phase: str, name: str) -> None:
    assert classify.phase_of_name(name) == phase


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_name_has_a_known_phase_or_none(name: str) -> None:
    assert classify.phase_of_name(name) in ("", *rules.PHASES)

"""Looks at an installation: `python -I tests/installed.py FILE` says what is wrong, or nothing.

FILE is what was installed, wheel or sdist. `nox -s release` runs this with the Python of an
environment that holds that and what it needs, and nothing else. (Not a test file.)
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

NAME = "optuna-velocity"
OPTIONAL = ("numba", "orjson", "pandas", "plotly")
NEVER = ("benchmarks", "profiling", "tests", "docs")
NEEDED = ("optimizer/py.typed", "optimizer/data/sp500_dataset.csv.gz", "velocity_gate/cli.py")


def main(archive: str) -> None:
    """Raise AssertionError at the first thing that is not as DESIGN says."""
    look_at_the_files(archive)
    look_at_the_names()
    run_a_study()
    run_the_commands()
    print(f"{archive}: as it should be, on Python {sys.version.split()[0]}")


def look_at_the_files(archive: str) -> None:
    found = importlib.metadata.distribution(NAME)
    files = {str(file) for file in found.files or ()}
    assert f"-{found.version}" in Path(archive).name, f"{archive} installed {found.version}"
    tops = {file.partition("/")[0] for file in files if not file.startswith("..")}
    about = {top for top in tops if top.endswith(".dist-info")}
    assert len(about) == 1, about
    assert tops - about == {"optimizer", "velocity_gate"}, tops
    assert files >= {*NEEDED}, {*NEEDED} - files
    for name in NEVER:
        assert importlib.util.find_spec(name) is None, f"{name} was installed"


def look_at_the_names() -> None:
    for name in OPTIONAL:
        assert importlib.util.find_spec(name) is None, f"the environment is not empty: {name}"
    import optimizer

    assert "site-packages" in Path(optimizer.__file__).parts, optimizer.__file__
    assert not {"numpy", "optuna"} & {*sys.modules}, "importing it loads them"
    assert optimizer.__version__ == importlib.metadata.version(NAME)
    for name in optimizer.__all__:
        getattr(optimizer, name)


def run_a_study() -> None:
    import optuna

    import optimizer

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        sampler = optimizer.IncrementalTPESampler(seed=1)
        with optimizer.SQLiteStorage(Path(folder) / "study.db") as storage:
            study = optuna.create_study(storage=storage, sampler=sampler, study_name="s")
            study.optimize(lambda trial: trial.suggest_float("x", -10, 10) ** 2, n_trials=15)
            assert study.best_value < 10.0
            assert len(study.trials) == 15
    space = {"lookback": {"type": "int", "min": 1, "max": 4}}
    best = optimizer.optimize(lambda params: (params["lookback"] - 3) ** 2, space, n_trials=8)
    assert (best.best_params, best.best_value) == ({"lookback": 3}, 0)


def run_the_commands() -> None:
    gate = str(Path(sys.executable).with_name("velocity-gate"))
    ours = sys.executable, "-I", "-m", "optimizer"
    for command in ((gate,), ours, (*ours, "demo"), (*ours, "run")):
        assert said(*command, "--help").startswith("usage:")
    assert "best value" in said(*ours, "demo", "--trials", "5", "--workers", "1", "--quiet")


def said(*command: str) -> str:
    """What it printed, from an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1])

"""Lets a profiler into every Python process of a study, without a change to the study.

The profilers put this folder in front of PYTHONPATH, so each interpreter of the study, workers
included, imports this module at its start.  It loads the hooks that the environment asks for,
takes the folder off `sys.path` again, and then runs the `sitecustomize` that it shadows, if there
is one.  Runs on Python 3.9 and later; no error of a hook reaches the study.
"""

from __future__ import annotations

import os
import sys

_HOOKS = (
    ("VELOCITY_PROFILE_MARKS", "_trial_hook"),
    ("VELOCITY_PROFILE_MEMORY", "_memory_hook"),
)


def _load_hooks(folder: str) -> None:
    for variable, module in _HOOKS:
        if os.environ.get(variable):
            try:
                __import__(module)
            except Exception as error:
                _complain(module, error)
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]
    sys.path_importer_cache.pop(folder, None)


def _complain(module: str, error: Exception) -> None:
    """Leave the reason where the profiler finds it; the study must not notice."""
    folder = os.environ.get("VELOCITY_PROFILE_MARKS") or os.environ.get("VELOCITY_PROFILE_MEMORY")
    try:
        with open(os.path.join(str(folder), f"{os.getpid()}.trouble"), "a") as trouble:
            trouble.write(f"{module}: {type(error).__name__}: {error}\n")
    except OSError:
        pass


def _run_the_shadowed_one() -> None:
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_load_hooks(os.path.dirname(os.path.abspath(__file__)))
_run_the_shadowed_one()

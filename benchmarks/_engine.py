"""Hot paths of whole studies, which the claims table measures and the gate does not.

They take too long for every run of the gate; what they are made of is guarded by the suites. They
stand in the modules beside this one, `_engine_*.py`.
"""

from __future__ import annotations

import importlib
import pkgutil

import benchmarks
from benchmarks import _peers, _registry
from benchmarks._registry import ENGINE, RegisteredPath


def load() -> list[RegisteredPath]:
    """What the claims table measures: every hot path of the suites, and these."""
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith(f"_{ENGINE}_"):
            importlib.import_module(f"benchmarks.{module.name}")
    studies = [path for path in _registry.declared() if path.name.startswith(ENGINE)]
    return sorted([*_registry.load(), *studies], key=lambda path: path.name)


def find(name: str) -> RegisteredPath:
    """The hot path called `name`, of the claims or of the peers; `KeyError` lists what there is."""
    paths = {path.name: path for path in [*load(), *_peers.load()]}
    if name not in paths:
        raise KeyError(f"no hot path {name}; there are: {', '.join(paths)}")
    return paths[name]

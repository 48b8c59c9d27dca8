"""Folders of trial files, loaded in every way."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optimizer import _compat
from optimizer.reference import records as ref
from optimizer.stores.records import LoadedTrials, load_trials


def without_orjson(call: Callable[[], LoadedTrials]) -> LoadedTrials:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", _compat.SlowFallbackWarning)
        patch.setenv(_compat.SWITCH, "orjson")
        _compat.available.cache_clear()
        found = call()
    _compat.available.cache_clear()
    return found


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def file_of(number: int, **fields: Any) -> bytes:
    return json.dumps({"number": number, "value": number / 7, **fields}).encode()


def compare(folder: Path) -> LoadedTrials:
    """Load by orjson, by json and by the twin; by their texts, for NaN is not itself."""
    comp = load_trials(folder)
    plain = without_orjson(lambda: load_trials(folder))
    assert repr(comp) == repr(plain)
    trials, others = ref.load_trials(folder)
    assert repr(comp.trials) == repr(trials)
    assert sorted(problem.file for problem in comp.problems) == others
    assert len(comp.trials) + len(comp.problems) == len(os.listdir(folder))
    return comp

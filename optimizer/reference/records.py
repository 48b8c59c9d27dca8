"""The plain twins of the trial records, the result paths and the metadata.

Reconstructed from the reports, not their code: a wrapper that picks the parser for every file, two
passes over the trials, the last name of a sorted folder, a file written for every update.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optimizer.protocols import Trial

STATES = ("running", "complete", "pruned", "failed", "waiting")
FILE_STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")


def read_json(path: Path, parsers: Sequence[str] = ("json",)) -> Any:
    """The value of a JSON file, by the first of the named parsers that is installed."""
    for name in parsers:
        try:
            parser = importlib.import_module(name)
        except ImportError:
            continue
        return parser.loads(path.read_bytes())
    raise ImportError(f"none of the parsers {', '.join(parsers)} is installed")


def load_trials(
    folder: str | os.PathLike[str], parsers: Sequence[str] = ("json",)
) -> tuple[dict[int, Trial], list[str]]:
    """The trials of a folder by number, in the order of the names, and the names of all others.

    The first pass parses every file, the second makes the trials.
    """
    parsed = []
    others = []
    for path in sorted(Path(folder).iterdir()):
        try:
            if not path.name.endswith(".json"):
                raise ValueError("foreign")
            parsed.append((path.name, read_json(path, parsers)))
        except (OSError, ValueError, RecursionError):
            others.append(path.name)
    trials: dict[int, Trial] = {}
    for name, found in parsed:
        try:
            trial = trial_of(found)
        except ValueError:
            others.append(name)
            continue
        if trial.number in trials:
            others.append(name)
        else:
            trials[trial.number] = trial
    return trials, sorted(others)


def trial_of(found: Any) -> Trial:
    """The trial of a parsed file; `ValueError` if it is none."""
    if not isinstance(found, dict):
        raise ValueError("not an object")
    number = found.get("number")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63:
        raise ValueError("no number")
    params = {} if found.get("params") is None else found["params"]
    if not isinstance(params, dict) or any(isinstance(v, dict | list) for v in params.values()):
        raise ValueError("no params")
    values = values_of(found.get("value"), found.get("values"))
    state = state_of(found.get("state"), values)
    if state == "complete" and not values:
        raise ValueError("complete without a value")
    known = ("number", "params", "value", "values", "state", "started_s", "finished_s")
    return Trial(
        number=number,
        state=state,  # type: ignore[arg-type]  # one of STATES, which repeats the literal
        params=params,
        values=values,
        attributes={name: value for name, value in found.items() if name not in known},
        started_s=seconds_of(found.get("started_s")),
        finished_s=seconds_of(found.get("finished_s")),
    )


def values_of(value: Any, values: Any) -> tuple[float, ...]:
    """The values of a trial, from either field."""
    if values is None:
        return () if value is None else (float_of(value),)
    if not isinstance(values, list):
        raise ValueError("values are no list")
    floats = tuple(float_of(one) for one in values)
    if value is not None and str(floats) != str((float_of(value),)):
        raise ValueError("value and values differ")
    return floats


def float_of(found: Any) -> float:
    """A number as a double; `ValueError` if it is none or does not fit."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError("no number")
    try:
        return float(found)
    except OverflowError:
        raise ValueError("no double") from None


def seconds_of(found: Any) -> float | None:
    """A time; `ValueError` if it is none."""
    if found is None:
        return None
    seconds = float_of(found)
    if not abs(seconds) < 1e12:
        raise ValueError("no time")
    return seconds


def state_of(found: Any, values: Sequence[float]) -> str:
    """The state, as Optuna names or numbers it, in either case."""
    if found is None:
        return "complete" if values else "running"
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < len(STATES):
        return STATES[found]
    if found in FILE_STATES:
        return STATES[FILE_STATES.index(found)]
    if found in STATES or found in ("FAILED", "fail"):
        return "failed" if str(found).lower() in ("failed", "fail") else str(found)
    raise ValueError("no state")


def write_trial(folder: str | os.PathLike[str], trial: Trial) -> Path:
    """A trial as a file of its own; survives the process, not a power cut."""
    path = Path(folder) / f"trial-{trial.number:08d}.json"
    single = len(trial.values) == 1
    fields = {
        "number": trial.number,
        "state": FILE_STATES[STATES.index(trial.state)],
        "params": dict(trial.params),
        "value" if single else "values": trial.values[0] if single else list(trial.values),
        **trial.attributes,
    }
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def last_result(folder: str | os.PathLike[str]) -> Any:
    """The result whose file comes last by name."""
    names = glob.glob(os.path.join(glob.escape(os.fspath(folder)), "*.json"))
    return read_json(Path(sorted(names)[-1]))


class MetadataFile:
    """Metadata in a JSON file that every update writes anew, whole and past the disk's cache.

    Ours is as durable, so that the two differ in batching alone.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Begin with what is in the file."""
        self.path = Path(path)
        self.values: dict[str, Any] = read_json(self.path) if self.path.exists() else {}

    def set(self, name: str, value: Any) -> None:
        """Take a value and write the file."""
        self.update({name: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Take values and write the file."""
        self.values.update(values)
        beside = self.path.with_name(self.path.name + ".tmp")
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(self.values, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def all(self) -> dict[str, Any]:
        """Every name and value."""
        return dict(sorted(self.values.items()))

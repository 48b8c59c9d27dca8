"""Hot paths of the configuration: defaults, kept JSON files, copies of values, a run's savings.

The reports' model of the defaults was one of pydantic, which is no dependency here: each `before`
validates by hand into dataclasses and dumps them by `dataclasses.asdict`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import os
import random
import tempfile
import types
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("bytecodes", "instructions", "memory", "cpu", "wall", "claim")
_FILES = ("opens", *_WITNESSES)
_DISK = ("statements", "steps", "commits", "fsyncs", "opens", "listings")
_LONG_AGO_S = 1_700_000_000  # a file at rest: one written just now is read again and compared


@dataclasses.dataclass(frozen=True)
class _Costs:
    fee_rate: float
    slippage_rate: float
    minimum_fee: float
    borrow_rate: float
    tiers: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class _Risk:
    max_exposure: float
    max_holdings: int
    stop_loss: float | None
    take_profit: float | None
    trailing: bool
    rebalance_days: int


@dataclasses.dataclass(frozen=True)
class _Data:
    source: str
    assets: tuple[str, ...]
    start: str
    end: str | None
    adjust: bool
    warmup_days: int


@dataclasses.dataclass(frozen=True)
class _Search:
    sampler: str
    pruner: str | None
    n_trials: int
    n_startup_trials: int
    seed: int
    timeout_s: float | None


@dataclasses.dataclass(frozen=True)
class _Defaults:
    name: str
    version: int
    costs: _Costs
    risk: _Risk
    data: _Data
    search: _Search
    flags: dict[str, bool]


def _default_table(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": 3,
        "costs": {
            "fee_rate": 0.001, "slippage_rate": 0.0005, "minimum_fee": 1.0, "borrow_rate": 0.02,
            "tiers": [0.001, 0.0008, 0.0005],
        },
        "risk": {
            "max_exposure": 1.5, "max_holdings": 10, "stop_loss": 0.1, "take_profit": None,
            "trailing": True, "rebalance_days": 21,
        },
        "data": {
            "source": "sp500", "assets": [f"ASSET{k:02d}" for k in range(20)],
            "start": "1990-01-02", "end": None, "adjust": True, "warmup_days": 252,
        },
        "search": {
            "sampler": "tpe", "pruner": None, "n_trials": 100, "n_startup_trials": 10, "seed": 7,
            "timeout_s": None,
        },
        "flags": {f"flag_{k}": k % 3 == 0 for k in range(12)},
    }  # fmt: skip


_hints_of = functools.cache(get_type_hints)  # a model of pydantic is compiled once too


def _validated(cls: Any, table: Any) -> Any:
    """A plain validation: names, types, nested dataclasses; raises ValueError."""
    hints = _hints_of(cls)
    if table.keys() != hints.keys():
        raise ValueError(f"found {sorted(table)}, expected {sorted(hints)}")
    return cls(**{name: _validated_value(hints[name], value) for name, value in table.items()})


def _validated_value(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return _validated(hint, value)
    if get_origin(hint) is tuple:
        return tuple(_validated_value(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is dict:
        return {name: _validated_value(get_args(hint)[1], item) for name, item in value.items()}
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(value) not in kinds:
        raise ValueError(f"found {value!r}, expected {hint}")
    return value


def _load_table(path: Path) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        return dataclasses.asdict(_validated(_Defaults, json.load(file)))


def _dump(table: dict[str, Any]) -> dict[str, Any]:
    return dataclasses.asdict(_validated(_Defaults, table))


def _frozen(table: dict[str, Any]) -> Any:
    """Flags as a tuple of pairs: a frozen dataclass that holds a dict can still be changed."""
    config = _validated(_Defaults, table)
    return dataclasses.replace(config, flags=tuple(config.flags.items()))


def _containers(value: Any) -> list[Any]:
    """The value, if it can be changed, and whatever in it can be, at any depth."""
    items = value.values() if isinstance(value, dict) else value
    within = items if isinstance(value, dict | list | tuple) else ()
    inner = [container for item in within for container in _containers(item)]
    return [value, *inner] if isinstance(value, dict | list) else inner


def _nothing_shared(values: list[Any]) -> bool:
    """Whether no two of them, nor two parts of one, are the same object for a caller to change."""
    found = [id(container) for value in values for container in _containers(value)]
    return len(found) == len({*found})


def _write(path: Path, name: str) -> None:
    path.write_text(json.dumps(_default_table(name), indent=2), encoding="utf-8")
    os.utime(path, (_LONG_AGO_S, _LONG_AGO_S))


@_hot_path(
    claim="default-config",
    witnesses=_FILES,
    uncounted=("seldom",),
    untimed=("table", "seldom"),
    claim_at="frozen",
)
class DefaultConfig:
    """The defaults of 100 trials of two studies: read, validated and dumped for each, or once.

    `frozen` hands out one object that nobody can change; `table` a dict for each caller to change;
    `seldom` is `frozen`, but looks at the file only every 50 ms.
    """

    params = ("frozen", "table", "seldom")
    param_names = ("handed_out",)
    trials = 100

    def setup(self, handed_out: str) -> None:
        try:
            from optimizer.configuration import DefaultConfiguration
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.folder = tempfile.TemporaryDirectory()
        names = ["momentum", "reversal"] * (self.trials // 2)
        paths = {name: Path(self.folder.name) / f"{name}.json" for name in names[:2]}
        for name, path in paths.items():
            _write(path, name)
        self.paths = [paths[name] for name in names]
        configs = {
            name: DefaultConfiguration(
                path,
                _dump if handed_out == "table" else _frozen,
                recheck_s=0.05 if handed_out == "seldom" else 0.0,
            )
            for name, path in paths.items()
        }
        self.configs = [configs[name] for name in names]

    def teardown(self, handed_out: str) -> None:
        self.folder.cleanup()

    def before(self, handed_out: str) -> list[dict[str, Any]]:
        return [_load_table(path) for path in self.paths]

    def after(self, handed_out: str) -> list[Any]:
        return [config.get() for config in self.configs]

    def agree(self, before: list[dict[str, Any]], after: list[Any]) -> bool:
        if isinstance(after[0], dict):
            return before == after and _nothing_shared(after)
        thawed = [dataclasses.replace(one, flags=dict(one.flags)) for one in after]
        return before == [*map(dataclasses.asdict, thawed)]


def _trial(number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "number": number,
        "state": "COMPLETE",
        "value": rng.random(),
        "params": {f"p{k}": rng.random() for k in range(8)} | {"kind": rng.choice(("sma", "ema"))},
        "user_attrs": {"seconds": rng.random(), "folds": [rng.random() for _ in range(5)]},
        "datetime_start": "2024-01-02T03:04:05.678901",
        "datetime_complete": "2024-01-02T03:05:06.789012",
    }


@_hot_path(claim="json-mtime", witnesses=_FILES, claim_at=100)
class JsonAgain:
    """100 JSON files of a trial each, read five times over: parsed again, or kept by version.

    Both sides parse with the standard library.
    """

    params = (100,)
    param_names = ("files",)
    times = 5

    def setup(self, files: int) -> None:
        try:
            from optimizer.configuration import JSON_CACHE, read_json
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.switch, self.read = JSON_CACHE, read_json
        self.was = os.environ.get(self.switch)
        os.environ[self.switch] = "1"
        self.folder = tempfile.TemporaryDirectory()
        rng = random.Random(5)
        self.paths = []
        for number in range(files):
            path = os.path.join(self.folder.name, f"trial_{number:05d}.json")
            Path(path).write_text(json.dumps(_trial(number, rng)), encoding="utf-8")
            os.utime(path, (_LONG_AGO_S, _LONG_AGO_S))
            self.paths.append(path)
        self.after(files)  # the first reading is the same for both

    def teardown(self, files: int) -> None:
        self.folder.cleanup()
        if self.was is None:
            os.environ.pop(self.switch, None)
        else:
            os.environ[self.switch] = self.was

    def before(self, files: int) -> list[Any]:
        found = []
        for _ in range(self.times):
            for path in self.paths:
                with open(path, encoding="utf-8") as file:
                    found.append(json.load(file))
        return found

    def after(self, files: int) -> list[Any]:
        return [self.read(path) for _ in range(self.times) for path in self.paths]

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after and _nothing_shared(after)


@_hot_path(claim="value-clone", witnesses=_WITNESSES, claim_at=1_000)
class ValueClone:
    """The values of 1,000 trials, a copy for each use: `copy.deepcopy`, or shared leaves."""

    params = (1_000,)
    param_names = ("trials",)

    def setup(self, trials: int) -> None:
        try:
            from optimizer.configuration import own_copy
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.copy = own_copy
        rng = random.Random(9)
        self.trials = [_trial(number, rng) for number in range(trials)]

    def before(self, trials: int) -> list[Any]:
        return [copy.deepcopy(trial) for trial in self.trials]

    def after(self, trials: int) -> list[Any]:
        return [self.copy(trial) for trial in self.trials]

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after == self.trials and _nothing_shared([*after, *self.trials])


@_hot_path(
    claim="run-savings",
    witnesses=(*_DISK, "instructions", "memory", "cpu", "wall", "claim"),
    claim_at=100,
)
class RunSavings:
    """The three opportunities together, for n trials that do nothing else.

    Each trial needs the default configuration and the result it has just written, among those of
    all trials before; a grid of 100,000 combinations is expanded once. Writing is the same on both
    sides, and not durable. Before: defaults read and validated each time, the last of the sorted
    folder, a dict copy at each level.
    """

    params = (100,)
    param_names = ("trials",)

    def setup(self, trials: int) -> None:
        try:
            from optimizer.configuration import DefaultConfiguration
            from optimizer.reference.grid import expand_by_copying
            from optimizer.reference.records import last_result
            from optimizer.space import Grid, SearchSpace
            from optimizer.stores.results import read_result, result_path
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.grid_of, self.path_of, self.read = Grid, result_path, read_result
        self.copying, self.last = expand_by_copying, last_result
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.defaults = root / "defaults.json"
        _write(self.defaults, "momentum")
        self.config = DefaultConfiguration(self.defaults, _frozen)
        spec = {"type": "float", "min": 0, "max": 0.09, "step": 0.01}
        self.space = SearchSpace(dict.fromkeys("abcde", spec))
        self.values = {
            name: [parameter.value_at(k) for k in range(10)]
            for name, parameter in self.space.items()
        }
        self.paths = [self.path_of(root, "momentum", number) for number in range(trials)]
        self.paths[0].parent.mkdir()

    def teardown(self, trials: int) -> None:
        self.folder.cleanup()

    def fresh(self, trials: int) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)

    def before(self, trials: int) -> list[Any]:
        found: list[Any] = [len(self.copying(self.values))]
        for number, path in enumerate(self.paths):
            fee = _load_table(self.defaults)["costs"]["fee_rate"]
            path.write_text(json.dumps({"number": number, "fee": fee}), encoding="utf-8")
            found.append(self.last(path.parent))
        return found

    def after(self, trials: int) -> list[Any]:
        found: list[Any] = [len(self.grid_of(self.space).columns()["a"])]
        for number, path in enumerate(self.paths):
            fee = self.config.get().costs.fee_rate
            path.write_text(json.dumps({"number": number, "fee": fee}), encoding="utf-8")
            found.append(self.read(path))
        return found

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after and len(after) == 1 + len(self.paths)

"""Hot paths of trial records (files and the table that replaces them) and of result files.

Each `before` is reconstructed from the reports, not their code: a wrapper that picks the parser for
every file and two passes over the trials (files are parsed once, in the first), and the last name
of a sorted folder. Files lie in the page cache on both sides.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_DISK = ("statements", "steps", "commits", "fsyncs", "opens", "listings")
# The table leaves memory out: sqlite3 sweeps its dead cursors now and then, a sawtooth in it.
_TABLE = (*_DISK, "instructions", "cpu", "wall", "claim")
_FILES = (*_TABLE, "memory")
_MANY = (10_000,)  # files: too many to make anew for each of the gate's processes
_PARSERS = ("orjson", "json")


def _fields(rng: random.Random) -> dict[str, Any]:
    """What a trial file holds beside its number and state."""
    return {
        "value": rng.random(),
        "params": {
            "fast": rng.randrange(2, 60),
            "slow": rng.randrange(60, 250),
            "threshold": rng.random(),
            "stop": rng.random(),
            "target": rng.random() * 10,
            "period": rng.randrange(2, 30),
            "kind": rng.choice(("sma", "ema", "wma")),
            "side": rng.choice(("long", "short", "both")),
            "reinvest": rng.random() < 0.5,
            "learning_rate": 10 ** rng.uniform(-5, -1),
        },
        "user_attrs": {"seconds": rng.random()},
    }


class _Trials:
    """n trials, as objects and in a folder of JSON files."""

    def setup(self, n: int) -> None:
        try:
            from optimizer.protocols import Trial
            from optimizer.reference.records import load_trials as plain_load
            from optimizer.reference.records import read_json, write_trial
            from optimizer.stores._connection import Database
            from optimizer.stores.records import TrialRecords
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.records_of, self.database_of = TrialRecords, Database
        self.read_each, self.load_twice, self.write = read_json, plain_load, write_trial
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.files = self.root / "trials"
        self.files.mkdir()
        rng = random.Random(n)
        self.trials = []
        for number in range(n):
            fields = _fields(rng)
            values, params = (fields.pop("value"),), fields.pop("params")
            self.trials.append(Trial(number, "complete", params, values, fields))

    def teardown(self, n: int) -> None:
        self.folder.cleanup()

    def _written(self) -> list[Path]:
        return [self.write(self.files, trial) for trial in self.trials]

    def _loaded_twice(self, parsers: tuple[str, ...]) -> list[Any]:
        trials, others = self.load_twice(self.files, parsers)
        return [] if others else list(trials.values())


@_hot_path(claim="orjson-direct", witnesses=_FILES, claim_at=100)
class ParseDirect(_Trials):
    """n trial files, read alike and parsed: by a wrapper that picks orjson each time, or by it."""

    params = (100,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        from optimizer.stores.records_json import parse_all

        self.parse = parse_all
        self.paths = self._written()

    def before(self, n: int) -> list[Any]:
        read = self.read_each
        return [read(path, _PARSERS) for path in self.paths]

    def after(self, n: int) -> list[Any]:
        return self.parse([path.read_bytes() for path in self.paths]) or []

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after and [one["number"] for one in after] == [*range(len(self.trials))]


class _Loading(_Trials):
    """A folder of n trial files becomes trials by their numbers."""

    params = (100, *_MANY)
    param_names = ("n",)
    parsers: tuple[str, ...] = _PARSERS

    def setup(self, n: int) -> None:
        super().setup(n)
        from optimizer.stores.records import load_trials

        self.load = load_trials
        self._written()

    def before(self, n: int) -> list[Any]:
        return self._loaded_twice(self.parsers)

    def after(self, n: int) -> list[Any]:
        loaded = self.load(self.files)
        return [] if loaded.problems else list(loaded.trials.values())

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after == self.trials


@_hot_path(
    claim="trial-load",
    witnesses=_FILES,
    uncounted=_MANY,
    untimed=_MANY,
    slow_before=_MANY,
    claim_at=100,
)
class LoadFolder(_Loading):
    """A wrapper that picks orjson for each file and two passes, against one pass."""


@_hot_path(
    claim="",
    witnesses=_FILES,
    uncounted=_MANY,
    untimed=_MANY,
    slow_before=_MANY,
    claim_at=10_000,
)
class LoadFolderOfJson(_Loading):
    """The same, where the wrapper finds `json` alone; ours parses with orjson."""

    parsers = ("json",)


@_hot_path(
    claim="",
    witnesses=_TABLE,
    uncounted=_MANY,
    untimed=_MANY,
    slow_before=_MANY,
    claim_at=10_000,
)
class LoadTable(_Loading):
    """The reports' loading of a folder, against the table that replaces it."""

    def setup(self, n: int) -> None:
        super().setup(n)
        self.records = self.records_of(self.root / "study.db")
        self.records.add_batch(self.trials)

    def teardown(self, n: int) -> None:
        self.records.close()
        super().teardown(n)

    def after(self, n: int) -> list[Any]:
        return list(self.records.load().values())


@_hot_path(claim="database-store", witnesses=_TABLE, claim_at=100)
class KeepTrials(_Trials):
    """n trials stored one by one, each surviving the process, then all loaded again."""

    params = (100,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.database = self.database_of(self.root / "study.db")
        self.records = self.records_of(self.database)

    def teardown(self, n: int) -> None:
        self.database.close()
        super().teardown(n)

    def fresh(self, n: int) -> None:
        shutil.rmtree(self.files)
        self.files.mkdir()
        self.database.change("DELETE FROM trials")

    def before(self, n: int) -> list[Any]:
        self._written()
        return self._loaded_twice(_PARSERS)

    def after(self, n: int) -> list[Any]:
        for trial in self.trials:
            self.records.add(trial)
        return list(self.records.load().values())

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after == self.trials


@_hot_path(
    claim="result-path",
    witnesses=_FILES,
    uncounted=_MANY,
    untimed=_MANY,
    slow_before=_MANY,
    claim_at=10_000,
)
class FindResult:
    """The result of the trial that has just ended, looked for 20 times in a folder of n results."""

    params = (100, *_MANY)
    param_names = ("n",)
    looks = 20

    def setup(self, n: int) -> None:
        try:
            from optimizer.reference.records import last_result
            from optimizer.stores.results import read_result, result_path, write_result
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.last, self.read = last_result, read_result
        self.folder = tempfile.TemporaryDirectory()
        self.numbers = random.Random(n).sample(range(n), n)  # no two results agree
        paths = [result_path(self.folder.name, "momentum", number) for number in range(n)]
        self.results = paths[0].parent
        self.results.mkdir()
        for path, number in zip(paths[:-1], self.numbers[:-1], strict=True):
            path.write_text(f'{{"trades": {number}}}', encoding="utf-8")
        self.path = write_result(paths[-1], {"trades": self.numbers[-1]})

    def teardown(self, n: int) -> None:
        self.folder.cleanup()

    def before(self, n: int) -> list[int]:
        return [self.last(self.results)["trades"] for _ in range(self.looks)]

    def after(self, n: int) -> list[int]:
        return [self.read(self.path)["trades"] for _ in range(self.looks)]

    def agree(self, before: list[int], after: list[int]) -> bool:
        return before == after == [self.numbers[-1]] * self.looks

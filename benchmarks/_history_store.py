"""The recorded history: one small file a commit and machine, below `history/`.

A record belongs to a tree of the code, not to a name of a commit: it stands for each commit that
holds that tree, also after commits were rebased.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gate.files import replace
from benchmarks.gate.machine import processor

FOLDER = Path(__file__).with_name("history")
FORMAT = 1
PACKAGES = ("numpy", "optuna", "numba", "orjson", "sqlite")  # on which the numbers depend

# What is recorded of a case, in this order.
COST_RATIO, CPU_S, INSTRUCTIONS, PEAK_BYTES, ALLOCATIONS = COLUMNS = (
    *("cost_ratio", "cpu_s", "instructions", "peak_bytes", "allocations"),
)

Numbers = Mapping[str, float | None]  # column -> number; None where it was not measured


class HistoryError(Exception):
    """There is nothing to record, or nowhere to serve it; or a record cannot be read."""


@dataclass(frozen=True)
class Machine:
    """What a record's numbers depend on beside the code."""

    processor: str
    cores: int
    system: str
    python: str
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, python: str, packages: Mapping[str, str]) -> Machine:
        """This machine, with the Python and the packages that the worker found."""
        return cls(
            processor=processor(),
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.machine()}",
            python=python.rpartition(" ")[2],
            packages={name: packages[name] for name in PACKAGES if name in packages},
        )

    @property
    def name(self) -> str:
        """The name of its folder; says nothing about whose machine it is."""
        return named(self.processor, self.cores)


def named(model: str, cores: int) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return f"{words}-{cores}-{'core' if cores == 1 else 'cores'}"


@dataclass(frozen=True)
class Recorded:
    """A hot path of one commit: each case's numbers.

    In place of a case's numbers: None where the code lacks the part, a sentence where it failed.
    """

    workload: str
    cases: Mapping[str, Numbers | str | None]


@dataclass(frozen=True)
class Record:
    """One commit's numbers from one machine."""

    commit: str
    tree: str  # of the code under test
    date: str  # when it was recorded, UTC
    seconds: float  # that it took
    machine: Machine
    paths: Mapping[str, Recorded]
    exempt: tuple[str, ...] = ()  # what this machine could not count, and why

    @property
    def file(self) -> str:
        """Where it lies, below the folder of all records."""
        return f"{self.machine.name}/{self.commit[:12]}.json"

    def lacks(self, workloads: Mapping[str, str]) -> list[str]:
        """The hot paths of these that it holds not at all, or with another workload."""
        return [
            name
            for name, workload in workloads.items()
            if name not in self.paths or self.paths[name].workload != workload
        ]

    def joined(self, newer: Record) -> Record:
        """Both, where `newer` holds some hot paths anew."""
        seconds = self.seconds + newer.seconds
        paths = dict(sorted({**self.paths, **newer.paths}.items()))
        return Record(
            *(newer.commit, newer.tree, newer.date, seconds, newer.machine, paths, newer.exempt)
        )

    def write(self, folder: Path = FOLDER) -> Path:
        """Store it, whole or not at all; returns the file."""
        file = folder / self.file
        replace(file, _text(self))
        return file


def _text(record: Record) -> str:
    """JSON with a line for each hot path, so that a difference can be read."""
    facts = {
        "format": FORMAT,
        "commit": record.commit,
        "tree": record.tree,
        "date": record.date,
        "seconds": round(record.seconds, 1),
        "machine": vars(record.machine),
        "exempt": list(record.exempt),
        "columns": list(COLUMNS),
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items()]
    paths = [
        f"  {json.dumps(name)}: {json.dumps(_packed(path), separators=(',', ':'))}"
        for name, path in record.paths.items()
    ]
    return ",\n".join(["{\n" + lines[0], *lines[1:], ' "paths": {\n' + ",\n".join(paths)]) + (
        "\n }\n}\n"
    )


def _packed(path: Recorded) -> list[Any]:
    """The workload, and the numbers of each case in the order of the columns."""
    cases = {
        label: [_short(found.get(name)) for name in COLUMNS]
        if isinstance(found, Mapping)
        else found
        for label, found in path.cases.items()
    }
    return [path.workload, cases]


def _short(value: float | None) -> float | None:
    """Four digits say more than a timing holds; counts are exact."""
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")


def read(file: Path) -> Record:
    """The record in `file`; `HistoryError` says what is wrong with it."""
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        if table["format"] != FORMAT:
            raise HistoryError(
                f"{file} is of format {table['format']}, expected {FORMAT}: record it again, or "
                f"take the version of this project that wrote it"
            )
        return Record(
            commit=table["commit"],
            tree=table["tree"],
            date=table["date"],
            seconds=table["seconds"],
            machine=Machine(**table["machine"]),
            paths={
                name: Recorded(workload, _unpacked(cases, table["columns"]))
                for name, (workload, cases) in table["paths"].items()
            },
            exempt=tuple(table["exempt"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise HistoryError(
            f"{file} is no record of the history ({type(error).__name__}: {error}): remove it, "
            f"and record that commit again"
        ) from None


def _unpacked(cases: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Numbers | str | None]:
    return {
        label: dict(zip(columns, found, strict=True)) if isinstance(found, list) else found
        for label, found in cases.items()
    }


def read_all(folder: Path = FOLDER) -> list[Record]:
    """Every record, in the order of the files' names."""
    return [read(file) for file in sorted(folder.glob("*/*.json"))]


def of_tree(records: Iterable[Record], tree: str) -> Iterator[Record]:
    """The records that hold this code, from any machine."""
    return (record for record in records if record.tree == tree)


def workloads_now(records: Iterable[Record]) -> dict[str, str]:
    """Hot path -> the workload that was recorded last: others do not compare with it."""
    latest: dict[str, str] = {}
    for record in sorted(records, key=lambda one: one.date):
        latest |= {name: path.workload for name, path in record.paths.items()}
    return dict(sorted(latest.items()))

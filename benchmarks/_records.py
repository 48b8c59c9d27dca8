"""The ledger's files: one JSON line for each run, appended at once, never edited by hand.

What a record holds of the code it was made with is hashes: of the gate as far as it measures and
judges, of the suites, of the code under test and of the works that were planted. Only records of
one group, which differ in none of `GROUP`, are ever counted together. The code under test may
differ: each run compares it with its own baselines, and the tables name all that there were.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("ledger")
DIGITS = 5  # significant ones of each float that is kept
GROUP = ("gate", "suite", "environment", "without")

Record = dict[str, Any]

# Files of the gate that only show what was found.
_SHOWING = frozenset(
    {"__main__.py", "cli.py", "evidence.py", "grown.py", "html.py", "html_path.py", "html_style.py"}
    | {"junit.py", "markdown.py", "report.py", "strip.py", "table.py", "ticker.py", "view.py"}
)


class LedgerError(Exception):
    """A file of the ledger is damaged, or holds too little for what was asked."""


def file_of(kind: str, folder: Path = FOLDER) -> Path:
    return folder / f"{kind}.jsonl"


def append(kind: str, record: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Add a record, whole or not at all, and wait until it is on the disk.

    A last line that a power cut left torn is cut off first; other processes that append wait.
    """
    import fcntl  # which Windows lacks

    line = (json.dumps(rounded(dict(record)), separators=(",", ":")) + "\n").encode()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(file_of(kind, folder), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # until it is closed
        end = _whole_bytes(handle)
        os.truncate(handle, end)
        written = os.pwrite(handle, line, end)
        if written != len(line):
            os.truncate(handle, end)
            raise LedgerError(f"only {written} of {len(line)} bytes of a record could be written")
        os.fsync(handle)
    finally:
        os.close(handle)


def _whole_bytes(handle: int) -> int:
    size = os.fstat(handle).st_size
    content = os.pread(handle, size, 0)
    return content.rfind(b"\n") + 1


def read(kind: str, folder: Path = FOLDER) -> list[Record]:
    """All records of a kind, the oldest first; a torn last line is no record."""
    file = file_of(kind, folder)
    if not file.exists():
        return []
    records: list[Record] = []
    *lines, _ = file.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise LedgerError(
                f"{file}:{number} is no record ({error}): restore it from git"
            ) from None
    return records


def rounded(value: Any) -> Any:
    """Floats to `DIGITS` significant digits, in whatever holds them."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


# --- what a record was made with


def gate_hash(root: Path) -> str:
    """Hash of the gate as far as it measures and judges; comments and docstrings do not count."""
    files = sorted((root / "benchmarks" / "gate").glob("*.py"))
    return _hash([file for file in files if file.name not in _SHOWING])


def suite_hash(root: Path) -> str:
    """Hash of the suites and the registry, in the same way."""
    folder = root / "benchmarks"
    suites = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    return _hash([*suites, folder / "_registry.py"])


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
                ast.get_docstring(node, clean=False) is not None
            ):
                del node.body[0]
        digest.update(f"{file.name}\n{ast.unparse(tree)}\n".encode())
    return digest.hexdigest()[:12]


def plants_hash(works: Iterable[object]) -> str:
    """Hash of what is planted."""
    return hashlib.sha256(repr(list(works)).encode()).hexdigest()[:12]


# --- which records belong together


def group_of(record: Mapping[str, Any]) -> str:
    """The same text for records that may be counted together."""
    return json.dumps([record[name] for name in GROUP], sort_keys=True)


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """The records that may be counted together, group by group, the oldest first."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(group_of(record), []).append(record)
    return list(found.values())


def newest_gate(records: list[Record]) -> list[Record]:
    """The records made with the same gate as the last one."""
    return [record for record in records if record["gate"] == records[-1]["gate"]]


def is_red(record: Mapping[str, Any]) -> bool:
    """Whether the run failed; one in which the gate broke did."""
    return record["exit_code"] != 0 or bool(record["errors"])

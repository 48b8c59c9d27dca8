"""Who may import whom, how long a file may be, and that the yardstick does not move.

After a deliberate change of a twin: `python tests/test_floors.py --renew`, and say why in the
commit.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HASHES = ROOT / "tests" / "twin_hashes.json"
MOST_LINES = 400

# Rooms by floor, lowest first. Rooms of one row never import one another.
FLOORS = (
    ("protocols", "errors", "_compat"),
    ("reference",),  # floor 1 has an order of its own, down to here
    ("caching", "_compiled", "_fields", "_own_copy", "_versioned"),
    ("configuration",),
    ("_parameters",),
    ("_axis",),
    ("_grid",),
    ("space",),
    ("_canonical",),
    ("signature",),
    ("stores", "sampling", "backtest"),
    ("efficiency", "workers", "_sweep_threads"),
    ("report",),
    ("study", "sweep"),
    ("__init__", "__main__"),
)
RANK = {room: rank for rank, row in enumerate(FLOORS) for room in row}
GATE_ADAPTERS = {"memory.py", "asv_suite.py"}  # memray and asv at the edge


def imports_of(path: Path, package: str) -> Iterator[str]:
    """Dotted absolute names a file imports anywhere in it; `from a import b` gives `a.b`."""
    for level, module, names in written_imports(path.read_text(encoding="utf-8")):
        base = package.split(".")
        above = base[: len(base) - level + 1] if level else []
        start = ".".join([*above, *([module] if module else [])])
        yield from (f"{start}.{name}" if start else name for name in names)


@functools.cache  # the same files are looked at again and again
def written_imports(source: str) -> list[tuple[int, str, tuple[str, ...]]]:
    """The imports of a source as they stand there: level, module and names."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.append((0, "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append((node.level, node.module or "", names))
    return found


def package_of(path: Path, root: Path) -> str:
    """The package of a file, to which its relative imports refer."""
    return ".".join(path.relative_to(root).parent.parts)


def wrong_imports(root: Path) -> list[str]:
    """One line for each import in optimizer/ that is not of a floor below."""
    wrong = []
    for path in sorted((root / "optimizer").rglob("*.py")):
        place = path.relative_to(root)
        room = place.parts[1].removesuffix(".py")
        if room not in RANK:
            wrong.append(f"{place}: has no floor; give it one in tests/test_floors.py")
            continue
        for name in imports_of(path, package_of(path, root)):
            fault = fault_of(room, name)
            if fault:
                wrong.append(f"{place}: imports {name}, {fault}")
    return wrong


def fault_of(room: str, name: str) -> str | None:
    first, *rest = name.split(".")
    if first != "optimizer":
        plain = first in sys.stdlib_module_names or first == "numpy"
        return "which a twin must not" if room == "reference" and not plain else None
    other = rest[0] if rest and rest[0] in RANK else "__init__"
    if other == room:
        return None
    if room == "reference" and other != "protocols":
        return "but a twin knows only optimizer.protocols"
    if RANK[other] >= RANK[room]:
        return f"but {other} is not below {room}"
    return None


def wrong_gate_imports(root: Path) -> list[str]:
    """One line for each import in benchmarks/gate that ties it to anything but Python."""
    gate = root / "benchmarks" / "gate"
    wrong = []
    for path in sorted(gate.rglob("*.py")):
        for name in imports_of(path, package_of(path, gate.parent)):
            first = name.split(".")[0]
            ours = first == "gate"  # relative imports, as seen from the folder above
            absolute = first in {"benchmarks", "optimizer", "velocity_gate", ""}
            foreign = first not in sys.stdlib_module_names and path.name not in GATE_ADAPTERS
            if not ours and (absolute or foreign):
                wrong.append(f"{path.relative_to(root)}: imports {name}")
    return wrong


def twin_hashes() -> dict[str, str]:
    twins = sorted((ROOT / "optimizer" / "reference").glob("*.py"))
    return {twin.name: hashlib.sha256(twin.read_bytes()).hexdigest() for twin in twins}


def test_every_import_goes_down() -> None:
    assert wrong_imports(ROOT) == []


def test_the_gate_depends_on_nothing() -> None:
    assert wrong_gate_imports(ROOT) == []


PLANTS = [
    ("errors.py", "import optimizer.space"),
    ("caching.py", "from optimizer.signature import param_signature"),
    ("space.py", "from . import signature"),
    ("space.py", "from optimizer import param_signature"),
    ("signature.py", "def late():\n    from optimizer.stores import guard"),
    ("signature.py", "if TYPE_CHECKING:\n    from optimizer.study import optimize"),
    ("reference/caching.py", "from optimizer.errors import CacheError"),
    ("reference/caching.py", "import pandas"),
    ("stores/guard.py", "from optimizer.backtest.prices import load_sp500"),
    ("stores/guard.py", "from ..sampling import tpe"),
    ("backtest/prices.py", "from optimizer.stores import guard"),
    ("backtest/prices.py", "from optimizer.workers import pool"),
    ("efficiency/__init__.py", "import optimizer.workers"),
    ("somewhere.py", ""),
]


@pytest.fixture(name="copied")
def _copied(tmp_path: Path) -> Path:
    only_python = shutil.ignore_patterns("__pycache__", "data", "*.json", "*.jsonl")
    for name in ("optimizer", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=only_python)
    return tmp_path


@pytest.mark.parametrize(("file", "line"), PLANTS)
def test_a_planted_import_is_seen(copied: Path, file: str, line: str) -> None:
    assert wrong_imports(copied) == []
    plant(copied / "optimizer" / file, line)
    assert [fault.split(":")[0] for fault in wrong_imports(copied)] == [f"optimizer/{file}"]


@pytest.mark.parametrize(
    "line",
    ["import optimizer", "import numpy", "from benchmarks.gate import rules", "from .. import x"],
)
def test_an_import_planted_in_the_gate_is_seen(copied: Path, line: str) -> None:
    plant(copied / "benchmarks" / "gate" / "rules.py", line)
    assert [fault.split(":")[0] for fault in wrong_gate_imports(copied)] == [
        "benchmarks/gate/rules.py"
    ]


def plant(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


@pytest.mark.parametrize("line", ["import optimizer.errors", "from .protocols import Params"])
def test_an_import_of_a_lower_floor_is_fine(copied: Path, line: str) -> None:
    plant(copied / "optimizer" / "space.py", line)
    assert wrong_imports(copied) == []


def test_profiling_is_no_package() -> None:
    # The standard library of Python 3.15 has a package of this name, which cProfile imports.
    assert (ROOT / "profiling").is_dir()
    assert not (ROOT / "profiling" / "__init__.py").exists()


def test_twins_have_not_moved() -> None:
    stored = json.loads(HASHES.read_text(encoding="utf-8"))
    assert twin_hashes() == stored, (
        "a twin changed: it is the yardstick of tests and benchmarks; if that is meant, run "
        "`python tests/test_floors.py --renew` and say why in the commit"
    )


def test_files_stay_short() -> None:
    files = [path for name in ("optimizer", "benchmarks") for path in (ROOT / name).rglob("*.py")]
    assert files
    lines = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


if __name__ == "__main__":
    if sys.argv[1:] != ["--renew"]:
        sys.exit("usage: python tests/test_floors.py --renew   (stores the hashes of the twins)")
    HASHES.write_text(json.dumps(twin_hashes(), indent=2) + "\n", encoding="utf-8")
    print(f"wrote {HASHES}")

"""Which folders the gate compares and where a project's hot paths are declared."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError

TABLE = "velocity-gate"


@dataclass(frozen=True)
class Project:
    """A git project with a suite of hot paths, as `[tool.velocity-gate]` describes it."""

    root: Path
    code: str  # folder of the package that is compared, staged from both sides
    suite: str  # folder of the suite, staged from the working tree for both sides
    loader: str  # "module:function" that returns the hot paths
    baselines: str  # folder of the stored baselines
    scratch: str = ".gate"
    graph: bool = True  # whether imports tell which changes reach a hot path

    @property
    def package(self) -> str:
        """The name that `code` is imported by."""
        return self.code.rpartition("/")[2]

    @property
    def scratch_dir(self) -> Path:
        return self.root / self.scratch

    @property
    def baseline_dir(self) -> Path:
        return self.root / self.baselines


def describes_itself(root: Path) -> bool:
    """Whether the project has a `[tool.velocity-gate]`; a broken file counts as one."""
    file = root / "pyproject.toml"
    try:
        return TABLE in tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except OSError:
        return False
    except ValueError:
        return True


def read_project(root: Path) -> Project:
    """The project in `root`; `UsageError` names the field that is missing or unknown."""
    root = root.resolve()  # stages are named absolutely: workers run elsewhere
    file = root / "pyproject.toml"
    if not file.is_file():
        raise UsageError(f"no pyproject.toml in {root}: name the project with --root")
    try:
        everything = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None
    table: dict[str, Any] = everything.get("tool", {}).get(TABLE, {})
    known = {"code", "suite", "loader", "baselines", "scratch"}
    missing, unknown = sorted(known - {"scratch"} - set(table)), sorted(set(table) - known)
    if missing or unknown:
        raise UsageError(
            f"[tool.{TABLE}] of {file}: "
            + "; ".join(
                [f"missing {name}" for name in missing] + [f"unknown {name}" for name in unknown]
            )
        )
    return Project(root=root, **table)

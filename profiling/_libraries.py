"""Which files belong to libraries: a folder of one's own may be called as one of them.

Installed ones lie below site-packages or dist-packages.  Optuna and this project may be imported
from their sources, too; where those lie is told by files that nobody else has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_PACKAGES = re.compile(r"^.*/(?:site|dist)-packages(?=/)")
# The files of Optuna of which a study runs at least one.
_OPTUNA = re.compile(
    r"^(.*)/optuna/(?:study/_(?:optimize|tell|frozen)|trial/_(?:trial|frozen)"
    r"|storages/_(?:in_memory|cached_storage|base|rdb/storage))\.py$"
)
_REPOSITORY = Path(__file__).resolve().parent.parent


class Libraries:
    """Knows the libraries among the files of one recording."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        above = {match[1] for match in map(_OPTUNA.match, files) if match}
        own = {f"{folder}/optuna/": folder for folder in above}
        self._sources = {**own, f"{_REPOSITORY}/optimizer/": str(_REPOSITORY)}
        self._beside = tuple(
            f"{folder}/" for folder in above if any(Path(folder).glob("optuna-*.dist-info"))
        )

    def part(self, file: str) -> str:
        """The path of a library's file from its library on, as `/optuna/study/study.py`.

        Empty for any other file.
        """
        installed = _PACKAGES.match(file)
        if installed:
            return file[installed.end() :]
        for folder, above in self._sources.items():
            if file.startswith(folder):
                return file[len(above) :]
        for folder in self._beside:  # as after `pip install --target`
            if file.startswith(folder):
                return file[len(folder) - 1 :]
        return ""

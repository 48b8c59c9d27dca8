"""What every part of a store shares: a study of a file, alone or with others on one `Database`."""

from __future__ import annotations

import os
from typing import Any

from optimizer.stores import _schema
from optimizer.stores._arguments import require_name
from optimizer.stores._closing import Closing
from optimizer.stores._connection import Database

CHUNK = 500  # rows asked for by one query

_STUDY = "SELECT id FROM studies WHERE name = ?"
_NEW_STUDY = "INSERT INTO studies (name) VALUES (?) ON CONFLICT DO NOTHING"


class Part(Closing):
    """One study's part of a store file.

    It opens the file itself, or, given a `Database`, shares that one's connections and leaves
    closing them to its owner.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Database,
        *,
        study: str = "default",
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        self.study = require_name(study)
        self._shares = isinstance(path, Database)
        self._database = (
            path
            if isinstance(path, Database)
            else Database(path, durability=durability, timeout_s=timeout_s)
        )
        try:
            self._study_id = self._resolve_study()
        except BaseException:
            if not self._shares:
                self._database.close()
            raise

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._database.path

    def check(self) -> None:
        """Raise StoreCorruptError unless the file is whole. Cost: reads the whole file."""
        self._database.check()
        if self._database.fetch(_STUDY, (self.study,)) != [(self._study_id,)]:
            raise _schema.damaged(self.path, f"study {self.study!r} is not there any more")

    def close(self) -> None:
        """Close the connections of all threads, each after its call under way; may be repeated."""
        if not self._shares:
            self._database.close()

    def __reduce__(self) -> tuple[object, ...]:
        return (_reopen, (type(self), self.path, self._settings()))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{type(self).__name__}({self.path!r}, {settings})"

    def _settings(self) -> dict[str, Any]:
        """The arguments, beside the path, that open the same part again."""
        return {
            "study": self.study,
            "durability": self._database.durability,
            "timeout_s": self._database.timeout_s,
        }

    def _resolve_study(self) -> int:
        rows = self._database.fetch(_STUDY, (self.study,))
        if not rows:
            self._database.change(_NEW_STUDY, (self.study,))
            rows = self._database.fetch(_STUDY, (self.study,))
        if not rows:
            raise _schema.damaged(self.path, f"study {self.study!r} cannot be found by its name")
        return int(rows[0][0])


def _reopen(kind: type[Part], path: str, settings: dict[str, Any]) -> Part:
    return kind(path, **settings)

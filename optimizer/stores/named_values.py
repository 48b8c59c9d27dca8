"""NamedValues: JSON values of a study, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optimizer.stores import _schema
from optimizer.stores._arguments import require_name
from optimizer.stores._encoding import UNREADABLE, from_json, to_json
from optimizer.stores._part import Part

__all__ = ["NamedValues"]

_SET = (
    "INSERT INTO metadata (study, name, value) VALUES (?, ?, ?)"
    " ON CONFLICT (study, name) DO UPDATE SET value = excluded.value"
)
_GET = "SELECT name, value FROM metadata WHERE study = ? AND name = ?"
_ALL = "SELECT name, value FROM metadata WHERE study = ? ORDER BY name"
_REMOVE = "DELETE FROM metadata WHERE study = ? AND name = ?"


class NamedValues(Part):
    """The metadata of one study: name -> what JSON can hold.

    Durability, threads, processes, forks, pickling and errors of the file: as `NoDupeGuard`.

    Parameters
    ----------
    path : str or os.PathLike
        The file; created if it is not there.
    study : str
        The study; any text that is not empty.
    durability, timeout_s
        As for `NoDupeGuard`.
    """

    def update(self, values: Mapping[str, Any]) -> None:
        """Store all or none, replacing those of the same name.

        Cost: one transaction, one statement per name.

        Raises
        ------
        EvaluationError
            A value that JSON cannot hold exactly.
        StoreArgumentError
            A name that is no text, or empty.
        """
        rows = [
            (self._study_id, require_name(name, "name"), to_json(value, f"the value of {name!r}"))
            for name, value in values.items()
        ]
        if rows:
            self._database.change_many(_SET, rows)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, the caller's own; else the default. Cost: one query."""
        rows = self._database.fetch(_GET, (self._study_id, require_name(name, "name")))
        return self._read(rows).get(name, default)

    def all(self) -> dict[str, Any]:
        """Every name and value, in the order of the names. Cost: one query."""
        return self._read(self._database.fetch(_ALL, (self._study_id,)))

    def remove(self, name: str) -> bool:
        """Forget it; True if it was there. Cost: one statement."""
        return self._database.change(_REMOVE, (self._study_id, require_name(name, "name"))) == 1

    def check(self) -> None:
        """Raise StoreCorruptError unless the file and the values of this study are whole.

        Cost: reads the whole file.
        """
        super().check()
        self.all()

    def _read(self, rows: Iterable[tuple[str, str]]) -> dict[str, Any]:
        found = {}
        for name, text in rows:
            try:
                found[name] = from_json(text)
            except UNREADABLE as error:
                raise _schema.damaged(
                    self.path,
                    f"the metadata {name!r} of study {self.study!r} are no JSON ({error}); set"
                    " them anew, or remove them",
                ) from None
        return found

"""Metadata of a study, written in batches: to a JSON file, or to the table of a store.

What a study wants known about itself changes often (the best value, counters, the time), and each
value replaces the last. So updates are gathered and written together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

from optimizer.errors import StoreCorruptError, StorePathError
from optimizer.stores._arguments import require_name
from optimizer.stores._closing import Closing
from optimizer.stores._encoding import from_json, to_json
from optimizer.stores.metadata_batch import Batch
from optimizer.stores.named_values import NamedValues
from optimizer.stores.results import parse_file, write_atomically

__all__ = ["MetadataFile", "MetadataTable"]

MAX_UPDATES = 100
MAX_AGE_S = 5.0

_ATOMS = frozenset((type(None), bool, int, float, str))


class _Target(Protocol):
    def update(self, values: Mapping[str, Any], /) -> None: ...

    def get(self, name: str, default: Any = None, /) -> Any: ...

    def all(self) -> dict[str, Any]: ...

    def remove(self, name: str, /) -> bool: ...

    def close(self) -> None: ...


class _Batched(Closing):
    """Named values that are written together; a `MetadataStore` of `optimizer.protocols`.

    An update is taken at once, and every read of this object shows it. It is written with
    `max_updates` others, or when the oldest has waited for `max_age_s`, at `flush`, `close`, the
    end of the interpreter, and SIGTERM; of several values of a name only the last. A process that
    is killed (kill -9, a power cut) loses at most what has waited, and never leaves a part of a
    batch. A child that ends by `os._exit`, as those of `multiprocessing` do, calls `close` first.

    Every method may be called from any thread, but not from a signal handler. After a fork the
    child has none of the updates that waited in the parent, which writes them.

    SIGTERM: made in the main thread, it puts a handler in front of the one that was there, which
    writes what waits and then does what that one would have done: call it, end the process by the
    signal, or nothing. If writing fails because of what the signal interrupted, the process leaves
    by SystemExit(143) instead and writes at its exit. Made in another thread, or where the handler
    was not set by Python, no handler is installed. Who sets one of their own later calls `flush`
    in it. The last `close` (in the main thread) puts the old handler back.
    """

    def __init__(self, target: _Target, name: str, max_updates: int, max_age_s: float) -> None:
        self._target = target
        try:
            self._batch = Batch(target, max_updates, max_age_s, name)
        except BaseException:
            target.close()
            raise

    def set(self, name: str, value: Any) -> None:
        """`update` with one value."""
        self.update({name: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Take values; a caller who changes them later changes nothing here.

        Cost: linear in the values; the update that fills a batch pays for writing it.

        Raises
        ------
        EvaluationError, StoreArgumentError
            A value or a name that cannot be kept; nothing was taken.
        StoreError
            The batch could not be written. It waits on and is tried again.
        """
        self._require_open()
        self._batch.update({require_name(n, "name"): _own(n, v) for n, v in values.items()})

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name, the caller's own; else the default."""
        with self._batch.call():
            if name in self._batch.waiting:
                return _own(name, self._batch.waiting[name])
            return self._target.get(name, default)

    def all(self) -> dict[str, Any]:
        """Every name and value, in the order of the names, the caller's own."""
        with self._batch.call():
            waiting = {name: _own(name, value) for name, value in self._batch.waiting.items()}
            return dict(sorted({**self._target.all(), **waiting}.items()))

    def remove(self, name: str) -> bool:
        """Forget it at once; True if it was there. Cost: what waits is written too."""
        with self._batch.call():
            self._batch.write()
            return self._target.remove(name)

    def flush(self) -> None:
        """Write what waits now."""
        self._batch.flush()

    def close(self) -> None:
        """Write what waits and close; may be repeated. If it raises, it is still open.

        An update that another thread makes meanwhile is written, or raises StoreClosedError.
        """
        if self._batch.close():
            self._target.close()

    def __repr__(self) -> str:
        batch = self._batch
        return (
            f"{type(self).__name__}({batch.name!r}, max_updates={batch.max_updates},"
            f" max_age_s={batch.max_age_s:g})"
        )

    def _require_open(self) -> None:
        """Raise at once, before anything is copied; `Batch.call` looks again."""
        if self._batch.closed:
            raise self._batch.refusal()


class MetadataFile(_Batched):
    """Metadata as one JSON object in a file, replaced as a whole.

    The file is written atomically and durably, as `write_result` does. One object writes a file at
    a time: two would take turns in replacing each other's values.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its folder is created with the first batch.
    max_updates : int
        This many updates are written at the latest; 1 writes each.
    max_age_s : float
        An update waits for this long at most, in seconds.

    Raises
    ------
    StoreCorruptError
        The file is there, but holds no JSON object. It was left as it was.
    StorePathError
        The path cannot be read.
    StoreArgumentError
        `max_updates` or `max_age_s` is not one.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with MetadataFile(folder.name + "/study.json") as metadata:
    ...     for trial in range(1000):
    ...         metadata.set("trials", trial + 1)
    >>> MetadataFile(folder.name + "/study.json").get("trials")
    1000
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_updates: int = MAX_UPDATES,
        max_age_s: float = MAX_AGE_S,
    ) -> None:
        name = os.path.abspath(os.fsdecode(path))
        super().__init__(_File(name), name, max_updates, max_age_s)


class MetadataTable(_Batched):
    """Metadata of one study in the table of a store file.

    Any number of processes may write it; of two values of a name the one written last stays.

    Parameters
    ----------
    path : str or os.PathLike
        The store file; created if it is not there.
    study : str
        The namespace; any text that is not empty.
    max_updates : int
        This many updates are written at the latest; 1 writes each.
    max_age_s : float
        An update waits for this long at most, in seconds.
    durability, timeout_s
        As for `NoDupeGuard`.

    Raises
    ------
    StoreError
        One of its kinds, as `NoDupeGuard` says.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        study: str = "default",
        max_updates: int = MAX_UPDATES,
        max_age_s: float = MAX_AGE_S,
        durability: str = "process",
        timeout_s: float = 10.0,
    ) -> None:
        table = NamedValues(path, study=study, durability=durability, timeout_s=timeout_s)
        super().__init__(table, table.path, max_updates, max_age_s)


class _File:
    """A JSON object in a file; every write replaces the file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._texts: dict[str, str] = {}  # name -> its value as JSON
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorePathError(
                f"{path!r} cannot be read: {error.strerror}. Expected a JSON file or a new path."
            ) from None
        found = parse_file(data, path)
        if type(found) is not dict:
            raise StoreCorruptError(
                f"{path!r} holds JSON of type {type(found).__name__}, expected an object of names"
                " and values. Move it away, or choose another path."
            )
        self._texts = {name: to_json(value, name) for name, value in found.items()}

    def update(self, values: Mapping[str, Any], /) -> None:
        self._replace({**self._texts, **{n: to_json(v, n) for n, v in values.items()}})

    def get(self, name: str, default: Any = None, /) -> Any:
        text = self._texts.get(name)
        return default if text is None else from_json(text)

    def all(self) -> dict[str, Any]:
        return {name: from_json(text) for name, text in self._texts.items()}

    def remove(self, name: str, /) -> bool:
        if name not in self._texts:
            return False
        self._replace({n: text for n, text in self._texts.items() if n != name})
        return True

    def close(self) -> None:
        """Nothing stays open between writes."""

    def _replace(self, texts: dict[str, str]) -> None:
        lines = ",\n".join(f"{json.dumps(name)}: {texts[name]}" for name in sorted(texts))
        write_atomically(self._path, f"{{\n{lines}\n}}\n".encode())
        self._texts = texts


def _own(name: str, value: Any) -> Any:
    """A value nobody else can change."""
    return value if type(value) in _ATOMS else from_json(to_json(value, f"the value of {name!r}"))

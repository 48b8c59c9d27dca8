"""Files that are read once per version: a default configuration, and JSON files on request."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, NoReturn, overload

from optimizer._fields import FieldError, build
from optimizer._own_copy import is_unchanging, own_copy
from optimizer._versioned import Value, VersionedFile, read_file
from optimizer.caching import LRUCache
from optimizer.errors import ConfigurationError

__all__ = [
    "JSON_CACHE",
    "ConfigurationError",
    "DefaultConfiguration",
    "VersionedFile",
    "own_copy",
    "read_json",
]

JSON_CACHE = "OPTIMIZER_JSON_CACHE"
"""The environment variable that makes `read_json` keep what it parsed; off unless set."""
MAX_JSON_FILES = 10_000
"""JSON files kept at most; the one used longest ago makes room."""


class _Kept(NamedTuple):
    value: Any
    shared: bool  # whether nobody can change it


class DefaultConfiguration(Generic[Value]):
    """A configuration file, read and validated once for each version of the file.

    Promises: what `get` returns is the caller's own: nobody sees what another changes in it. A
    changed file is noticed by the next `get`, and validated; while it is damaged or refused, `get`
    raises, and never answers with an older version. Thread-safe; see VersionedFile.

    Cost: `get` takes one `stat`, none within `recheck_s` of the last; and a copy of the value, but
    none where nobody can change it: a frozen dataclass of such fields, without cached properties,
    is shared by all.

    Args:
        path: a .json or .toml file whose top level is a table.
        validate: what turns the table into the configuration, and raises where that is wrong (a
            pydantic model's `model_validate`); or a dataclass, which is built from the table:
            its field names and types are checked, nested dataclasses are built too. Without it,
            the table itself.
        recheck_s: seconds for which a change may go unnoticed.

    Raises:
        ConfigurationError: another suffix, or recheck_s below 0. By `get`: the file is not there,
            cannot be read, is damaged, or the validation refuses it.

    Example:
        >>> import dataclasses, pathlib, tempfile
        >>> @dataclasses.dataclass(frozen=True)
        ... class Defaults:
        ...     fee_rate: float
        ...     assets: tuple[str, ...] = ("SPY",)
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name, "defaults.toml")
        >>> _ = path.write_text("fee_rate = 0.001")
        >>> DefaultConfiguration(path, Defaults).get()
        Defaults(fee_rate=0.001, assets=('SPY',))
        >>> folder.cleanup()
    """

    @overload
    def __init__(
        self: DefaultConfiguration[dict[str, Any]],
        path: str | os.PathLike[str],
        *,
        recheck_s: float = 0.0,
    ) -> None: ...

    @overload
    def __init__(
        self,
        path: str | os.PathLike[str],
        validate: Callable[[dict[str, Any]], Value] | type[Value],
        *,
        recheck_s: float = 0.0,
    ) -> None: ...

    def __init__(
        self, path: str | os.PathLike[str], validate: Any = None, *, recheck_s: float = 0.0
    ) -> None:
        suffix = os.path.splitext(os.fspath(path))[1].lower()
        if suffix not in _FORMATS:
            raise ConfigurationError(
                f"found the suffix {suffix!r} of {os.fspath(path)!r}, expected .json or .toml"
            )
        self._validate = validate
        self._file = VersionedFile(path, self._accept, recheck_s=recheck_s)

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._file.path

    def get(self) -> Value:
        """The configuration of now, for the caller to keep and to change."""
        value, shared = self._file.value()
        return value if shared else own_copy(value)  # type: ignore[no-any-return]  # a cast is a call

    def __reduce__(self) -> tuple[Any, ...]:
        return _configured, (self.path, self._validate, self._file.recheck_s)

    def __repr__(self) -> str:
        return f"DefaultConfiguration({self.path!r}, {self._validate!r})"

    def _accept(self, data: bytes) -> _Kept:
        """Parse and validate what the file holds."""
        path = self._file.path
        table = _table(path, data)
        try:
            if isinstance(self._validate, type) and dataclasses.is_dataclass(self._validate):
                value = build(self._validate, table)
            else:
                value = table if self._validate is None else self._validate(table)
            kept = _Kept(value, is_unchanging(value))
            if not kept.shared:
                own_copy(value)  # what cannot be copied must fail here, not in a trial
        except FieldError as error:
            raise ConfigurationError(f"{path}: {error}") from None
        except Exception as error:
            text = str(error)[:500]
            raise ConfigurationError(
                f"{path}: found what its validation refuses, {type(error).__name__}: {text}; "
                f"mend the file"
            ) from error
        return kept


def _configured(path: str, validate: Any, recheck_s: float) -> DefaultConfiguration[Any]:
    return DefaultConfiguration(path, validate, recheck_s=recheck_s)


def _table(path: str, data: bytes) -> dict[str, Any]:
    kind = os.path.splitext(path)[1].lower()
    try:
        table = _FORMATS[kind](data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of UTF-8, JSON, TOML; numbers too long; nesting
        raise ConfigurationError(
            f"{path}: found damage, {type(error).__name__}: {error}; expected {kind[1:].upper()}; "
            f"mend the file"
        ) from None
    if not isinstance(table, dict):
        raise ConfigurationError(
            f"{path}: found {table!a:.80} at the top, expected a table of names and values"
        )
    return table


def _json_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in table if names.count(name) > 1)
        raise ValueError(f"the name {twice!a:.80} stands twice in one table")
    return table


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _strict_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_json_once, parse_constant=_no_constant)


_FORMATS: dict[str, Callable[[str], Any]] = {".json": _strict_json, ".toml": tomllib.loads}


# --- JSON files, kept on request

_json_files: LRUCache[str, VersionedFile[Any]] = LRUCache(MAX_JSON_FILES)
_OFF = frozenset({"", "0", "false", "no", "off"})


def read_json(path: str | os.PathLike[str]) -> Any:
    """What `json.load` returns for a file; parsed once per version, if the environment says so.

    With `OPTIMIZER_JSON_CACHE=1` what was parsed is kept in this process, for at most 10,000 files,
    until the file changes; see VersionedFile. The answer is the caller's own either way.

    Cost: unset, as `json.load`. Set, a `stat` and a copy, as `own_copy` makes it.

    Raises:
        ConfigurationError: the file is not there, cannot be read, or is no JSON.
    """
    given = os.fspath(path)
    full = given if os.path.isabs(given) else os.path.abspath(given)
    if os.environ.get(JSON_CACHE, "").strip().lower() in _OFF:
        return _parse_json(full, read_file(full)[1])
    file = _json_files.get(full)
    if file is None:
        file = VersionedFile(full, partial(_parse_json, full))
        file.value()  # what cannot be read takes nobody's room
        _json_files.put(full, file)
    return own_copy(file.value())


def _parse_json(path: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path}: found damage, {type(error).__name__}: {error}; expected JSON; mend or remove "
            f"the file"
        ) from None

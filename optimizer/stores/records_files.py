"""Folders of trial files, read in one pass; whatever is no trial is reported.

`records_format` says what a trial file is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import NamedTuple

from optimizer.errors import StorePathError
from optimizer.protocols import Trial
from optimizer.stores.records_format import trial_from, trials_from
from optimizer.stores.records_json import careful, direct, parse_all

MAX_FILE_BYTES = 64 * 1024 * 1024

_TOGETHER = 32  # files that are parsed at once, and one by one if there is anything odd about one
_READ_BYTES = 16 * 1024  # a trial file is normally much smaller, so one read gets all of it
# Without O_NONBLOCK, opening a pipe would wait for its writer for ever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_Place = tuple[str, int | None]  # what stands before a name, and the folder that it lies in


class Problem(NamedTuple):
    """A file that gave no trial, and what was found in it and expected."""

    file: str
    found: str

    def __str__(self) -> str:
        name = self.file if self.file.isprintable() else repr(self.file)
        return f"{name}: {self.found}"


class LoadedTrials(NamedTuple):
    """The trials by their numbers, in the order of their files, and all other files."""

    trials: dict[int, Trial]
    problems: list[Problem]


def load_trials(folder: str | os.PathLike[str]) -> LoadedTrials:
    """Read every trial file of a folder, in the order of the names.

    Each name in the folder is either a trial or a problem: damaged, half-written, empty, foreign,
    not named `*.json`, not a file, or of a number that an earlier file has. Names that come while
    it reads are not seen. The answer does not depend on whether orjson is there.

    Cost: one listing; for each file one open and one read, and 32 are open at a time. All trials
    are held in memory.

    Parameters
    ----------
    folder : str or os.PathLike
        The folder; `optimizer.stores.records_format` describes its files.

    Returns
    -------
    LoadedTrials
        `trials`, number -> `Trial`, and `problems`, each with the name of its file.

    Raises
    ------
    StorePathError
        The folder is not there, is none, or cannot be read.

    Warns
    -----
    SlowFallbackWarning
        Once a process, if orjson is not there.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> good, bad = (pathlib.Path(folder.name, name) for name in ("0.json", "1.json"))
    >>> _ = good.write_text('{"number": 0, "params": {"x": 1}, "value": 2.5}')
    >>> _ = bad.write_text('{"number": 1, "par')
    >>> loaded = load_trials(folder.name)
    >>> loaded.trials[0].values, [problem.file for problem in loaded.problems]
    ((2.5,), ['1.json'])
    >>> folder.cleanup()
    """
    trials: dict[int, Trial] = {}
    problems: list[Problem] = []
    for _, some in _read_in_groups(folder, trial_names(folder), problems):
        trials.update(some)
    return LoadedTrials(trials, problems)


def trial_names(folder: str | os.PathLike[str]) -> list[str]:
    """The names in a folder, sorted. Cost: one listing."""
    try:
        return sorted(os.listdir(os.fsdecode(folder)))
    except OSError as error:
        raise StorePathError(
            f"{os.fsdecode(folder)!r} cannot be listed: {error.strerror}. Expected a folder of"
            " trial files."
        ) from None


def read_in_batches(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    problems: list[Problem],
    size: int = 512,
) -> Iterator[dict[str, Trial]]:
    """Read the named files; yields name -> trial, about `size`, and appends to `problems`."""
    batch: dict[str, Trial] = {}
    for some, trials in _read_in_groups(folder, names, problems):
        batch.update(zip(some, trials.values(), strict=True))
        if len(batch) >= size:
            yield batch
            batch = {}
    if batch:
        yield batch


def _read_in_groups(
    folder: str | os.PathLike[str], names: Sequence[str], problems: list[Problem]
) -> Iterator[tuple[Sequence[str], dict[int, Trial]]]:
    """Read the named files, some at a time: those that gave trials, and these by their numbers."""
    prefix = os.path.join(os.fsdecode(folder), "")
    files: dict[int, str] = {}
    with _opened(prefix) as place:
        for start in range(0, len(names), _TOGETHER):
            some = names[start : start + _TOGETHER]
            trials = _read_together(place, some)
            if len(trials) == len(some) and files.keys().isdisjoint(trials):
                files.update(zip(trials, some, strict=True))
                yield some, trials
            else:
                yield _read_one_by_one(prefix, some, files, problems)


def _read_together(place: _Place, names: Sequence[str]) -> dict[int, Trial]:
    """The trials of some files; fewer if there is anything odd about one of the files."""
    if not all(map(str.endswith, names, repeat(".json"))):
        return {}
    try:
        data = _starts_of(place, names)
    except OSError:
        return {}
    if max(map(len, data)) == _READ_BYTES:
        return {}
    found = parse_all(data)
    trials = None if found is None else trials_from(found)
    return {} if trials is None else {trial.number: trial for trial in trials}


def _read_one_by_one(
    prefix: str, names: Sequence[str], files: dict[int, str], problems: list[Problem]
) -> tuple[list[str], dict[int, Trial]]:
    good: list[str] = []
    trials: dict[int, Trial] = {}
    for name in names:
        found = _read(prefix, name)
        if isinstance(found, Problem):
            problems.append(found)
            continue
        first = files.setdefault(found.number, name)
        if first is name:
            good.append(name)
            trials[found.number] = found
        else:
            what = f"its number is {found.number}, expected another: {first} has it"
            problems.append(Problem(name, what))
    return good, trials


def _read(prefix: str, name: str) -> Trial | Problem:
    if not name.endswith(".json"):
        return Problem(name, "is not named *.json, expected trial files alone in the folder")
    try:
        data = _start_of(prefix + name)
        if len(data) < _READ_BYTES:
            return trial_from(direct()(data))
    except (OSError, ValueError):
        pass
    return read_with_care(prefix, name)


@contextmanager
def _opened(prefix: str) -> Iterator[_Place]:
    """The place of the files: where the system can, the folder, so that it is looked for once."""
    folder = None
    if os.open in os.supports_dir_fd:
        with suppress(OSError):  # a problem of each file, should it be gone
            folder = os.open(prefix, os.O_RDONLY)
    try:
        yield (prefix, None) if folder is None else ("", folder)
    finally:
        if folder is not None:
            os.close(folder)


def _starts_of(place: _Place, names: Sequence[str]) -> list[bytes]:
    """The first bytes of some files."""
    prefix, folder = place
    descriptors: list[int] = []
    try:
        for name in names:  # if one fails, those before it are in the list
            descriptors.append(os.open(prefix + name, _FLAGS, dir_fd=folder))
        return [os.read(descriptor, _READ_BYTES) for descriptor in descriptors]
    finally:
        _close_all(descriptors)


def _close_all(descriptors: list[int]) -> None:
    """Close them; what that says of a file that was only read does not count."""
    for index, one in enumerate(descriptors):
        end = one + len(descriptors) - index
        if descriptors[index:] == list(range(one, end)):  # then all in the range are ours
            os.closerange(one, end)  # where the system can, in one call
            return
        os.closerange(one, one + 1)


def _start_of(path: str) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


def read_with_care(prefix: str, name: str) -> Trial | Problem:
    """The trial of a file of any size; `json` alone decides, so that the findings are its."""
    try:
        data = _whole(prefix + name)
    except (OSError, ValueError) as error:
        return Problem(name, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if not data.strip(b"\0 \t\r\n"):
        return Problem(name, "is empty or blank, expected a JSON object; it was half written")
    try:
        found = careful(data)
    except ValueError as error:
        return Problem(name, f"is not whole JSON: {error}")
    try:
        return trial_from(found)
    except ValueError as error:
        return Problem(name, str(error))


def _whole(path: str) -> bytes:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}")
    with open(path, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return data

"""A user's script that defines what `python -m optimizer run` runs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from optimizer.errors import StudyArgumentError
from optimizer.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Script:
    """What a script defines.

    Attributes:
        path: of the file, absolute.
        name: of the file, without its ending.
        objective: as `optimize` takes it.
        space: None for an objective that suggests its parameters itself.
        data: name -> arrays and frames, for `context.data`.
        directions: of the objectives, one or several.
        mode: "fast", "balanced", "thorough", an EfficiencyConfig or None.
        warm_up: as `optimize` takes it.
    """

    path: str
    name: str
    objective: Callable[..., Any]
    space: SearchSpace | None = None
    data: Mapping[str, Any] | None = None
    directions: tuple[str, ...] = ("minimize",)
    mode: Any = None
    warm_up: Callable[[Mapping[str, Any]], None] | None = None


def load_script(path: str) -> Script:
    """Run a script, and read what it defines.

    It runs as a module of another name than `__main__`, so that what it guards by that name does
    not run; its folder is searched for modules first, as Python does. Its functions travel to
    workers by value, for no worker could import them.

    Args:
        path: of a Python file.

    Raises:
        StudyArgumentError: there is no such file, it raises, or something in it is not as
            expected; the message is one line.
    """
    if not os.path.isfile(path):
        raise StudyArgumentError(f"{path!r} is not a file, expected a Python script")
    module = _run(os.path.abspath(path))
    name = os.path.splitext(os.path.basename(path))[0]
    objective = getattr(module, "objective", None)
    if not callable(objective):
        found = "no `objective`" if objective is None else f"objective = {objective!a:.80}"
        raise StudyArgumentError(
            f"{path!r} has {found}, expected a function: objective(params), "
            f"objective(params, context) or objective(trial)"
        )
    return Script(
        path=os.path.abspath(path),
        name=name,
        objective=objective,
        space=_space(path, getattr(module, "space", None)),
        data=_data(path, getattr(module, "data", None)),
        directions=_directions(path, getattr(module, "direction", None)),
        mode=getattr(module, "mode", None),
    )


def told(error: BaseException, path: str | None = None) -> str:
    """The last line of an error's traceback, and where it was raised, in one line.

    With the path of a script, the place is the last one in that script, if there is one.
    """
    last = traceback.format_exception_only(error)[-1]
    line = " ".join(last.split())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{line} ({os.path.basename(error.filename)}, line {error.lineno})"
    every = list(traceback.extract_tb(error.__traceback__))
    frames = [frame for frame in every if frame.filename == path] or every
    if not frames:
        return line
    return f"{line} ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"


class _Loader(importlib.machinery.SourceFileLoader):
    """Reads the source at each run, as Python does with a script; leaves no bytecode beside it.

    Bytecode is told by the second of the last change: of a script that was edited and run again
    at once, the old one would run.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _run(path: str) -> ModuleType:
    stem = os.path.splitext(os.path.basename(path))[0]
    name = f"_optimizer_script_{stem}"  # like no module that can be imported
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, path))
    assert spec is not None  # it has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look there
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() too
        raise StudyArgumentError(f"{path!r} cannot be run: {told(error, path)}") from error
    import cloudpickle  # type: ignore[import-untyped, unused-ignore] # ships no types

    cloudpickle.register_pickle_by_value(module)
    return module


def _space(path: str, found: Any) -> SearchSpace | None:
    if found is None or isinstance(found, SearchSpace):
        return found
    try:
        return SearchSpace(found)
    except ValueError as error:  # SpaceError
        raise StudyArgumentError(f"the space of {path!r}: {error}") from error


def _data(path: str, found: Any) -> Mapping[str, Any] | None:
    if found is None or isinstance(found, Mapping):
        return found
    raise StudyArgumentError(
        f"data of {path!r} is a {type(found).__name__}, expected a dict of names to arrays"
    )


def _directions(path: str, found: Any) -> tuple[str, ...]:
    names = ("minimize",) if found is None else found
    names = (names,) if isinstance(names, str) else names
    known = isinstance(names, (list, tuple)) and names
    if not known or any(name not in ("minimize", "maximize") for name in names):
        raise StudyArgumentError(
            f"direction of {path!r} is {found!a:.80}, expected 'minimize', 'maximize' or a list "
            f"of these"
        )
    return tuple(names)

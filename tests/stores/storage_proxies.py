"""Storages that forward each call: to a file that is opened for it alone, or to two processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from optimizer.stores.optuna_storage import SQLiteStorage

WAIT_S = 30.0


class Forwarding:
    """Every public name is a method that `call` answers."""

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.call, name)


class Reopening(Forwarding):
    """Opens the file anew for every call, and closes it after."""

    def __init__(self, path: str | os.PathLike[str], **settings: Any) -> None:
        self.path = path
        self.settings = settings

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        with SQLiteStorage(self.path, **self.settings) as storage:
            return getattr(storage, name)(*args, **kwargs)


class Child:
    """A process that serves the calls of one storage at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self._pipe.send((name, args, kwargs))
        done, answer = self._pipe.recv()
        if not done:
            raise answer
        return answer

    def end(self) -> None:
        self._pipe.close()
        self._process.join()


def _serve(pipe: Connection) -> None:
    storage: SQLiteStorage | None = None
    while True:
        try:
            name, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            if name == "open":
                storage, answer = SQLiteStorage(*args, **kwargs), None
            else:
                assert storage is not None
                answer = getattr(storage, name)(*args, **kwargs)
                let_it_write(storage)
            pipe.send((True, answer))
        except Exception as error:
            pipe.send((False, error))


def let_it_write(storage: SQLiteStorage) -> None:
    """Wait until the storage has written by itself what it keeps, as it promises to."""
    deadline_s = time.monotonic() + WAIT_S
    while storage._has_pending():
        assert time.monotonic() < deadline_s, "what was kept was not written"
        time.sleep(0.0005)


class Alternating(Forwarding):
    """Every second call goes to another process."""

    def __init__(self, path: str | os.PathLike[str], child: Child, **settings: Any) -> None:
        self.calls = 0
        self.child = child
        self.here = SQLiteStorage(path, **settings)
        child.ask("open", path, **settings)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls % 2:
            return self.child.ask(name, *args, **kwargs)
        answer = getattr(self.here, name)(*args, **kwargs)
        let_it_write(self.here)
        return answer

    def close(self) -> None:
        self.child.ask("close")
        self.here.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SQLiteStorage, (self.here.path,)

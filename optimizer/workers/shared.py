"""Objects that lie once in memory for all workers, and views of them.

Everything is pickled by protocol 5. The buffers that it hands out (of numpy arrays, and so of
pandas' and Arrow's) lie beside the pickle in one file that has no name: memory of its own where
the system has that, else an unlinked file. Processes get it as a descriptor, so that it is gone
with the last of them, however they end.
"""

from __future__ import annotations

import fcntl
import io
import mmap
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from optimizer.errors import SharedDataError, WorkerError

ALIGNMENT_BYTES = 64  # a cache line, and enough for every vector instruction
_WRITE_BYTES = 1 << 30  # one write of the system takes less than 2 GiB
_START = struct.Struct("<QQ")  # where the index lies, and its length

Key = tuple[str, ...]
Span = tuple[int, int]


def place(parts: Mapping[Key, Any]) -> tuple[int, int]:
    """A descriptor of the nameless memory that holds these parts, and its size in bytes.

    Costs one copy of the buffers. Whoever calls closes the descriptor.

    Raises:
        SharedDataError, WorkerError: a part cannot be pickled (the message names it); no memory.
    """
    pickled = {key: _pickled(key, part) for key, part in parts.items()}
    descriptor = _nameless()
    try:
        return descriptor, _write_all(descriptor, pickled)
    except OSError as fault:
        os.close(descriptor)
        raise SharedDataError(
            f"no room in memory for the workers' data ({fault.strerror}); expected it to fit "
            "once; give less data, or close what fills memory or /dev/shm"
        ) from fault
    except BaseException:
        os.close(descriptor)
        raise


def label(key: Key) -> str:
    """How messages call a part."""
    return key[0] if len(key) == 1 else f"{key[0]}[{key[1]!r}]"


def _pickled(key: Key, part: Any) -> tuple[bytes, list[pickle.PickleBuffer]]:
    buffers: list[pickle.PickleBuffer] = []
    target = io.BytesIO()
    try:
        _pickler(target, buffers).dump(part)
    except Exception as fault:
        kind = SharedDataError if len(key) > 1 else WorkerError
        lines = str(fault).splitlines() or [""]
        raise kind(
            f"{label(key)} (of type {type(part).__name__}) cannot be pickled: "
            f"{type(fault).__name__}: {lines[0]}; expected something that can travel to another "
            "process; leave out open files, locks and connections and make them in warm_up"
        ) from fault
    return target.getvalue(), buffers


def _pickler(target: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> Any:
    import cloudpickle  # type: ignore[import-untyped]  # it ships no types

    class Placer(cloudpickle.Pickler):  # type: ignore[misc]  # so this is Any
        """cloudpickle's, which lets arrays of any order and kind lie outside the pickle."""

        def reducer_override(self, part: Any) -> Any:
            numpy = sys.modules.get("numpy")
            if (
                numpy is not None
                and type(part) in (numpy.ndarray, numpy.memmap)
                and not part.dtype.hasobject
                and part.dtype.kind != "T"  # texts that lie elsewhere
                and part.dtype.itemsize
            ):
                return _parts_of_array(part)
            if numpy is not None and type(part) is numpy.ma.MaskedArray:
                return _parts_of_masked(part)
            return super().reducer_override(part)

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            buffer.raw()
        except BufferError:
            return True  # not in one piece: it stays in the pickle
        buffers.append(buffer)
        return False

    return Placer(target, protocol=5, buffer_callback=keep)


def _parts_of_array(array: Any) -> Any:
    import numpy as np

    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    packed = np.ascontiguousarray(array.transpose(axes))
    raw: Any = packed.reshape(-1).view(np.uint8)
    back = tuple(axes.index(axis) for axis in range(array.ndim))
    shape = tuple(array.shape[axis] for axis in axes)
    return _array, (pickle.PickleBuffer(raw), array.dtype, shape, back)


def _array(buffer: Any, dtype: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    import numpy as np

    array: Any = np.ndarray(shape, dtype, buffer)
    return array.transpose(axes) if axes else array


def _parts_of_masked(array: Any) -> Any:
    import numpy as np

    mask = None if array.mask is np.ma.nomask else array.mask
    return _masked, (array.data, mask, array.fill_value, array.hardmask, array._optinfo)


def _masked(data: Any, mask: Any, fill_value: Any, hard_mask: bool, more: Any) -> Any:
    import numpy as np

    given = np.ma.nomask if mask is None else mask
    array: Any = np.ma.MaskedArray(data, mask=given, fill_value=fill_value, hard_mask=hard_mask)
    array._optinfo.update(more)
    return array


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):
            return above_standard(os.memfd_create("optimizer-workers"))
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(dir=folder) as file:
        return above_standard(os.dup(file.fileno()))


def above_standard(descriptor: int) -> int:
    """The same file by a number that no program takes for its input, output or errors.

    A process that was started without one of those gives its number to the next file.
    """
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _write_all(
    descriptor: int, pickled: Mapping[Key, tuple[bytes, list[pickle.PickleBuffer]]]
) -> int:
    at = _START.size
    index: dict[Key, tuple[Span, list[Span]]] = {}
    for key, (body, buffers) in pickled.items():
        spans = []
        pieces: list[bytes | pickle.PickleBuffer] = [body, *buffers]
        for piece in pieces:
            raw = memoryview(piece) if isinstance(piece, bytes) else piece.raw()
            at += -at % ALIGNMENT_BYTES
            spans.append((at, raw.nbytes))
            _write(descriptor, raw, at)
            at += raw.nbytes
        index[key] = spans[0], spans[1:]
    written = pickle.dumps(index)
    _write(descriptor, memoryview(written), at)
    _write(descriptor, memoryview(_START.pack(at, len(written))), 0)
    return at + len(written)


def _write(descriptor: int, raw: memoryview, at: int) -> None:
    # Not through a mapping: there a full file system is a fatal signal, here it is an error.
    while raw.nbytes:
        count = os.pwrite(descriptor, raw[:_WRITE_BYTES], at)
        raw = raw[count:]
        at += count


class Placed:
    """The parts as another process sees them; opening it reads nothing but the index."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size
        self._views: dict[bool, memoryview] = {}
        start, length = _START.unpack(os.pread(descriptor, _START.size, 0))
        # Written by this very run: only the parent ever had the descriptor to write to.
        self._index = pickle.loads(os.pread(descriptor, length, start))

    def keys(self) -> tuple[Key, ...]:
        return tuple(self._index)

    def load(self, key: Key, *, writable: bool = False) -> Any:
        """A part; its arrays are read-only views, or with `writable` views whose pages are
        copied when this process first writes to them."""
        view = self._view(writable)
        (start, length), spans = self._index[key]
        body = view[start : start + length]
        return pickle.loads(body, buffers=[view[at : at + size] for at, size in spans])

    def _view(self, writable: bool) -> memoryview:
        if writable not in self._views:
            allowed = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
            mapped = mmap.mmap(
                self._descriptor, self._size_bytes, flags=mmap.MAP_PRIVATE, prot=allowed
            )
            self._views[writable] = memoryview(mapped)
        return self._views[writable]

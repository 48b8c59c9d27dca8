"""The data of a study as objectives see them in this process: read-only, as in workers."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn


def read_only(data: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The data, with views that refuse to be written to in place of arrays and tables.

    Promises: numpy arrays, masked ones too, become views of the same memory; what was given stays
    writable for its owner. pandas' frames, series and indexes become tables of their own, whose
    plain columns are such views; columns of dates, texts or objects are copies. Whatever else,
    containers with arrays in them and a table that cannot be pickled too, is what was given.

    Cost: no copy of plain numbers that lie in one piece.

    Args:
        data: name -> anything.

    Returns:
        A mapping that cannot be changed.
    """
    return _ReadOnly({name: _view(item) for name, item in (data or {}).items()})


class _ReadOnly(dict[str, Any]):
    """A dictionary that refuses to be changed; a copy of it, a pickle too, is a plain one."""

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "found a change to the data of a study; they are read-only: copy them first"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse


def _view(item: Any) -> Any:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and isinstance(item, numpy.ndarray):
        return _array(item)
    if pandas is not None and isinstance(item, (pandas.DataFrame, pandas.Series, pandas.Index)):
        with suppress(Exception):  # what a column holds may be anybody's
            return _table(item)
    return item


def _array(array: Any) -> Any:
    import numpy as np

    if type(array) is np.ma.MaskedArray:
        given = array.mask
        masked: Any = np.ma.MaskedArray(
            _array(array.data),
            mask=given if given is np.ma.nomask else _array(given),
            fill_value=array.fill_value,
            hard_mask=array.hardmask,
        )
        return masked
    view = array.view()
    view.flags.writeable = False
    return view


def _table(table: Any) -> Any:
    """By a pickle whose numbers lie outside: there they are read-only, and shared."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(table, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(body, buffers=[buffer.raw().toreadonly() for buffer in buffers])

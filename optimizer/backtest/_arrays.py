"""Reading the callers' numbers: what is no real number is refused, what is masked becomes NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.errors import PriceError


def read_floats(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """The values as C-contiguous, aligned float64; not copied where they are that already.

    Args:
        values: real numbers of any shape; masked ones become NaN.
        name: what the message calls them.

    Raises:
        PriceError: they are no real numbers; text that reads like one is none.
    """
    try:
        if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "fiuO":
            values = np.ma.filled(values.astype(np.float64), np.nan)
        array = np.asarray(values)
        if array.dtype.kind not in "fiuO":
            raise PriceError(f"{name} holds {array.dtype}; pass real numbers (float64)")
        if array.dtype.kind == "O":
            _refuse_text(array, name)
        if array.dtype == np.float64 and array.flags.c_contiguous and array.flags.aligned:
            return array
        return np.require(array, np.float64, ("C", "A"))
    except (TypeError, ValueError) as error:
        if isinstance(error, PriceError):
            raise
        raise PriceError(
            f"{name} cannot be read as an array of numbers ({error}); pass real numbers (float64)"
        ) from error


def _refuse_text(array: NDArray[Any], name: str) -> None:
    for value in array.flat:
        if isinstance(value, (str, bytes)):
            raise PriceError(f"{name} holds the text {value!a:.80}; pass real numbers (float64)")

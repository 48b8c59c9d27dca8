"""How a kernel is compiled.

Kernels import this; what they call while they run stays in their own file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled when first called; kept on disk where a folder for it can be written to."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # it is set when numba is imported
        # Without the compiler numpy's scalars would warn where machine floats do not.
        return np.errstate(all="ignore")(function)
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(**options)(function)

"""Are numba and orjson here? One switch pretends they are not.

`OPTIMIZER_WITHOUT=numba,orjson` in the environment makes this package behave as if those were not
installed. Without them the plain twins answer: the same results, slower, and one warning each.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings

SWITCH = "OPTIMIZER_WITHOUT"


class SlowFallbackWarning(UserWarning):
    """An optional accelerator is missing, so its plain twin is used."""


@functools.cache
def available(package: str) -> bool:
    """Whether an optional package may be used; asked once per process.

    The first "no" warns once, naming the package and how to install it.
    """
    switched_off = {name.strip() for name in os.environ.get(SWITCH, "").split(",")}
    if package not in switched_off and importlib.util.find_spec(package) is not None:
        return True
    warnings.warn(
        f"{package} is not available: the plain Python twin is used (same results, slower); "
        f"`pip install 'optuna-velocity[fast]'` brings it",
        SlowFallbackWarning,
        stacklevel=3,
    )
    return False

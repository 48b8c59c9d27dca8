"""Are numba and orjson here? One switch pretends they are not.

`OPTIMIZER_WITHOUT=numba,orjson` in the environment makes this package behave as if those were not
installed. Without them the plain twins answer: the same results, slower, and one warning each.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable

SWITCH = "OPTIMIZER_WITHOUT"


class SlowFallbackWarning(UserWarning):
    """An optional accelerator is missing, so its plain twin is used."""


@functools.cache
def available(package: str) -> bool:
    """Whether an optional package, numba or orjson, may be used; asked once per process.

    The first "no" warns once, with the reason and how to install the package. Cost: the first
    "yes" imports it, for a package that is installed may still refuse to work here.
    """
    reason = _why_not(package)
    if not reason:
        return True
    warnings.warn(
        f"{package} is not available ({reason}): the plain Python twin is used (same results, "
        f"slower); `pip install 'optuna-velocity[fast]'` brings it",
        SlowFallbackWarning,
        stacklevel=3,
    )
    return False


def _why_not(package: str) -> str:
    if package in {name.strip() for name in os.environ.get(SWITCH, "").split(",")}:
        return f"{SWITCH} names it"
    try:
        _IMPORTS[package]()
    except ImportError as error:
        return str(error) or "it cannot be imported"
    return ""


# Each name stands in an import: the gate reads imports to tell which hot paths a change can reach.


def _numba() -> None:
    import numba  # noqa: F401


def _orjson() -> None:
    import orjson  # noqa: F401


_IMPORTS: dict[str, Callable[[], None]] = {"numba": _numba, "orjson": _orjson}

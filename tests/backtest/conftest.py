"""Without numba the twin answers with one warning: it is given here, once for all tests."""

from __future__ import annotations

import warnings

from optimizer._compat import available

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    available("numba")

"""fingerprint: 16 bytes that change whenever the objective or its data do.

What an objective computes follows from its code and from everything the code can reach: defaults,
closures, global names, the objects it is bound to. So all of that is hashed, by content, and what
has no content that can be read is refused.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from optimizer.errors import FingerprintError
from optimizer.stores._fingerprint_walk import Walk

__all__ = ["fingerprint"]

_FORM = b"optuna-velocity fingerprint 2"
BYTES = 16


def fingerprint(objective: Any, data: Any = None, *, version: str | None = None) -> bytes:
    """The fingerprint of an objective and its data: a namespace for their evaluations.

    Promises: the same bytes in every process that runs the same code on the same data with the
    same version of Python; other bytes after any change of the code, of functions, classes,
    modules and constants it uses, of its defaults and closures, or of the data. The way there may
    be over-careful (a changed docstring or an unused function in a module of yours may change it
    too), never the other way, but for what is not seen (below).

    Followed: functions, lambdas, methods, partial and wrapped functions, numba's dispatchers,
    classes and instances defined in Python, containers, numpy arrays and scalars, pandas and what
    of the standard library is a plain value. A module of yours counts by its source and those of
    your modules that it imports, and by the present value of what a function names of it; your
    own extension by its file. What a function imports of yours when it runs is imported here.

    What others wrote counts by version: Python's for the standard library, its distribution's for
    an installed package. One that was not installed from an index counts by the hashes of its
    files as well, one that no distribution knows by all its files. Whose a function or class is
    follows from where it was made, not from the name that a wrapper or a call gave it.

    Not seen: what the objective reads from files, environment, clock or network; what it finds by
    a computed name (`getattr`, `importlib`, `eval`, subclasses, a registry); what a library keeps
    in itself (its settings, a random state, the precision of decimals, numba's overloads, what
    you put into its classes); an installed file edited by hand; what your own extension uses, and
    a library of C that the loader finds by name. A path counts as text. Name such things in `data`
    or `version`.

    Whatever it changes while it runs (a counter, a cached property) counts with its present value:
    take the fingerprint before the first trial. A dict filled in the order of a set has another
    order, and so another fingerprint, in each process.

    Evaluations of earlier fingerprints stay in a store until `SqliteStore.forget_others` removes
    them: call it now and then where the data change every day.

    Cost: reads everything, all bytes of the arrays too, at each call: neither the time of a file
    nor the identity of an array tells that it is as it was. What a source imports is found out
    once per process and text.

    Parameters
    ----------
    objective
        Any callable.
    data
        Whatever it is given beside parameters: arrays, tables, settings, or a tuple or dict of
        them.
    version : str, optional
        Where given, it alone is hashed, and neither objective nor data are looked at: change it
        whenever one of them changes.

    Returns
    -------
    bytes
        16 bytes.

    Raises
    ------
    FingerprintError
        Something cannot be fingerprinted (an open file, a generator, a lock, a study); the
        message names the place. Or the version is no text.

    Examples
    --------
    >>> shift = 1
    >>> before = fingerprint(lambda params: params["x"] + shift, data=[1.0, 2.0])
    >>> shift = 2
    >>> before == fingerprint(lambda params: params["x"] + shift, data=[1.0, 2.0])
    False
    """
    digest = hashlib.blake2b(_FORM, digest_size=BYTES)
    if version is not None:
        if not isinstance(version, str) or not version:
            raise FingerprintError(f"the version is {version!r}, expected a text that is not empty")
        digest.update(b"version" + version.encode("utf-8", "surrogatepass"))
        return digest.digest()
    if not callable(objective):
        raise FingerprintError(
            f"the objective is {type(objective).__name__}, expected something that can be called"
        )
    digest.update(f"{sys.implementation.name} {sys.version_info[:2]}".encode())
    walk = Walk(digest)
    try:
        walk.visit(objective, "the objective")
        walk.finish()
        walk.visit(data, "the data")
        walk.finish()
    except RecursionError:
        raise FingerprintError(
            "the objective or its data are nested too deeply. Pass version='...' to fingerprint,"
            " and change it whenever objective or data change."
        ) from None
    return digest.digest()

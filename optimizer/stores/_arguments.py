"""What a caller handed to a store, checked: paths, names, numbers, signatures."""

from __future__ import annotations

import os
from collections.abc import Mapping

from optimizer.errors import SignatureError, StoreArgumentError, StorePathError
from optimizer.protocols import Signature
from optimizer.signature import SIGNATURE_BYTES, param_signature
from optimizer.space import SearchSpace

MAX_TIMEOUT_S = 1_000_000.0  # SQLite counts milliseconds in 32 bits


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path of a file that can be shared; StorePathError for what names none."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise StorePathError(
            f"the path of a store is {path!r} of type {type(path).__name__}, expected a str or an"
            " os.PathLike that names a file."
        ) from None
    if name in ("", ":memory:") or "\0" in name:
        raise StorePathError(
            f"{name!r} does not name a file. Expected the path of a file: a store is shared by"
            " threads and processes, so it cannot lie in memory."
        )
    return os.path.abspath(name)  # a later chdir must not lead to another file


def seconds(timeout_s: float, what: str = "timeout_s") -> float:
    """The time-out, or something else, as a float; StoreArgumentError for what is none."""
    try:
        found = float(timeout_s)
    except (TypeError, ValueError):
        found = -1.0
    if not 0.0 <= found <= MAX_TIMEOUT_S:
        raise StoreArgumentError(
            f"{what} is {timeout_s!r}, expected seconds between 0 and {MAX_TIMEOUT_S:g}."
        )
    return found


def require_name(study: object, what: str = "study") -> str:
    """The name of a study, or of something else, if it is text that can be stored."""
    if not isinstance(study, str) or not study:
        raise StoreArgumentError(
            f"the {what} is {study!r} of type {type(study).__name__}, expected a text that is not"
            " empty."
        )
    try:
        study.encode()
    except UnicodeEncodeError as error:
        raise StoreArgumentError(
            f"the {what} {study!r} holds a lone surrogate at position {error.start}, which has no"
            " UTF-8 form. Expected text that can be encoded."
        ) from None
    return study


def require_positive(what: str, found: object) -> float:
    """A number above 0, at most 1e9; anything else is a StoreArgumentError."""
    usable = isinstance(found, (int, float)) and not isinstance(found, bool)
    if not usable or not 0 < found <= 1e9:  # type: ignore[operator]  # a number, by the line above
        raise StoreArgumentError(f"{what} is {found!r}, expected a number between 0 and 1e9")
    return float(found)  # type: ignore[arg-type]  # see above


def signature_of(params: object, space: SearchSpace | None) -> Signature:
    """The signature itself, or that of the parameters; SignatureError for anything else."""
    if isinstance(params, bytes):
        require_signature(params)
        return params
    if not isinstance(params, Mapping):
        raise refusal(params)
    return param_signature(params, space)


def require_signature(signature: object) -> None:
    """Raise SignatureError unless it is exactly 16 bytes."""
    # A subclass (numpy.bytes_) may compare or bind in its own way, so the type is exact.
    if type(signature) is not bytes or len(signature) != SIGNATURE_BYTES:
        raise refusal(signature)


def refusal(found: object, where: str = "") -> SignatureError:
    """The error for what is no signature."""
    what = type(found).__name__
    if isinstance(found, (bytes, bytearray, str)):
        what += f" of length {len(found)}"
    return SignatureError(
        f"found {what}{where} ({_short(found)}), expected a signature: exactly"
        f" {SIGNATURE_BYTES} bytes, as param_signature returns."
    )


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "..."

"""The canonical form of parameters, as bytes; `signature.py` has the public side.

The bytes are made by rules of our own, so that they do not depend on the process, the Python
version, the platform or an optional package. A parameter set is written as three blocks, one
after the other, and hashed by blake2b (`PERSON`, 16 bytes):

header   its structure: `{`, then for each name in code point order `,` name 0xff code, then `}`
numbers  8 bytes for each number (little-endian double), in the order of the header
texts    each text in UTF-8, in the order of the header, with 0xff between (never part of UTF-8)

The codes are: `d` a number that a double holds exactly, `i` another integer (a text, hexadecimal),
`b` a boolean (a number, 0 or 1), `s` a string (a text), `n` None, `[` codes `]` a list or tuple,
`{` as above `}` a mapping; and, only with a space, `g` low step (two doubles) a value on the grid
of a float (a number, its step index), `c` a categorical choice (a text, see `choice_text`).

Whoever changes one byte of this makes every stored signature worthless: bump `PERSON`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any

from optimizer._parameters import (
    ATOMS,
    CategoricalParameter,
    FloatParameter,
    Parameter,
    plain_scalar,
)
from optimizer.errors import SignatureError
from optimizer.protocols import Params, Signature
from optimizer.space import SearchSpace

PERSON = b"velocity-sign-1"
SIGNATURE_BYTES = 16
MAX_DEPTH = 32
"""Lists and mappings may lie this deep in a parameter set; itself is depth 0."""
MAX_VALUES = 10_000
"""Values in one parameter set, nested ones and their containers counted: stops alias bombs."""

BLANK = hashlib.blake2b(digest_size=SIGNATURE_BYTES, person=PERSON)
"""The hash before the first byte; `copy` it, which is cheaper than making another."""


def sign(params: Params, space: SearchSpace | None) -> Signature:
    """What `param_signature` promises, for parameters of every kind and without a short cut."""
    if not params:
        raise SignatureError(
            "found no parameters, expected at least one: all empty sets would count as duplicates "
            "of each other; sign a trial after its objective has suggested its parameters"
        )
    message = _Message()
    message.add_mapping(params, space, "")
    return message.sign()


def grid_code(parameter: FloatParameter) -> bytes:
    """The code of a step index: with its grid, so that another grid gives other signatures."""
    return b"g" + struct.pack("<2d", parameter.low, parameter.step)


def choice_text(parameter: CategoricalParameter, index: int) -> str:
    """A choice by its type and value, not its place, so that reordering choices changes nothing.

    The first letter tells 1, 1.0, True and "1" apart, which may all be choices of one parameter.
    """
    choice = parameter.choices[index]
    if choice is None:
        return "n"
    if isinstance(choice, bool):
        return f"b{choice:d}"
    if isinstance(choice, int):
        return f"i{choice:x}"
    if isinstance(choice, float):
        return f"f{(choice + 0.0).hex()}"
    return f"s{choice}"


class _Message:
    """The three blocks while they grow."""

    def __init__(self) -> None:
        self.header: list[bytes] = []
        self.numbers: list[float] = []
        self.texts: list[bytes] = []
        self.depth = 0
        self.values = 0

    def sign(self) -> Signature:
        state = BLANK.copy()
        state.update(b"".join(self.header))
        state.update(struct.pack(f"<{len(self.numbers)}d", *self.numbers))
        state.update(b"\xff".join(self.texts))
        return state.digest()

    def add_text(self, code: bytes, text: str, where: str) -> None:
        self.header.append(code)
        self.texts.append(_utf8(text, where))

    def add_number(self, code: bytes, number: float) -> None:
        self.header.append(code)
        self.numbers.append(number)

    def add(self, value: Any, where: str) -> None:
        """Any value; `where` names its place for errors, like `layers[2].size`."""
        value = plain_scalar(value)
        self.values += 1
        if value is None:
            self.header.append(b"n")
        elif isinstance(value, bool):
            self.add_number(b"b", value)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _refused(where, value, "a finite number", "leave it out or use None")
            self.add_number(b"d", value + 0.0)  # -0.0 becomes 0.0
        elif isinstance(value, int):
            self.add_int(value, where)
        elif isinstance(value, str):
            self.add_text(b"s", value, where)
        else:
            self.add_container(value, where)

    def add_int(self, value: int, where: str) -> None:
        try:
            double = float(value)
        except OverflowError:
            double = math.inf
        if double == value:
            self.add_number(b"d", double)
        else:
            self.add_text(b"i", f"{value:x}", where)

    def add_container(self, value: Any, where: str) -> None:
        if not isinstance(value, (Mapping, list, tuple)):
            raise _refused(
                where, value, "None, bool, int, float, str, list, tuple or mapping", "convert it"
            )
        if self.depth >= MAX_DEPTH:
            raise SignatureError(
                f"found nesting deeper than {MAX_DEPTH} at {_place(where)}, expected flatter "
                f"parameters; does a list contain itself?"
            )
        if self.values + len(value) > MAX_VALUES:
            raise SignatureError(
                f"found more than {MAX_VALUES} values at {_place(where)}, expected fewer; sign a "
                f"name of the data rather than the data"
            )
        self.depth += 1
        if isinstance(value, Mapping):
            self.add_mapping(value, None, f"{where}.")
        else:
            self.add_list(value, where)
        self.depth -= 1

    def add_list(self, value: list[Any] | tuple[Any, ...], where: str) -> None:
        self.header.append(b"[")
        for index, item in enumerate(value):
            self.add(item, f"{where}[{index}]")
        self.header.append(b"]")

    def add_mapping(self, value: Mapping[Any, Any], space: SearchSpace | None, where: str) -> None:
        self.header.append(b"{")
        for name in _sorted_names(value, where):
            path = f"{where}{name}"
            self.header.append(b",%b\xff" % _utf8(name, f"the name {path}"))
            if space is not None and name in space:
                self.add_in_space(space[name], value[name], path)
            else:
                self.add(value[name], path)
        self.header.append(b"}")

    def add_in_space(self, parameter: Parameter, value: Any, where: str) -> None:
        value = plain_scalar(value)
        if type(value) not in ATOMS:
            pass  # neither on a grid nor a choice
        elif isinstance(parameter, CategoricalParameter):
            place = parameter.find_index(value)
            if place is not None:
                self.add_text(b"c", choice_text(parameter, place), where)
                return
        elif isinstance(parameter, FloatParameter) and parameter.step is not None:
            step_index = parameter.find_index(value)
            if step_index is not None:
                self.add_number(grid_code(parameter), step_index)
                return
        self.add(value, where)


def _sorted_names(params: Mapping[Any, Any], where: str) -> list[str]:
    for name in params:
        if not isinstance(name, str):
            inside = f" in {_place(where.rstrip('.'))}" if where else ""
            raise SignatureError(
                f"found the name {_shorten(ascii(name))} of type {type(name).__name__}{inside}, "
                f"expected a string; turn the names into strings"
            )
    return sorted(str.__str__(name) for name in params)


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _refused(
            where, text, "text without lone surrogates", "decode it with the right encoding"
        ) from None


def _refused(where: str, value: object, expected: str, advice: str) -> SignatureError:
    shown = ascii(value) if isinstance(value, (str, float)) else f"a {type(value).__name__}"
    return SignatureError(
        f"found {_shorten(shown)} at {_place(where)}, expected {expected}; {advice}"
    )


def _place(where: str) -> str:
    return _shorten(ascii(where)[1:-1])  # a message must be printable on every terminal


def _shorten(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most]}..."

"""Classes, enumerations and what wraps functions: each part of them counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from fingerprint_cases import SHOW, mark_of, objective_of, run_python

from optimizer.stores.fingerprint import fingerprint

# A source, and what to change in it.
CHANGES = {
    "the metadata of a field": (
        "import dataclasses\n@dataclasses.dataclass\nclass Cost:\n"
        "    fee: float = dataclasses.field(default=1.0, metadata={'unit': 1})\n"
        "def objective(p): return dataclasses.fields(Cost)[0].metadata\n",
        ("'unit': 1", "'unit': 2"),
    ),
    "the type of a field": (
        "import dataclasses\n@dataclasses.dataclass\nclass Cost:\n    fee: float = 1\n"
        "def objective(p): return dataclasses.fields(Cost)[0].type(p)\n",
        ("fee: float", "fee: int"),
    ),
    "the type of a field, as text": (
        "from __future__ import annotations\nclass Cost:\n    fee: float\n"
        "def objective(p): return Cost.__annotations__\n",
        ("fee: float", "fee: int"),
    ),
    "what the type of a field is given": (
        "import typing\nclass Cost:\n    fee: typing.Annotated[float, ('step', 1)]\n"
        "def objective(p): return Cost.__annotations__\n",
        ("'step', 1", "'step', 2"),
    ),
    "the type of a parameter": (
        "def convert(f): return lambda p: [kind(p) for kind in f.__annotations__.values()]\n"
        "@convert\ndef objective(p: float): return p\n",
        ("p: float", "p: int"),
    ),
    "the class of a class": (
        "class Meta(type):\n    def __call__(cls): return 1\n"
        "class Cost(metaclass=Meta): pass\ndef objective(p): return Cost()\n",
        ("return 1", "return 2"),
    ),
    "what a class is declared to be": (
        "import abc\nclass Base(abc.ABC): pass\nclass A: pass\nclass B: pass\nBase.register(A)\n"
        "def objective(p): return isinstance(A(), Base)\n",
        ("register(A)", "register(B)"),
    ),
    "the parameters of a base": (
        "import typing\nT = typing.TypeVar('T')\nclass Base(typing.Generic[T]): pass\n"
        "class Cost(Base[int]): pass\ndef objective(p): return Cost.__orig_bases__\n",
        ("Base[int]", "Base[float]"),
    ),
    "the text of a class": (
        "class Grammar:\n    'a -> b'\ndef objective(p): return Grammar.__doc__\n",
        ("a -> b", "a -> c"),
    ),
    "an attribute of a member": (
        "import enum\nclass Kind(enum.Enum):\n    A = 'a'\nKind.A.fee = 1\n"
        "def objective(p): return Kind.A.fee\n",
        ("fee = 1", "fee = 2"),
    ),
    "a kind of property": (
        "class Mine(property):\n    def __get__(self, owner, kind=None): return 1\n"
        "class Cost:\n    @Mine\n    def fee(self): return 3\n"
        "def objective(p): return Cost().fee\n",
        ("return 1", "return 2"),
    ),
    "what such a property was given": (
        "class Mine(property):\n    def __init__(self, scale): self.scale = scale\n"
        "    def __get__(self, owner, kind=None): return self.scale\n"
        "class Cost:\n    fee = Mine(1)\ndef objective(p): return Cost().fee\n",
        ("Mine(1)", "Mine(2)"),
    ),
    "a kind of partial": (
        "import functools\nclass Mine(functools.partial):\n"
        "    def __call__(self, p): return 1\nobjective = Mine(len)\n",
        ("return 1", "return 2"),
    ),
    "a kind of cached property": (
        "import functools\nclass Mine(functools.cached_property):\n"
        "    def __get__(self, owner, kind=None): return 1\n"
        "class Cost:\n    @Mine\n    def fee(self): return 3\n"
        "def objective(p): return Cost().fee\n",
        ("return 1", "return 2"),
    ),
    "an attribute of a cached function": (
        "import functools\n@functools.lru_cache\ndef f(x): return x\nf.fee = 1\n"
        "def objective(p): return f.fee\n",
        ("fee = 1", "fee = 2"),
    ),
    "how a function is cached": (
        "import functools\n@functools.lru_cache(typed=False)\ndef f(x): return x\n"
        "def objective(p): return f(p)\n",
        ("typed=False", "typed=True"),
    ),
    "a slot of a class": (
        "class Cost:\n    __slots__ = ('fee',)\n    def __init__(self): self.fee = 1\n"
        "cost = Cost()\nput = Cost.fee.__set__\ndef objective(p): return cost, put\n",
        ("self.fee = 1", "self.fee = 2"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_part_counts(name: str) -> None:
    source, (old, new) = CHANGES[name]
    assert source.count(old) == 1
    assert mark_of(source) == mark_of(source)
    assert mark_of(source) != mark_of(source.replace(old, new))


# What is filled while the classes are used, and what only Python's memory decides.
USED = """
import abc, dataclasses, enum, functools, typing
class Kind(enum.Flag):
    A = 1
    B = 2
class Shape(typing.Protocol):
    def area(self) -> float: ...
class Base(abc.ABC):
    pass
class Square(Base):
    def area(self) -> float: return 1.0
default = object()
@dataclasses.dataclass
class Cost:
    of: object = default
    to: object = dataclasses.field(default_factory=lambda: 1)
@functools.lru_cache
def cached(x): return x
def objective(params):
    found = Kind.A | Kind.B, Kind(0), isinstance(Square(), Base), isinstance(3, Base)
    return found, cached(params), Cost(), Shape
"""


def test_using_it_leaves_it() -> None:
    objective = objective_of(USED)
    first = fingerprint(objective)
    objective(1)
    assert fingerprint(objective) == first


def test_every_process_agrees_about_classes(tmp_path: Path) -> None:
    found = {run_python(USED + SHOW.format("objective"), tmp_path) for _ in range(2)}
    assert found == {mark_of(USED).hex()}

"""Search spaces: from dict specs, to and from Optuna distributions, with size and step indexes."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from optimizer._grid import Grid
from optimizer._parameters import (
    CategoricalParameter,
    Choice,
    FloatParameter,
    IntParameter,
    Parameter,
    shown,
    step_decimals,
)
from optimizer.errors import SpaceError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = [
    "CategoricalParameter",
    "Choice",
    "FloatParameter",
    "Grid",
    "GridWarning",
    "IntParameter",
    "Parameter",
    "SearchSpace",
    "step_decimals",
]


class GridWarning(UserWarning):
    """The upper end of a range is not on its grid and was moved down, as Optuna does."""


class SearchSpace(Mapping[str, Parameter]):
    """Parameters by name; immutable, hashable, compared by content without regard to order.

    Example:
        >>> space = SearchSpace({"p": {"type": "float", "min": 0, "max": 1, "step": 0.01}})
        >>> space.size(), space.step_index("p", 0.1 + 0.2), space.value_at("p", 30)
        (101, 30, 0.3)
    """

    __slots__ = ("_parameters", "shapes")

    def __init__(self, specs: Mapping[str, Mapping[str, Any] | Parameter]) -> None:
        """Read specs `{name: {"type": "float" | "int" | "categorical", ...}}`.

        Fields: float `min max [step] [log]`, int `min max [step] [log]`, categorical `choices`;
        `low` and `high`, Optuna's words, stand for `min` and `max`.

        Raises:
            SpaceError: a spec that cannot be understood; the message names the parameter.
        """
        if not isinstance(specs, Mapping) or not specs:
            raise SpaceError(
                f"found {shown(specs)}, expected a mapping of at least one name to its spec"
            )
        self._parameters = {_name(name): _read(name, spec) for name, spec in specs.items()}
        # signature.py keeps here what it prepares for this space; no part of the space's value.
        self.shapes: dict[tuple[object, ...], Any] = {}

    def __reduce__(self) -> tuple[type[SearchSpace], tuple[dict[str, Parameter]]]:
        return type(self), (self._parameters,)

    @classmethod
    def from_specs(cls, specs: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
        """The space of dict specs; the same as calling the class."""
        return cls(specs)

    @classmethod
    def from_distributions(cls, distributions: Mapping[str, BaseDistribution]) -> SearchSpace:
        """The space of Optuna distributions, as `study.trials[0].distributions` holds them.

        Raises:
            SpaceError: an unknown distribution, or choices a space does not take: NaN, an
                infinity, the same choice twice, other types than Optuna can store.
        """
        return cls({name: _of_distribution(name, one) for name, one in distributions.items()})

    def to_distributions(self) -> dict[str, BaseDistribution]:
        """Optuna distributions of the same values, a new dict; imports optuna."""
        return {name: _to_distribution(one) for name, one in self._parameters.items()}

    def to_specs(self) -> dict[str, dict[str, Any]]:
        """Dict specs that give an equal space again, a new dict."""
        return {name: _to_spec(parameter) for name, parameter in self._parameters.items()}

    def size(self) -> int | float:
        """How many combinations there are, exactly; infinite where a float has no step."""
        sizes = [parameter.size for parameter in self._parameters.values()]
        return math.inf if math.inf in sizes else math.prod(sizes)

    def grid(self) -> Grid:
        """Every combination, in order, the last parameter changing fastest; none is made yet.

        Cost: constant; the grid says what its parts cost.

        Raises:
            SpaceError: a float has no step, so there is no end of combinations.
        """
        return Grid(self._parameters)

    def step_index(self, name: str, value: Any) -> int:
        """Where a value lies: its step from the lower end, or its place among the choices.

        Raises:
            SpaceError: the name is unknown, the value is none of the parameter's, or the parameter
                is a float without a step.
        """
        parameter = self._known(name)
        index = parameter.find_index(value)
        if index is None:
            _refuse_continuous(name, parameter)
            raise SpaceError(
                f"parameter {name!a}: found {shown(value)}, expected a value of "
                f"{shown(parameter, 200)}"
            )
        return index

    def value_at(self, name: str, index: int) -> Choice:
        """The value of a step index, the inverse of `step_index`.

        Raises:
            SpaceError: the name is unknown, the index is out of range, or the parameter is a float
                without a step.
        """
        parameter = self._known(name)
        _refuse_continuous(name, parameter)
        place = operator.index(index) if hasattr(index, "__index__") else -1
        if isinstance(index, bool) or not 0 <= place < parameter.size:
            raise SpaceError(
                f"parameter {name!a}: found index {shown(index)}, expected 0 to "
                f"{shown(parameter.size - 1)}"
            )
        return parameter.value_at(place)

    def decimals(self, name: str) -> int | None:
        """Decimals that write every value exactly: 0 for int; None for a float without a step and
        for choices."""
        return self._known(name).decimals

    def _known(self, name: str) -> Parameter:
        try:
            return self._parameters[name]
        except KeyError:
            known = ", ".join(self._parameters)
            raise SpaceError(
                f"found parameter {name!a}, expected one of {shown(known, 200)}"
            ) from None

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SearchSpace):
            return NotImplemented
        return self._parameters == other._parameters

    def __hash__(self) -> int:
        return hash(frozenset(self._parameters.items()))

    def __repr__(self) -> str:
        return f"SearchSpace({self.to_specs()!r})"


# --- specs

_RANGE = {"min": "low", "low": "low", "max": "high", "high": "high", "step": "step", "log": "log"}
_FIELDS = {"float": _RANGE, "int": _RANGE, "categorical": {"choices": "choices"}}
_NEEDED = {"float": ("low", "high"), "int": ("low", "high"), "categorical": ("choices",)}
_TYPES: dict[str, Callable[..., Parameter]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "categorical": CategoricalParameter,
}
_ALIASES = {"low": "min", "high": "max"}


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise SpaceError(f"found the parameter name {shown(name)}, expected a string")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SpaceError(
            f"found the parameter name {name!a:.80}, expected one without lone surrogates"
        ) from None
    return str.__str__(name)


def _read(name: str, spec: Any) -> Parameter:
    if isinstance(spec, Parameter):
        return spec
    try:
        kind, fields = _fields(spec)
        parameter = _TYPES[kind](**fields)
    except SpaceError as error:
        raise SpaceError(f"parameter {name!a}: {error}") from None
    if isinstance(parameter, CategoricalParameter) or parameter.step is None:
        return parameter
    if parameter.high != fields["high"]:
        warnings.warn(
            f"parameter {name!a}: max {shown(fields['high'])} is not min {shown(parameter.low)} "
            f"plus a multiple of step {shown(parameter.step)}; it is {shown(parameter.high)} from "
            f"here on",
            GridWarning,
            stacklevel=4,
        )
    return parameter


def _fields(spec: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(spec, Mapping):
        raise SpaceError(f"found {shown(spec)}, expected a mapping like {{'type': 'float', ...}}")
    kind = spec.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise SpaceError(f"found type {shown(kind)}, expected 'float', 'int' or 'categorical'")
    fields: dict[str, Any] = {}
    for word, value in spec.items():
        if word == "type":
            continue
        field = _FIELDS[kind].get(word)
        if field is None:
            known = ", ".join(_FIELDS[kind])
            raise SpaceError(f"found field {shown(word)} for type {kind!r}, expected {known}")
        if field in fields:
            raise SpaceError(f"found both {_ALIASES[field]!r} and {field!r}, expected one of them")
        fields[field] = value
    for field in _NEEDED[kind]:
        if field not in fields:
            raise SpaceError(f"found no {_ALIASES.get(field, field)!r}, expected one; add it")
    if fields.get("step", 1) is None:  # as Optuna writes "no step"
        del fields["step"]
    return kind, fields


def _to_spec(parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, CategoricalParameter):
        return {"type": "categorical", "choices": list(parameter.choices)}
    kind, no_step = ("float", None) if isinstance(parameter, FloatParameter) else ("int", 1)
    spec: dict[str, Any] = {"type": kind, "min": parameter.low, "max": parameter.high}
    if parameter.step != no_step:
        spec["step"] = parameter.step
    if parameter.log:
        spec["log"] = True
    return spec


def _refuse_continuous(name: str, parameter: Parameter) -> None:
    if parameter.size == math.inf:
        raise SpaceError(
            f"parameter {name!a}: found a float without a step, which has no step indexes; give "
            f"it a step"
        )


# --- Optuna's distributions


def _of_distribution(name: str, distribution: Any) -> Parameter:
    from optuna import distributions as optuna

    try:
        if isinstance(distribution, optuna.FloatDistribution):
            return FloatParameter(
                distribution.low, distribution.high, distribution.step, distribution.log
            )
        if isinstance(distribution, optuna.IntDistribution):
            return IntParameter(
                distribution.low, distribution.high, distribution.step, distribution.log
            )
        if isinstance(distribution, optuna.CategoricalDistribution):
            return CategoricalParameter(distribution.choices)
    except SpaceError as error:
        raise SpaceError(f"parameter {name!a}: {error}") from None
    raise SpaceError(
        f"parameter {name!a}: found {shown(distribution)}, expected an Optuna float, int or "
        f"categorical distribution"
    )


def _to_distribution(parameter: Parameter) -> BaseDistribution:
    from optuna import distributions as optuna

    if isinstance(parameter, CategoricalParameter):
        return optuna.CategoricalDistribution(parameter.choices)
    low, high = parameter.low, parameter.high
    if isinstance(parameter, IntParameter):
        return optuna.IntDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
    # Optuna divides the decimal texts of the ends and would take a rounded end for one off the
    # grid, losing the last point: so the end is set after the construction.
    distribution = optuna.FloatDistribution(low, low, parameter.log, parameter.step)
    distribution.high = high
    return distribution

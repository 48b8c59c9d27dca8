"""The combinations of a finite space that nobody has evaluated yet: how many, and which."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from optimizer._parameters import shown
from optimizer.errors import SignatureError, SpaceError
from optimizer.protocols import Params, Signature, SignatureGuard
from optimizer.sampling._permutation import Permutation
from optimizer.signature import SIGNATURE_BYTES, param_signature
from optimizer.space import Choice, Grid, SearchSpace

if TYPE_CHECKING:
    import optuna

    Evaluated = Iterable[Params | Signature] | SignatureGuard | optuna.Study
    """What is there already; `remaining` says how each kind counts."""

__all__ = ["CapWarning", "cap", "remaining"]

_ASKED_AT_ONCE = 500
"""Signatures a guard is asked for by one call."""


class CapWarning(UserWarning):
    """More trials were asked for than the space has combinations that are new."""


def remaining(
    space: SearchSpace, evaluated: Evaluated = (), *, seed: int | None = None
) -> Iterator[dict[str, Choice]]:
    """Every combination of a finite space that was not evaluated yet, each exactly once.

    Promises: nothing is drawn twice, and none is left out. In the order of `space.grid()`, or in
    an order set by the seed, the same in every process. Each combination is a new dict. What is
    evaluated after the call is not looked at again: several workers agree by claims, or by
    `space.grid().part(k, of=n)`.

    What counts as evaluated, `evaluated` being

    - parameter sets: each that is a combination of the space, a value for every name and no other
      name. 0.1 + 0.2 is the step 0.3, as for `param_signature`.
    - signatures, alone or among parameter sets: those of `param_signature(params, space)`.
    - a guard, such as NoDupeGuard: what it has seen, asked for as the combinations come.
    - an Optuna study: its trials, but failed ones; a running trial by what it has suggested so
      far, also where its worker died (fail such trials first), and one that was enqueued by what
      it is bound to. Optuna stores of the choices 1, 1.0 and True the first: the others always
      remain.

    Cost: memory for what was evaluated, never for the space. Time linear in the combinations passed
    over and given; with signatures each is signed, with a seed each place takes some hashes more.

    Raises:
        SpaceError: a float without a step, which has no end of combinations; or the seed is no
            integer.
        SignatureError: `evaluated` holds something else, or is a single set or signature.
    """
    grid = space.grid()
    known = _known(grid, evaluated)
    if seed is None and not known.indexes:
        found = iter(grid)
    else:
        order: Iterable[int] = range(grid.size) if seed is None else Permutation(grid.size, seed)
        found = (grid[index] for index in order if index not in known.indexes)
    if known.seen is None:
        return found
    return _unseen(space, found, known.seen)


def cap(space: SearchSpace, n_trials: int, evaluated: Evaluated = ()) -> int:
    """How many of so many trials can still be new; warns where that is fewer.

    Counts as `remaining` does; all of them where the space has no end of combinations.

    Cost: one pass over what was evaluated; with signatures or a guard, up to `n_trials` new
    combinations are looked for as well.

    Raises:
        SpaceError: n_trials is no integer of at least 0.
        SignatureError: as `remaining` does.

    Example:
        >>> import warnings
        >>> from optimizer import SearchSpace
        >>> space = SearchSpace({"p": {"type": "int", "min": 1, "max": 4}})
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     cap(space, 100), str(caught[0].message)[:52]
        (4, 'Parameter space has only 4 unique combinations but 1')
    """
    if isinstance(n_trials, bool) or not isinstance(n_trials, int) or n_trials < 0:
        raise SpaceError(f"found n_trials {shown(n_trials)}, expected an integer of at least 0")
    size = space.size()
    if not isinstance(size, int):
        return n_trials
    known = _known(space.grid(), evaluated)
    new = size - len(known.indexes)
    if known.seen is not None and new:
        grid = space.grid()
        found = (grid[index] for index in range(size) if index not in known.indexes)
        new = sum(1 for _ in islice(_unseen(space, found, known.seen), n_trials))
    if new >= n_trials:
        return n_trials
    old = f", {size - new} of them evaluated," if new < size else ""
    warnings.warn(
        f"Parameter space has only {size} unique combinations{old} but {n_trials} trials were "
        f"requested. Capping to {new}.",
        CapWarning,
        stacklevel=2,
    )
    return new


# --- what was evaluated

_Seen = Callable[[list[Signature]], Iterable[bool]]


class _Known(NamedTuple):
    indexes: set[int]  # of the grid
    seen: _Seen | None  # which signatures, where some are known by nothing else


def _known(grid: Grid, evaluated: Any) -> _Known:
    if isinstance(evaluated, SignatureGuard):
        return _Known(set(), evaluated.seen_batch)
    if hasattr(evaluated, "get_trials"):
        evaluated = _params_of_trials(evaluated)
    elif isinstance(evaluated, (bytes, str, Mapping)) or not isinstance(evaluated, Iterable):
        raise SignatureError(
            f"found {shown(evaluated)} as all that was evaluated, expected parameter sets or "
            f"signatures, a guard or a study; wrap a single one in a list"
        )
    indexes: set[int] = set()
    signatures: set[Signature] = set()
    for one in evaluated:
        if isinstance(one, Mapping):
            index = grid.find(one)
            if index is not None:
                indexes.add(index)
        elif type(one) is bytes and len(one) == SIGNATURE_BYTES:
            signatures.add(one)
        else:
            raise SignatureError(
                f"found {shown(one)} among what was evaluated, expected parameters or a signature: "
                f"exactly {SIGNATURE_BYTES} bytes, as param_signature returns"
            )
    if not signatures:
        return _Known(indexes, None)
    return _Known(indexes, lambda batch: map(signatures.__contains__, batch))


def _params_of_trials(study: Any) -> Iterator[Params]:
    """The parameters of every trial that is done, pruned, under way or waiting."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name != "FAIL":
            yield {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _unseen(
    space: SearchSpace, found: Iterator[dict[str, Choice]], seen: _Seen
) -> Iterator[dict[str, Choice]]:
    while batch := list(islice(found, _ASKED_AT_ONCE)):
        flags = seen([param_signature(params, space) for params in batch])
        yield from (params for params, old in zip(batch, flags, strict=True) if not old)

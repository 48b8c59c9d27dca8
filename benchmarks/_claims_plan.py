"""Which lines the claims table has, and at which case each is measured."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from benchmarks import _registry
from benchmarks._claims_rows import Line, Role
from benchmarks._claims_table import Claim
from benchmarks.gate.errors import UsageError

Paths = Mapping[str, _registry.RegisteredPath]
_NO_CLAIM = Claim("")


def lines_of(
    claims: Mapping[str, Claim], paths: Paths, names: Sequence[str] = (), *, quick: bool = False
) -> list[Line]:
    """The lines in the order of the reports, then the hot paths that no claim names.

    `names` are claims, hot paths or suites; a claim brings all its lines. With `quick`, a case
    whose slow way is quick. Raises `UsageError` where a name is none of them.
    """
    refuse_unknown(claims, paths, names)
    every = [line for claim in claims.values() for line in _of_claim(claim, paths, quick)]
    named = {line.path for line in every}
    every += [
        _line(Role.OURS, _NO_CLAIM, path, quick)
        for path in paths.values()
        if path.name not in named
    ]
    if not names:
        return every
    wanted = set(names)
    return [line for line in every if wanted & {line.claim.name, line.path, _suite(line.path)}]


def refuse_unknown(claims: Mapping[str, Claim], paths: Paths, names: Iterable[str]) -> None:
    """Raises `UsageError` for the first name that is neither claim nor hot path nor suite."""
    known = {*claims, *paths, *map(_suite, paths)}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"no claim, hot path or suite {name}{meant} (--list names them)")


def _of_claim(claim: Claim, paths: Paths, quick: bool) -> list[Line]:
    """The claim's own line, and what stands below it."""
    if claim.hot_path not in paths:
        return [Line(Role.CLAIM, claim)]
    own = _line(Role.CLAIM, claim, paths[claim.hot_path], quick)
    below = [(Role.BESIDE, name) for name in claim.also] + [(Role.PLAIN, claim.plain_path)]
    return [
        own,
        *(
            _line(role, claim, paths[name], quick, beside=own)
            for role, name in below
            if name in paths
        ),
    ]


def _line(
    role: Role,
    claim: Claim,
    path: _registry.RegisteredPath,
    quick: bool,
    beside: Line | None = None,
) -> Line:
    """A path's line: at the case of the line it stands beside, where it has that case."""
    case = path.case()
    if quick and not case.compared:
        case = next((other for other in path.cases if other.compared), case)
    judged = path.case().label
    if beside is not None:
        same = [other for other in path.cases if other.label == beside.case and other.has_before]
        case = same[0] if same else case
        judged = beside.judged
    trials = None if role is Role.OURS else claim.trials_at(case.label, judged)
    return Line(role, claim, path.name, case.label, judged, trials)


def _suite(path: str) -> str:
    return path.partition(".")[0]

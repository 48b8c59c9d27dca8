"""Which lines the claims table has, and at which case each is measured."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import _registry
from benchmarks._claims_rows import Line, Role
from benchmarks._claims_table import Claim, split_case
from benchmarks.gate.errors import UsageError

Paths = Mapping[str, _registry.RegisteredPath]
_NO_CLAIM = Claim("")


def lines_of(
    claims: Mapping[str, Claim],
    paths: Paths,
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    compared: Mapping[str, str] | None = None,
    every_case: bool = False,
) -> list[Line]:
    """The lines in the order of the reports, then the hot paths that no claim names.

    `names` are claims, hot paths or suites; a claim brings all its lines. With `quick`, a case
    whose slow way is quick. `compared` says what the lines compare that are no claim's own. Of a
    hot path that no claim names there is one case, and those that `compared` names, or each with
    `every_case`. Raises `UsageError` where a name is none of them.
    """
    refuse_unknown(claims, paths, names)
    plan = _Plan(paths, quick, compared or {})
    every = [line for claim in claims.values() for line in plan.of_claim(claim)]
    named = {line.path for line in every}
    every += [
        plan.line(Role.OURS, _NO_CLAIM, name, case)
        for name, path in paths.items()
        for case in path.cases
        if name not in named
        and (
            every_case
            or case.label == path.case().label
            or f"{name}[{case.label}]" in plan.compared
        )
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


@dataclass(frozen=True)
class _Plan:
    """At which case a line is measured, and what it says that it compares."""

    paths: Paths
    quick: bool
    compared: Mapping[str, str]

    def of_claim(self, claim: Claim) -> list[Line]:
        """The claim's own line, and what stands below it; no case of a path twice."""
        if claim.hot_path not in self.paths:
            return [Line(Role.CLAIM, claim, what=claim.what)]
        own = self.line(Role.CLAIM, claim, claim.hot_path, self.paths[claim.hot_path].case())
        below = [(Role.BESIDE, name) for name in claim.also] + [(Role.PLAIN, claim.plain_path)]
        lines = [own]
        for role, name in below:
            if split_case(name)[0] in self.paths:
                line = self._below(role, name, own)
                known = {(one.path, one.case) for one in lines}
                lines += [] if (line.path, line.case) in known else [line]
        return lines

    def _below(self, role: Role, name: str, own: Line) -> Line:
        """At the case that is named, else at that of the claim's own line, else at the path's."""
        path, case = split_case(name)
        cases = {one.label: one for one in self.paths[path].cases if one.has_before}
        found = cases.get(case or own.case, self.paths[path].case())
        return self.line(role, own.claim, name, found, judged=own.judged, taken=own.name)

    def line(
        self,
        role: Role,
        claim: Claim,
        name: str,
        case: _registry.RegisteredCase,
        *,
        judged: str = "",
        taken: str = "",
    ) -> Line:
        """The line at that case; with `quick`, at one that is quick, rather not `taken`."""
        path = self.paths[split_case(name)[0]]
        if self.quick and not case.compared:
            quick = [other for other in path.cases if other.compared]
            free = [other for other in quick if f"{path.name}[{other.label}]" != taken]
            case = [*free, *quick, case][0]
        judged = judged or path.case().label
        trials = None if role is Role.OURS else claim.trials_at(case.label, judged)
        line = Line(role, claim, path.name, case.label, judged, trials)
        return replace(line, what=self._what(line, name))

    def _what(self, line: Line, name: str) -> str:
        """Said of the case that is measured, else of that which is named, else of the path."""
        if line.role is Role.CLAIM:
            return line.claim.what
        said = (self.compared.get(place) for place in (line.name, name, line.path))
        return next(filter(None, said), line.claim.plain if line.role is Role.PLAIN else "")


def _suite(path: str) -> str:
    return path.partition(".")[0]

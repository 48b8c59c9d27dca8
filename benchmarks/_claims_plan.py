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
    beyond: Mapping[str, Claim] | None = None,
    every_case: bool = False,
) -> list[Line]:
    """The lines in the order of the reports, then the hot paths that no claim names.

    `names` are claims, hot paths or suites; a claim brings all its lines. With `quick`, a case
    whose slow way is quick. `compared` says what the lines compare that are no claim's own,
    `beyond` what this project wants of a case. Of a hot path that no claim names there is one case,
    and those that these two name, or each with `every_case`. Raises `UsageError` where a name is
    none of them.
    """
    refuse_unknown(claims, paths, names)
    plan, beyond = _Plan(paths, quick, compared or {}), beyond or {}
    every = [line for claim in claims.values() for line in plan.of_claim(claim)]
    named = {line.path for line in every}
    for name in paths:
        if name not in named:
            every += plan.of_path(name, beyond, every_case=every_case)
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

    def of_path(self, name: str, beyond: Mapping[str, Claim], *, every_case: bool) -> list[Line]:
        """The lines of a path that no claim names; no case twice, each with its own goals."""
        path, worded = self.paths[name], {*self.compared, *beyond}
        lines: dict[str, Line] = {}
        for case in path.cases:
            own = case.label == path.case().label
            if every_case or own or f"{name}[{case.label}]" in worded:
                measured = self.measured(path, case)
                goals = beyond.get(f"{name}[{measured.label}]", _NO_CLAIM)
                lines.setdefault(measured.label, self.line(Role.OURS, goals, name, measured))
        return list(lines.values())

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
        case = self.measured(path, case, taken=taken)
        judged = judged or (case.label if role is Role.OURS else path.case().label)
        trials = claim.trials_at(case.label, judged)
        line = Line(role, claim, path.name, case.label, judged, trials, once=case.once)
        return replace(line, what=self._what(line, name))

    def measured(
        self, path: _registry.RegisteredPath, case: _registry.RegisteredCase, *, taken: str = ""
    ) -> _registry.RegisteredCase:
        """That case; with `quick`, one that is quick, rather not `taken`."""
        if not self.quick or case.compared:
            return case
        quick = [other for other in path.cases if other.compared]
        free = [other for other in quick if f"{path.name}[{other.label}]" != taken]
        return [*free, *quick, case][0]

    def _what(self, line: Line, name: str) -> str:
        """Said of the case that is measured, else of that which is named, else of the path."""
        if line.role is Role.CLAIM:
            return line.claim.what
        said = (self.compared.get(place) for place in (line.name, name, line.path))
        return next(filter(None, said), line.claim.plain if line.role is Role.PLAIN else "")


def _suite(path: str) -> str:
    return path.partition(".")[0]

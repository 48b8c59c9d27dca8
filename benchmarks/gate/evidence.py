"""What findings were made of: pairs, what grew, and the commits since the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .baselines import Baseline
from .errors import UsageError
from .grown import grown
from .judge import REGRESSION, Finding
from .outcome import Outcomes
from .project import Project
from .repository import Repository
from .rules import STAGES


def evidence(
    repository: Repository,
    project: Project,
    baselines: Mapping[str, Baseline],
    outcomes: Outcomes,
    findings: Iterable[Finding],
) -> dict[str, Any]:
    """Tables for the report, as JSON takes them; names of cases are `path[case]`.

    What grew is told of regressions only: a case that was counted again and found well has none.
    """
    worse = {finding.name for finding in findings if finding.code == REGRESSION}
    pairs: dict[str, Any] = {}
    grew: dict[str, Any] = {}
    for (path, case), outcome in outcomes.items():
        stages = {stage: getattr(outcome, stage) for stage in STAGES}
        name = f"{path}[{case}]"
        pairs[name] = {
            stage: [list(sample) for sample in taken.samples]
            for stage, taken in stages.items()
            if taken is not None
        } | ({"wall": list(outcome.wall)} if outcome.wall else {})
        if name in worse and outcome.again is not None and (found := grown(outcome.again)):
            grew[name] = found
    described = {
        name: {
            "commit": baseline.commit,
            "tree": baseline.tree,
            "date": baseline.date,
            "reason": baseline.reason,
            "commits": _commits(repository, project, baseline),
        }
        for name, baseline in baselines.items()
    }
    uncommitted = repository.dirty(project.code)
    return {"pairs": pairs, "grew": grew, "baselines": described, "uncommitted": uncommitted}


def _commits(
    repository: Repository, project: Project, baseline: Baseline
) -> list[dict[str, str]] | None:
    """Commits after the baseline's that touched the code; None where its commit is not here."""
    try:
        return repository.commits(baseline.commit, project.code)
    except UsageError:
        return None

"""What findings were made of: pairs, what grew, and the commits since the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .baselines import Baseline
from .errors import UsageError
from .grown import grown
from .outcome import Outcomes
from .project import Project
from .repository import Repository


def evidence(
    repository: Repository,
    project: Project,
    baselines: Mapping[str, Baseline],
    outcomes: Outcomes,
) -> dict[str, Any]:
    """Tables for the report, as JSON takes them; names of cases are `path[case]`."""
    pairs: dict[str, Any] = {}
    grew: dict[str, Any] = {}
    for (path, case), outcome in outcomes.items():
        stages = {"first": outcome.first, "second": outcome.second}
        pairs[f"{path}[{case}]"] = {
            name: [list(sample) for sample in stage.samples]
            for name, stage in stages.items()
            if stage is not None
        } | ({"wall": list(outcome.wall)} if outcome.wall else {})
        if outcome.again is not None and (found := grown(outcome.again)):
            grew[f"{path}[{case}]"] = found
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
    return {"pairs": pairs, "grew": grew, "baselines": described}


def _commits(repository: Repository, project: Project, baseline: Baseline) -> list[dict[str, str]]:
    """Commits after the baseline's that touched the code; none where its commit is not here."""
    try:
        return repository.commits(baseline.commit, project.code)
    except UsageError:
        return []

"""Moving a baseline: on purpose, from a clean tree, with a reason, and never to a slower state
without saying so."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .baselines import Baseline, write_baseline
from .claims import Described
from .errors import GateError
from .instruments import Counts
from .judge import REGRESSION
from .outcome import Outcome, Progress
from .project import Project
from .ratio import claim_ratio
from .report import Report
from .run import Run


class RefusedError(GateError):
    """The baseline was not moved."""

    code = 1


def rebaseline(
    project: Project,
    names: Sequence[str],
    *,
    reason: str,
    accept_regression: bool = False,
    progress: Progress = lambda line: None,
) -> tuple[Report, list[Path]]:
    """Store the working tree's state as the baseline of `names`; returns the files written.

    Raises `RefusedError` where the tree is not clean, a path failed, or one became slower (or
    cannot be compared with its old baseline) and `accept_regression` is not given. Without that,
    what is sure of a stored claim ratio of the same workload and environment never goes down,
    either: on another day the same code may reach less, and the next change is held to it.
    """
    run = Run(project, names, progress=progress, every=True)
    _refuse_dirty(run)
    commit = run.repository.head
    if run.repository.subtree(commit, project.code) != run.tree:
        raise RefusedError("the code changed while it was read: run it again")
    report = run.judge()
    _refuse_worse(report, accept_regression)
    baselines = []
    for path in run.selected:
        progress(f"before against after: {path['name']}")
        baseline = _baseline(run, path, commit, reason)
        if not accept_regression:
            _keep_claims(baseline, run.baselines.get(path["name"]), progress)
        baselines.append(baseline)
    # Stored only when all are there: Ctrl-C before this leaves every baseline as it was.
    return report, [write_baseline(project.baseline_dir, baseline) for baseline in baselines]


def _refuse_dirty(run: Run) -> None:
    project = run.project
    files = run.repository.dirty(project.code, project.suite)
    changed = [file for file in files if not file.startswith(f"{project.baselines}/")]
    if changed:
        raise RefusedError(
            f"a baseline names a commit, but the working tree differs from HEAD "
            f"({', '.join(changed[:5])}): commit first"
        )


def _refuse_worse(report: Report, accept_regression: bool) -> None:
    broken = [finding.sentence for finding in report.findings if finding.code in (2, 3)]
    if broken:
        raise RefusedError("nothing was stored: " + "; ".join(broken))
    worse = [finding.sentence for finding in report.findings if finding.code in (REGRESSION, 4)]
    if worse and not accept_regression:
        raise RefusedError(
            "nothing was stored: "
            + "; ".join(worse)
            + "; if that is intended, add --accept-regression"
        )


def _baseline(run: Run, path: Described, commit: str, reason: str) -> Baseline:
    name, cases = path["name"], [case["label"] for case in path["cases"]]
    old = run.baselines.get(name)
    history = [] if old is None else [*old.history, _entry(old)]
    ratios = {
        case["label"]: asdict(claim_ratio(run.head, (name, case["label"])))
        for case in path["cases"]
        if case["has_before"]
    }
    counted = {case: _counters(run.outcomes[name, case]) for case in cases}
    for case in path["cases"]:
        if case["counted"] and not counted[case["label"]]:
            raise RefusedError(f"nothing was stored: {name}[{case['label']}] was not counted")
    return Baseline(
        path=name,
        tree=run.tree,
        commit=commit,
        workload=path["workload"],
        environment=run.environment,
        counters={case: counts for case, counts in counted.items() if counts},
        ratios=ratios,
        reason=reason,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        history=history,
    )


def _keep_claims(new: Baseline, old: Baseline | None, progress: Progress) -> None:
    """Keep the old ratio of each case of which less is sure here, on the same kind of machine."""
    if old is None or old.workload != new.workload:
        return
    was, here = old.environment, new.environment
    if was.difference(here) or was.processor != here.processor:
        return  # what was measured elsewhere is nothing to be held to here
    for case, ratio in new.ratios.items():
        before = old.ratios.get(case, ratio)
        if before["low"] > ratio["low"]:
            progress(
                f"{new.path}[{case}]: surely {ratio['low']:.3g}x here, so its stored ratio of "
                f"{before['low']:.3g}x or more stays (--accept-regression takes the lower one)"
            )
            new.ratios[case] = before


def _counters(outcome: Outcome) -> Counts:
    """What was counted; where it was counted again, the least: a stored number must not hide more
    work behind a count that was too high.
    """
    again = {} if outcome.again is None else outcome.again.now
    least = {name: min(values) for name, values in again.items()}
    return {name: min(n, least.get(name, n)) for name, n in outcome.counters.items()}


def _entry(old: Baseline) -> dict[str, str]:
    return {"tree": old.tree, "commit": old.commit, "reason": old.reason, "date": old.date}

"""The trials of a run that were started and not told yet: where each of them is."""

from __future__ import annotations

from dataclasses import dataclass, field

from optimizer.protocols import Signature
from optimizer.study.executors import Executor
from optimizer.study.jobs import Job


@dataclass(slots=True, eq=False)
class Underway:
    """What the parts of the loop share. A trial is a `Job`, in exactly one of these places.

    Attributes:
        executor: runs them.
        running: with the executor, by number.
        flying: by the signature under which they are evaluated; trials of the same point stand
            behind these, as their `followers`.
        awaited: waiting for a value that another process, or until just now a trial, finds.
        starting: the one that is in no place yet.
        followers: how many stand behind others.
        error: what ends the run, once those that run are done.
    """

    executor: Executor
    running: dict[int, Job] = field(default_factory=dict)
    flying: dict[Signature, Job] = field(default_factory=dict)
    awaited: list[Job] = field(default_factory=list)
    starting: Job | None = None
    followers: int = 0
    error: BaseException | None = None

    def follow(self, leader: Job, job: Job) -> None:
        """Stand behind the trial that is evaluated at the same point."""
        leader.followers.append(job)
        self.followers += 1

    def release_followers(self, job: Job) -> None:
        """Its point has a value now, or the next in line is to be evaluated."""
        if job.flight is not None:
            del self.flying[job.flight]
        followers, job.followers = job.followers, []
        self.followers -= len(followers)
        self.awaited.extend(followers)

    def numbers(self) -> set[int]:
        """Of all trials that somebody evaluates, or that wait."""
        own = {job.number for job in self.awaited} | self.running.keys()
        for job in self.flying.values():
            own.update(one.number for one in job.followers)
        return own

    def clear(self) -> list[Job]:
        """Forget all of them; those that were in any place."""
        left = [*self.running.values(), *self.awaited]
        if self.starting is not None and self.starting not in left:
            left.append(self.starting)
        left += [follower for job in self.flying.values() for follower in job.followers]
        self.running.clear()
        self.awaited.clear()
        return left

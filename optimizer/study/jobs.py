"""A trial on its way through the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optimizer.protocols import Claim, Signature
from optimizer.study.drawing import LateTrial
from optimizer.study.parts import PartTrial
from optimizer.study.remote import Assignment


@dataclass(slots=True, eq=False)
class Job:
    """A trial that was started and not told yet.

    Attributes:
        number: of the trial.
        params: what was drawn, recorded or not; empty where nothing could be drawn ahead.
        signature: of the parameters; None where there are none, or no form for them.
        fraction: how much of the data its present evaluation uses.
        part: stands in for the trial while it is evaluated on a part of the data.
        partial: fraction and value of an evaluation on a part of the data, if there was one.
        claim: the right to evaluate, where other processes were asked.
        flight: the signature under which it is evaluated, for others to follow.
        followers: trials at the same point, which wait for its value.
        is_promising: whether it gets all of the data at once: somebody enqueued it, or it was good
            on a part of the data.
        heartbeat: tells the storage that the trial is alive, where the storage wants that.
    """

    trial: LateTrial
    number: int
    params: Mapping[str, Any] = field(default_factory=dict)
    signature: Signature | None = None
    fraction: float = 1.0
    part: PartTrial | None = None
    partial: tuple[float, float] | None = None
    claim: Claim | None = None
    flight: Signature | None = None
    followers: list[Job] = field(default_factory=list)
    heartbeat: Any = None
    is_promising: bool = False

    @property
    def trial_id(self) -> int:
        """Optuna's id of the trial."""
        return int(self.trial._trial_id)

    def assignment(self) -> Assignment:
        """What a worker is told of it."""
        trial = self.trial
        return Assignment(
            self.number,
            trial._trial_id,
            self.params,
            dict(trial.ahead),
            self.fraction,
            trial.datetime_start,
        )

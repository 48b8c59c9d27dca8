"""What the rooms promise each other, without importing each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Params = Mapping[str, Any]
"""Parameters of one trial: name -> value."""

Signature = bytes
"""16 bytes that are equal exactly if two parameter sets are the same point of the space."""


@runtime_checkable
class SignatureGuard(Protocol):
    """A set of signatures that outlives the process, one namespace per study."""

    def seen(self, signature: Signature) -> bool:
        """Whether the signature was added before, by any process."""
        ...

    def add(self, signature: Signature) -> bool:
        """Add it; True if it was new."""
        ...

    def seen_batch(self, signatures: Iterable[Signature]) -> list[bool]:
        """`seen` of each, in order."""
        ...

    def add_batch(self, signatures: Iterable[Signature]) -> int:
        """Add all or none; how many were new."""
        ...

    def remove(self, signature: Signature) -> bool:
        """Forget it; True if it was there."""
        ...

    def __len__(self) -> int: ...


# --- what a store keeps, beyond signatures


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an objective returned: one value or several, attributes, and how many starts it took."""

    values: tuple[float, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1

    @property
    def value(self) -> float:
        """The only value; `ValueError` where there are several."""
        (value,) = self.values
        return value


@dataclass(frozen=True, slots=True)
class EvaluationCounters:
    """What one cache object has done since it was made; a snapshot."""

    hits: int = 0
    misses: int = 0
    front_hits: int = 0  # of the hits, those answered from memory
    evictions: int = 0
    expirations: int = 0
    waits: int = 0  # of the misses, those for which another worker's value was waited for

    @property
    def hit_rate(self) -> float:
        """Hits, and values waited for, per look-up; 0.0 before the first."""
        return (self.hits + self.waits) / max(1, self.hits + self.misses)


Objective = Callable[[Params], "float | Sequence[float] | Evaluation"]
"""What is evaluated: parameters -> a value, several, or values with attributes."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to evaluate one parameter set, until its lease ends and another takes it.

    `owner` names the holder and is never used twice; `attempt` counts the starts of these
    parameters, from 1. A result must show both: they are the fencing token.
    """

    signature: Signature
    owner: str
    attempt: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is evaluating these parameters, for `remaining_s` seconds unless renewed."""

    owner: str
    attempt: int
    remaining_s: float


TrialState = Literal["running", "complete", "pruned", "failed", "waiting"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study; times are seconds since 1970 in UTC."""

    number: int
    state: TrialState
    params: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    signature: Signature | None = None
    started_s: float | None = None
    finished_s: float | None = None


@runtime_checkable
class EvaluationStore(Protocol):
    """Evaluations of one objective on one data set, found by parameters or their signature.

    What is stored never changes; it only goes, by age, by room or on request. So the first value
    that was stored stays, and two answers never differ.
    """

    def get(self, params: Params | Signature) -> Evaluation | None:
        """The stored evaluation; None if there is none, or it is too old."""
        ...

    def get_batch(self, many: Iterable[Params | Signature]) -> list[Evaluation | None]:
        """`get` of each, in order."""
        ...

    def put(
        self,
        params: Params | Signature,
        values: float | Sequence[float],
        attributes: Mapping[str, Any] | None = None,
        *,
        trial: Trial | None = None,
    ) -> bool:
        """Store it, and tell the trial, or neither; True if new, else the stored one stays."""
        ...

    def put_batch(self, pairs: Iterable[tuple[Params | Signature, float | Sequence[float]]]) -> int:
        """`put` of each pair of parameters and values, all or none; how many were new."""
        ...

    def forget(self, params: Params | Signature) -> bool:
        """Remove it; True if it was there."""
        ...

    def clear(self) -> int:
        """Remove all; how many there were."""
        ...

    def counters(self) -> EvaluationCounters:
        """What this object did; those of other processes are theirs."""
        ...

    def __contains__(self, params: Params | Signature) -> bool:
        """Whether it is there; neither counted nor a use."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class ClaimStore(Protocol):
    """Single flight: of many who propose the same parameters, one evaluates at a time."""

    def claim(
        self, params: Params | Signature, *, lease_s: float | None = None
    ) -> Claim | Evaluation | Busy:
        """The right to evaluate, to exactly one; or the value; or who is evaluating."""
        ...

    def fulfil(
        self,
        claim: Claim,
        values: float | Sequence[float],
        attributes: Mapping[str, Any] | None = None,
        *,
        trial: Trial | None = None,
    ) -> Evaluation:
        """Store the value, tell the trial and end the claim, or none of it if it passed on."""
        ...

    def release(self, claim: Claim) -> bool:
        """Give it up without a value; True if it was still held."""
        ...

    def renew(self, claim: Claim) -> bool:
        """Start its lease anew; False if it passed on to another."""
        ...

    def wait(
        self, params: Params | Signature, timeout_s: float | None = None
    ) -> Evaluation | Busy | None:
        """Wait for the value; None if the parameters are free to claim, Busy if time is up."""
        ...

    def evaluate_once(
        self, objective: Objective, params: Params, *, timeout_s: float | None = None
    ) -> Evaluation:
        """The stored evaluation, else that of `objective(params)`, called by one worker only."""
        ...


@runtime_checkable
class TrialStore(Protocol):
    """The trials of one study, by number; a finished one never changes."""

    def add(self, trial: Trial) -> bool:
        """Store it, in place of an unfinished one of its number; True if that changed anything."""
        ...

    def add_batch(self, trials: Iterable[Trial]) -> int:
        """Store all or none; how many changed anything."""
        ...

    def get_batch(self, numbers: Iterable[int]) -> dict[int, Trial]:
        """Those of these numbers that are there."""
        ...

    def load(self) -> dict[int, Trial]:
        """Every trial, in the order of the numbers."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class MetadataStore(Protocol):
    """Named JSON values of one study."""

    def update(self, values: Mapping[str, Any]) -> None:
        """Store all or none, replacing those of the same name."""
        ...

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name."""
        ...

    def all(self) -> dict[str, Any]:
        """Every name and value."""
        ...

    def remove(self, name: str) -> bool:
        """Forget it; True if it was there."""
        ...


class Store(Protocol):
    """Everything one study keeps, in one file or one database.

    Safe for threads and processes. What a call acknowledged is stored; a call that raised has
    changed nothing. Leases and ages go by the clock of the store.
    """

    @property
    def signatures(self) -> SignatureGuard:
        """The signatures it has tried."""
        ...

    @property
    def trials(self) -> TrialStore:
        """Its trials."""
        ...

    @property
    def metadata(self) -> MetadataStore:
        """Its named values."""
        ...

    def evaluations(
        self,
        fingerprint: bytes,
        *,
        maxsize: int | None = None,
        ttl_s: float | None = None,
    ) -> EvaluationStore:
        """The evaluations of the objective and data of this fingerprint."""
        ...

    def claims(
        self, fingerprint: bytes, *, ttl_s: float | None = None, lease_s: float = 60.0
    ) -> ClaimStore:
        """The claims on parameters of the objective and data of this fingerprint."""
        ...

    def forget_others(self, keep: bytes, *keep_too: bytes) -> int:
        """Remove this study's evaluations of all fingerprints but these; how many there were."""
        ...

    def check(self) -> None:
        """Raise StoreCorruptError unless everything is whole."""
        ...

    def close(self) -> None:
        """Close it, and every part it gave out."""
        ...

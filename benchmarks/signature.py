"""Hot paths of the signature: 1,000 sets of ten mixed parameters.

`before` is the reports' recipe, reconstructed: sorted JSON text and SHA-256. It merges and
separates sets that ours does not (1 and 1.0), so the workload has none of those: both must find
the same duplicates among the same sets.
"""

from __future__ import annotations

import random
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_WITNESSES = ("bytecodes", "instructions", "memory", "cpu", "wall", "claim")
_SETS = 1_000
_DISTINCT = 600  # the rest repeat one of these: the reports call 30-50% duplicates typical


def _parameter_sets() -> list[dict[str, Any]]:
    rng = random.Random(7)
    distinct = [
        {
            "fast": rng.randrange(2, 60),
            "slow": rng.randrange(60, 250),
            "threshold": rng.randrange(1, 100) * 0.01 + 0.001,
            "stop": rng.random(),
            "target": rng.random() * 10,
            "period": rng.randrange(2, 30),
            "kind": rng.choice(("sma", "ema", "wma")),
            "side": rng.choice(("long", "short", "both")),
            "reinvest": rng.random() < 0.5,
            "learning_rate": 10 ** rng.uniform(-5, -1),
        }
        for _ in range(_DISTINCT)
    ]
    return [dict(distinct[i % _DISTINCT]) for i in range(_SETS)]


def _first_seen(signatures: list[Any]) -> list[int]:
    """For each signature the index at which it appeared first: which sets are the same."""
    first: dict[Any, int] = {}
    return [first.setdefault(signature, i) for i, signature in enumerate(signatures)]


class _Signing:
    """Sign all sets, and find the same duplicates."""

    params = (_SETS,)
    param_names = ("sets",)

    def setup(self, sets: int) -> None:
        try:
            from optimizer.reference.signature import json_signature
            from optimizer.signature import SignatureCache, param_signature
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.json_signature = json_signature
        self.param_signature = param_signature
        self.cache = SignatureCache(maxsize=5_000)
        self.sets = _parameter_sets()

    def before(self, sets: int) -> list[Any]:
        sign = self.json_signature
        return [sign(params) for params in self.sets]

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return _first_seen(before) == _first_seen(after) and len(set(after)) == _DISTINCT


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=_SETS)
class Cold(_Signing):
    """`param_signature` of each set, nothing remembered."""

    def after(self, sets: int) -> list[Any]:
        sign = self.param_signature
        return [sign(params) for params in self.sets]


@_hot_path(claim="signature-warm", witnesses=_WITNESSES, claim_at=_SETS)
class Warm(_Signing):
    """The same through an LRU of 5,000 entries that has seen every set before.

    It has seen equal values, not the same objects: comparing an object with itself is cheaper.
    """

    def setup(self, sets: int) -> None:
        super().setup(sets)
        self.remembered = self.cache.signature
        for params in _parameter_sets():
            self.remembered(params)

    def after(self, sets: int) -> list[Any]:
        sign = self.remembered
        return [sign(params) for params in self.sets]


@_hot_path(claim="trial-key", witnesses=_WITNESSES, claim_at=_SETS)
class TrialKey(_Signing):
    """The key of each trial, wanted twice: to ask for a duplicate, and to store the trial.

    `before` computes it each time, by the reports' recipe; `after` goes through the LRU of 10,000
    entries, empty at first, so that at least every second time is a hit.
    """

    def setup(self, sets: int) -> None:
        super().setup(sets)
        self.remembered = type(self.cache)(maxsize=10_000)

    def fresh(self, sets: int) -> None:
        self.remembered.clear()

    def before(self, sets: int) -> list[Any]:
        sign = self.json_signature
        return [sign(params) for params in self.sets for _ in range(2)]

    def after(self, sets: int) -> list[Any]:
        sign = self.remembered.signature
        return [sign(params) for params in self.sets for _ in range(2)]


class _AgainstCold(_Signing):
    """Both sides are ours: what the cache adds to a signature that is fast by itself."""

    remembered: Any

    def before(self, sets: int) -> list[Any]:
        sign = self.param_signature
        return [sign(params) for params in self.sets]

    def after(self, sets: int) -> list[Any]:
        sign = self.remembered
        return [sign(params) for params in self.sets]

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after and len(set(after)) == _DISTINCT


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=_SETS)
class Hits(_AgainstCold):
    """Each set signed cold, or asked of a cache that has seen an equal one: all hits."""

    def setup(self, sets: int) -> None:
        super().setup(sets)
        self.remembered = self.cache.signature
        for params in _parameter_sets():
            self.remembered(params)


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=_SETS)
class Repeats(_AgainstCold):
    """The same, of a cache that is empty at first: two of five sets come again, a study's share.

    What a miss costs more is to be set against what a hit saves.
    """

    def setup(self, sets: int) -> None:
        super().setup(sets)
        self.remembered = self.cache.signature

    def fresh(self, sets: int) -> None:
        self.cache.clear()

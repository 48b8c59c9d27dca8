"""Hot paths of the evaluation cache, and of single flight over it.

The objective is a small backtest, short beside those of real studies: what a study gains from a
cache depends on how long its objective takes, and a longer one gains more. It works in C, so that
what is counted of Python and of SQLite is the cache's.
"""

from __future__ import annotations

import itertools
import math
import operator
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._registry import hot_path as _hot_path

_COUNTS = ("statements", "steps", "commits", "fsyncs", "opens", "connections")
_WITNESSES = (*_COUNTS, "instructions", "cpu", "wall", "claim")
# Most instructions are the objective's: calls of Python tell an evaluation that was not saved.
_EVALUATING = (*_WITNESSES, "python_calls")
_FINGERPRINT = bytes(range(16))
_DAY_S = 86_400.0
_PRICES = 6_000


def _signatures(n: int, seed: int) -> list[bytes]:
    everything = random.Random(seed).randbytes(16 * n)
    return [everything[i : i + 16] for i in range(0, 16 * n, 16)]


def _prices(n: int) -> list[float]:
    rng, price = random.Random(11), 100.0
    return [price := price * (1 + rng.gauss(0.0003, 0.01)) for _ in range(n)]


def _backtest(params: dict[str, Any], prices: list[float]) -> float:
    """Growth of an account that holds while the fast average lies above the slow one."""
    fast, slow = params["fast"], params["slow"]
    sums = list(itertools.accumulate(prices, initial=0.0))
    near = map(operator.sub, sums[slow:], sums[slow - fast :])
    far = map(operator.sub, sums[slow:], sums)
    near_times, far_times = itertools.repeat(slow), itertools.repeat(fast)
    held = map(operator.gt, map(operator.mul, near, near_times), map(operator.mul, far, far_times))
    returns = map(operator.truediv, prices[slow:], prices[slow - 1 :])
    growth: float = math.prod(itertools.compress(returns, held))
    return growth


class _Folder:
    """A folder that goes with the workload."""

    def setup(self, n: int) -> None:
        try:
            from optimizer.stores.claims import Claims
            from optimizer.stores.evaluations import EvaluationCache
        except ImportError as error:
            raise NotImplementedError(str(error)) from None
        self.claims_of, self.cache_of = Claims, EvaluationCache
        self.folder = tempfile.TemporaryDirectory()
        self.fast_file = Path(self.folder.name) / "fast.db"
        self.slow_file = Path(self.folder.name) / "slow.db"
        self.opened: list[Any] = []

    def teardown(self, n: int) -> None:
        for cache in self.opened:
            cache.close()
        self.folder.cleanup()

    def open(self, file: Path, **settings: Any) -> Any:
        """A cache that is closed with the workload."""
        self.opened.append(self.cache_of(file, _FINGERPRINT, **settings))
        return self.opened[-1]


# --- evaluations saved


class _Study(_Folder):
    """A study of n trials of the small backtest, of which `repeats` repeat an earlier one."""

    repeats = 0.0

    def setup(self, n: int) -> None:
        super().setup(n)
        rng = random.Random(3)
        every = [(fast, slow) for fast in range(2, 40) for slow in range(40, 120)]
        rng.shuffle(every)
        distinct = every[: round(n * (1 - self.repeats))]
        asked = distinct + [rng.choice(distinct) for _ in range(n - len(distinct))]
        rng.shuffle(asked)
        self.asked: list[dict[str, Any]] = [{"fast": fast, "slow": slow} for fast, slow in asked]
        self.prices = _prices(_PRICES)

    def before(self, n: int) -> list[float]:
        prices = self.prices
        return [_backtest(params, prices) for params in self.asked]

    def agree(self, before: list[float], after: list[float]) -> bool:
        return before == after and len(after) == len(self.asked)


@_hot_path(claim="eff-cache", witnesses=_EVALUATING, claim_at=25)
class Repeated(_Study):
    """The guide's cache (1,000 entries, 24 hours, persistent) in front of each evaluation.

    Two of five trials repeat an earlier one, so two fifths is the most that can be saved.
    """

    params = (25,)
    param_names = ("n",)
    repeats = 0.4

    def setup(self, n: int) -> None:
        super().setup(n)
        self.cache = self.open(self.fast_file, maxsize=1_000, ttl_s=_DAY_S)

    def fresh(self, n: int) -> None:
        self.cache.clear()

    def after(self, n: int) -> list[float]:
        cache, prices, values = self.cache, self.prices, []
        for params in self.asked:
            found = cache.get(params)
            if found is None:
                values.append(_backtest(params, prices))
                cache.put(params, values[-1])
            else:
                values.append(found.value)
        return values


@_hot_path(claim="cross-session", witnesses=_EVALUATING, claim_at=100)
class NextSession(_Study):
    """All trials were evaluated in an earlier session: open its file and ask, trial by trial."""

    params = (100,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.reopened = self.cache_of
        with self.reopened(self.fast_file, _FINGERPRINT) as earlier:
            earlier.put_batch((params, _backtest(params, self.prices)) for params in self.asked)

    def after(self, n: int) -> list[float]:
        with self.reopened(self.fast_file, _FINGERPRINT) as cache:
            found = [cache.get(params) for params in self.asked]
        return [evaluation.value for evaluation in found if evaluation is not None]


@_hot_path(claim="", witnesses=_EVALUATING, claim_at=10)
class SingleFlight(_Study):
    """Four workers propose the same n trials at the same time: all evaluate, or one does.

    They are played in turn by one thread, each with its own connection: who asks first would be
    chance among real ones, and so would the statements. The answer holds what each worker got and,
    last, how often the objective was called.
    """

    params = (10,)
    param_names = ("n",)
    workers = 4

    def setup(self, n: int) -> None:
        super().setup(n)
        caches = [self.open(self.fast_file) for _ in range(self.workers)]
        self.cache = caches[0]
        claims: list[Any] = [self.claims_of(cache) for cache in caches]
        self.claims = claims

    def fresh(self, n: int) -> None:
        self.cache.clear()

    def before(self, n: int) -> list[float]:
        prices, values = self.prices, []
        for params in self.asked:
            values += [_backtest(params, prices) for _ in range(self.workers)]
        return [*values, len(values)]

    def after(self, n: int) -> list[float]:
        prices, values, calls = self.prices, [], 0
        for params in self.asked:
            first, *others = self.claims
            mine = first.claim(params)
            told = [claims.claim(params) for claims in others]  # busy, all of them
            first.fulfil(mine, _backtest(params, prices))
            calls += 1 + sum(type(answer) is type(mine) for answer in told)
            values += [claims.wait(params).value for claims in self.claims]
        return [*values, calls]

    def agree(self, before: Sequence[float], after: Sequence[float]) -> bool:
        n = len(self.asked)
        counted = before[-1] == self.workers * n and after[-1] == n
        return before[:-1] == after[:-1] and counted


# --- what the cache and the claims cost


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=100)
class Claimed(_Folder):
    """Claim and fulfil n parameter sets against `get` and `put`: the price where nobody else asks.

    `before` is no way for several workers; what is lost here is what single flight costs.
    """

    params = (100,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.signatures = _signatures(n, seed=7)
        self.slow = self.open(self.slow_file)
        self.fast = self.open(self.fast_file)
        self.claims: Any = self.claims_of(self.fast)

    def fresh(self, n: int) -> None:
        self.slow.clear()
        self.fast.clear()

    def before(self, n: int) -> list[Any]:
        for i, signature in enumerate(self.signatures):
            if self.slow.get(signature) is None:
                self.slow.put(signature, float(i))
        return self._values(self.slow)

    def after(self, n: int) -> list[Any]:
        for i, signature in enumerate(self.signatures):
            self.claims.fulfil(self.claims.claim(signature), float(i))
        return self._values(self.fast)

    def _values(self, cache: Any) -> list[Any]:
        found: list[Any] = cache.get_batch(self.signatures)
        return found

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        return before == after and None not in after


@_hot_path(claim="", witnesses=_WITNESSES, claim_at=1_000)
class Front(_Folder):
    """`get_batch` of n known evaluations: a query per 500, or memory that one PRAGMA confirms."""

    params = (1_000,)
    param_names = ("n",)

    def setup(self, n: int) -> None:
        super().setup(n)
        self.signatures = _signatures(n, seed=4)
        self.slow = self.open(self.fast_file, front=0)
        self.slow.put_batch((signature, float(i)) for i, signature in enumerate(self.signatures))
        self.fast = self.open(self.fast_file)
        self.after(n)

    def before(self, n: int) -> list[Any]:
        found: list[Any] = self.slow.get_batch(self.signatures)
        return found

    def after(self, n: int) -> list[Any]:
        found: list[Any] = self.fast.get_batch(self.signatures)
        return found

    def agree(self, before: list[Any], after: list[Any]) -> bool:
        """The same, and no answer that contradicts what another connection committed."""
        first = self.signatures[0]
        self.slow.forget(first)
        forgotten = self.fast.get(first) is None
        self.slow.put(first, 0.0)
        again = self.fast.get_batch(self.signatures)  # in memory for the next round
        return forgotten and before == after == again and None not in after

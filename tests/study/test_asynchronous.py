"""The guide's asynchronous interface: results, a loop that goes on, cancelling, coroutines."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from optimizer import SQLiteStorage
from optimizer.efficiency import MODES, EfficiencyConfig
from optimizer.errors import EfficiencyError, StudyArgumentError
from optimizer.report import RunReport
from optimizer.study import asynchronous, optimize
from optimizer.study.asynchronous import EfficiencyOptimizer, create_efficiency_optimizer

SPACE = {"p": {"type": "float", "min": 0, "max": 1, "step": 0.01}}
ALONE = EfficiencyConfig(max_workers=1)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def hill(params: dict[str, Any]) -> float:
    return 1.0 - (float(params["p"]) - 0.3) ** 2


async def started(config: Any = ALONE, **more: Any) -> EfficiencyOptimizer:
    made = create_efficiency_optimizer(config, **more)
    await made.initialize()
    return made


def test_the_guides_results() -> None:
    async def main() -> dict[str, Any]:
        optimizer = await started()
        await optimizer.initialize()  # may be repeated
        return await optimizer.optimize_trial_efficiency(hill, SPACE, n_trials=60, seed=1)

    results = asyncio.run(main())
    metrics = results["efficiency_metrics"]
    assert set(metrics) == {
        *("total_time_seconds", "avg_trial_time_seconds", "cache_hit_rate"),
        *("parallel_efficiency", "memory_usage_mb", "speedup_factor"),
    }
    assert all(isinstance(value, float) for value in metrics.values())
    assert metrics["total_time_seconds"] > metrics["avg_trial_time_seconds"] > 0.0
    assert metrics["memory_usage_mb"] > 1.0
    assert metrics["speedup_factor"] > 0.0
    stats = results["cache_stats"]
    assert stats["hit_rate"] == metrics["cache_hit_rate"]
    assert stats["hits"] + stats["misses"] == results["n_trials"] == 60
    assert results["best_value"] == hill(results["best_params"])
    assert results["best_value"] > 0.95
    assert results["direction"] == "maximize"
    assert isinstance(results["study"], optuna.Study)
    assert isinstance(results["report"], RunReport)


def test_a_direction_and_no_comparison() -> None:
    async def main() -> dict[str, Any]:
        optimizer = await started()
        return await optimizer.optimize_trial_efficiency(
            hill, SPACE, 20, direction="minimize", compare=0
        )

    results = asyncio.run(main())
    assert results["best_value"] == min(
        trial.value for trial in results["study"].trials if trial.value is not None
    )
    assert math.isnan(results["efficiency_metrics"]["speedup_factor"])


def test_coroutines_are_awaited() -> None:
    async def objective(params: dict[str, Any], context: Any) -> float:
        await asyncio.sleep(0)
        return hill(params) * len(context.data["y"])

    async def main() -> dict[str, Any]:
        config = EfficiencyConfig(max_workers=1, enable_data_subsampling=False)
        optimizer = await started(config)
        return await optimizer.optimize_trial_efficiency(
            objective, SPACE, 10, data={"y": [1, 2]}, compare=0
        )

    results = asyncio.run(main())
    assert results["best_value"] == 2 * hill(results["best_params"])


def test_objects_with_a_coroutine_are_awaited() -> None:
    class Objective:
        async def __call__(self, params: dict[str, Any]) -> float:
            await asyncio.sleep(0)
            return hill(params)

    async def main() -> dict[str, Any]:
        optimizer = await started()
        return await optimizer.optimize_trial_efficiency(Objective(), SPACE, 5, compare=0)

    assert asyncio.run(main())["best_value"] > 0.0


def test_the_event_loop_goes_on() -> None:
    """Every trial waits for the loop to do something: a loop that stood still would hang it."""
    asked, answered = threading.Event(), threading.Event()

    def objective(params: dict[str, Any]) -> float:
        asked.set()
        assert answered.wait(60)
        answered.clear()
        return hill(params)

    async def answer() -> int:
        count = 0
        while True:
            await asyncio.sleep(0.001)
            if asked.is_set():
                asked.clear()
                answered.set()
                count += 1

    async def main() -> dict[str, Any]:
        optimizer = await started()
        task = asyncio.ensure_future(answer())
        results = await optimizer.optimize_trial_efficiency(
            objective, {"p": {"type": "float", "min": 0, "max": 1}}, 5, compare=0
        )
        task.cancel()
        return results

    assert asyncio.run(main())["n_trials"] == 5


def test_a_cancelled_call_stores_what_was_told(tmp_path: Path) -> None:
    running = threading.Event()

    def objective(params: dict[str, Any]) -> float:
        running.set()
        time.sleep(0.01)
        return hill(params)

    async def main() -> None:
        optimizer = await started(storage=tmp_path / "study.db")
        call = asyncio.ensure_future(
            optimizer.optimize_trial_efficiency(
                objective, {"p": {"type": "float", "min": 0, "max": 1}}, 100_000, study_name="s"
            )
        )
        while not running.is_set():
            assert not call.done(), call
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    storage = SQLiteStorage(tmp_path / "study.db")
    trials = optuna.load_study(study_name="s", storage=storage).trials
    storage.close()
    assert 1 <= len(trials) < 1_000
    assert all(trial.state.is_finished() for trial in trials)


def test_one_study_after_the_other() -> None:
    inside: list[int] = []

    def objective(params: dict[str, Any]) -> float:
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.001)
        inside.pop()
        return hill(params)

    async def main() -> list[dict[str, Any]]:
        optimizer = await started()
        calls = [
            optimizer.optimize_trial_efficiency(objective, SPACE, 10, compare=0) for _ in range(2)
        ]
        return await asyncio.gather(*calls)

    assert [results["n_trials"] for results in asyncio.run(main())] == [10, 10]


def test_an_objective_that_raises_ends_the_call() -> None:
    def objective(params: dict[str, Any]) -> float:
        raise ZeroDivisionError("here")

    async def main() -> None:
        optimizer = await started()
        await optimizer.optimize_trial_efficiency(objective, SPACE, 5)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with pytest.raises(ZeroDivisionError, match="here"):
        asyncio.run(main())


def test_not_initialized() -> None:
    async def main() -> None:
        await create_efficiency_optimizer().optimize_trial_efficiency(hill, SPACE, 5)

    with pytest.raises(StudyArgumentError, match=r"`await optimizer\.initialize\(\)` first"):
        asyncio.run(main())


def test_configurations() -> None:
    assert create_efficiency_optimizer().config == EfficiencyConfig()
    assert create_efficiency_optimizer("fast").config is MODES["fast"]
    with pytest.raises(EfficiencyError, match="mode is 'turbo'"):
        create_efficiency_optimizer("turbo")


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (64, 8)])
def test_never_more_workers_than_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    seen: list[int] = []

    def noted(*arguments: Any, **more: Any) -> Any:
        seen.append(more.pop("workers"))
        return optimize(*arguments, **more, workers=1)

    monkeypatch.setattr("optimizer.study.optimize", noted, raising=False)
    monkeypatch.setattr(asynchronous, "usable_cores", lambda: cores)

    async def main() -> None:
        optimizer = await started(EfficiencyConfig())
        await optimizer.optimize_trial_efficiency(hill, SPACE, 2, compare=0)

    asyncio.run(main())
    assert seen == [workers]


def test_in_worker_processes() -> None:
    async def main() -> dict[str, Any]:
        optimizer = await started(EfficiencyConfig(max_workers=2))
        return await optimizer.optimize_trial_efficiency(
            lambda params: 2.0 * hill(params), SPACE, 20, compare=2
        )

    results = asyncio.run(main())
    assert results["n_trials"] == 20
    assert results["efficiency_metrics"]["speedup_factor"] > 0.0

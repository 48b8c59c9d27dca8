"""Parts that make slow Optuna studies fast.

Importing this package loads none of numpy, numba, pandas or optuna: a public name is imported
from its room when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optimizer.backtest.feature_study import FeatureConfig as FeatureConfig
    from optimizer.backtest.feature_study import StudyFeatures as StudyFeatures
    from optimizer.backtest.features import FeatureStream as FeatureStream
    from optimizer.backtest.features import atr as atr
    from optimizer.backtest.features import ewma as ewma
    from optimizer.backtest.features import momentum as momentum
    from optimizer.backtest.features import rolling_mean as rolling_mean
    from optimizer.backtest.features import rsi as rsi
    from optimizer.backtest.features import volatility as volatility
    from optimizer.backtest.features import zscore as zscore
    from optimizer.backtest.prices import PricePanel as PricePanel
    from optimizer.backtest.prices import load_sp500 as load_sp500
    from optimizer.backtest.prices import synthetic_market as synthetic_market
    from optimizer.backtest.stages import StageCache as StageCache
    from optimizer.backtest.statistics import Statistics as Statistics
    from optimizer.backtest.tracker import Tracker as Tracker
    from optimizer.backtest.tracker import TradeLog as TradeLog
    from optimizer.backtest.tracker import track_trades as track_trades
    from optimizer.caching import LRUCache as LRUCache
    from optimizer.caching import TTLCache as TTLCache
    from optimizer.configuration import DefaultConfiguration as DefaultConfiguration
    from optimizer.configuration import read_json as read_json
    from optimizer.efficiency.configuration import MODES as MODES
    from optimizer.efficiency.configuration import EfficiencyConfig as EfficiencyConfig
    from optimizer.efficiency.threshold_pruner import ThresholdPruner as ThresholdPruner
    from optimizer.errors import OptimizerError as OptimizerError
    from optimizer.errors import StudyInterrupted as StudyInterrupted
    from optimizer.protocols import Evaluation as Evaluation
    from optimizer.protocols import Trial as Trial
    from optimizer.report.run import RunReport as RunReport
    from optimizer.sampling.enumeration import cap as cap
    from optimizer.sampling.enumeration import remaining as remaining
    from optimizer.sampling.tpe import HandedOverWarning as HandedOverWarning
    from optimizer.sampling.tpe import IncrementalTPESampler as IncrementalTPESampler
    from optimizer.sampling.tpe import SamplerCounters as SamplerCounters
    from optimizer.signature import param_signature as param_signature
    from optimizer.space import Grid as Grid
    from optimizer.space import SearchSpace as SearchSpace
    from optimizer.stores.claims import Claims as Claims
    from optimizer.stores.evaluations import EvaluationCache as EvaluationCache
    from optimizer.stores.fingerprint import fingerprint as fingerprint
    from optimizer.stores.guard import NoDupeGuard as NoDupeGuard
    from optimizer.stores.metadata import MetadataFile as MetadataFile
    from optimizer.stores.metadata import MetadataTable as MetadataTable
    from optimizer.stores.optuna_storage import SQLiteStorage as SQLiteStorage
    from optimizer.stores.records import TrialRecords as TrialRecords
    from optimizer.stores.records import load_trials as load_trials
    from optimizer.stores.remembering import RememberingGuard as RememberingGuard
    from optimizer.stores.results import read_result as read_result
    from optimizer.stores.results import result_path as result_path
    from optimizer.stores.results import write_result as write_result
    from optimizer.stores.sqlite import SqliteStore as SqliteStore
    from optimizer.study.asynchronous import (
        create_efficiency_optimizer as create_efficiency_optimizer,
    )
    from optimizer.study.context import Context as Context
    from optimizer.study.engine import optimize as optimize
    from optimizer.study.kept import Workers as Workers
    from optimizer.study.result import Result as Result
    from optimizer.sweep import HeatMap as HeatMap
    from optimizer.sweep import SweepInterrupted as SweepInterrupted
    from optimizer.sweep import SweepRefused as SweepRefused
    from optimizer.sweep import SweepResult as SweepResult
    from optimizer.sweep import sweep_portfolio as sweep_portfolio
    from optimizer.workers.pool import WorkerPool as WorkerPool

# Public name -> the module that defines it. The block above repeats it for type checkers; a test
# compares the two.
_ROOMS = {
    "Claims": "optimizer.stores.claims",
    "Context": "optimizer.study.context",
    "DefaultConfiguration": "optimizer.configuration",
    "EfficiencyConfig": "optimizer.efficiency.configuration",
    "Evaluation": "optimizer.protocols",
    "EvaluationCache": "optimizer.stores.evaluations",
    "FeatureConfig": "optimizer.backtest.feature_study",
    "FeatureStream": "optimizer.backtest.features",
    "Grid": "optimizer.space",
    "HandedOverWarning": "optimizer.sampling.tpe",
    "HeatMap": "optimizer.sweep",
    "IncrementalTPESampler": "optimizer.sampling.tpe",
    "LRUCache": "optimizer.caching",
    "MODES": "optimizer.efficiency.configuration",
    "MetadataFile": "optimizer.stores.metadata",
    "MetadataTable": "optimizer.stores.metadata",
    "NoDupeGuard": "optimizer.stores.guard",
    "OptimizerError": "optimizer.errors",
    "PricePanel": "optimizer.backtest.prices",
    "RememberingGuard": "optimizer.stores.remembering",
    "Result": "optimizer.study.result",
    "RunReport": "optimizer.report.run",
    "SQLiteStorage": "optimizer.stores.optuna_storage",
    "SamplerCounters": "optimizer.sampling.tpe",
    "SearchSpace": "optimizer.space",
    "SqliteStore": "optimizer.stores.sqlite",
    "StageCache": "optimizer.backtest.stages",
    "Statistics": "optimizer.backtest.statistics",
    "StudyFeatures": "optimizer.backtest.feature_study",
    "StudyInterrupted": "optimizer.errors",
    "SweepInterrupted": "optimizer.sweep",
    "SweepRefused": "optimizer.sweep",
    "SweepResult": "optimizer.sweep",
    "TTLCache": "optimizer.caching",
    "ThresholdPruner": "optimizer.efficiency.threshold_pruner",
    "Tracker": "optimizer.backtest.tracker",
    "TradeLog": "optimizer.backtest.tracker",
    "Trial": "optimizer.protocols",
    "TrialRecords": "optimizer.stores.records",
    "WorkerPool": "optimizer.workers.pool",
    "Workers": "optimizer.study.kept",
    "atr": "optimizer.backtest.features",
    "cap": "optimizer.sampling.enumeration",
    "create_efficiency_optimizer": "optimizer.study.asynchronous",
    "ewma": "optimizer.backtest.features",
    "fingerprint": "optimizer.stores.fingerprint",
    "load_sp500": "optimizer.backtest.prices",
    "load_trials": "optimizer.stores.records",
    "momentum": "optimizer.backtest.features",
    "optimize": "optimizer.study.engine",
    "param_signature": "optimizer.signature",
    "read_json": "optimizer.configuration",
    "read_result": "optimizer.stores.results",
    "remaining": "optimizer.sampling.enumeration",
    "result_path": "optimizer.stores.results",
    "rolling_mean": "optimizer.backtest.features",
    "rsi": "optimizer.backtest.features",
    "sweep_portfolio": "optimizer.sweep",
    "synthetic_market": "optimizer.backtest.prices",
    "track_trades": "optimizer.backtest.tracker",
    "volatility": "optimizer.backtest.features",
    "write_result": "optimizer.stores.results",
    "zscore": "optimizer.backtest.features",
}

__all__ = ["__version__", *sorted(_ROOMS)]  # noqa: PLE0604 - every entry is a string


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

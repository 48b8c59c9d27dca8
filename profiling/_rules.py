"""Which code belongs to which phase: the one table, to read and to extend.

`_phases.py` walks a stack from the leaf to the root and asks these tables in this order:

1. HARD_LINES: the line that runs says it all, whoever called it.
2. WAITS: the leaf is a line of the standard library that waits for another thread or process.
3. OWNERS: the innermost file of a library that belongs to a phase (`_libraries.py`: one's own
   folders are called as one likes).  Files of no phase (numpy, json, copy)
   belong to their caller, and so do Optuna's own files until one of OWNERS is met; if none is,
   LEFT_OVER says what that bookkeeping counts as.
   The function that Optuna calls as objective is the user's own, wherever it is installed.
4. A library that is being imported is `import`, whatever it does meanwhile.
5. Code of the user's own: the innermost function whose name speaks (NAMES), else what the line
   that runs says (SOFT_LINES), else what was called from it (HINTS), else it is the objective.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PHASES = (
    "sampler",
    "pruner",
    "storage",
    "dedup",
    "cache",
    "trial records",
    "data loading",
    "features",
    "objective",
    "compile",
    "import",
    "transport",
    "wait for disk",
    "wait for workers",
    "garbage collection",
    "logging",
    "other",
)
WAIT, IMPORT, OBJECTIVE, OTHER = "wait for workers", "import", "objective", "other"


@dataclass(frozen=True)
class Rule:
    """A phase and the pattern (of a file, or of a line of source) that means it."""

    phase: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Name:
    """A phase and the words of a function's name that mean it: one of each group."""

    phase: str
    groups: tuple[frozenset[str], ...]


def _rule(phase: str, *patterns: str) -> Rule:
    assert phase in PHASES, phase
    return Rule(phase, re.compile("|".join(patterns)))


def _name(phase: str, *groups: str) -> Name:
    assert phase in PHASES, phase
    return Name(phase, tuple(frozenset(group.split()) for group in groups))


# The line that runs, in any file.  Collections and commits have no frame of their own.
HARD_LINES = (
    _rule("garbage collection", r"\bgc\.collect\("),
    _rule("wait for disk", r"\bos\.(fsync|fdatasync|sync)\(", r"\.commit\(\)"),
)

# Files, innermost first.
OWNERS = (
    _rule(
        "sampler",
        r"/optuna/(samplers|search_space|_gp|_hypervolume)/",
        r"/optuna/_transform\.py$",
        r"/(cmaes|botorch|gpytorch|optunahub|optuna_integration/botorch)/",
        r"/optimizer/(sampling/|space\.py$|_grid\.py$|_axis\.py$)",
        r"/optimizer/study/(drawing|starting)\.py$",
    ),
    _rule(
        "pruner",
        r"/optuna/(pruners|terminator)/",
        r"/optimizer/efficiency/(pruning|threshold_pruner)\.py$",
    ),
    _rule(
        "storage",
        r"/optuna/storages/",
        r"/(sqlalchemy|alembic|redis|psycopg|psycopg2|psycopg_binary|pymysql|MySQLdb|grpc)/",
        r"/optimizer/stores/(sqlite|results|optuna_storage|_heartbeat|_beats)\.py$",
    ),
    _rule(
        "logging",
        r"/python3\.\d+/logging/",
        r"/optuna/(logging|progress_bar)\.py$",
        r"/(tqdm|loguru|structlog|mlflow|wandb|tensorboard)/",
        r"/optimizer/report/",
    ),
    _rule(
        "compile",
        r"/(numba|llvmlite)/",
        r"/torch/(_dynamo|_inductor)/",
        r"/jax/_src/(compiler|interpreters)",
    ),
    _rule(
        "dedup",
        r"/optimizer/stores/(guard|claims|remembering)\.py$",
        r"/optimizer/(signature|_canonical)\.py$",
        r"/optimizer/study/duplicates\.py$",
    ),
    _rule("cache", r"/optimizer/(caching\.py$|stores/(evaluations\.py$|_?fingerprint))"),
    _rule("trial records", r"/optimizer/stores/(records|metadata)"),
    _rule("data loading", r"/optimizer/(configuration\.py$|backtest/prices\.py$)"),
    _rule("features", r"/optimizer/backtest/_?feature"),
    _rule("objective", r"/optimizer/(backtest/|sweep\.py$)"),
    _rule(
        "transport",
        r"/multiprocessing/(connection|queues|pool|reduction|shared_memory|managers|heap)\.py$",
        r"/concurrent/futures/process\.py$",
        r"/python3\.\d+/pickle\.py$",
        r"/(cloudpickle|loky)/",
        r"/distributed/(comm|protocol|core|worker)",
        r"/optimizer/workers/",
    ),
    _rule("storage", r"/optimizer/study/"),  # bookkeeping, as Optuna's
)

# Which line explains these: the user's own, since that of the library says nothing.
BLAMED_ON_USER = frozenset({"compile"})

# Optuna's bookkeeping that neither sampler nor storage nor pruner asked for: (file, function).
LEFT_OVER = (
    ("sampler", re.compile(r"/optuna/trial/_trial\.py (.*\.)?_?suggest")),
    ("pruner", re.compile(r"/optuna/trial/_trial\.py (.*\.)?should_prune")),
    ("objective", re.compile(r"/optuna/integration/")),
    ("other", re.compile(r"/optuna/(visualization|importance|testing|cli)")),
    ("storage", re.compile(r"/optuna/")),
)

# Words of the names of the user's functions and classes; the first table row that fits wins.
_ACCESS = "get put set lookup load save store read write fetch dump find hit append add from to"
NAMES = (
    _name("dedup", "seen dedup dedupe dedupes deduplicate dupe dupes duplicate duplicates nodupe"),
    _name("dedup", "signature signatures", "make compute get param params trial hash of"),
    _name("objective", "objective evaluate backtest simulate train fit score"),
    _name("cache", "cache lru memo memoize", _ACCESS),
    _name(
        "trial records",
        "trial trials record records result results history",
        "save load write read dump store append list glob export import persist existing",
    ),
    _name(
        "data loading",
        "load read fetch download open get",
        "data dataset datasets csv parquet price prices candle candles ohlc ohlcv bars ticks quotes"
        " market frame panel series",
    ),
    _name("features", "feature features featurize featurise indicator indicators"),
    _name("transport", "serialize serialise deserialize deserialise pickle unpickle dumps loads"),
    _name("logging", "log print report", "progress trial status best message line"),
)

# The line that runs in the user's own file, where no name speaks.
SOFT_LINES = (
    _rule("import", r"^\s*(import|from\s+\S+\s+import)\s"),
    _rule("transport", r"\b(cloud|dill)?pickle\.(dumps?|loads?)\(", r"\bjoblib\.(dump|load)\("),
    _rule("data loading", r"read_(csv|parquet|feather|hdf|excel|sql)", r"loadtxt|genfromtxt|csv\."),
    _rule("data loading", r"\bnp\.load\("),
    _rule(
        "trial records",
        r"\b(or|u|simple)?json\.(dumps?|loads?)\(",
        r"\.(read|write)_(text|bytes)\(",
    ),
    _rule("trial records", r"\bopen\(", r"\.glob\(", r"\bos\.(listdir|scandir|replace|rename)\("),
    _rule("storage", r"\.(execute(many|script)?|fetch(one|all|many))\(", r"sqlite3\.connect\("),
    _rule("logging", r"\bprint\(", r"\blog(ger|ging)?\.(debug|info|warning|error)\("),
    _rule("wait for workers", r"\.result\(", r"\bas_completed\(", r"\.(acquire|join)\(\s*\)"),
)

# Library files between the user's line and the leaf, where neither name nor line speaks.
HINTS = (
    _rule(
        "data loading",
        r"/(pandas/io|polars/io|pyarrow|h5py|yfinance|ccxt)/",
        r"npyio",
        r"/csv\.py$",
    ),
    _rule("data loading", r"/torch/utils/data/"),
    _rule("features", r"/(talib|pandas_ta|ta)/", r"/pandas/core/window/"),
    _rule("trial records", r"/python3\.\d+/(json/|glob\.py|fnmatch\.py|pathlib|tempfile\.py)"),
)

# Lines of the standard library that wait for another thread or process, where their file does.
WAIT_FILES = re.compile(
    r"/(threading|queue|selectors|subprocess)\.py$"
    r"|/multiprocessing/(connection|queues|pool|process|popen_\w+|synchronize|util|managers|"
    r"resource_tracker|forkserver)\.py$"
    r"|/concurrent/futures/(_base|process|thread)\.py$"
    r"|/asyncio/(base_events|selector_events|runners)\.py$"
)
WAIT_LINES = re.compile(
    r"acquire|\bwait|poll\(|select\(|\bread\(|recv|\bget\b|waitpid|\bjoin\(|accept\("
    r"|with self\._\w*lock|with self\._cond|_sem(lock)?\b|epoll"
)
# `Connection._recv` waits for the head of a message and transports its body: (caller's line).
HEAD_OF_MESSAGE = re.compile(r"_recv\(4\)|_recv\(8\)|_some\(line, scratch\[")
# (file, function) of this project's pool that wait for another process, or for a message's head.
POOL_WAITS = re.compile(r"/optimizer/workers/(starter\.py Starter\._serve|crew\.py Crew\.wait)$")
POOL_READS = re.compile(r"/optimizer/workers/frames\.py _some$")
# (file, function) of this project that calls an objective, as Optuna's _run_trial does.
CALLS_OBJECTIVE = re.compile(r"/optimizer/study/objectives\.py call$")
# (file, function) of threads that only look after a pool.
HOUSEKEEPING = re.compile(r"/multiprocessing/pool\.py Pool\._handle_workers$")
# (file, function) of the loops of pools' workers: what they run is no message.
WORKER_LOOPS = re.compile(
    r"/concurrent/futures/process\.py _process_(worker|chunk)$"
    r"|/multiprocessing/pool\.py (worker|mapstar|starmapstar)$"
    r"|/loky/process_executor\.py (_process_worker|(_CallItem\.)?__call__)$"
    r"|/(loky|cloudpickle)/cloudpickle_wrapper\.py (.*\.)?__call__$"
)
POOLS = re.compile(r"/(joblib|loky|cloudpickle|distributed|dask)/")
# (file, function) of libraries that sleep until their workers are done.
WAITING_LIBRARIES = re.compile(r"-packages/joblib/parallel\.py (.*\.)?_?retrieve$")
# (file, function) of those that send a message to another process.
SENDS = re.compile(r"/multiprocessing/connection\.py (.*\.)?_send$")
SLEEPS = re.compile(r"\b(time\.)?sleep\(")

STANDARD_LIBRARY = re.compile(r"/lib(64)?/python3\.\d+/(?!(site|dist)-packages/)|^<frozen |\.zip/")
PACKAGES = re.compile(r"/(site|dist)-packages/")
IMPORT_MACHINERY = re.compile(r"^<frozen (importlib|zipimport|site)|/importlib/|/site\.py$")
OPTUNA = re.compile(r"/optuna/")
# (file, function) of Optuna that is data: to read a trial belongs to who reads it.
DATA = re.compile(
    r"/optuna/(trial/_(frozen|state|base|fixed)|distributions)\.py "
    r"|/optuna/trial/_trial\.py (Trial\.)?(params|distributions|number|user_attrs|system_attrs)$"
)
# Frames of ours, which belong to their caller: the hook, and the timers of planted studies.
OURS = re.compile(
    r"/_hook/(_trial_hook|_memory_hook|sitecustomize)\.py$|/profiling/_exclusive\.py$"
)
NO_FILE = re.compile(r"^<(?!frozen)|^$")

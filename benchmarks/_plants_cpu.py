"""For each hot path the work that makes it slower by any share.

A hot path that runs others' code runs their works too: `shared` says so, and a test looks.
"""

from __future__ import annotations

from benchmarks._plants_kinds import Work

CLAIMS = "optimizer/stores/claims.py"
CONFIGURATION = "optimizer/configuration.py"
EVALUATIONS = "optimizer/stores/evaluations.py"
FEATURES = "optimizer/backtest/features.py"
FEATURE_STUDY = "optimizer/backtest/feature_study.py"
FILES = "optimizer/stores/records_files.py"
GRID = "optimizer/_grid.py"
GUARD = "optimizer/stores/guard.py"
METADATA = "optimizer/stores/metadata.py"
OWN_COPY = "optimizer/_own_copy.py"
PARSING = "optimizer/stores/records_json.py"
RECORDS = "optimizer/stores/records.py"
REMEMBERING = "optimizer/stores/remembering.py"
RESULTS = "optimizer/stores/results.py"
SCHEMA = "optimizer/stores/_schema.py"
SIGNATURE = "optimizer/signature.py"
SPACE = "optimizer/space.py"
SWEEP = "optimizer/sweep.py"
TELLING = "optimizer/study/telling.py"
TRACKER = "optimizer/backtest/tracker.py"
TRAFFIC = "optimizer/workers/traffic.py"
TWIN = "optimizer/reference/grid.py"

WITHOUT = ("study.QuietLoop",)
"""Hot paths that run no code of ours, so that there is nothing to plant in."""

IN_KERNELS = ("sampling.Density",)
"""Hot paths that run compiled code alone: their plants are among those of the kernels."""

_END = '        """\n'  # of a docstring: what follows is the first statement
_SUM = "assert sum(range({n})) >= 0"
_PER_1000 = "assert sum(range({n} * len(wanted) // 1000)) >= 0"

_ADD = "        require_signature(signature)\n        return self._database.change(_ADD"
SEEN = "        require_signature(signature)\n        return bool("
_ADDING = "        wanted = require_signatures(signatures)\n        if not wanted:"
ASKING = "        found: set[Signature] = set()"
_MIGRATING = '    raw.execute("BEGIN IMMEDIATE")\n    try:\n        identity'
_REMEMBERED = "            names = self._of_count[len(params)] or self._names[(*params,)]"
_PARSED = (
    '    """What `direct` gives for each; None where one needs more care. '
    'Cost: less than one by one."""'
)
_COLUMNS = "        length = len(self)\n        columns: dict[str, Column] = {}"
_FULFILLING = "        packed, text = pack(values), attributes_text(attributes)"
_TRACKING = "    money = _tradable.money(capital, fee_rate, slippage_rate, fixed_fee, capital_mode)"
_ORDERED = "        rows, values = read_orders(rebalance_bars, weights, self._labels, len(close))"
_PER_BAR = "assert sum(range({n} * len(rows) // 395)) >= 0"
_PER_PRICE = "assert sum(range({n} * prices.size // 100_000)) >= 0"
_FEATURE = "    given = _read(name, columns)\n    values = given[0].values\n    result"
_ASKED = "        bars = check_bars(name, bars)\n        n_bars"
_REUSED = "        found: Stage[Value] = self._memo.result(key, made)"
_SWEEPING = "    prices = read_prices(close)"
_TOLD = "        self._points.ended(job)\n        self._ending.note_partial(job)"
_SERVING = "        self._evaluations.release(job)\n        self._ending.served(job"
_LOADING = "    trials: dict[int, Trial] = {}\n    problems: list[Problem] = []\n"

_ADDERS = ("stores.AddEach", "stores.Settings", "study.MomentumStudy")
_BATCHES = ("stores.AddBatch", "stores.Disk", "stores.Executemany")
_CACHED = ("signature.Hits", "signature.Repeats", "signature.TrialKey", "signature.Warm")
TRACKERS = (
    *("backtest.Track", "features.WalkForwardStudy"),
    *("stages.Stages", "study.MomentumStudy"),
)
KEPT_TRACKERS = ("backtest.TrackAndTable", "backtest.DayLoop", "sweep.SweepPortfolio")
_FEATURE_MAKERS = (
    *("features.Rolling", "features.Smoothed", "stages.Stages"),
    *("sweep.SweepDrawn", "sweep.SweepPortfolio", "sweep.SweepSpace"),
)
_FEATURE_USERS = ("features.Precompute", "features.WalkForwardStudy")
SUGGESTING = ("sampling.Resume", "sampling.Suggest")
SWEEPERS = ("sweep.SweepDrawn", "sweep.SweepSpace")
_EXPANDERS = ("space.GridColumns", "configuration.RunSavings")
_LOADERS = ("records.LoadFolder", "records.LoadFolderOfJson")
POOLED = ("workers.Dispatch", "workers.SharedData")
ENGINES = ("optimize.Resumed", "optimize.Served", "optimize.Told")
_STORED = ("optimize.Resumed", "optimize.Told")
_SIGNERS = (
    *("signature.Cold", "study.MomentumStudy", *ENGINES),
    *("evaluations.NextSession", "evaluations.Repeated", "evaluations.SingleFlight"),
)

_STORES = (
    Work(
        *("stores.AddBatch", "n=1000,durability=process", GUARD, _ADDING, _PER_1000),
        probe=40_000,
        shared=_BATCHES,
    ),
    Work(
        *("stores.AddEach", "n=1000,durability=process"),
        *(GUARD, _ADD, "assert signature is not self"),
        probe=500,
        shared=_ADDERS,
    ),
    Work("stores.Disk", "n=10000", SCHEMA, _MIGRATING, _SUM, probe=1_500_000),
    Work(
        *("stores.Executemany", "n=1000", GUARD, _ADDING, _PER_1000), probe=40_000, shared=_BATCHES
    ),
    Work(
        *("stores.Forgotten", "n=5000", REMEMBERING),
        *("            wanted = require_signatures(wanted)\n            unknown", _SUM),
        probe=600_000,
    ),
    Work(
        *("stores.Remembered", "n=5000", REMEMBERING),
        *("        answers = self._answers()\n        wanted", _SUM),
        probe=20_000,
        shared=("stores.Forgotten", "stores.Remembered"),
    ),
    Work(
        *("stores.SeenBatch", "n=1000", GUARD, ASKING, _PER_1000),
        probe=40_000,
        shared=("stores.Forgotten", "stores.SeenBatch"),
    ),
    Work("stores.SeenEach", "n=100", GUARD, SEEN, "assert signature is not self", probe=300),
    Work("stores.Settings", "n=100", GUARD, _ADD, _SUM, probe=6_000, shared=_ADDERS),
)

_EVALUATIONS = (
    Work(
        *("evaluations.Claimed", "n=100", CLAIMS, _FULFILLING, _SUM),
        probe=10_000,
        shared=("evaluations.Claimed", "evaluations.SingleFlight"),
    ),
    Work(
        *("evaluations.Front", "n=1000", EVALUATIONS),
        *(_END + "        return self._look_up(\n            [", _SUM),
        probe=150_000,
        shared=("evaluations.Claimed", "evaluations.Front"),
    ),
    Work(
        *("evaluations.NextSession", "n=100", EVALUATIONS),
        *("        self.fingerprint = _require_fingerprint(fingerprint)", _SUM),
        probe=250_000,
        shared=("evaluations.NextSession", *_STORED),
    ),
    Work(
        *("evaluations.Repeated", "n=25", EVALUATIONS),
        *(_END + "        row = (signature_of(params, self.space), pack(values)", _SUM),
        probe=130_000,
    ),
    Work(
        *("evaluations.SingleFlight", "n=10", CLAIMS),
        *("            state = self._state(signature)\n            if not isinstance", _SUM),
        probe=40_000,
    ),
)

_RECORDS = (
    Work(
        *("records.FindResult", "n=100", RESULTS, "    name = absolute(path)\n    try:"),
        "assert name is not os",
        probe=600,
        shared=("configuration.RunSavings", "records.FindResult"),
    ),
    Work(
        *("records.KeepTrials", "n=100", RECORDS),
        *(_END + "        return self._database.change(_ADD", _SUM),
        probe=4_000,
    ),
    Work("records.LoadFolder", "n=100", FILES, _LOADING, _SUM, probe=90_000, shared=_LOADERS),
    Work("records.LoadFolderOfJson", "n=100", FILES, _LOADING, _SUM, probe=90_000, shared=_LOADERS),
    Work(
        *("records.LoadTable", "n=100", RECORDS, "        loaded: dict[int, Trial] = {}", _SUM),
        probe=35_000,
        shared=("records.KeepTrials", "records.LoadTable"),
    ),
    Work(
        *("records.ParseDirect", "n=100", PARSING, _PARSED, _SUM),
        probe=100_000,
        shared=("records.ParseDirect", *_LOADERS),
    ),
    Work(
        *("metadata.WriteMetadata", "n=1000", METADATA),
        "        self._require_open()\n        self._batch.update(",
        "assert values is not self",
        probe=400,
    ),
)

_CONFIGURATION = (
    Work(
        *("configuration.DefaultConfig", "handed_out=frozen", CONFIGURATION),
        *("        value, shared = self._file.value()", "assert value is not self"),
        probe=200,
        shared=("configuration.DefaultConfig", "configuration.RunSavings"),
    ),
    Work(
        *("configuration.JsonAgain", "files=100", CONFIGURATION),
        *("    given = os.fspath(path)", "assert given is not os"),
        probe=600,
    ),
    Work(
        *("configuration.RunSavings", "trials=100", GRID, _COLUMNS, _SUM),
        probe=1_000_000,
        shared=_EXPANDERS,
    ),
    Work(
        *("configuration.ValueClone", "trials=1000", OWN_COPY),
        *("    kind = type(value)\n    if kind is dict:", "assert kind is not value"),
        probe=80,
        shared=("configuration.JsonAgain", "configuration.ValueClone"),
    ),
)

_SPACE = (
    Work(
        *("space.GridBacktrack", "combinations=3125", TWIN),
        *("    current: dict[str, Any] = {}", _SUM),
        probe=50_000,
    ),
    Work(
        *("space.GridColumns", "combinations=100000", GRID, _COLUMNS, _SUM),
        probe=25_000,
        shared=_EXPANDERS,
    ),
    Work(
        *("space.GridWalk", "combinations=3125", GRID, "        width = len(tails)", _SUM),
        probe=130_000,
    ),
    Work(
        *("space.StepDecimals", "trials=50", SPACE),
        *('        for choices."""\n        return self._known(name).decimals', _SUM),
        probe=230_000,
    ),
)

_SIGNATURE = (
    Work(
        *("signature.Cold", "sets=1000", SIGNATURE),
        "    kinds = (*params, *map(type, params.values()))",
        "assert kinds is not params",
        probe=300,
        shared=_SIGNERS,
    ),
    *(
        Work(
            *(path, "sets=1000", SIGNATURE, _REMEMBERED, "assert names is not params"),
            probe=probe,
            shared=_CACHED,
        )
        for path, probe in zip(_CACHED, (100, 400, 250, 100), strict=True)
    ),
)

_BACKTESTS = (
    Work(
        *("backtest.Track", "schedule=monthly", TRACKER, _TRACKING, _PER_PRICE),
        probe=6_000,
        shared=TRACKERS,
    ),
    Work(
        *("backtest.DayLoop", "days=252,lookup=cell", TRACKER, _ORDERED, _PER_BAR),
        probe=700_000,
        shared=KEPT_TRACKERS,
    ),
    Work(
        *("backtest.TrackAndTable", "schedule=monthly", TRACKER, _ORDERED, _PER_BAR),
        probe=30_000,
        shared=KEPT_TRACKERS,
    ),
    Work(
        *("features.Rolling", "feature=rolling_mean,memory=new", FEATURES, _FEATURE, _SUM),
        probe=20_000,
        shared=_FEATURE_MAKERS,
    ),
    Work(
        *("features.Smoothed", "feature=ewma,memory=new", FEATURES, _FEATURE, _SUM),
        probe=14_000,
        shared=_FEATURE_MAKERS,
    ),
    Work(
        *(
            "features.FastWindow",
            "windows=yearly",
            FEATURES,
            "        given = _read(self.name, columns)",
            _SUM,
        ),
        probe=3_000,
    ),
    Work(
        *("features.Precompute", "steps=same", FEATURE_STUDY, _ASKED, _SUM),
        probe=1_200,
        shared=_FEATURE_USERS,
    ),
    Work(
        *("features.WalkForwardStudy", "windows=short", FEATURE_STUDY, _ASKED, _SUM),
        probe=4_000,
        shared=_FEATURE_USERS,
    ),
    Work(
        *("stages.Stages", "n_trials=100", "optimizer/backtest/stages.py"),
        *(_REUSED, _SUM),
        probe=17_000,
    ),
    Work(
        *("sweep.SweepDrawn", "combinations=630", SWEEP, _SWEEPING, _SUM),
        probe=400_000,
        shared=SWEEPERS,
    ),
    Work(
        *("sweep.SweepSpace", "space=part", SWEEP, _SWEEPING, _SUM),
        probe=400_000,
        shared=SWEEPERS,
    ),
    Work(
        *("sweep.SweepPortfolio", "combinations=2", SWEEP),
        '    names = "capital", "fee_rate", "slippage_rate", "fixed_fee"',
        _SUM,
        probe=300_000,
    ),
)

_SAMPLING = (
    Work(
        *("sampling.Suggest", "n=1000", "optimizer/sampling/_tpe_suggestion.py"),
        *("        counters.own += 1\n        if self._compiled is None:", _SUM),
        probe=140_000,
        shared=SUGGESTING,
    ),
    Work(
        *("sampling.Resume", "n=300", "optimizer/sampling/_tpe_observations.py"),
        *("        new: list[FrozenTrial] = []\n        waiting", _SUM),
        probe=160_000,
        shared=SUGGESTING,
    ),
)

_STORAGE = (
    Work(
        *("optuna_storage.KeepTrials", "durability=process", "optimizer/stores/_stored_trials.py"),
        *("            target = int(state)\n            now = ", _SUM),
        probe=60_000,
        shared=("optuna_storage.KeepTrials", *_STORED),
    ),
    Work(
        *("optuna_storage.Reload", "n=1000", "optimizer/stores/_mirror.py"),
        *("            found: list[Any] = [self._slots[n] for n in numbers]\n", _SUM),
        probe=800_000,
        shared=("optuna_storage.Reload", *_STORED),
    ),
)

_WORKERS = (
    Work(
        *("workers.Dispatch", "way=one", TRAFFIC),
        *("        self.flights[flight.task] = flight\n        self._queue.append", _SUM),
        probe=8_000,
        shared=POOLED,
    ),
    Work(
        *("workers.SharedData", "megabytes=2", TRAFFIC),
        *("        self._meter.peak(member.place, peak_bytes)", _SUM),
        probe=8_000,
        shared=POOLED,
    ),
)

_ENGINE = (
    Work("optimize.Told", "n=20", TELLING, _TOLD, _SUM, probe=60_000, shared=ENGINES),
    Work("optimize.Served", "prices=2000", TELLING, _SERVING, _SUM, probe=40_000),
    Work(
        *("optimize.Resumed", "n=1000", "optimizer/study/duplicates.py"),
        *("            trial = trials[number]\n            if trial.state", _SUM),
        probe=4_000,
    ),
)

_STUDIES = (
    Work(
        *("study.MomentumStudy", "n_trials=60", GUARD, _ADD, _SUM),
        probe=200_000,
        shared=_ADDERS,
    ),
)

CPU = (
    *(*_STORES, *_SIGNATURE, *_BACKTESTS, *_STUDIES, *_SAMPLING, *_STORAGE),
    *(*_SPACE, *_CONFIGURATION, *_RECORDS, *_EVALUATIONS, *_WORKERS, *_ENGINE),
)
"""For each hot path what makes it slower by any share."""

WORK_OF = {work.path: work for work in CPU}

"""What would help: which row is chosen, and where its figure comes from."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sample_profiles import empty, growing, leaking, unmarked
from script_modules import ROOT, script_module

if TYPE_CHECKING:
    import _advice as advice
    import _colours as colours
    import _model as model
else:
    advice = script_module("_advice")
    colours = script_module("_colours")
    model = script_module("_model")

SPECIAL = {"memory", advice.IDLE}  # about the whole, not about a phase


def of(given: Any, phase: str) -> list[Any]:
    return [one for one in given if one.phase == phase]


def with_phase(name: str, *frames: tuple[str, str, int], share: float = 0.5) -> model.Profile:
    """A profile of one phase, all of it below these frames."""
    phase = model.Phase(name, 10.0, share, 1.0, 1.0, 1.0, ())
    stack = model.Stack(tuple(range(len(frames))), 10.0, name)
    flame = model.Flame(frames, (stack,))
    return dataclasses.replace(empty(), phases=(phase,), flame=flame)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one part, and a stored run of the claims that measured one of them."""
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "__init__.py").write_text('_ROOMS = {"NoDupeGuard": "somewhere"}\n')
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    row = {
        "role": "claim",
        "claim": "dedup-lookup",
        "hot_path": "stores.SeenBatch",
        "what": "slow way → fast way",
        "measured": {
            "wall": {"ratio": 4321.0, "low": 4000.0, "high": 4500.0},
            "before_s": 4.321,
            "after_s": 0.001,
        },
    }
    beside = {**row, "role": "beside", "measured": None}
    stored = {"format": 3, "date": "2031-01-02T", "machine": "m", "python": "3.99"}
    file = tmp_path / "benchmarks" / "results" / "claims.json"
    file.write_text(json.dumps({**stored, "rows": [beside, row]}))
    return tmp_path


def test_every_phase_but_other_has_a_row_and_every_row_a_phase() -> None:
    phases = {row["phase"] for row in advice.table()}
    assert phases - SPECIAL == set(colours.ORDER) - {"other"}


def test_rows_say_what_they_need_and_nothing_else() -> None:
    known = {"phase", "where", "unless", "processes", "part", "ours", "optuna", "measure", "see"}
    for row in advice.table():
        assert set(row) <= known
        assert row.get("ours") or row.get("optuna")
        assert bool(row.get("ours")) == bool(row.get("part"))
        assert bool(row.get("optuna")) <= bool(row.get("see"))


def test_parts_and_measures_are_names_that_exist() -> None:
    claims = tomllib.loads((ROOT / "benchmarks" / "claims.toml").read_text(encoding="utf-8"))
    paths = {claim.get("hot_path") for claim in claims.values()} | set(claims["compared"])
    paths |= set(claims["beyond"])
    for row in advice.table():
        if "part" in row:
            assert row["part"] in advice.public_names(ROOT)
        if "measure" in row:
            assert row["measure"] in {*claims, *paths}


def test_optuna_has_what_is_recommended() -> None:
    """Names after `optuna.` under `see`, and capitalised ones of its rooms, are really there."""
    optuna = pytest.importorskip("optuna")
    for row in advice.table():
        for name in re.findall(r"\boptuna\.([\w.]+)", row.get("see", "")):
            found = optuna
            for part in name.split("."):
                found = getattr(found, part)
        for name in re.findall(
            r"`(\w+(?:Sampler|Pruner|Storage|Backend|Proxy))\b",
            row.get("optuna", ""),
        ):
            rooms = (optuna.samplers, optuna.pruners, optuna.storages, optuna.storages.journal)
            assert any(hasattr(room, name) for room in rooms), name


def test_the_table_holds_no_figure() -> None:
    for row in advice.table():
        text = row.get("ours", "") + row.get("optuna", "")
        assert not re.search(r"\d+(\.\d+)? ?(x|times|ms|µs|%|seconds)", text), text


def test_large_phases_get_advice_largest_first_small_ones_none() -> None:
    given = advice.advise(growing())
    order = list(dict.fromkeys(one.phase for one in given))
    assert order[:3] == ["sampler", "objective", "storage"]
    assert "logging" not in order
    assert "dedup" in order  # small, but it grows
    assert all(len(of(given, name)) <= 2 for name in order)


def test_what_grows_is_said_once() -> None:
    texts = [one.text for one in of(advice.advise(growing()), "sampler")]
    assert texts[0].startswith("It grows: 12.0 ms → 71.3 ms a trial.")
    assert not any("It grows" in text for text in texts[1:])


def test_the_way_to_the_phase_decides() -> None:
    tpe = of(advice.advise(growing()), "sampler")[0].text
    assert "TPESampler" in tpe
    gp = with_phase("sampler", ("sample", "/x/site-packages/optuna/samplers/_gp/sampler.py", 1))
    assert "GPSampler" in of(advice.advise(gp), "sampler")[0].text
    journal = with_phase("storage", ("r", "/x/site-packages/optuna/storages/journal/_file.py", 1))
    assert "JournalStorage reads" in of(advice.advise(journal), "storage")[0].text
    other = with_phase("storage", ("set_trial_user_attr", "/x/study.py", 1))
    assert "Each user attribute" in of(advice.advise(other), "storage")[0].text


def test_a_folder_far_above_the_study_decides_nothing() -> None:
    sample = with_phase("objective", ("objective", "/home/trades/a/b/c/d/study.py", 1))
    assert not any("track_trades" in one.text for one in advice.advise(sample))


def test_without_stacks_the_hot_lines_decide() -> None:
    bare = dataclasses.replace(growing(), flame=None)
    assert "TPESampler" in of(advice.advise(bare), "sampler")[0].text


def test_a_figure_is_the_stored_one(repository: Path) -> None:
    sample = with_phase("dedup", ("already_tried", "/x/study.py", 1))
    (comp,) = advice.advise(sample, repository)
    assert (
        comp.figure == "4,321 times as fast (4,000 to 4,500; 4.32 s → 1.00 ms): slow way → fast way"
    )
    assert "2031-01-02, m, Python 3.99" in comp.source
    assert "NoDupeGuard" in comp.text


def test_a_part_that_is_not_there_is_not_recommended(repository: Path) -> None:
    (repository / "optimizer" / "__init__.py").write_text("_ROOMS = {}\n")
    advice.public_names.cache_clear()
    (comp,) = advice.advise(with_phase("dedup", ("f", "/x/study.py", 1)), repository)
    assert "NoDupeGuard" not in comp.text
    assert comp.text.startswith("The recipe of Optuna's FAQ")
    assert comp.figure == ""


@pytest.mark.parametrize("text", [None, "{", '{"format": 99, "rows": [{}]}', "[]"])
def test_without_a_readable_run_there_is_no_figure(repository: Path, text: str | None) -> None:
    file = repository / "benchmarks" / "results" / "claims.json"
    file.unlink() if text is None else file.write_text(text)
    assert advice.stored_figure("dedup-lookup", repository) == ("", "")


def test_a_slower_way_of_ours_is_called_slower(repository: Path) -> None:
    file = repository / "benchmarks" / "results" / "claims.json"
    stored = json.loads(file.read_text())
    stored["rows"][1]["measured"]["wall"] = {"ratio": 0.84, "low": 0.81, "high": 0.87}
    file.write_text(json.dumps(stored))
    figure, _ = advice.stored_figure("dedup-lookup", repository)
    assert figure.startswith("0.840 times as fast, which is slower (")


def test_this_repository_has_figures() -> None:
    assert all(advice.stored_figure("tracker"))
    figure, source = advice.stored_figure("peers_storage.DurableTrials[peer=rdb]")
    assert "durability power" in figure
    assert source.endswith("here: `nox -s parity`")


def test_a_case_is_its_own_row_and_claims_come_first(repository: Path) -> None:
    results = repository / "benchmarks" / "results"
    stored = json.loads((results / "claims.json").read_text())
    beside, row = stored["rows"]
    cases = [{**row, "claim": "", "hot_path": "peers.P", "case": f"n={n}"} for n in (1, 2)]
    cases[1]["what"] = "the second"
    parity = {**stored, "rows": [{**row, "what": "the other table"}, *cases]}
    (results / "parity.json").write_text(json.dumps(parity))
    assert "the second" in advice.stored_figure("peers.P[n=2]", repository)[0]
    assert "slow way" in advice.stored_figure("peers.P", repository)[0]
    assert "slow way" in advice.stored_figure("dedup-lookup", repository)[0]
    assert advice.stored_figure("peers.P[n=3]", repository) == ("", "")
    assert beside["measured"] is None


@pytest.mark.parametrize(
    ("phase", "file", "part"),
    [
        ("sampler", "optuna/samplers/_tpe/sampler.py", "IncrementalTPESampler"),
        ("storage", "optuna/storages/_rdb/storage.py", "SQLiteStorage"),
        ("storage", "optuna/storages/journal/_file.py", "SQLiteStorage"),
        ("wait for disk", "sqlalchemy/engine/default.py", "SQLiteStorage"),
        ("transport", "study.py", "WorkerPool"),
        ("wait for workers", "study.py", "optimize"),
    ],
)
def test_what_is_built_stands_before_what_optuna_offers(phase: str, file: str, part: str) -> None:
    found = of(advice.advise(with_phase(phase, ("f", f"/x/site-packages/{file}", 1))), phase)
    assert found[0].text.startswith(f"`optimizer.{part}")


def test_one_change_has_its_figure_once() -> None:
    profile = with_phase("storage", ("f", "/x/site-packages/sqlalchemy/engine/default.py", 1))
    assert profile.flame is not None
    (storage,), (stack,) = profile.phases, profile.flame.stacks
    disk = dataclasses.replace(storage, name="wait for disk")
    flame = dataclasses.replace(
        profile.flame, stacks=(stack, dataclasses.replace(stack, phase=disk.name))
    )
    both = dataclasses.replace(profile, phases=(storage, disk), flame=flame)
    figures = [one.figure for one in advice.advise(both) if one.text.count("SQLiteStorage")]
    assert figures[0] not in ("", advice.SAME_CHANGE)
    assert figures[1:] == [advice.SAME_CHANGE]


@pytest.mark.parametrize(("processes", "given"), [(4, False), (5, True)])
def test_a_pool_is_no_cure_for_the_imports_of_few_processes(processes: int, given: bool) -> None:
    lanes = tuple(model.Lane(pid, "", 0.0, 10.0, 9.0, ()) for pid in range(processes))
    profile = dataclasses.replace(with_phase("import", ("f", "study.py", 1)), lanes=lanes)
    texts = [one.text for one in of(advice.advise(profile), "import")]
    assert any("WorkerPool" in text for text in texts) == given
    assert any("importtime" in text for text in texts)


def test_whoever_has_our_pool_is_not_told_to_take_it() -> None:
    file = "/x/site-packages/optimizer/workers/worker.py"
    assert of(advice.advise(with_phase("transport", ("Worker._send", file, 1))), "transport") == []


@pytest.mark.parametrize("file", ["study/engine.py", "workers/worker.py"])
def test_a_study_in_our_loop_is_told_of_its_workers_and_of_nothing_it_cannot_do(file: str) -> None:
    here = f"/x/site-packages/optimizer/{file}"
    (own,) = of(advice.advise(with_phase("objective", ("run", here, 1))), "objective")
    assert "`workers=` of `optimizer.optimize`" in own.text
    assert "n_jobs" not in own.text
    assert "on one storage" not in own.text
    (kept,) = of(advice.advise(with_phase("storage", ("tell", here, 1))), "storage")
    assert "without `storage=`" in kept.text
    assert "attribute" not in kept.text


def test_whether_parameters_repeat_is_not_known_so_no_gain_is_quoted() -> None:
    (own,) = of(advice.advise(with_phase("objective", ("f", "/x/study.py", 1))), "objective")
    assert "Should parameters repeat" in own.text
    assert "workers=2" in own.text
    assert own.figure == ""


def test_a_leak_and_idle_workers_get_advice() -> None:
    (leak,) = of(advice.advise(leaking()), "memory")
    assert "`remember` (leaky.py:12)" in leak.text
    sample = growing(trials=60)
    lanes = tuple(dataclasses.replace(lane, segments=()) for lane in sample.lanes)
    (idle,) = of(advice.advise(dataclasses.replace(sample, lanes=lanes)), advice.IDLE)
    assert "idle 100%" in idle.text
    assert not of(advice.advise(sample), advice.IDLE)


def test_a_worker_that_waits_for_the_disk_is_not_idle() -> None:
    sample = growing(trials=60)
    for phase, idle in (("wait for disk", False), ("wait for workers", True)):
        lanes = tuple(
            dataclasses.replace(
                lane, busy_s=0.0, segments=(model.Segment(lane.start_s, lane.end_s, phase),)
            )
            for lane in sample.lanes
        )
        given = advice.advise(dataclasses.replace(sample, lanes=lanes))
        assert bool(of(given, advice.IDLE)) == idle


def test_names_of_the_study_are_no_format(repository: Path) -> None:
    sample = leaking()
    assert sample.memory is not None
    assert sample.memory.leak is not None
    leak = dataclasses.replace(sample.memory.leak, function="{0.__class__}`x`{", file="/{place}.py")
    sample = dataclasses.replace(sample, memory=dataclasses.replace(sample.memory, leak=leak))
    (comp,) = of(advice.advise(sample), "memory")
    assert "`{0.__class__}'x'{`" in comp.text
    assert "(/{place}.py:12)" in comp.text


def test_nothing_recorded_gets_no_advice() -> None:
    assert advice.advise(empty()) == ()
    assert not of(advice.advise(unmarked()), advice.IDLE)


def test_a_process_that_hands_out_trials_may_wait() -> None:
    sample = growing(trials=60)
    end = sample.duration_s
    waits = model.Segment(0.0, end, "wait for workers")
    parent = model.Lane(9, "MainThread", 0.0, end, 0.0, (waits,))
    with_parent = dataclasses.replace(sample, lanes=(parent, *sample.lanes))
    assert not of(advice.advise(with_parent), advice.IDLE)

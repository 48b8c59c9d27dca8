"""Two profiles beside each other: which phase moved."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostile_profiles import hostile
from sample_profiles import growing, leaking, unmarked
from script_modules import script_module

if TYPE_CHECKING:
    import _model as model
    import compare
else:
    model = script_module("_model")
    compare = script_module("compare")


def stored(folder: Path, name: str, profile: model.Profile) -> str:
    (folder / name).mkdir()
    file = folder / name / "profile.json"
    file.write_text(model.to_json(profile), encoding="utf-8")
    return str(folder / name)


def slower(profile: model.Profile, name: str, factor: float) -> model.Profile:
    phases = tuple(
        dataclasses.replace(
            one, seconds=one.seconds * factor, ms_per_trial=(one.ms_per_trial or 0.0) * factor
        )
        if one.name == name
        else one
        for one in profile.phases
    )
    return dataclasses.replace(profile, phases=phases)


def verdicts(before: model.Profile, after: model.Profile, limit: float) -> dict[str, str]:
    moves, _ = compare.moved(before, after, limit)
    return {move.name: move.verdict for move in moves}


def test_another_run_of_the_same_study_has_not_moved() -> None:
    for seed in range(8):
        assert set(verdicts(growing(), growing(seed=100 + seed), 0.05).values()) == {"same"}


def test_a_phase_that_grew_is_found_and_no_other() -> None:
    comp = verdicts(growing(), slower(growing(seed=8), "storage", 1.8), 0.1)
    assert {name for name, word in comp.items() if word != "same"} == {"storage", "together"}
    assert comp["storage"] == "worse"


def test_a_small_phase_may_double_below_the_limit() -> None:
    comp = verdicts(growing(), slower(growing(), "logging", 3.0), 0.1)
    assert set(comp.values()) == {"same"}


def test_a_change_within_the_noise_is_none_whatever_the_limit() -> None:
    comp = verdicts(growing(trials=30), slower(growing(trials=30), "storage", 1.05), 0.0)
    assert comp["storage"] == "same"


def test_a_new_phase_counts() -> None:
    before = growing()
    gone = tuple(one for one in before.phases if one.name != "storage")
    comp = verdicts(dataclasses.replace(before, phases=gone), before, 0.1)
    assert comp["storage"] == "worse"


def all_slower(profile: model.Profile, **factors: float) -> model.Profile:
    """Every phase slower, as beside a neighbor: threefold, or by a factor of its own."""
    for one in profile.phases:
        name = one.name.replace(" ", "_")
        profile = slower(profile, one.name, factors.get(name, 3.0))
    return profile


def test_a_neighbor_beside_one_run_is_no_verdict_about_the_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It hits phases unevenly: the objective, which nobody changed, most of all."""
    before = stored(tmp_path, "before", growing())
    busy = all_slower(growing(seed=8), objective=5.4, sampler=1.9, wait_for_disk=1.1)
    after = stored(tmp_path, "after", busy)
    for pair in ([before, after], [after, before]):
        assert compare.main(pair) == compare.SAME
        said = capsys.readouterr().out
        assert "no verdict: the machine, or the load beside one of the runs, differs" in said
        assert "machine: nearly all phases" in said
        assert not any(line.startswith(("worse:", "better:")) for line in said.splitlines())


def test_what_grew_past_the_factor_of_the_machine_is_worse() -> None:
    after = all_slower(growing(), objective=1.5, sampler=1.4, features=1.5, storage=4.0)
    comp = verdicts(growing(), after, 0.1)
    assert comp["storage"] == "worse"
    assert comp["objective"] == comp["sampler"] == "machine"


def test_an_objective_that_stays_is_a_machine_that_stays() -> None:
    after = all_slower(growing(), objective=1.0)
    comp = verdicts(growing(), after, 0.1)
    assert comp["objective"] == "same"
    assert comp["storage"] == comp["sampler"] == "worse"


def test_an_objective_that_alone_got_slower_is_worse() -> None:
    assert verdicts(growing(), slower(growing(), "objective", 3.0), 0.1)["objective"] == "worse"


def test_one_phase_beside_the_objective_is_judged_by_it() -> None:
    few = tuple(one for one in growing().phases if one.name in ("objective", "storage"))
    before = dataclasses.replace(growing(), phases=few)
    after = slower(before, "storage", 3.0)
    assert verdicts(before, after, 0.1)["storage"] == "worse"
    comp = verdicts(before, slower(after, "objective", 3.0), 0.1)
    assert set(comp.values()) == {"machine"}


def test_a_verdict_of_one_run_each_says_so_and_of_what_the_limit_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(tmp_path, "before", growing())
    after = stored(tmp_path, "after", slower(growing(), "storage", 2.0))
    assert compare.main([before, after]) == compare.WORSE
    said = capsys.readouterr().out
    assert "one run of each" in said
    whole = sum(one.ms_per_trial or 0.0 for one in growing().phases)
    assert f"more than 10% of the whole before ({whole / 10:.2f} ms) and 3 se" in said
    assert compare.main([before, before]) == compare.SAME
    assert "one run of each" not in capsys.readouterr().out


def test_exit_codes_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(tmp_path, "before", growing())
    after = stored(tmp_path, "after", slower(growing(), "sampler", 1.5))
    assert compare.main([before, after]) == compare.WORSE
    assert "worse: together and sampler" in capsys.readouterr().out
    assert compare.main([before, after, "--limit", "60%"]) == compare.SAME
    assert "nothing moved by more than 60% of the whole" in capsys.readouterr().out
    assert compare.main([after, before]) == compare.SAME
    assert "better: together and sampler" in capsys.readouterr().out


def test_without_trials_seconds_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(tmp_path, "before", unmarked())
    after = stored(tmp_path, "after", slower(unmarked(), "storage", 3.0))
    assert compare.main([before, after]) == compare.WORSE
    out = capsys.readouterr().out
    assert "seconds of the whole" in out
    assert "note: not per trial: the study was not armed" in out


def test_what_differs_besides_is_told() -> None:
    before, after = growing(), growing(trials=100)
    after = dataclasses.replace(after, run={**after.run, "python_version": "3.13.1"})
    moves, unit = compare.moved(before, after, 0.1)
    text = "\n".join(compare.lines(before, after, moves, unit, 10.0))
    assert "note: different Pythons: 3.11.7 and 3.13.1" in text
    assert "note: 400 trials and 100" in text


def test_memory_moves_by_peak_and_by_growth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = leaking()
    assert sample.memory is not None
    assert sample.memory.leak is not None
    leak = dataclasses.replace(sample.memory.leak, bytes_per_100_trials=5e5, low=4.9e5, high=5.1e5)
    grown = dataclasses.replace(sample.memory, leak=leak)
    before = stored(tmp_path, "before", sample)
    after = stored(tmp_path, "after", dataclasses.replace(sample, memory=grown))
    assert compare.main([before, after]) == compare.WORSE
    assert "worse: growth per 100 trials" in capsys.readouterr().out
    assert compare.main([before, before]) == compare.SAME


def grown(slope: float | None, absent: str) -> model.Profile:
    sample = leaking()
    assert sample.memory is not None
    leak = sample.memory.leak
    assert leak is not None
    made = None
    if slope is not None:
        made = dataclasses.replace(
            leak, bytes_per_100_trials=slope, low=0.9 * slope, high=1.1 * slope
        )
    memory = dataclasses.replace(sample.memory, leak=made, leak_absent=absent)
    return dataclasses.replace(sample, memory=memory)


NONE = "no line of source holds steadily more from trial to trial"


def test_a_new_leak_is_worse_and_a_mended_one_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = stored(tmp_path, "without", grown(None, NONE))
    leak = stored(tmp_path, "leak", grown(50e6, ""))
    assert compare.main([without, leak]) == compare.WORSE
    assert "worse: growth per 100 trials" in capsys.readouterr().out
    assert compare.main([leak, without]) == compare.SAME
    assert "better: growth per 100 trials" in capsys.readouterr().out
    assert compare.main([without, without]) == compare.SAME


def test_the_reason_for_no_growth_is_the_one_that_the_recording_gives() -> None:
    assert script_module("_leak").NO_GROWTH == NONE


def test_a_growth_that_is_not_known_is_told_and_not_passed_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = stored(tmp_path, "unknown", grown(None, "12 trials ended, a slope needs 30"))
    leak = stored(tmp_path, "leak", grown(50e6, ""))
    assert compare.main([unknown, leak]) == compare.SAME
    said = capsys.readouterr().out
    assert "note: growth per 100 trials is not compared, before it is not known: 12 trials" in said


def test_hostile_names_are_printed_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(tmp_path, "hostile", hostile())
    assert compare.main([folder, folder]) == compare.SAME
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["time", "nothing"], "No such file"),
        (["time", "memory"], "compare two of one kind"),
        (["time", "time/../later.json"], "schema 99"),
        (["time", "."], "should hold one profile.json and holds later.json"),
        (["time", "torn.json"], "not a profile"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path, "time", growing(trials=40))
    stored(tmp_path, "memory", leaking(trials=40))
    later = {**json.loads(model.to_json(growing(trials=40))), "schema": 99}
    (tmp_path / "later.json").write_text(json.dumps(later))
    (tmp_path / "torn.json").write_bytes(b'{"schema": 1, \xff')
    if message.startswith("should"):
        (tmp_path / "later.json").rename(tmp_path / "later.json.txt")
        message = "should hold one profile.json and holds none"
    assert compare.main([str(tmp_path / word) for word in words]) == compare.BAD_USAGE
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("limit", ["fast", "-1", "nan", "1e9"])
def test_a_limit_out_of_range_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        compare.main(["a", "b", f"--limit={limit}"])
    assert refused.value.code == compare.BAD_USAGE
    assert "is not a percentage" in capsys.readouterr().err

"""The options of `python -m optimizer demo` and `run`, before anything is run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from optimizer import __main__ as command_line
from optimizer.study import command


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--trials", value) for value in ("0", "-3", "many", "1.5")),
        *(("--workers", value) for value in ("0", "two")),
        *(("--timeout", value) for value in ("0", "nan", "inf", "soon")),
        *(("--trial-timeout", value) for value in ("0", "nan")),
        ("--seed", "-1"),
    ],
)
def test_numbers_that_make_no_sense(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["run", "study.py", f"{option}={value}"])
    assert ended.value.code == command.USAGE
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: found '{value}', expected " in last


@pytest.mark.parametrize("name", ["demo", "run"])
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main([name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for part in (
        "exit codes:",
        "  5    trials were run, and no",
        "130",
        "--storage FILE",
        "--html FILE",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["store", "info", "study.db"], "store"),
        (["run", "study.py", "--trails", "3"], "run"),
        (["import-trials", "a", "b", "c"], "import-trials"),
    ],
)
def test_arguments_that_are_too_many_show_the_usage_of_their_command(
    arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    assert ended.value.code == command.USAGE
    err = capsys.readouterr().err
    assert err.startswith(f"usage: python -m optimizer {name} [-h]")
    assert f"python -m optimizer {name}: error: unrecognized arguments: " in err


def test_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys; from optimizer import __main__; __main__._parser();"
        "print([m for m in ('numpy', 'numba', 'pandas', 'optuna', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")

"""What the gate finds out about a project that only has an asv suite, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gate import asv_suite
from benchmarks.gate.errors import UsageError
from benchmarks.gate.foreign import describe_foreign, find_config, read_config
from benchmarks.gate.own import PACKAGE

PLAIN = {
    "asv.conf.json": '{"version": 1, "project": "Toy-Thing"}',
    "toy_thing/__init__.py": "",
    "benchmarks/__init__.py": "",
    "pyproject.toml": '[project]\nname = "toy.thing"\n[build-system]\nrequires = ["hatchling"]\n'
    'build-backend = "hatchling.build"\n',
}


def _project(root: Path, *changes: dict[str, str]) -> Path:
    files: dict[str, str] = {}
    for change in (PLAIN, *changes):
        files |= change
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def test_a_plain_project(tmp_path: Path) -> None:
    project = describe_foreign(_project(tmp_path))
    assert (project.root, project.code, project.suite) == (tmp_path, "toy_thing", "benchmarks")
    module, _, function = project.loader.partition(":")
    assert module == f"{PACKAGE}.{asv_suite.__name__.rpartition('.')[2]}"
    assert callable(getattr(asv_suite, function))


def test_a_package_below_src(tmp_path: Path) -> None:
    root = _project(tmp_path, {"src/toy_thing/__init__.py": ""})
    (root / "toy_thing" / "__init__.py").unlink()
    assert describe_foreign(root).code == "src/toy_thing"


def test_a_suite_in_a_folder_of_its_own(tmp_path: Path) -> None:
    inner = {"asv_bench/asv.conf.json": "{}", "asv_bench/benchmarks/__init__.py": ""}
    root = _project(tmp_path, inner)
    (root / "asv.conf.json").unlink()
    assert describe_foreign(root).suite == "asv_bench/benchmarks"


def test_the_folder_that_the_configuration_names(tmp_path: Path) -> None:
    config = {"asv.conf.json": '{"benchmark_dir": "perf/suite"}', "perf/suite/__init__.py": ""}
    assert describe_foreign(_project(tmp_path, config)).suite == "perf/suite"


def test_the_name_in_setup_cfg(tmp_path: Path) -> None:
    other = {"setup.cfg": "[metadata]\nname = other-name\n", "other_name/__init__.py": ""}
    root = _project(tmp_path, other, {"asv.conf.json": "{}", "pyproject.toml": ""})
    assert describe_foreign(root).code == "other_name"


def test_code_says_where_the_package_is(tmp_path: Path) -> None:
    root = _project(tmp_path, {"lib/elsewhere/__init__.py": ""})
    assert describe_foreign(root, code="lib/elsewhere").code == "lib/elsewhere"


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({"asv.conf.json": '{"benchmark_dir": "nowhere"}'}, {}, "nowhere is no folder"),
        ({"asv.conf.json": '{"benchmark_dir": ".."}'}, {}, "is no folder below"),
        ({"asv.conf.json": '{"benchmark_dir": "."}'}, {}, "is no folder below"),
        ({"asv.conf.json": "{'no json'}"}, {}, "is not JSON with comments"),
        ({"asv.conf.json": "[]"}, {}, "holds list"),
        ({"pyproject.toml": "["}, {}, "is not TOML"),
        ({}, {"code": "benchmarks/asv"}, "is not in"),
        ({}, {"code": "../elsewhere"}, "is not in"),
        ({}, {"config": "perf/asv.conf.json"}, "is not in"),
        ({"docs/page.md": ""}, {"code": "docs"}, "is no package"),
        ({"src/toy_thing/__init__.py": ""}, {}, "more than one package"),
        (
            {"asv.conf.json": "{}", "pyproject.toml": ""},
            {},
            "packages there: benchmarks, toy_thing",
        ),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, changes: dict[str, str], options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        describe_foreign(_project(tmp_path, changes), **options)


def test_no_suite_at_all(tmp_path: Path) -> None:
    assert find_config(tmp_path) is None
    with pytest.raises(UsageError, match=r"neither \[tool.velocity-gate\]"):
        describe_foreign(tmp_path)


def test_several_suites_ask_for_a_choice(tmp_path: Path) -> None:
    inner = {f"{name}/asv.conf.json": "{}" for name in ("one", "two")}
    root = _project(tmp_path, inner, {"two/benchmarks/__init__.py": ""})
    assert find_config(root) == root / "asv.conf.json"  # its own comes first
    (root / "asv.conf.json").unlink()
    with pytest.raises(UsageError, match=r"several asv suites \(one/asv.conf.json, two/"):
        describe_foreign(root)
    assert describe_foreign(root, config="two/asv.conf.json").suite == "two/benchmarks"


@pytest.mark.parametrize("own", [False, True])
def test_the_configuration_named_is_the_one_that_is_read(tmp_path: Path, own: bool) -> None:
    inner = {
        "one/asv.conf.json": '{"benchmark_dir": "suite", "project": "toy_thing"}',
        "one/suite/__init__.py": "",
        "two/asv.conf.json": '{"benchmark_dir": "../bench_two", "project": "other"}',
        "bench_two/__init__.py": "",
        "other/__init__.py": "",
    }
    root = _project(tmp_path, inner, {"pyproject.toml": ""})
    if not own:
        (root / "asv.conf.json").unlink()
    first = describe_foreign(root, config="one/asv.conf.json")
    second = describe_foreign(root, config=str(root / "two/asv.conf.json"))
    assert (first.code, first.suite) == ("toy_thing", "one/suite")
    assert (second.code, second.suite) == ("other", "bench_two")
    assert describe_foreign(root, config="two/asv.conf.json", code="toy_thing").suite == "bench_two"
    with pytest.raises(UsageError, match=r"one is no file: name the asv\.conf\.json itself"):
        describe_foreign(root, config="one")


def _requires(text: str) -> dict[str, str]:
    return {"pyproject.toml": f'[build-system]\nrequires = ["setuptools", "{text}"]\n'}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pyproject.toml": '[build-system]\nbuild-backend = "mesonpy"'}, "builds with mesonpy"),
        ({"pyproject.toml": '[build-system]\nbuild-backend = "maturin"'}, "builds with maturin"),
        (
            {"pyproject.toml": '[build-system]\nbuild-backend = "scikit_build_core.build"'},
            "scikit_build_core.build",
        ),
        (_requires("setuptools-rust>=1"), "needs setuptools-rust>=1"),
        (_requires("Cython"), "needs Cython"),
        ({"pyproject.toml": '[[tool.setuptools.ext-modules]]\nname = "x"'}, "ext-modules"),
        ({"pyproject.toml": '[tool.poetry]\nbuild = "build.py"'}, "runs build.py"),
        ({"pyproject.toml": "[tool.hatch.build.targets.wheel.hooks.mypyc]\n"}, "with mypyc"),
        ({"setup.py": "setup(ext_modules=modules)"}, "setup.py says ext_modules"),
        ({"setup.py": "from Cython.Build import cythonize"}, "setup.py says cythonize"),
        ({"setup.py": "x = setuptools.Extension('x', [])"}, "setup.py says Extension"),
        ({"setup.py": "def ("}, "setup.py cannot be read"),
        ({"toy_thing/fast.pyx": ""}, "toy_thing/fast.pyx is there"),
        ({"toy_thing/inner/fast.cpython-311.so": ""}, "fast.cpython-311.so is there"),
        ({"rust/Cargo.toml": ""}, "rust/Cargo.toml is there"),
    ],
)
def test_compiled_projects_are_refused(tmp_path: Path, change: dict[str, str], told: str) -> None:
    names = {"setup.cfg": "[metadata]\nname = toy-thing\n"}
    root = _project(tmp_path, names, change)
    with pytest.raises(UsageError, match="compiles extensions") as refusal:
        describe_foreign(root)
    assert told in str(refusal.value)


def test_pure_python_is_not_refused(tmp_path: Path) -> None:
    harmless = {
        "setup.py": '"""No ext_modules."""\nimport setuptools\nsetuptools.setup()  # cythonize',
        "docs/example.pyx": "",
        "toy_thing/template.c": "",
        ".venv/lib/other/Cargo.toml": "",
    }
    assert describe_foreign(_project(tmp_path, harmless)).code == "toy_thing"


def test_comments_in_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "asv.conf.json"
    file.write_text(
        """{
        // a comment with "quotes"
        "project_url": "https://example.org/a//b",  /* not a comment above,
        but this */
        "quote": "a \\" // still text", "list": "[1,]",
        "matrix": {"numpy": ["",], },
    }""",
        encoding="utf-8",
    )
    assert read_config(file) == {
        "project_url": "https://example.org/a//b",
        "quote": 'a " // still text',
        "list": "[1,]",
        "matrix": {"numpy": [""]},
    }


def test_json_without_comments_is_read_as_json_reads_it(tmp_path: Path) -> None:
    settings = {"a": ["//", "/* */", ",]", '"', "\\"], "b": {"c": None, "d": 1.5}}
    file = tmp_path / "asv.conf.json"
    file.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    assert read_config(file) == settings

"""Generated folders of trial files: orjson, json and the twin agree."""

from __future__ import annotations

import copy
import dataclasses
import gc
import json
import pickle
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_files import compare

from optimizer import _compat
from optimizer.protocols import Trial
from optimizer.stores.records_format import trial_from, trials_from


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    _compat.available.cache_clear()
    yield
    _compat.available.cache_clear()


# --- equality on generated folders

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(1e-5, 1e-3),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
VALUES = st.one_of(st.floats(), st.integers(-9, 9), st.none())
FILES = st.fixed_dictionaries(
    {"number": st.integers(0, 9)},
    optional={
        "state": st.sampled_from(
            [None, 1, 2, 9, "COMPLETE", "PRUNED", "FAIL", "running", "no", {}]
        ),
        "params": st.dictionaries(st.text(max_size=3), SCALARS, max_size=4),
        "value": VALUES,
        "values": st.one_of(st.none(), st.lists(VALUES, max_size=2)),
        "user_attrs": st.dictionaries(st.text(max_size=3), st.lists(SCALARS, max_size=3)),
        "started_s": st.one_of(st.none(), st.floats(0, 1e10)),
    },
)
NORMAL = st.fixed_dictionaries(
    {"number": st.integers(0, 99), "state": st.just("COMPLETE"), "value": st.floats()},
    optional={"params": st.dictionaries(st.text(max_size=3), SCALARS, max_size=4)},
)
DAMAGE = st.sampled_from(["", "", "", "cut", "flip", "append", "utf-16", "bom"])


def damaged(data: bytes, how: str, rng: random.Random) -> bytes:
    if how == "cut":
        return data[: rng.randrange(len(data))]
    if how == "flip":
        place = rng.randrange(len(data))
        return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    if how == "append":
        return data + rng.choice([b"\0\0", b"}", b" ", b"\xff"])
    if how == "utf-16":
        return data.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")
    return b"\xef\xbb\xbf" + data if how == "bom" else data


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(st.tuples(st.one_of(FILES, NORMAL), DAMAGE, st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_orjson_json_and_the_twin_agree(
    files: list[tuple[dict[str, Any], str, bool]], rng: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as name:
        for index, (fields, how, ascii_only) in enumerate(files):
            data = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
            suffix = rng.choice(["json"] * 9 + ["txt"])
            Path(name, f"{index}.{suffix}").write_bytes(damaged(data, how, rng))
        compare(Path(name))


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(st.one_of(NORMAL, FILES), min_size=1, max_size=6))
def test_many_at_once_are_each_by_itself(files: list[dict[str, Any]]) -> None:
    comp = trials_from([dict(fields) for fields in files])
    if comp is not None:
        assert repr(comp) == repr([trial_from(dict(fields)) for fields in files])


NORMAL_TEXT = '{"number": 0, "state": "COMPLETE", "value": 0.5, "params": {"x": 1, "y": "z"}}'


@pytest.mark.parametrize("loads", [orjson.loads, json.loads])
def test_normal_files_are_made_at_once(loads: Callable[[str], Any]) -> None:
    made = trials_from([loads(NORMAL_TEXT) for _ in range(3)])
    assert made is not None
    one = trial_from(loads(NORMAL_TEXT))
    for trial in (one, *made):
        assert trial == Trial(0, "complete", {"x": 1, "y": "z"}, (0.5,))
        assert type(trial) is Trial
        for name in Trial.__dataclass_fields__:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(trial, name, None)
        assert repr(pickle.loads(pickle.dumps(trial))) == repr(copy.deepcopy(trial)) == repr(one)


@pytest.mark.parametrize("loads", [orjson.loads, json.loads])
@pytest.mark.parametrize("value", ["[]", "{}", "[1]", '{"a": 1}', '{"a": []}'])
def test_a_parameter_that_holds_others_is_seen(loads: Callable[[str], Any], value: str) -> None:
    odd = loads(NORMAL_TEXT.replace('"z"', value))
    assert trials_from([loads(NORMAL_TEXT), odd, loads(NORMAL_TEXT)]) is None


ODD: dict[str, list[Any]] = {
    "number": [None, True, 1.0, -1, 2**63, "1"],
    "state": [None, True, 1, "DONE", [], {}],
    "params": [None, [], "x"],
    "value": [None, True, 1, "1", []],
    "values": [None],
    "started_s": [None],
    "finished_s": [None],
}


@pytest.mark.parametrize(("name", "odd"), [(name, odd) for name in ODD for odd in ODD[name]])
def test_whatever_is_odd_is_left_to_the_careful_way(name: str, odd: Any) -> None:
    normal = json.loads(NORMAL_TEXT)
    assert trials_from([dict(normal), {**normal, name: odd}, dict(normal)]) is None
    if name in normal:
        del normal[name]
        assert trials_from([normal]) is None


@pytest.mark.parametrize("found", [None, 1, "x", [], ["number"]])
def test_no_object_is_left_to_the_careful_way(found: Any) -> None:
    assert trials_from([json.loads(NORMAL_TEXT), found]) is None


@pytest.mark.parametrize("scalar", [True, 1, 1.5, "a", None])
def test_scalars_that_the_collector_looks_at_are_fine(scalar: Any) -> None:
    """As it does with every dict of Python 3.14."""
    params = {"x": scalar, "y": []}
    del params["y"]
    assert gc.is_tracked(params)
    assert trials_from([{"number": 0, "state": "COMPLETE", "value": 0.5, "params": params}])

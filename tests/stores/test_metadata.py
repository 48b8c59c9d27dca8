"""Metadata: the last value wins, batches are bounded, and the file and the table agree."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import (
    EvaluationError,
    StoreArgumentError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StorePathError,
)
from optimizer.reference import records as ref
from optimizer.stores import metadata_batch
from optimizer.stores.metadata import MetadataFile, MetadataTable
from optimizer.stores.metadata_batch import Batch

Form = type[MetadataFile] | type[MetadataTable]
FORMS = pytest.mark.parametrize("form", [MetadataFile, MetadataTable])


class Recorder:
    """A target that keeps what it was told; it fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.failures = 0

    def update(self, values: Mapping[str, Any]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("no room")
        self.batches.append(dict(values))


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.002)


@FORMS
def test_the_last_value_wins_and_is_there_afterwards(form: Form, tmp_path: Path) -> None:
    path = tmp_path / "study"
    with form(path) as metadata:
        for number in range(250):
            metadata.set("trials", number)
        metadata.update({"best": 0.5, "nested": {"a": [1, None]}})
        assert metadata.get("trials") == 249
        assert metadata.get("missing", "none") == "none"
        assert metadata.all() == {"best": 0.5, "nested": {"a": [1, None]}, "trials": 249}
    with form(path) as metadata:
        assert metadata.all() == {"best": 0.5, "nested": {"a": [1, None]}, "trials": 249}
        assert metadata.remove("best")
        assert not metadata.remove("best")
        assert metadata.get("best") is None
    with form(path) as metadata:
        assert list(metadata.all()) == ["nested", "trials"]


@FORMS
def test_a_caller_who_changes_a_value_changes_nothing(form: Form, tmp_path: Path) -> None:
    given_list = [1]
    with form(tmp_path / "study") as metadata:
        metadata.set("a", given_list)
        given_list.append(2)
        metadata.get("a").append(3)
        metadata.all()["a"].append(4)
        assert metadata.get("a") == [1]
        metadata.flush()
        metadata.get("a").append(3)
        assert metadata.all() == {"a": [1]}


@FORMS
def test_what_cannot_be_kept_is_refused_as_a_whole(form: Form, tmp_path: Path) -> None:
    with form(tmp_path / "study") as metadata:
        with pytest.raises(EvaluationError, match="'b'"):
            metadata.update({"a": 1, "b": object()})
        for name in ("", 3):
            with pytest.raises(StoreArgumentError, match="the name is"):
                metadata.set(name, 1)  # type: ignore[arg-type]  # on purpose
        assert metadata.all() == {}
        metadata.update({})


@FORMS
def test_life(form: Form, tmp_path: Path) -> None:
    metadata = form(tmp_path / "study", max_updates=7, max_age_s=2)
    assert "max_updates=7, max_age_s=2)" in repr(metadata)
    metadata.close()
    metadata.close()
    for call in (metadata.flush, metadata.all, lambda: metadata.set("a", 1)):
        with pytest.raises(StoreClosedError):
            call()


@FORMS
def test_an_update_while_it_is_closed_is_written_or_refused(form: Form, tmp_path: Path) -> None:
    metadata = form(tmp_path / "study")
    write, began = metadata._target.update, threading.Event()
    outcome: list[str] = []

    class Late(dict[str, int]):
        """Says when it is looked at, which is after the update found the metadata open."""

        def items(self) -> Any:
            began.set()
            return super().items()

    def update() -> None:
        try:
            metadata.update(Late(late=2))
            outcome.append("taken")
        except StoreClosedError:
            outcome.append("refused")

    thread = threading.Thread(target=update)

    def write_meanwhile(values: Mapping[str, Any]) -> None:
        thread.start()
        assert began.wait(20)
        write(values)

    metadata.set("early", 1)
    metadata._target.update = write_meanwhile  # type: ignore[method-assign]  # to be in the middle of it
    metadata.close()
    thread.join()
    with form(tmp_path / "study") as again:
        late = {"late": 2} if outcome == ["taken"] else {}
        assert again.all() == {"early": 1, **late}
    assert outcome in (["taken"], ["refused"])


@FORMS
def test_of_two_that_close_it_one_does(form: Form, tmp_path: Path) -> None:
    metadata = form(tmp_path / "study")
    metadata.set("a", 1)
    closing = [threading.Thread(target=metadata.close) for _ in range(4)]
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    with form(tmp_path / "study") as again:
        assert again.all() == {"a": 1}


@FORMS
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_updates": 0},
        {"max_updates": 1.5},
        {"max_age_s": 0},
        {"max_age_s": "1"},
        {"max_age_s": float("nan")},
        {"max_age_s": float("inf")},
    ],
)
def test_bounds_that_are_none(form: Form, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(StoreArgumentError, match=next(iter(wrong))):
        form(tmp_path / "study", **wrong)


def test_a_file_is_json_that_people_can_read(tmp_path: Path) -> None:
    with MetadataFile(tmp_path / "new" / "study.json") as metadata:
        metadata.update({"b": [1, 2], "a": "é", "nan": float("inf")})
    text = (tmp_path / "new" / "study.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": "é", "b": [1, 2], "nan": float("inf")}
    assert text.count("\n") == 5
    assert os.listdir(tmp_path / "new") == ["study.json"]


@pytest.mark.parametrize("content", ['{"a": 1', "[1]", ""])
def test_a_damaged_file_is_left_as_it_was(tmp_path: Path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(StoreCorruptError, match=r"[Mm]ove it away"):
        MetadataFile(tmp_path / "study.json")
    assert (tmp_path / "study.json").read_text() == content
    with pytest.raises(StorePathError, match="cannot be read"):
        MetadataFile(tmp_path)


def test_two_studies_of_a_table(tmp_path: Path) -> None:
    with (
        MetadataTable(tmp_path / "s.db", study="one") as one,
        MetadataTable(tmp_path / "s.db", study="two") as two,
    ):
        one.set("a", 1)
        two.set("a", 2)
        one.flush()
        two.flush()
        assert (one.all(), two.all()) == ({"a": 1}, {"a": 2})


@settings(max_examples=settings().max_examples // 5)
@given(
    st.lists(
        st.one_of(
            st.dictionaries(st.sampled_from("abc"), st.integers() | st.lists(st.floats(-1, 1))),
            st.just("flush"),
            st.just("open anew"),
        ),
        max_size=8,
    ),
    st.integers(1, 6),
)
def test_files_agree_with_the_twin(
    tmp_path_factory: pytest.TempPathFactory, actions: list[Any], max_updates: int
) -> None:
    folder = tmp_path_factory.mktemp("metadata")
    twin = ref.MetadataFile(folder / "twin.json")
    metadata = MetadataFile(folder / "ours.json", max_updates=max_updates)
    for action in actions:
        if action == "flush":
            metadata.flush()
        elif action == "open anew":
            metadata.close()
            metadata = MetadataFile(folder / "ours.json", max_updates=max_updates)
        else:
            twin.update(action)
            metadata.update(action)
        assert metadata.all() == twin.all()
    metadata.close()
    if twin.path.exists() and twin.values:
        assert ref.read_json(folder / "ours.json") == ref.read_json(twin.path)


# --- the bounds


def test_a_batch_is_written_at_its_count() -> None:
    target = Recorder()
    batch = Batch(target, max_updates=10, max_age_s=1_000, name="study")
    for number in range(25):
        batch.update({"n": number})
    assert target.batches == [{"n": 9}, {"n": 19}]
    batch.update({f"x{i}": i for i in range(30)})
    assert len(target.batches) == 3
    assert len(target.batches[2]) == 31
    batch.close()
    assert len(target.batches) == 3  # nothing was left


def test_a_batch_is_written_at_its_age() -> None:
    target = Recorder()
    batch = Batch(target, max_updates=1_000, max_age_s=0.05, name="study")
    for turn in range(3):
        batch.update({"turn": turn})
        wait_until(lambda turn=turn: len(target.batches) == turn + 1)  # type: ignore[misc]  # bound now
    assert target.batches == [{"turn": 0}, {"turn": 1}, {"turn": 2}]
    batch.close()


def test_the_thread_that_waits_ends_when_there_is_nothing_to_write() -> None:
    target = Recorder()
    batch = Batch(target, max_updates=1_000, max_age_s=0.02, name="study")
    batch.update({"a": 1})
    wait_until(lambda: batch._timer is None)
    assert target.batches == [{"a": 1}]
    batch.update({"a": 2})  # another one is started
    wait_until(lambda: len(target.batches) == 2)
    batch.close()


def test_a_batch_that_cannot_be_written_waits_on(capsys: pytest.CaptureFixture[str]) -> None:
    target = Recorder()
    batch = Batch(target, max_updates=2, max_age_s=0.05, name="study")
    target.failures = 2
    batch.update({"a": 1})
    with pytest.raises(StoreError, match="no room"):
        batch.update({"b": 2})
    wait_until(lambda: target.failures == 0 and len(target.batches) == 1)  # by the clock
    assert target.batches == [{"a": 1, "b": 2}]
    assert "metadata could not be written yet: no room" in capsys.readouterr().err
    target.failures = 1
    batch.update({"c": 3})
    with pytest.raises(StoreError, match="no room"):
        batch.close()
    batch.close()
    assert target.batches[-1] == {"c": 3}


def test_where_no_thread_can_be_started_every_update_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    target = Recorder()
    batch = Batch(target, max_updates=100, max_age_s=10, name="study")
    batch.update({"a": 1})
    assert target.batches == [{"a": 1}]
    batch.close()


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    with MetadataFile(path, max_updates=30, max_age_s=0.01) as metadata:

        def work(worker: int) -> None:
            for number in range(100):
                metadata.update({f"w{worker}": number, f"w{worker} n{number % 5}": number})

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = ref.read_json(path)
    assert all(found[f"w{worker}"] == 99 for worker in range(4))
    assert all(found[f"w{w} n{n}"] == 95 + n for w in range(4) for n in range(5))
    assert len(found) == 24


def test_a_handler_is_given_back(tmp_path: Path) -> None:
    import signal

    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        one, two = MetadataFile(tmp_path / "1.json"), MetadataFile(tmp_path / "2.json")
        assert signal.getsignal(signal.SIGTERM) is metadata_batch._on_signal
        one.close()
        assert signal.getsignal(signal.SIGTERM) is metadata_batch._on_signal
        two.close()
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)

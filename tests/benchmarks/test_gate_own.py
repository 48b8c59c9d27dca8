"""The gate's own code, staged for its workers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gate import own


def test_the_whole_gate_is_staged_once(tmp_path: Path) -> None:
    folder = own.stage_itself(tmp_path / "scratch")
    assert own.stage_itself(tmp_path / "scratch") == folder
    assert [entry.name for entry in (tmp_path / "scratch").iterdir()] == [folder.name]
    here = Path(own.__file__).parent
    staged = {file.name: file.read_bytes() for file in (folder / own.PACKAGE).iterdir()}
    assert staged == {file.name: file.read_bytes() for file in here.glob("*.py")}
    assert own.source_hash() in folder.name

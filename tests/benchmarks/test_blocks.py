"""A generated block is replaced; the text around it stays, and one that is lost is noticed."""

from __future__ import annotations

import pytest

from benchmarks._blocks import MissingBlockError, filled

TEXT = """\
before
<!-- generated: one -->
old
<!-- end: one -->
between
<!-- generated: two -->
<!-- end: two -->
after
"""


def test_only_the_block_changes() -> None:
    text = filled(TEXT, "one", ["a", "b"])
    block = "<!-- generated: one -->\n```text\na\nb\n```\n<!-- end: one -->"
    assert text == TEXT.replace("<!-- generated: one -->\nold\n<!-- end: one -->", block)
    assert filled(text, "one", ["a", "b"]) == text


def test_blocks_are_told_apart_by_name() -> None:
    text = filled(TEXT, "two", ["c"])
    assert text.startswith(TEXT[: TEXT.index("<!-- generated: two")])
    assert text.endswith("```text\nc\n```\n<!-- end: two -->\nafter\n")


@pytest.mark.parametrize("lost", ["<!-- generated: one -->\n", "<!-- end: one -->\n"])
def test_a_lost_block_is_refused(lost: str) -> None:
    with pytest.raises(MissingBlockError, match="lost its block 'one': restore it from git"):
        filled(TEXT.replace(lost, ""), "one", [])


def test_an_end_that_stands_before_its_start_is_none() -> None:
    text = "<!-- end: one -->\n<!-- generated: one -->\nold\n"
    with pytest.raises(MissingBlockError):
        filled(text, "one", [])

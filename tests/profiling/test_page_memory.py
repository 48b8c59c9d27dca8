"""The page's memory of several processes: what is told of all of them and what of one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sample_profiles import leaking
from script_modules import script_module

if TYPE_CHECKING:
    import _model as model
    import _page_memory as memory_page
else:
    model = script_module("_model")
    memory_page = script_module("_page_memory")


def of_several(count: int) -> model.Profile:
    """The leaking sample with heaps of so many processes, the first of which is its own."""
    sample = leaking()
    assert sample.memory is not None
    first = sample.memory.curves[0]
    curves = tuple(model.Curve(first.pid + n, first.points) for n in range(count))
    one = sample.memory.allocators[0]
    allocators = tuple(dataclasses.replace(one, pid=first.pid + n) for n in range(count))
    memory = dataclasses.replace(sample.memory, curves=curves, allocators=allocators)
    return dataclasses.replace(sample, memory=memory)


def test_the_growth_of_one_process_is_drawn_on_its_curve() -> None:
    comp = memory_page.section(of_several(1))
    assert 'class="slope"' in comp
    assert "<small>process 1000</small>" in comp
    assert "<h3>Held at the peak</h3>" in comp


def test_the_growth_of_all_processes_is_not_drawn_on_one_curve() -> None:
    comp = memory_page.section(of_several(4))
    assert 'class="slope"' not in comp
    assert "over 4 processes, most in process 1000" in comp
    assert "<h3>Held at the peaks of their processes</h3>" in comp


def test_curves_that_are_not_drawn_are_told() -> None:
    assert "largest of" not in memory_page.section(of_several(8))
    assert "the 8 largest of 12 processes" in memory_page.section(of_several(12))

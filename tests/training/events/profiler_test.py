"""Traces of training as XProf shows them: steps, operations and the parts of a step."""

import pytest

from tests import xprof_pages
from tests.training import graph_loop_test
from tests.training.loop_test import QuietProgress, make_loop
from tfplastic.training import RunDirectory
from tfplastic.training.events.profiler import Profiler


def profiled(path, loop, first, last):
    directory = RunDirectory.open(path, "", "")
    loop.run(
        directory, profile_steps=(first, last), progress=lambda total, step, _: QuietProgress(total, step)
    )
    directory.close()
    return directory.tensorboard


def names(first, last):
    return [f"train_step {number}" for number in range(first + 1, last + 1)]


@pytest.mark.parametrize(("first", "last"), [pytest.param(5, 8, marks=pytest.mark.slow), (2, 12)])
def test_steps_from_the_host_are_all_shown(tmp_path, first, last):
    steps = xprof_pages.steps(profiled(tmp_path, make_loop(), first, last))
    assert list(steps) == names(first, last)  # XProf itself leaves out the two at the ends of a long trace
    assert all(0 < milliseconds < 10_000 for milliseconds in steps.values())


@pytest.mark.parametrize("program", ["graph", pytest.param("xla", marks=pytest.mark.slow)])
def test_steps_of_a_compiled_loop_are_shown_one_by_one(tmp_path, program):
    trace = profiled(tmp_path, graph_loop_test.make_loop(compiler=program), 10, 18)
    steps = xprof_pages.steps(trace)
    assert list(steps) == names(10, 18)
    assert min(steps.values()) > 0
    assert xprof_pages.span_names(trace).count("gradient_step") == 8
    assert any("gradient_step" in name for name in xprof_pages.operations(trace)[:10])


def test_only_steps_in_the_trace_are_cut_one_by_one(tmp_path):
    profiler = Profiler((3, 6), tmp_path)
    assert [profiler.edges_after(step) for step in range(8)] == [[3], [3], [3], [4], [5], [6], [], []]
    assert Profiler(None, tmp_path).edges_after(0) == []

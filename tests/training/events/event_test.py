"""Events of one's own, from outside of the package, through the loop that knows nothing about them."""

import json
import signal

import gin
import pytest

from tests.training.graph_loop_test import make_loop, rows, run, steps_of, weights
from tests.training.loop_test import make_loop as make_host_loop
from tests.training.loop_test import run as run_on_host
from tfplastic.training import Event, TrainConfig


class Counting(Event):
    """Writes how often it has run; cut short the first time at one step, if asked to."""

    name = "counting"
    title = "counts"

    def __init__(self, steps=(0, 7, 30), cut_short_at=None):
        self.steps, self.cut_short_at = steps, cut_short_at
        self.begun, self.ran = [], []

    def begin(self, session):
        self.begun.append((session.step, session.is_resumed))

    def next_after(self, step):
        return next((each for each in self.steps if each > step), None)

    def is_due(self, step):
        return step in self.steps

    def run(self, session):
        if session.step == self.cut_short_at:
            session.stop.signal = signal.SIGINT
            return False
        self.ran.append(session.step)
        session.writer.scalars(session.step, {"counting/weights": session.task.model.count_params()})
        return True

    def describe(self):
        return f"{len(self.steps)} times"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain")
    return weights(run(path)[0]), rows(path)


def without_counts(lines):
    return [line for line in lines if "counting" not in line]


def test_it_runs_at_exactly_its_steps_and_leaves_no_trace_in_the_run(plain, tmp_path):
    event = Counting()
    loop, code = run(tmp_path, make_loop(events=[event]))
    assert (code, event.ran, event.begun) == (0, [0, 7, 30], [(0, False)])
    assert steps_of(tmp_path, "counting/weights") == [0, 7, 30]
    assert (weights(loop) == plain[0]).all()
    assert without_counts(rows(tmp_path)) == plain[1]
    assert ("counts", "3 times") in [(each.title, each.describe()) for each in loop.events]
    assert loop.events.index(event) < [each.name for each in loop.events].index("mitigations")


def test_an_event_that_is_cut_short_runs_when_the_run_is_resumed(plain, tmp_path):
    _, code = run(tmp_path, make_loop(events=[Counting(cut_short_at=7)]))
    assert (code, json.loads((tmp_path / "status.json").read_text())["step"]) == (0, 7)
    event = Counting()
    loop, _ = run(tmp_path, make_loop(events=[event]))
    assert (event.ran, event.begun) == ([7, 30], [(7, True)])
    assert steps_of(tmp_path, "counting/weights") == [0, 7, 30]
    assert (weights(loop) == plain[0]).all()


def test_a_task_on_the_host_has_events_of_its_own_too(tmp_path):
    event = Counting(steps=(2, 5))
    run_on_host(tmp_path, make_host_loop(events=[event]))
    assert event.ran == [2, 5]


class Named(Counting):
    name = "probe"


def test_wrong_events():
    with pytest.raises(ValueError) as caught:
        make_loop(events=[Counting])
    assert str(caught.value).startswith("`events` must hold events, such as @MyEvent(). Received: <class ")
    with pytest.raises(ValueError) as caught:
        make_loop(events=[Named()])
    assert str(caught.value) == (
        "`events` must hold events with names of their own, other than checkpoint, diagnostics, evaluation,"
        " log, mitigations, probe. Received: 'probe' once more"
    )
    with pytest.raises(ValueError, match="^`events` must hold events with names of their own"):
        make_loop(events=[Counting(), Counting()])


def test_gin_gives_events_too():
    with gin.unlock_config():
        gin.external_configurable(Counting, "CountingEvent")
        gin.parse_config("train.events = [@CountingEvent()]\nCountingEvent.steps = [3]")
    try:
        assert gin.query_parameter("train.events")[0].evaluate
        loop = make_loop()
        config = gin.get_configurable(TrainConfig)(loop.task, loop.config.optimizer, 10)
        assert [event.steps for event in config.events] == [[3]]
    finally:
        gin.clear_config()

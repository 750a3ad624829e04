"""Events of one's own, from outside of the package, through the loop that knows nothing about them."""

import json
import signal
from typing import Any

import gin
import pytest
import tensorflow as tf

from tests.training.graph_loop_test import Doubling, make_loop, rows, run, steps_of, values_of, weights
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


class Remembering(Counting):
    """Adds up a weight in each of its steps, in a variable that checkpoints save, and writes the sum."""

    name = "remembering/a.b"

    def __init__(self, has_state=True, **arguments):
        super().__init__(**arguments)
        self.has_state, self.total = has_state, tf.Variable(0.0, trainable=False)

    @property
    def state(self):
        return {"total": self.total} if self.has_state else {}

    def run(self, session):
        if not super().run(session):
            return False
        self.total.assign_add(session.task.model.get_weights()[0].sum())
        session.writer.scalars(session.step, {"counting/total": float(self.total)})
        return True


STEPS = (0, 7, 14, 30)


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    path = tmp_path_factory.mktemp("remembered")
    run(path, make_loop(events=[Remembering(steps=STEPS)]))
    return path


@pytest.mark.parametrize("cut_short_at", [7, pytest.param(14, marks=pytest.mark.slow)])
def test_an_event_with_memory_resumes_exactly(remembered, cut_short_at, tmp_path):
    run(tmp_path, make_loop(events=[Remembering(steps=STEPS, cut_short_at=cut_short_at)]))
    run(tmp_path, make_loop(events=[Remembering(steps=STEPS)]))
    assert rows(tmp_path) == rows(remembered)


def test_a_checkpoint_from_before_an_event_had_a_state_is_valid(remembered, tmp_path):
    run(tmp_path, make_loop(events=[Remembering(False, steps=STEPS, cut_short_at=14)]))
    event = Remembering(steps=STEPS)
    _, code = run(tmp_path, make_loop(events=[event]))
    assert (code, event.ran) == (0, [14, 30])
    whole = values_of(remembered, "counting/total")
    assert float(event.total) == pytest.approx(whole[-1] - whole[1], abs=1e-4)
    assert steps_of(tmp_path, "train/loss") == steps_of(remembered, "train/loss")


def test_a_mitigation_that_waited_for_an_event_is_in_the_next_checkpoint_of_the_same_step(tmp_path):
    def loop(**arguments):
        return make_loop(events=[Counting(**arguments)], mitigations=[Doubling(14)], total_steps=16)

    whole, _ = run(tmp_path / "whole", loop(steps=(14,)))
    run(tmp_path / "cut", loop(steps=(14,), cut_short_at=14))
    _, code = run(tmp_path / "cut", loop(steps=(14,)), interrupt_at=1)  # it acts, and the run stops again
    assert (code, json.loads((tmp_path / "cut/status.json").read_text())["step"]) == (143, 14)
    resumed, _ = run(tmp_path / "cut", loop(steps=(14,)))
    assert (weights(resumed) == weights(whole)).all()


class Returning(Counting):
    """Returns the given value; its next step is after the given number of steps."""

    def __init__(self, returned: Any = True, distance=1):
        super().__init__()
        self.returned, self.distance = returned, distance

    def next_after(self, step):
        return step + self.distance

    def run(self, session):
        return self.returned


@pytest.mark.parametrize(
    ("event", "kind", "message"),
    [
        (
            Returning(None),
            TypeError,
            "`Returning.run` must return True when it is done. Received: None",
        ),
        (
            Returning(False),
            ValueError,
            "`Returning.run` must return False only after a signal has cut it short. Received: no signal",
        ),
        (
            Returning(distance=0),
            ValueError,
            "`Returning.next_after` must return a step after 0, or None. Received: 0",
        ),
    ],
)
def test_an_event_that_breaks_its_rules_stops_the_run(tmp_path, event, kind, message):
    with pytest.raises(kind) as caught:
        run_on_host(tmp_path, make_host_loop(events=[event]))
    assert str(caught.value) == message
    assert json.loads((tmp_path / "status.json").read_text())["error"] == f"{kind.__name__}: {message}"

"""A session owns all that exists only during a run, and the configuration is checked once."""

import pytest

from tests.training.loop_test import make_loop, run
from tfplastic.training import Event, Loop
from tfplastic.training.events.measurements.diagnostics_plan import DiagnosticsPlan
from tfplastic.training.events.measurements.probe_plan import ProbePlan


class Watching(Event):
    """Notes the session and its attributes when it begins and at each step."""

    name = "watching"

    def __init__(self):
        self.sessions, self.attributes = [], []

    def begin(self, session):
        self.run(session)

    def next_after(self, step):
        return step + 1

    def is_due(self, step):
        return step > 0

    def run(self, session):
        self.sessions.append(session)
        self.attributes.append(set(vars(session)))
        return True


def test_neither_a_loop_nor_a_session_gets_attributes_while_it_runs(tmp_path):
    event = Watching()
    loop = make_loop(events=[event], total_steps=7)
    before = set(vars(loop))
    run(tmp_path, loop)
    assert set(vars(loop)) == before
    assert len(event.attributes) == 8 and all(each == event.attributes[0] for each in event.attributes)
    (session,) = set(event.sessions)
    assert set(vars(session)) == event.attributes[0] and (session.step, session.pending) == (7, [])


def test_a_loop_runs_again_in_a_session_of_its_own(tmp_path):
    event = Watching()
    for path in (tmp_path / "one", tmp_path / "other"):
        run(path, make_loop(events=[event], total_steps=2))
    assert len(set(event.sessions)) == 2


@pytest.mark.parametrize("plan", [DiagnosticsPlan, ProbePlan])
def test_the_configuration_is_checked_once(monkeypatch, plan):
    made, check = [], plan.__init__

    def counted(self, *args, **kwargs):
        made.append(self)
        check(self, *args, **kwargs)

    monkeypatch.setattr(plan, "__init__", counted)
    loop = make_loop()
    assert isinstance(loop, Loop) and len(made) == 1
    assert any(made[0] is each for each in (loop.config.diagnostics_plan, loop.config.probe_plan))

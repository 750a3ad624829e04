"""Evaluations of a run."""

from absl import logging

from tfplastic.training.events.event import Periodic
from tfplastic.training.mitigated_network import evaluation_weights
from tfplastic.training.session import EVALUATION, Session


class Evaluation(Periodic):
    """The task's own evaluation; a signal cuts it short, and it is done when the run is resumed."""

    name = EVALUATION
    title = "evaluations"

    def run(self, session: Session) -> bool:
        with evaluation_weights(session.config.mitigations):
            scalars = session.driver.evaluate(session.step, lambda: session.stop.signal is not None)
        if scalars is None:
            return False
        session.writer.scalars(session.step, scalars)
        shown = ", ".join(f"{tag.removeprefix('evaluation/')} {value:.4g}" for tag, value in scalars.items())
        logging.info("Evaluation at gradient step %d: %s", session.step, shown)
        return True

    def describe(self) -> str:
        return f"every {self._period:,} and at the end"
